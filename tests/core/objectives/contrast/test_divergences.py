"""Every divergence on the tiled kernel against its definition on whole matrices, in float64, and its closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives import BalancedBCE, HardestHinge, Hinge, Margin, ReverseKL, RowCE, Sigmoid
from core.objectives.contrast.kernel import term_weights, tiled_loss
from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.targets import EachEqual, Equality, Ids, LabelSmooth, MaskedDuplicates, OneHot, Target

SHARES = [(1.0, None), (None, 1.0), (0.5, 0.5), (0.7, 1.3)]
CONTENT = torch.tensor([0, 1, 2, 0, 3, 1, 4, 5, 0])


def pairs(rng: torch.Generator, rows: int = 9, width: int = 5) -> tuple[Tensor, Tensor]:
    a, b = (F.normalize(torch.randn(rows, width, generator=rng, dtype=torch.float64), dim=-1) for _ in range(2))
    return a, F.normalize(b + 0.7 * a, dim=-1)


def ids(rows: int = 9) -> Ids:
    return Ids(torch.arange(rows), CONTENT[:rows])


def run(divergence, target: Target, a, b, scale, bias=None, shares=(0.5, 0.5), tile=(4, 3), i: Ids | None = None):
    i = ids(len(a)) if i is None else i
    w = target.weights(i, i, torch.promote_types(a.dtype, torch.float32))
    u, v = (
        term_weights(total, share, every_row=divergence.every_row)
        for total, share in ((w.row_total_n, shares[0]), (w.col_total_m, shares[1]))
    )
    return tiled_loss(
        DotMatrix(a, b),
        scale=scale,
        bias=bias,
        weights=w,
        divergence=divergence,
        row_weight_n=u,
        col_weight_m=v,
        tile=tile,
    )[0]


def labels(target: Target, rows: int) -> Tensor:
    """(n, n) target of rows, from the ids."""
    i = ids(rows)
    same = (i.content[:, None] == i.content).double()
    if isinstance(target, EachEqual):
        return target.weight * same
    if isinstance(target, Equality):
        return same / same.sum(1, keepdim=True)
    if isinstance(target, LabelSmooth):
        return (1 - target.amount) * torch.eye(rows).double() + target.amount / rows
    return torch.eye(rows, dtype=torch.float64)


def row_kl(z: Tensor, q: Tensor, eps: float) -> Tensor:
    p = z.softmax(1)
    return (p * (z.log_softmax(1) - (q + eps).log())).sum(1).mean()


def row_sigmoid(z: Tensor, q: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, q, reduction="sum") / len(z)


def balanced(z: Tensor, q: Tensor) -> Tensor:
    each, high = F.binary_cross_entropy_with_logits(z, q, reduction="none"), q > 0.5
    return (each[high].mean() + each[~high].mean()) / 2


def balanced_released(z: Tensor, q: Tensor, eps: float = 1e-6) -> Tensor:
    """As the released code writes it: logarithms and counts lifted by eps."""
    p, high = z.sigmoid(), (q > 0.5).double()
    each = -(q * (p + eps).log() + (1 - q) * (1 - p + eps).log())
    of_high, of_low = ((each * part).sum() / (part.sum() + eps) for part in (high, 1 - high))
    return (of_high + of_low) / 2


def row_margin(z: Tensor, q: Tensor, margin: float) -> Tensor:
    positive = q > 0
    total = ((1 - z) * (positive & (z < 1 - 1e-5))).sum() + (z * (~positive & (z > margin))).sum()
    return total / len(z)


def row_hardest(z: Tensor, q: Tensor, margin: float) -> Tensor:
    hardest = z.masked_fill(q > 0, -torch.inf).amax(1)
    return F.relu(margin + hardest - (q * z).sum(1)).mean()


def row_hinge(z: Tensor, q: Tensor, margin: float) -> Tensor:
    over = (margin + z - (q * z).sum(1, keepdim=True)).clamp_min(0)
    return over[q == 0].sum() / len(z)


CASES = [
    (ReverseKL(), OneHot(), lambda z, q: row_kl(z, q, 1e-8)),
    (ReverseKL(eps=1e-3), Equality(key="k"), lambda z, q: row_kl(z, q, 1e-3)),
    (ReverseKL(), LabelSmooth(amount=0.2), lambda z, q: row_kl(z, q, 1e-8)),
    (Sigmoid(), OneHot(), row_sigmoid),
    (Sigmoid(), EachEqual(key="k"), row_sigmoid),
    (Sigmoid(), EachEqual(key="k", weight=0.3), row_sigmoid),
    (BalancedBCE(), OneHot(), balanced),
    (BalancedBCE(), EachEqual(key="k"), balanced),
    (BalancedBCE(eps=1e-6), EachEqual(key="k", weight=0.8), balanced_released),
    (Margin(margin=0.1), OneHot(), lambda z, q: row_margin(z, q, 0.1)),
    (Margin(margin=0.1), EachEqual(key="k"), lambda z, q: row_margin(z, q, 0.1)),
    (Hinge(margin=0.3), OneHot(), lambda z, q: row_hinge(z, q, 0.3)),
    (Hinge(margin=0.3), Equality(key="k"), lambda z, q: row_hinge(z, q, 0.3)),
    (HardestHinge(margin=0.3), OneHot(), lambda z, q: row_hardest(z, q, 0.3)),
    (HardestHinge(margin=0.3), Equality(key="k"), lambda z, q: row_hardest(z, q, 0.3)),
]


def name(value) -> str | None:
    return type(value).__name__ if isinstance(value, torch.nn.Module) else None


@pytest.mark.parametrize("tile", [(1, 1), (4, 3), (64, 64)])
@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize(("divergence", "target", "reference"), CASES, ids=name)
def test_equals_its_definition_on_whole_matrices(rng, divergence, target, reference, shares, tile):
    inputs = [x.requires_grad_() for x in (*pairs(rng), torch.tensor(3.0).double(), torch.tensor(-0.4).double())]
    a, b, scale, bias = inputs
    q = labels(target, len(a))
    z = scale * a @ b.T + bias
    want = sum(share * reference(zz, q) for share, zz in zip(shares, (z, z.T), strict=True) if share is not None)
    got = run(divergence, target, a, b, scale, bias, shares, tile)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-11)
    for g, w in zip(torch.autograd.grad(got, inputs), torch.autograd.grad(want, inputs), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("divergence", "target", "reference"), CASES, ids=name)
def test_gradients_agree_with_finite_differences(rng, divergence, target, reference):
    a, b = (x.requires_grad_() for x in pairs(rng, rows=5, width=3))
    s, c = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, -0.3))
    assert torch.autograd.gradcheck(lambda *x: run(divergence, target, *x, shares=(0.8, 0.4)), (a, b, s, c))


@pytest.mark.parametrize(("divergence", "target", "reference"), CASES, ids=name)
def test_float32_and_bfloat16_inputs(rng, divergence, target, reference):
    a, b = pairs(rng)
    scale = torch.tensor(10.0)
    exact = run(divergence, target, a, b, scale.double())
    torch.testing.assert_close(
        run(divergence, target, a.float(), b.float(), scale).double(), exact, rtol=3e-6, atol=3e-6
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run(divergence, target, a.bfloat16(), b.bfloat16(), scale)
    assert half.dtype == torch.float32
    rounded = run(divergence, target, a.bfloat16().double(), b.bfloat16().double(), scale.double())
    torch.testing.assert_close(half.double(), rounded, rtol=3e-6, atol=3e-6)  # the inputs are rounded, nothing else


@pytest.mark.parametrize(
    "divergence", [ReverseKL(), Sigmoid(), BalancedBCE(), Margin(), Hinge(), HardestHinge()], ids=name
)
def test_swapping_the_sides_swaps_the_directions(rng, divergence):
    a, b = pairs(rng)
    s = torch.tensor(4.0).double()
    forth = run(divergence, OneHot(), a, b, s, shares=(0.7, 0.3))
    torch.testing.assert_close(run(divergence, OneHot(), b, a, s, shares=(0.3, 0.7)), forth, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "divergence", [ReverseKL(), Sigmoid(), BalancedBCE(), Margin(margin=-1), Hinge(), HardestHinge()], ids=name
)
def test_excluded_entries_count_nowhere(rng, divergence):
    """Rows 0 and 1 hold the same text: without entry (0, 1) row 0 sees what it would see if column 1 were not there."""
    a, b = (x.requires_grad_() for x in pairs(rng, rows=4))
    s = torch.tensor(2.0).double()
    i = Ids(torch.arange(4), torch.tensor([5, 5, 6, 7]))
    loss = run(divergence, MaskedDuplicates(key="k"), a, b, s, i=i, shares=(1.0, None), tile=(2, 2))
    d_row = torch.autograd.grad(loss, a)[0][0]
    keep = torch.tensor([0, 2, 3])
    alone_a, alone_b = a.detach()[keep].requires_grad_(), b.detach()[keep]
    alone = run(divergence, OneHot(), alone_a, alone_b, s, shares=(1.0, None))
    # the mean over rows has 4 terms here and 3 there; balanced means run over 4 and 10 entries instead of 3 and 6
    if isinstance(divergence, BalancedBCE):
        z = s * a.detach() @ b.detach().T
        seen = torch.ones(4, 4, dtype=torch.bool)
        seen[0, 1] = seen[1, 0] = False
        eye = torch.eye(4, dtype=torch.bool)
        want = (F.softplus(-z[eye]).mean() + F.softplus(z[seen & ~eye]).mean()) / 2
        torch.testing.assert_close(loss, want, rtol=0, atol=1e-12)
        return
    torch.testing.assert_close(4 * d_row, 3 * torch.autograd.grad(alone, alone_a)[0][0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "divergence", [RowCE(), ReverseKL(), Sigmoid(), BalancedBCE(), Margin(), Hinge(), HardestHinge()], ids=name
)
@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_huge_logits_give_finite_values_and_gradients(rng, divergence, scale):
    a, b = (x.float().requires_grad_() for x in pairs(rng))
    loss = run(divergence, MaskedDuplicates(key="k"), a, b, torch.tensor(scale))
    loss.backward()
    assert loss.isfinite()
    assert a.grad.isfinite().all()


@pytest.mark.parametrize(
    "divergence", [ReverseKL(), Sigmoid(), BalancedBCE(), Margin(), Hinge(), HardestHinge()], ids=name
)
def test_one_pair_alone_is_no_trouble(rng, divergence):
    a, b = (x.requires_grad_() for x in pairs(rng, rows=1))
    loss = run(divergence, OneHot(), a, b, torch.tensor(2.0).double())
    loss.backward()
    assert loss.isfinite()
    assert a.grad.isfinite().all()


class TestReverseKL:
    def test_perfect_separation_costs_nothing_and_the_worst_case_18_42_per_direction(self):
        eye, s = torch.eye(4).double(), torch.tensor(200.0).double()
        assert run(ReverseKL(), OneHot(), eye, eye, s, shares=(1, 1)).item() == pytest.approx(0, abs=1e-7)
        worst = run(ReverseKL(), OneHot(), eye, eye.roll(1, 0), s, shares=(1, None)).item()
        assert worst == pytest.approx(-math.log(1e-8), abs=1e-6)
        assert worst == pytest.approx(18.42, abs=5e-3)

    def test_targets_sum_to_one_with_several_positives(self):
        """Released CMPM divides labels by the 2-norm of the row: targets sum to sqrt(2) here, and equal scores of the
        two positives cost -ln(sqrt(2)), less than nothing. Ours costs 0."""
        a = torch.eye(3)[[0, 0, 1]].double()
        i = Ids(torch.arange(3), torch.tensor([5, 5, 6]))
        loss = run(ReverseKL(), Equality(key="k"), a, a, torch.tensor(200.0).double(), i=i)
        assert loss.item() == pytest.approx(0, abs=1e-7)
        released = row_kl(200 * a @ a.T, F.normalize((i.content[:, None] == i.content).double(), dim=1), 1e-8)
        assert released.item() < -0.2

    def test_it_seeks_one_mode_where_cross_entropy_covers_both(self):
        """All mass on one of two positives: ln 2 nats of reverse KL, against a cross entropy that grows with scale."""
        a, b = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
        rows, cols = Ids(torch.tensor([0]), torch.tensor([3])), Ids(torch.arange(2), torch.tensor([3, 3]))
        w = Equality(key="k").weights(rows, cols, torch.float64)
        u = term_weights(w.row_total_n, 1.0)

        def cost(divergence, scale):
            return tiled_loss(
                DotMatrix(a, b),
                scale=torch.tensor(scale).double(),
                weights=w,
                divergence=divergence,
                row_weight_n=u,
                col_weight_m=None,
            )[0].item()

        assert cost(ReverseKL(), 100.0) == pytest.approx(math.log(2), abs=1e-6)
        assert cost(RowCE(), 100.0) == pytest.approx(50, abs=1e-6)


class TestSigmoid:
    @pytest.mark.parametrize(("rows", "value"), [(8, 10.000363), (1024, 10.046488)])
    def test_the_loss_at_the_start_of_siglip(self, rows, value):
        """All cosines 0, scale 10, bias -10: softplus(10) + (B - 1) softplus(-10)."""
        zero = torch.zeros(rows, 2)
        i = Ids(torch.arange(rows), torch.arange(rows))
        loss = run(Sigmoid(), OneHot(), zero, zero, torch.tensor(10.0), torch.tensor(-10.0), i=i, tile=(512, 512))
        assert loss.item() == pytest.approx(value, abs=2e-5)

    def test_all_directions_are_one_loss(self, rng):
        a, b = pairs(rng)
        s, c = torch.tensor(5.0).double(), torch.tensor(-3.0).double()
        losses = [run(Sigmoid(), OneHot(), a, b, s, c, shares) for shares in ((1, None), (None, 1), (0.5, 0.5))]
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-12)
        torch.testing.assert_close(losses[0], losses[2], rtol=0, atol=1e-12)

    def test_soft_labels_are_binary_cross_entropy_and_not_a_scaled_logit(self, rng):
        """logsigmoid((2q - 1) Z), as one released distillation has it, is another loss unless q is 0 or 1."""
        a, b = pairs(rng)
        z, q = 5 * a @ b.T, labels(EachEqual(key="k", weight=0.3), 9)
        got = run(Sigmoid(), EachEqual(key="k", weight=0.3), a, b, torch.tensor(5.0).double(), shares=(1, None))
        torch.testing.assert_close(got, row_sigmoid(z, q), rtol=0, atol=1e-12)
        assert abs(got - -F.logsigmoid((2 * q - 1) * z).sum() / 9) > 0.1

    def test_a_row_without_a_positive_still_repels(self, rng):
        a, b = pairs(rng, rows=4)
        w = OneHot().weights(Ids(torch.arange(4), torch.arange(4)), Ids(torch.arange(10, 14), torch.arange(4)), a.dtype)
        u = term_weights(w.row_total_n, 1.0, every_row=Sigmoid.every_row)
        loss, _ = tiled_loss(
            DotMatrix(a, b),
            scale=torch.tensor(1.0).double(),
            weights=w,
            divergence=Sigmoid(),
            row_weight_n=u,
            col_weight_m=None,
        )
        torch.testing.assert_close(loss, F.softplus(a @ b.T).sum() / 4, rtol=0, atol=1e-12)


class TestBalancedBCE:
    def test_equal_zero_logits_cost_ln_2(self):
        zero = torch.zeros(6, 2).double()
        assert run(BalancedBCE(), OneHot(), zero, zero, torch.tensor(1.0)).item() == pytest.approx(math.log(2))

    def test_the_released_epsilons_move_the_value_by_2e_3_at_scale_14(self, rng):
        a, _ = pairs(rng)
        b = -a  # badly wrong positives, where log(p + eps) is cut off
        s = torch.tensor(14.2857).double()
        exact, released = (run(BalancedBCE(eps=eps), OneHot(), a, b, s) for eps in (0.0, 1e-6))
        torch.testing.assert_close(released, balanced_released(s * a @ b.T, torch.eye(9).double()), rtol=0, atol=1e-12)
        assert exact - released > 5e-4


class TestMargin:
    def test_a_memory_that_holds_the_anchor_itself_does_not_count_it(self):
        eye = torch.eye(3).double()
        assert run(Margin(), OneHot(), eye, eye, torch.tensor(1.0).double()) == 0
        kept = Margin(same=None)
        assert run(kept, OneHot(), eye, 0.5 * eye, torch.tensor(1.0).double()).item() == pytest.approx(0.5)

    def test_negatives_below_the_margin_cost_nothing(self):
        a = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).double()
        i, s = Ids(torch.arange(2), torch.arange(2)), torch.tensor(1.0).double()
        assert run(Margin(margin=0.7), OneHot(), a, a, s, i=i) == 0
        assert run(Margin(margin=0.5), OneHot(), a, a, s, i=i).item() == pytest.approx(0.6)


def test_hinge_is_zero_once_every_negative_is_a_margin_away():
    eye, s = torch.eye(3).double(), torch.tensor(1.0).double()
    assert run(Hinge(margin=0.9), OneHot(), eye, eye, s) == 0
    assert run(Hinge(margin=1.1), OneHot(), eye, eye, s).item() == pytest.approx(0.2)  # two negatives, 0.1 each


def test_errors_name_the_setting():
    with pytest.raises(ConfigError, match="ReverseKL: eps is 0; give a value above 0"):
        ReverseKL(eps=0)
    with pytest.raises(ConfigError, match="BalancedBCE: eps is -1"):
        BalancedBCE(eps=-1)
    with pytest.raises(ConfigError, match="Margin: margin is 1"):
        Margin(margin=1)
    with pytest.raises(ConfigError, match=r"Hinge: margin is -0\.1"):
        Hinge(margin=-0.1)
