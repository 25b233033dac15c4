"""Whole models side by side. Legend: B = rows of the batch, V = rows of a modality, K = classes."""

import pytest
import torch

from core.encoders import ConvNet, PatchAdapter
from core.errors import ConfigError
from core.fusion import JointTransformer
from core.models import JointModel, PartOf, Towers, TowerSegmenter
from core.models.map_segmenter import ConvNeXtDecoder, MapSegmenter
from core.types import ModalityInput

K = 3
SMALL = {"name": "resnet18", "options": {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}}


def make():
    torch.manual_seed(0)
    towers = {"a": ConvNet(channels=2, **SMALL), "b": ConvNet(channels=3, **SMALL)}
    decoders = {name: ConvNeXtDecoder(classes=K, channels=16, width=4, cells=2, depth=1) for name in towers}
    return Towers(towers=towers, decoders=decoders).eval()


def inputs():
    rng = torch.Generator().manual_seed(1)
    return {m: ModalityInput(torch.randn(3, c, 8, 8, generator=rng)) for m, c in (("a", 2), ("b", 3))}


@torch.no_grad()
def test_the_answer_is_the_mean_of_the_towers_that_a_row_has():
    model, x = make(), inputs()
    head = TowerSegmenter(encoder=model.encoder_of_all(["a", "b"])).eval()
    alone = {
        m: MapSegmenter(encoder=model.encoder_of(m), decoder=model.heads[m], modalities=[m])(
            {m: x[m]}, {m: torch.ones(3, dtype=torch.bool)}
        ).softmax(1)
        for m in "ab"
    }
    present = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True, False, False])}
    found = head({m: x[m].rows(p) for m, p in present.items()}, present)
    torch.testing.assert_close(found[0].softmax(0), (alone["a"][0] + alone["b"][0]) / 2)
    torch.testing.assert_close(found[1].softmax(0), alone["a"][1])
    torch.testing.assert_close(found[2].softmax(0), torch.full((K, 8, 8), 1 / K))
    torch.testing.assert_close(head({"b": x["b"]}, {"b": torch.ones(3, dtype=torch.bool)}).softmax(1), alone["b"])


@torch.no_grad()
def test_the_second_head_begins_as_a_copy_of_the_first_and_not_as_the_same():
    head = TowerSegmenter(encoder=make().encoder_of_all(["a", "b"]))
    view = head.view("a", inputs()["a"], (8, 8))
    assert torch.equal(view.logits, view.mimic)
    head.mimics["a"].weight.zero_()
    assert torch.equal(head.view("a", inputs()["a"], (8, 8)).logits, view.logits)


@torch.no_grad()
def test_pooled_vectors_stand_side_by_side():
    model, x = make(), inputs()
    encoder = model.encoder_of_all(["a", "b"])
    present = {"a": torch.tensor([True, True, True]), "b": torch.tensor([False, True, True])}
    pooled = encoder.encode({"a": x["a"], "b": x["b"].rows(present["b"])}, present).pooled
    assert pooled.shape == (3, encoder.width) == (3, 32)
    torch.testing.assert_close(pooled[:, :16], model.encoder_of("a")(x["a"]).pooled)
    assert bool((pooled[0, 16:] == 0).all())
    assert encoder.encode({"a": x["a"]}, {"a": present["a"]}).pooled.shape == (3, 32)


def test_a_part_of_a_joint_model_is_its_encoder_without_the_rest():
    torch.manual_seed(0)
    adapters = {m: PatchAdapter(size=[8, 8], patch=[4, 4], channels=c, width=12) for m, c in (("a", 2), ("b", 3))}
    joint = JointModel(
        encoders=adapters, modalities={"a": "a", "b": "b"}, dim=4,
        fusion=JointTransformer(width=16, depth=1, heads=2, inputs={"a": 12, "b": 12}),
    ).eval()  # fmt: skip
    part = PartOf(model=joint, modality="a").eval()
    x = inputs()["a"]
    torch.testing.assert_close(part(x).pooled, joint.encode("a", x).pooled)
    assert part.pyramid_channels == (16,)
    assert not any("adapters.b" in name for name in part.state_dict())
    with pytest.raises(ConfigError, match="no modality 'c'"):
        PartOf(model=joint, modality="c")


def test_towers_and_decoders_that_do_not_fit_are_refused():
    tower = ConvNet(channels=2, **SMALL)
    with pytest.raises(ConfigError, match="'a' has no decoder"):
        Towers(towers={"a": tower}, decoders={})
    with pytest.raises(ConfigError, match="reads 8 channels"):
        Towers(towers={"a": tower}, decoders={"a": ConvNeXtDecoder(classes=K, channels=8)})
    decoders = {"a": ConvNeXtDecoder(classes=2, channels=16), "b": ConvNeXtDecoder(classes=3, channels=16)}
    towers = Towers(towers={"a": tower, "b": ConvNet(channels=2, **SMALL)}, decoders=decoders)
    with pytest.raises(ConfigError, match=r"\[2, 3\] classes"):
        TowerSegmenter(encoder=towers.encoder_of_all(["a", "b"]))
