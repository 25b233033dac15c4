"""Legend: B = rows, K = classes, D = width, h, w = cells."""

import pytest
import torch

from core.encoders import ConvNet, PatchAdapter, TextConvNet
from core.errors import ConfigError
from core.fusion import JointTransformer
from core.models import JointModel
from core.models.map_segmenter import ConvNeXtBlock, ConvNeXtDecoder, MapSegmenter
from core.types import ModalityInput

NARROW = {"channels": [16, 16, 16, 16], "layers": [1, 1, 1, 1]}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def joint(patch=(4, 4)):
    adapters = {
        "a": PatchAdapter(size=[16, 16], patch=[4, 4], channels=2, width=16),
        "b": PatchAdapter(size=[8, 8], patch=patch, channels=1, width=16),
    }
    fusion = JointTransformer(width=16, depth=1, heads=2, inputs={"a": 16, "b": 16})
    model = JointModel(encoders=adapters, modalities={"a": "a", "b": "b"}, dim=4, fusion=fusion)
    return model.encoder_of_all(["a", "b"])


def decoder(channels=16):
    return ConvNeXtDecoder(classes=3, channels=channels, width=8, cells=2, depth=1)


def inputs(rows=2):
    return {"a": ModalityInput(torch.randn(rows, 2, 16, 16)), "b": ModalityInput(torch.randn(rows, 1, 8, 8))}


ALL = {name: torch.ones(2, dtype=torch.bool) for name in "ab"}


def test_every_pixel_of_the_first_modality_gets_logits_and_every_weight_a_gradient():
    model = MapSegmenter(encoder=joint(patch=(2, 2)), decoder=decoder(), modalities=["a", "b"])
    logits = model(inputs(), ALL)
    assert logits.shape == (2, 3, 16, 16)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_convolutional_encoder_of_one_modality_serves_too_and_rows_keep_their_places():
    encoder = ConvNet(channels=2, options=NARROW)
    model = MapSegmenter(encoder=encoder, decoder=decoder(), modalities=["a"]).eval()
    inp = ModalityInput(torch.randn(2, 2, 32, 32))
    here, scattered = torch.ones(2, dtype=torch.bool), torch.tensor([False, True, True])
    torch.testing.assert_close(model({"a": inp}, {"a": scattered})[1:], model({"a": inp}, {"a": here}))


def test_a_block_begins_as_the_identity():
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(ConvNeXtBlock(width=8)(x), x, rtol=0, atol=1e-4)


def test_splitting_keeps_cells_in_their_place():
    head = ConvNeXtDecoder(classes=1, channels=1, width=1, cells=2, depth=0).eval()
    head.standardise.eps = 0.0
    with torch.no_grad():
        for name, p in head.named_parameters():
            p.fill_(0.0 if name.endswith("bias") else 1.0)
    map_1Dhw = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    out = head([map_1Dhw], (4, 4))[0, 0]
    assert out.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_errors_name_what_does_not_fit():
    with pytest.raises(ConfigError, match="gives no feature maps"):
        MapSegmenter(encoder=TextConvNet(vocab_size=9), decoder=decoder(), modalities=["a"])
    with pytest.raises(ConfigError, match=r"decoder\.channels is 9, the encoder's coarsest map has 16"):
        MapSegmenter(encoder=joint(), decoder=decoder(9), modalities=["a", "b"])
    with pytest.raises(ConfigError, match="reads one modality"):
        MapSegmenter(encoder=ConvNet(channels=1, options=NARROW), decoder=decoder(), modalities=["a", "b"])
    model = MapSegmenter(
        encoder=joint(patch=(4, 4)), decoder=decoder(), modalities=["a", "b"]
    )  # 4 x 4 and 2 x 2 tokens
    with pytest.raises(ConfigError, match="different grids"):
        model(inputs(), ALL)
