"""The plain similarities: what they normalise, and what follows from it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.objectives import BatchKeys, CentroidDot, Cosine, Dot, FixedScale, Pair, Projection, Viewed
from core.objectives.contrast.matrix import dense


def values(similarity, a, b) -> torch.Tensor:
    return dense(similarity.matrix(similarity.rows(Viewed(a)), similarity.keys(Viewed(b))))


@pytest.fixture
def ab(rng):
    return [torch.randn(4, 3, generator=rng, dtype=torch.float64) for _ in range(2)]


def test_values_are_their_definitions(ab):
    a, b = ab
    u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
    for similarity, want in ((Cosine(), u @ v.T), (Dot(), a @ b.T), (CentroidDot(), u @ b.T), (Projection(), a @ v.T)):
        torch.testing.assert_close(values(similarity, a, b), want, rtol=0, atol=1e-12)


def test_a_centroid_of_many_opinions_pulls_less(ab):
    a, _ = ab
    members = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).double()
    tight, loose = members[:1], members.mean(0, keepdim=True)
    assert values(CentroidDot(), loose, loose).item() == pytest.approx(loose.norm().item())
    assert values(CentroidDot(), tight, tight).item() == 1
    torch.testing.assert_close(values(CentroidDot(), 7 * a, loose), values(CentroidDot(), a, loose))


def test_doubling_one_side_of_a_projection_sharpens_its_own_direction_only(make_step, ab):
    """CMPM: columns are unit, rows are not."""
    a, b = ab
    setting = {"rows": "a", "keys": "b", "scale": FixedScale(temperature=1.0), "similarity": Projection()}

    def loss(b, directions):
        return Pair(**setting, directions=directions, columns=BatchKeys())(make_step(a, b))["loss"].item()

    assert loss(2 * b, (1, 0)) == pytest.approx(loss(b, (1, 0)), abs=1e-12)
    assert loss(2 * b, (0, 1)) != pytest.approx(loss(b, (0, 1)), abs=1e-3)
    want = F.cross_entropy(2 * b @ F.normalize(a, dim=1).T, torch.arange(4)).item()
    assert loss(2 * b, (0, 1)) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("similarity", [Cosine(), Dot(), CentroidDot(), Projection()])
def test_gradients_agree_with_finite_differences(ab, similarity):
    assert torch.autograd.gradcheck(lambda a, b: values(similarity, a, b), [x.requires_grad_() for x in ab])


def test_both_are_the_two_directions(ab):
    a, b = (Viewed(x) for x in ab)
    for similarity in (Projection(), Dot()):
        forth, back = similarity.both(similarity.rows(a), similarity.keys(b))
        torch.testing.assert_close(dense(forth), values(similarity, a.x, b.x), rtol=0, atol=0)
        torch.testing.assert_close(dense(back), values(similarity, b.x, a.x), rtol=0, atol=0)
