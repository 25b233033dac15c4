"""SpectralContrastive against its definition, and the page that explains it against the source."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.objectives import MaskedDuplicates, OneHot, Pair, SpectralContrastive
from core.objectives.contrast.kernel import term_weights, tiled_loss
from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.scale import FixedScale
from core.objectives.contrast.targets import Equality, Ids, Target

ROOT = Path(__file__).parents[4]
CONTENT = torch.tensor([0, 1, 2, 0, 3, 1, 4])
TARGETS = [OneHot(), Equality(key="k"), MaskedDuplicates(key="k")]
IDS = Ids(torch.arange(7), CONTENT)


def run(a: Tensor, b: Tensor, target: Target, shares=(0.5, 0.5), tile=(3, 4)) -> Tensor:
    weights = target.weights(IDS, IDS, a.dtype)
    return tiled_loss(
        DotMatrix(a, b),
        scale=a.new_tensor(1.0),
        weights=weights,
        divergence=SpectralContrastive(),
        row_weight_n=term_weights(weights.row_total_n, shares[0]),
        col_weight_m=term_weights(weights.col_total_m, shares[1]),
        tile=tile,
    )[0]


def dense(a: Tensor, b: Tensor, target: Target, shares=(0.5, 0.5)) -> Tensor:
    """-2 mean over anchors of the mean positive + mean over anchors of the mean square of the negatives."""
    s, same = a @ b.T, CONTENT[:, None] == CONTENT
    positive = same if isinstance(target, Equality) else torch.eye(7, dtype=torch.bool)
    negative = ~positive if isinstance(target, OneHot) else ~same
    total = s.new_zeros(())
    for share, z, p, q in ((shares[0], s, positive, negative), (shares[1], s.T, positive.T, negative.T)):
        if share is not None:
            rows = [(zi[qi] ** 2).mean() - 2 * zi[pi].mean() for zi, pi, qi in zip(z, p, q, strict=True)]
            total = total + share * torch.stack(rows).mean()
    return total


def leaves(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    a, b = (F.normalize(torch.randn(7, 5, generator=rng, dtype=torch.float64), dim=1) for _ in range(2))
    return a.requires_grad_(), b.requires_grad_()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (1.0, None), (None, 0.7)])
@pytest.mark.parametrize(
    "target", [OneHot(), Equality(key="k"), MaskedDuplicates(key="k")], ids=lambda t: type(t).__name__
)
def test_value_and_gradient_are_those_of_the_definition(rng, target, shares):
    a, b = leaves(rng)
    got, want = run(a, b, target, shares), dense(a, b, target, shares)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    for g, w in zip(torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b)), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-12)


def test_gradient_is_that_of_finite_differences(rng):
    a, b = leaves(rng)
    assert torch.autograd.gradcheck(lambda x, y: run(x, y, Equality(key="k")), (a, b))


def test_orthonormal_pairs_cost_minus_two_and_equal_vectors_minus_one():
    eye = torch.eye(7, dtype=torch.float64)
    assert float(run(eye, eye, OneHot())) == pytest.approx(-2)
    ones = F.normalize(torch.ones(7, 3, dtype=torch.float64), dim=1)
    assert float(run(ones, ones, OneHot())) == pytest.approx(1 - 2)


def test_in_a_pair_order_does_not_matter_and_one_row_is_an_exact_zero(make_step, rng):
    term = Pair(rows="a", keys="b", divergence=SpectralContrastive(), scale=FixedScale(temperature=1.0))
    a, b = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    order = torch.randperm(6, generator=rng)
    values = [float(term(make_step(x, y))["loss"].detach()) for x, y in ((a, b), (a[order], b[order]), (b, a))]
    assert values == pytest.approx([values[0]] * 3, abs=1e-6)
    alone = term(make_step(a[:1], b[:1]))["loss"]
    assert float(alone.detach()) == 0
    alone.backward()
    half = term(make_step(a.bfloat16(), b.bfloat16()))["loss"]
    assert half.dtype == torch.float32
    assert float(half.detach()) == pytest.approx(values[0], abs=0.02)


def test_the_page_shows_the_source():
    page = (ROOT / "docs" / "add-an-objective.md").read_text()
    for path in ("core/objectives/contrast/divergence/spectral.py", "configs/medical/pretrain/spectral.yaml"):
        assert (ROOT / path).read_text().strip() in page
