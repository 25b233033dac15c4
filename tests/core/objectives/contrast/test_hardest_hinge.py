"""VSE++ in closed form; its value and gradient beside a dense reference are in `test_divergences`."""

import pytest
import torch

from core.errors import ConfigError
from core.objectives import FixedScale, HardestHinge, Pair


def term(margin):
    return Pair(
        rows="a", keys="b", directions=[1.0, 1.0], scale=FixedScale(temperature=1.0),
        divergence=HardestHinge(margin=margin),
    )  # fmt: skip


def solved(make_step, a, b, margin):
    step = make_step(a, b)
    loss = term(margin)(step)["loss"]
    loss.backward()
    return loss.item(), step.model.vectors["a"].grad, step.model.vectors["b"].grad


@pytest.mark.parametrize("rows", [2, 5])
def test_equal_scores_cost_twice_the_margin_per_row(make_step, rows):
    assert solved(make_step, torch.ones(rows, 3), torch.ones(rows, 3), 0.2)[0] == pytest.approx(0.4, abs=1e-6)


def test_a_satisfied_margin_costs_nothing_and_pulls_nothing(make_step):
    loss, of_a, of_b = solved(make_step, torch.eye(4), torch.eye(4), 0.5)
    assert loss == 0
    assert of_a.abs().max() == of_b.abs().max() == 0


def test_only_the_hardest_negative_is_pushed(make_step):
    a = torch.eye(4)[:3]
    b = torch.tensor([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0], [0.3, 0, 0.9, 0.3]])  # both wrong for row 0, the second harder
    loss, of_a, of_b = solved(make_step, a, b, 0.5)
    s = torch.nn.functional.normalize(b, dim=1) @ a.T  # [j, i]
    rows = [0.5 + s[1, 0] - 1, 0.5 - s[1, 1], 0.5 - s[2, 2]]
    columns = [0.5 - 1, 0.5 + s[1, 0] - s[1, 1], 0.5 + s[2, 0] - s[2, 2]]
    assert loss == pytest.approx(sum(max(float(x), 0) for x in (*rows, *columns)) / 3, abs=1e-6)
    # row 0 pushes b_1 alone; b_2 is only in its own column's term, which pushes a_0 and pulls a_2
    assert of_b[1].abs().sum() > 0
    assert of_a[0, 1] > 0


def test_a_negative_margin_is_refused():
    with pytest.raises(ConfigError, match="margin is -1"):
        HardestHinge(margin=-1)
