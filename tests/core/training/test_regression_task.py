"""The regression task: its scale, its loss in closed form, and figures in the units of the data."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from core.data.layout import Record
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError
from core.objectives.base import Step
from core.training.precision import Compute
from core.training.tasks import Downstream, Regression
from core.training.tasks.regression import ValueLoss
from core.training.tasks.value_scale import ValueScale
from core.types import Batch, Encoded, ModalityInput

NAMES = ["people", "light"]
CPU = Compute(torch.device("cpu"), "32", 1)


class Pixels(Encoder):
    width = 4

    def forward(self, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        return Encoded(pooled=inp.x.flatten(1)[:, :4])


def data_of(values, rows_with_x=None):
    """What the task asks of a DataModule, for these (people, light) rows."""
    records = [Record(str(i), f"place {i // 2}", {}, dict(zip(NAMES, row))) for i, row in enumerate(values)]
    present = torch.ones(len(values), dtype=torch.bool) if rows_with_x is None else torch.tensor(rows_with_x)
    x = torch.randn(int(present.sum()), 1, 2, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        [r.id for r in records], {"x": ModalityInput(x)}, {"x": present},
        keys={"group": torch.arange(len(values)) // 2},
        quantities={name: torch.tensor([row[i] for row in values]) for i, name in enumerate(NAMES)},
    )  # fmt: skip
    layout = SimpleNamespace(record=lambda index: records[index])
    return SimpleNamespace(
        quantity_names=tuple(NAMES), layouts={"train": layout}, indices={"train": list(range(len(values)))},
        eval_loader=lambda split: [batch],
    )  # fmt: skip


def test_the_scale_standardises_and_goes_back():
    values = np.array([[0.0, 2.0], [math.e - 1, 4.0], [math.nan, 6.0]])
    scale = ValueScale.learned(values, NAMES, ["people"])
    scaled = scale.apply(torch.from_numpy(values))
    torch.testing.assert_close(scaled[:2, 0], torch.tensor([-1.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(scaled[:, 1], torch.tensor([-1.0, 0, 1.0], dtype=torch.float64) * math.sqrt(1.5))
    assert scaled[2, 0].isnan()
    torch.testing.assert_close(scale.undo(scaled), torch.from_numpy(values), equal_nan=True)


def test_a_constant_quantity_is_only_centred_and_a_bad_one_is_named():
    assert ValueScale.learned(np.full((3, 1), 5.0), ["a"], []).deviation == [1.0]
    with pytest.raises(DataError, match=r"no training record has a value of 'light'"):
        ValueScale.learned(np.array([[1.0, math.nan]]), NAMES, [])
    with pytest.raises(DataError, match=r"task.log: 'people' is -1 somewhere"):
        ValueScale.learned(np.array([[-1.0, 1.0]]), NAMES, ["people"])


def step_of(scaled, values, present=None):
    data = data_of(values, present)
    batch = data.eval_loader("train")[0]
    model = Downstream(nn.Identity(), encoder=Pixels(), modality="x")
    model.forward = lambda inp: scaled  # type: ignore[method-assign]
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


def test_the_loss_is_the_mean_of_quantities_over_what_is_known():
    scale = ValueScale(mean=[0, 0], deviation=[1, 2], log=[False, False])
    scaled = torch.tensor([[1.0, 1.0], [0.0, 3.0], [9.0, 0.0]], requires_grad=True)
    step = step_of(scaled, [(3.0, math.nan), (1.0, 2.0), (9.0, math.nan)])
    loss = ValueLoss(NAMES, scale)(step)["loss"]
    assert loss.item() == pytest.approx(((4 + 1 + 0) / 3 + (3 - 1) ** 2) / 2)
    loss.backward()
    assert (scaled.grad[0, 1], scaled.grad[2, 1]) == (0, 0)


def test_the_loss_has_the_gradient_of_finite_differences():
    scale = ValueScale(mean=[1, 0], deviation=[2, 1], log=[True, False])
    scaled = torch.randn(3, 2, generator=torch.Generator().manual_seed(1)).requires_grad_(True)

    def loss(x):
        return ValueLoss(NAMES, scale)(step_of(x, [(3.0, math.nan), (1.0, 2.0), (9.0, 0.5)]))["loss"]

    (gradient,) = torch.autograd.grad(loss(scaled), scaled)
    for place in np.ndindex(3, 2):
        moved = torch.zeros(3, 2)
        moved[place] = 1e-2
        with torch.no_grad():
            difference = (loss(scaled + moved) - loss(scaled - moved)) / 2e-2
        assert float(gradient[place]) == pytest.approx(float(difference), abs=1e-3)


def test_nothing_known_or_nothing_there_costs_nothing_and_keeps_a_graph():
    scale = ValueScale(mean=[0, 0], deviation=[1, 1], log=[False, False])
    scaled = torch.ones(2, 2, requires_grad=True)
    loss = ValueLoss(NAMES, scale)(step_of(scaled, [(math.nan, math.nan)] * 2))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scaled.grad, torch.zeros(2, 2))


def test_figures_are_in_the_units_of_the_data(tmp_path):
    values = [(math.exp(i) - 1, 10.0 * i) for i in range(6)]
    task, data = Regression(log=["people"], hidden=8), data_of(values)
    model = Downstream(task.head(Pixels(), "x", data), encoder=Pixels(), modality="x").eval()
    loss = task.terms()[0]
    assert isinstance(loss, ValueLoss)
    truth = task.scale.apply(torch.tensor(values, dtype=torch.float64)).float()
    model.forward = lambda inp: truth  # type: ignore[method-assign]
    found = task.evaluate(model, data, CPU, folder=Path(tmp_path), n_bootstrap=5, seed=0)
    assert found.numbers["test/mean_R2"] == pytest.approx(1, abs=1e-6)
    assert found.numbers["test/people/MAE"] == pytest.approx(0, abs=1e-3)
    model.forward = lambda inp: torch.zeros(6, 2)  # type: ignore[method-assign]  # the mean of each on its scale
    flat = task.evaluate(model, data, CPU, folder=Path(tmp_path), n_bootstrap=5, seed=0).numbers
    assert flat["test/light/R2"] == pytest.approx(0, abs=1e-6)
    assert flat["test/light/RMSE"] == pytest.approx(flat["test/light/deviation"])
    assert flat["test/people/R2"] < 0  # the mean of logarithms is not the mean
    assert task.validate(model, data, CPU)["mean_R2"] == pytest.approx(flat["test/mean_R2"])


def test_a_head_is_built_again_from_facts():
    task, data = Regression(quantities=["light"], hidden=8), data_of([(1.0, 2.0), (3.0, 6.0)])
    facts = task.facts("x", data)
    assert facts == {"quantities": ["light"], "mean": [4.0], "deviation": [2.0], "log": [False]}
    again = Regression(quantities=["light"], hidden=8)
    head = again.head_from(Pixels(), facts)
    assert head(ModalityInput(torch.zeros(2, 1, 2, 2))).shape == (2, 1)
    assert again.scale.mean == [4.0]


def test_names_that_are_not_there_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no quantity 'poeple'; did you mean 'people'"):
        Regression(quantities=["poeple"]).facts("x", data_of([(1.0, 2.0)]))
    with pytest.raises(ConfigError, match=r"task.log: 'people' is not learned"):
        Regression(quantities=["light"], log=["people"]).facts("x", data_of([(1.0, 2.0)]))
    empty = data_of([(1.0, 2.0)])
    empty.quantity_names = ()
    with pytest.raises(ConfigError, match=r"the dataset has no quantities to learn"):
        Regression().facts("x", empty)
