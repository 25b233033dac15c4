"""Several texts per image: the dense loss, one text, missing texts, order of the wordings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives import FixedScale, LogScale, OneToMany, Pair, Step
from core.types import ModalityInput


@pytest.fixture
def make(make_step, rng):
    """Images "a" and texts "b", "c", "d" with given rows present."""

    def build(rows: int = 5, **present: list[int]) -> Step:
        made = make_step(*(torch.randn(rows, 4, generator=rng, dtype=torch.float64) for _ in range(2)))
        for m in "bcd":
            has = torch.tensor(present.get(m, [1] * rows)).bool()
            x = torch.randn(int(has.sum()), 4, generator=rng, dtype=torch.float64)
            made.model.vectors[m], made.model.reads[m] = nn.Parameter(x), m
            made.batch.inputs[m], made.batch.present[m] = ModalityInput(x), has
            if not len(x):
                del made.batch.inputs[m]
        return made

    return build


def dense(step: Step, texts: str, scale: float, directions: tuple[float, float]) -> Tensor:
    """Whole matrices of n images and all texts, from masks."""
    x = torch.cat([step.model.vectors[m] for m in texts])
    of = torch.cat([step.batch.present[m].nonzero()[:, 0] for m in texts])
    rows = of.unique()
    z = scale * F.normalize(step.model.vectors["a"][rows], dim=1) @ F.normalize(x, dim=1).T
    own = (rows[:, None] == of).double()
    to_texts = -((own * z.log_softmax(1)).sum(1) / own.sum(1)).mean()
    to_images = -(own * z.log_softmax(0)).sum(0).mean()
    return directions[0] * to_texts + directions[1] * to_images


@pytest.mark.parametrize("directions", [(0.5, 0.5), (0.5, 0.5 / 3), (1, 0), (0, 1)])
@pytest.mark.parametrize(
    "present", [{}, {"b": [1, 0, 1, 1, 0], "c": [1, 0, 0, 1, 1], "d": [0, 0, 0, 1, 1]}, {"c": [0] * 5}]
)
def test_value_and_gradient_equal_the_whole_matrices(make, directions, present):
    step = make(**present)
    scale = LogScale(init=4.0)
    term = OneToMany(rows="a", keys=list("bcd"), scale=scale, directions=directions, tile=(2, 3)).double()
    got, want = term(step)["loss"], dense(step, "bcd", scale.value().item(), directions)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    inputs = [p for p in step.model.vectors.values() if len(p)]
    for g, w in zip(torch.autograd.grad(got, inputs), torch.autograd.grad(want, inputs), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-12)


def test_gradients_agree_with_finite_differences(make):
    step = make(rows=3, d=[1, 0, 1])
    term = OneToMany(rows="a", keys=list("bcd"), scale=FixedScale(temperature=0.5)).double()

    def loss(*_):
        step._memo.clear()
        return term(step)["loss"]

    assert torch.autograd.gradcheck(loss, tuple(step.model.vectors.values()))


def test_one_text_per_image_is_the_pairwise_term(make):
    step = make()
    many, pair = OneToMany(rows="a", keys=["b"]).double()(step), Pair(rows="a", keys="b").double()(step)
    for key, value in pair.items():
        torch.testing.assert_close(many[key], value, rtol=0, atol=1e-12)


def test_the_order_of_the_wordings_changes_nothing(make):
    step = make(c=[1, 0, 1, 0, 1])
    one, two = (OneToMany(rows="a", keys=list(order)).double()(step)["loss"] for order in ("bcd", "dbc"))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_the_released_weights(make):
    """K ones per image and one-hot for texts, both summed over targets, halved, and divided by K."""
    step = make()
    z = (
        10
        * F.normalize(step.model.vectors["a"], dim=1)
        @ F.normalize(torch.cat([step.model.vectors[m] for m in "bcd"]), dim=1).T
    )
    ones = torch.eye(5).double().repeat(1, 3)
    released = (-(ones * z.log_softmax(1)).sum(1).mean() - (ones * z.log_softmax(0)).sum(0).mean()) / 2 / 3
    term = OneToMany(rows="a", keys=list("bcd"), scale=FixedScale(temperature=0.1), directions=(0.5, 0.5 / 3))
    torch.testing.assert_close(term.double()(step)["loss"], released, rtol=0, atol=1e-6)


def test_fewer_than_two_images_with_a_text_give_an_exact_zero_with_a_graph(make):
    for present in ({m: [0] * 5 for m in "bcd"}, {m: [0, 1, 0, 0, 0] for m in "bcd"}):
        step = make(**present)
        loss = OneToMany(rows="a", keys=list("bcd")).double()(step)["loss"]
        assert loss == 0
        loss.backward()
        assert not step.model.vectors["a"].grad.any()


def test_errors():
    with pytest.raises(ConfigError, match="OneToMany: no keys given"):
        OneToMany(rows="a", keys=[])
    assert OneToMany(rows="a", keys=["b", "c"]).name == "a-b+c"
