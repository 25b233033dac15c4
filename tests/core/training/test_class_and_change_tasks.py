"""One class for each row, and change between two pictures."""

from __future__ import annotations

import math

import pytest
import torch

from core.encoders import ImageTransformer
from core.errors import ConfigError
from core.models.change_segmenter import ChangeSegmenter
from core.objectives.base import Step
from core.training.tasks import ChangeDetection, Downstream, SceneClassification
from core.training.tasks.scene_class import ClassLoss, class_of
from core.types import Batch, ModalityInput


def encoder() -> ImageTransformer:
    torch.manual_seed(0)
    return ImageTransformer(image_size=8, patch=4, channels=2, width=8, depth=1, heads=2)


def test_a_row_has_a_class_when_exactly_one_is_named():
    target = torch.tensor([[0.0, 1, 0], [1, 1, 0], [0, 0, 0], [math.nan, 0, 1]])
    assert class_of(target).tolist() == [1, -1, -1, 2]


def step_of(logits: torch.Tensor, labels: list[list[float]]) -> Step:
    """A step whose model gives exactly `logits`."""
    rows = torch.tensor(labels)
    batch = Batch(
        [str(i) for i in range(len(rows))],
        {"a": ModalityInput(torch.zeros(len(rows), 2, 8, 8))},
        {"a": torch.ones(len(rows), dtype=torch.bool)},
        labels={f"c{k}": rows[:, k] for k in range(rows.shape[1])},
    )
    model = Downstream(torch.nn.Identity(), encoder=encoder(), modality="a")
    model.forward = lambda _: logits  # type: ignore[method-assign]
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


def test_the_loss_is_cross_entropy_of_the_rows_with_one_class():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, -5.0]])
    loss = ClassLoss(["c0", "c1"])(step_of(logits, [[1, 0], [1, 0], [1, 1]]))["loss"]
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2, rel=1e-6)


def test_no_row_with_one_class_costs_nothing_and_has_a_graph():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = ClassLoss(["c0", "c1"])(step_of(logits, [[1, 1], [0, 0]]))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


def test_a_choice_needs_two_classes():
    with pytest.raises(ConfigError, match="two at least"):
        SceneClassification().head_from(encoder(), {"labels": ["only"]})


def pictures(count: int, seed: int = 0) -> ModalityInput:
    return ModalityInput(torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed)))


def test_the_head_sees_no_difference_between_equal_pictures_and_some_between_others():
    model = ChangeSegmenter(encoder=encoder(), before="b", after="a", width=4, cells=2, depth=0).eval()
    seen = []
    model.norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    present = {"a": torch.ones(2, dtype=torch.bool), "b": torch.ones(2, dtype=torch.bool)}
    model({"a": pictures(2), "b": pictures(2)}, present)
    model({"a": pictures(2), "b": pictures(2, seed=1)}, present)
    assert seen[0][:, 8:].abs().max() == 0
    assert seen[1][:, 8:].abs().max() > 0
    assert torch.equal(seen[0][:, :8], seen[1][:, :8])  # the later map


def test_a_row_that_lacks_a_picture_gets_zeros_and_others_what_they_get_alone():
    model = ChangeSegmenter(encoder=encoder(), before="b", after="a", width=4, cells=2, depth=1).eval()
    later, earlier = pictures(3), pictures(2, seed=1)
    present = {"a": torch.tensor([True, True, True]), "b": torch.tensor([True, False, True])}
    found = model({"a": later, "b": earlier}, present)
    assert found.shape == (3, 2, 8, 8)
    assert found[1].abs().max() == 0
    both = {"a": torch.ones(1, dtype=torch.bool), "b": torch.ones(1, dtype=torch.bool)}
    rows = torch.tensor([False, False, True])
    alone = model({"a": later.rows(rows), "b": earlier.rows(torch.tensor([False, True]))}, both)
    assert torch.allclose(found[2:], alone, atol=1e-6)


def test_change_is_between_two_pictures():
    with pytest.raises(ConfigError, match="later and earlier; 1 given"):
        ChangeDetection().head_from(encoder(), {"modalities": ["a"]})
