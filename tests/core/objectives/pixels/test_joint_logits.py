"""Logits of a joint transformer as a view: the same as the parts called one by one, and what rows show."""

from __future__ import annotations

import pytest
import torch

from core.encoders import PatchAdapter
from core.errors import ConfigError
from core.fusion import JointTransformer
from core.models import ConvNeXtDecoder, JointModel
from core.objectives import JointLogits, PixelLabels, Step
from core.types import Batch, ModalityInput


def joint(seed=0):
    torch.manual_seed(seed)
    adapters = {
        m: PatchAdapter(size=[12, 12], patch=[3, 3], channels=c, width=16) for m, c in (("radar", 2), ("optical", 4))
    }
    return JointModel(
        encoders=adapters, modalities={m: m for m in adapters}, dim=4,
        fusion=JointTransformer(width=16, depth=2, heads=2, inputs=dict.fromkeys(adapters, 16)),
        heads={"labels": ConvNeXtDecoder(classes=3, channels=16, width=8, cells=3, depth=1)},
    ).eval()  # fmt: skip


def step_of(model, *, has=((True, True, False, True), (True, False, True, True)), valid=None):
    generator = torch.Generator().manual_seed(1)
    present = dict(zip(("radar", "optical"), map(torch.tensor, has)))
    inputs = {
        name: ModalityInput(torch.randn(int(present[name].sum()), channels, 12, 12, generator=generator))
        for name, channels in (("radar", 2), ("optical", 4))
    }
    if valid is not None:
        inputs["radar"].extra["valid"] = valid
    labels = torch.randint(-1, 3, (4, 12, 12), generator=generator)
    batch = Batch([*"abcd"], inputs, present, masks={"land": labels})
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(2))


def test_rows_are_answered_from_what_they_have():
    model = joint()
    step = step_of(model)
    pixels = JointLogits(modalities=["radar", "optical"], head="labels")(step)
    assert pixels is not None
    assert pixels.rows.tolist() == [0, 1, 2, 3]
    alone = model.heads["labels"](model.encode("radar", step.input("radar").rows(torch.tensor([1]))).pyramid, (12, 12))
    torch.testing.assert_close(pixels.main[1:2], alone)  # row b has radar alone: the second of its rows
    assert not torch.allclose(pixels.main[0], model.heads["labels"](step.encoded("radar").pyramid, (12, 12))[0])


def test_all_rows_dropped_to_one_modality_answer_as_that_modality_does():
    model = joint()
    step = step_of(model, has=((True,) * 4, (True,) * 4))
    pixels = JointLogits(modalities=["radar", "optical"], head="labels", drop=1.0)(step)
    own = [model.heads["labels"](step.encoded(m).pyramid, (12, 12)) for m in ("radar", "optical")]
    for row in range(4):
        assert any(torch.allclose(pixels.main[row], part[row], atol=1e-5) for part in own)


def test_a_pixel_counts_where_any_shown_modality_recorded_it():
    model = joint()
    valid = torch.ones(3, 12, 12, dtype=torch.bool)
    valid[:, :6] = False
    pixels = JointLogits(modalities=["radar", "optical"], head="labels")(step_of(model, valid=valid))
    assert pixels.valid[0].all()  # optical recorded all of it
    assert not pixels.valid[1, :6].any()  # row b has radar alone
    assert pixels.valid[1, 6:].all()


def test_labels_reach_adapters_transformer_and_head():
    model = joint().train()
    step = step_of(model)
    term = PixelLabels(view=JointLogits(modalities=["radar", "optical"], head="labels"), mask="land")
    term(step)["loss"].backward()
    for part in (*model.encoders.values(), model.fusion, model.heads["labels"]):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_faults_are_named():
    with pytest.raises(ConfigError, match="drop 2"):
        JointLogits(modalities=["radar"], head="labels", drop=2)
    model = joint()
    model.fusion = None
    with pytest.raises(ConfigError, match="no JointModel"):
        JointLogits(modalities=["radar"], head="labels")(step_of(model))
