"""Rows that compete with their own side: closed forms, a dense reference, duplicates, gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives import FixedScale, MaskedDuplicates, OwnSideNegatives, Pair, Step
from core.types import Batch, Encoded, ModalityInput

TEMPERATURE = 0.5


class Given(nn.Module):
    """Embeddings that are parameters themselves."""

    def __init__(self, **vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.ParameterDict(vectors)
        self.encoders, self.heads, self.fusion = nn.ModuleDict(), nn.ModuleDict(), None
        self.reads = {name: name for name in vectors}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=self.vectors[modality])

    def project(self, modality, encoded):
        return encoded.pooled


def told(a_nE: Tensor, b_nE: Tensor, ids: list[int] | None = None) -> Step:
    n = len(a_nE)
    here = torch.ones(n, dtype=torch.bool)
    keys = {"sample": torch.arange(n), "entity": torch.tensor(list(range(n)) if ids is None else ids)}
    batch = Batch(
        [str(i) for i in range(n)],
        {"a": ModalityInput(a_nE), "b": ModalityInput(b_nE)},
        {"a": here, "b": here},
        keys=keys,
    )
    model = Given(a=nn.Parameter(a_nE.clone()), b=nn.Parameter(b_nE.clone()))
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


def term(share: float = 0.8, temperature: float = TEMPERATURE, **settings) -> Pair:
    return Pair(
        rows="a", keys="b", target=MaskedDuplicates(key="entity"), columns=OwnSideNegatives(share=share),
        scale=FixedScale(temperature=temperature), **settings,
    ).double()  # fmt: skip


def dense(a: Tensor, b: Tensor, ids: list[int], share: float, t: float) -> Tensor:
    """Both directions on whole matrices; -inf where a row must not be compared."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    n, key = len(a), torch.tensor(ids)
    same, own = key[:, None] == key, torch.eye(len(key), dtype=torch.bool)
    losses = []
    for x, y in ((a, b), (b, a)):
        across = (x @ y.T / t).masked_fill(same & ~own, -torch.inf)
        within = (share * x @ x.T / t).masked_fill(same, -torch.inf)
        losses.append(F.cross_entropy(torch.cat([across, within], dim=1), torch.arange(n)))
    return (losses[0] + losses[1]) / 2


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_equal_scores_cost_the_log_of_all_columns_but_the_row_itself(rows):
    """The release keeps e^0 for the row itself and gives ln(2n)."""
    zero = torch.zeros(rows, 4, dtype=torch.float64)
    assert term()(told(zero, zero))["loss"].item() == pytest.approx(math.log(2 * rows - 1), abs=1e-9)


@pytest.mark.parametrize("temperature", [0.03, 0.5])
def test_matched_pairs_at_right_angles(temperature):
    """The release gives ln(1 + (2n - 1) e^(-1/t))."""
    eye = torch.eye(5, dtype=torch.float64)
    expected = math.log1p((2 * 5 - 2) * math.exp(-1 / temperature))
    assert term(temperature=temperature)(told(eye, eye))["loss"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [0, 1, 0, 3, 3, 0]])
@pytest.mark.parametrize("share", [0.8, 2.0])
def test_value_and_gradients_are_those_of_whole_matrices(ids, share):
    rng = torch.Generator().manual_seed(3)
    a, b = (torch.randn(6, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    at = told(a, b, ids)
    loss = term(share, tile=(2, 3))(at)["loss"]
    ours = torch.autograd.grad(loss, list(at.model.vectors.values()))
    a, b = a.requires_grad_(), b.requires_grad_()
    expected = dense(a, b, ids, share, TEMPERATURE)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, [a, b]))


def test_gradients_agree_with_finite_differences():
    rng = torch.Generator().manual_seed(4)
    a, b = (torch.randn(4, 3, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2))
    pair = term()

    def loss(a: Tensor, b: Tensor) -> Tensor:
        at = told(a.detach(), b.detach(), [0, 1, 1, 2])
        at.model.project = lambda modality, encoded: {"a": a, "b": b}[modality]
        return pair(at)["loss"]

    assert torch.autograd.gradcheck(loss, (a, b))


def test_one_direction_has_only_its_own_side():
    rng = torch.Generator().manual_seed(5)
    a, b = (torch.randn(5, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    one = term(directions=(1, 0))(told(a, b))["loss"]
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    within = (0.8 * x @ x.T / TEMPERATURE).masked_fill(torch.eye(5, dtype=torch.bool), -torch.inf)
    expected = F.cross_entropy(torch.cat([x @ y.T / TEMPERATURE, within], dim=1), torch.arange(5))
    torch.testing.assert_close(one, expected)


def test_one_pair_alone_costs_nothing_and_carries_a_graph():
    loss = term()(told(torch.ones(1, 3), torch.ones(1, 3)))["loss"]
    assert loss.item() == 0
    assert loss.requires_grad


def test_errors_say_what_to_change():
    with pytest.raises(ConfigError, match="share is 0; give a factor above 0"):
        OwnSideNegatives(share=0)
