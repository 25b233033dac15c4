"""Maps from several modalities: the loss, what is hidden, windows, and a task through its whole life.

Legend: B = rows, K = classes.
"""

import numpy as np
import pytest
import torch
from torch import nn

from core.encoders.base import Encoder
from core.errors import ConfigError, DataError
from core.objectives.base import Step
from core.training.precision import Compute
from core.training.tasks import Downstream, MapSegmentation
from core.training.tasks.maps import MapLoss, hide_some, only, part, parts_of, windows
from core.training.tasks.segmentation import dice_ce
from core.types import Batch, Encoded, ModalityInput

CLASSES = {"water": "#0000ff", "land": "#00ff00", "town": "#ff0000"}
CPU = Compute(torch.device("cpu"), "32", 1)


class Flat(Encoder):
    width = 1

    def forward(self, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        return Encoded(pooled=inp.x.flatten(1)[:, :1])


class FirstChannels(nn.Module):
    """Logits are the first three channels of modality "a"; rows without it get zeros."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs, present):
        rows, size = len(present["a"]), next(inp.x.shape[-2:] for inp in inputs.values())
        out = torch.zeros(rows, 3, *size)
        if "a" in inputs:
            out = out.index_put((present["a"].nonzero(as_tuple=True)[0],), inputs["a"].x[:, :3])
        return out * self.scale


def model(modalities=("a", "b")):
    return Downstream(FirstChannels(), encoder=Flat(), modality=modalities)


def batch(rows=4, side=6, seed=0, present=None):
    rng = torch.Generator().manual_seed(seed)
    present = present or {m: torch.ones(rows, dtype=torch.bool) for m in "ab"}
    inputs = {m: ModalityInput(torch.randn(int(p.sum()), 3, side, side, generator=rng)) for m, p in present.items()}
    masks = {"clean": torch.randint(-1, 3, (rows, side, side), generator=rng)}
    return Batch([str(i) for i in range(rows)], inputs, present, masks=masks)


def step(data, own=None, seed=0):
    return Step(model=own or model(), batch=data, index=0, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_dice_of_all_classes_and_cross_entropy_over_labelled_pixels():
    data = batch()
    found = MapLoss("clean", drop=0.0)(step(data))["loss"]
    expected = dice_ce(data.inputs["a"].x, data.masks["clean"], background=False)
    torch.testing.assert_close(found, expected)
    assert found.item() != pytest.approx(dice_ce(data.inputs["a"].x, data.masks["clean"]).item())


def test_nothing_labelled_is_an_exact_zero_with_a_graph():
    own, data = model(), batch()
    data.masks["clean"].fill_(-1)
    loss = MapLoss("clean", drop=0.5)(step(data, own))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert own.head.scale.grad.item() == 0
    assert MapLoss("dw", drop=0.5)(step(data, own))["loss"].item() == 0


def test_a_class_that_the_task_does_not_name_is_an_error():
    data = batch()
    data.masks["clean"][0, 0, 0] = 3
    with pytest.raises(DataError, match="holds class 3, the task names 3 classes"):
        MapLoss("clean", drop=0.0)(step(data))


def test_hidden_modalities_leave_at_least_one_and_never_show_what_is_missing():
    rows = 200
    present = {"a": torch.arange(rows) % 3 != 0, "b": torch.arange(rows) % 3 != 1}
    data = batch(rows=rows, side=2, present=present)
    for m in "ab":
        data.inputs[m].x[:, 0, 0, 0] = present[m].nonzero()[:, 0].float()  # a row's number
    seen = hide_some(data, ["a", "b"], share=1.0, generator=torch.Generator().manual_seed(0))
    kept_BM = torch.stack([seen.present[m] for m in "ab"], dim=1)
    before_BM = torch.stack([present[m] for m in "ab"], dim=1)
    assert bool((kept_BM <= before_BM).all())
    assert bool((kept_BM.sum(1) == 1).all())
    both = before_BM.all(1)
    assert 0.3 < float(kept_BM[both, 0].float().mean()) < 0.7
    for m in "ab":
        assert seen.inputs[m].x[:, 0, 0, 0].tolist() == seen.present[m].nonzero()[:, 0].tolist()
    assert hide_some(data, ["a", "b"], share=0.0, generator=torch.Generator()) is data


def test_windows_cover_every_pixel_and_stay_inside():
    for size, side, overlap in (((10, 7), 4, 0.0), ((10, 7), 4, 0.5), ((3, 3), 8, 0.0), ((8, 8), 4, 0.0)):
        seen = np.zeros(size, int)
        for rows, columns in windows(size, side, overlap):
            assert rows.stop <= size[0]
            assert columns.stop <= size[1]
            assert rows.stop - rows.start == min(side, size[0])
            seen[rows, columns] += 1
        assert seen.min() >= 1
        if size == (8, 8):
            assert seen.max() == 1


def test_a_window_of_a_coarser_picture_is_the_same_ground():
    fine, coarse = torch.arange(144.0).reshape(1, 1, 12, 12), torch.arange(16.0).reshape(1, 1, 4, 4)
    inp = ModalityInput(coarse, None, {"valid": torch.ones(1, 4, 4), "day": torch.ones(1)})
    cut = part(inp, fine.shape[-2:], slice(6, 12), slice(3, 9))
    assert cut.x[0, 0].tolist() == [[9, 10], [13, 14]]
    assert cut.extra["valid"].shape == (1, 2, 2)
    assert cut.extra["day"].shape == (1,)
    with pytest.raises(ConfigError, match="splits one of the 4"):
        part(inp, fine.shape[-2:], slice(0, 4), slice(0, 6))


def test_pointwise_models_score_alike_in_windows_and_whole():
    data = only(batch(side=10), ["a"])
    tasks = [MapSegmentation(classes=CLASSES, mask="clean", window=w, overlap=o) for w, o in ((10, 0), (4, 0.5))]
    whole, cut = (task.scores(model(("a",)), data, CPU) for task in tasks)
    torch.testing.assert_close(whole, cut)
    torch.testing.assert_close(whole, data.inputs["a"].x.softmax(1))


def test_every_part_of_the_modalities_is_scored_all_of_them_first():
    assert parts_of(("a", "b")) == [("a", "b"), ("a",), ("b",)]
    assert len(parts_of(("a", "b", "c"))) == 7


def test_colours_are_those_of_the_classes_and_unlabelled_is_white():
    task = MapSegmentation(classes=CLASSES, mask="clean")
    picture = task.coloured(np.array([[0, 2, -1]]))
    assert picture.tolist() == [[[0, 0, 255], [255, 0, 0], [255, 255, 255]]]
    for bad, message in (({"a": "#000000"}, "name two"), ({"a": "red", "b": "#000000"}, "'red' is no colour")):
        with pytest.raises(ConfigError, match=message):
            MapSegmentation(classes=bad, mask="clean")
