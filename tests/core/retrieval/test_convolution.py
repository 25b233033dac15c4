"""Feature post-processing against dense formulas. Legend: G = gallery rows, M = bank rows, E = width."""

import pytest
import torch
from torch.nn import functional as F

from core.errors import ConfigError, DataError
from core.retrieval import BothBanks, InvGC, LocalAdj


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y, Z = normal(14, 5), normal(40, 5, seed=1) + 0.3, normal(33, 5, seed=2)


def dense_invgc(x, y, rate):
    x, y = F.normalize(x), F.normalize(y)
    s = x @ y.T
    return F.normalize(x - rate / len(y) * (s - s.mean()) @ y)


def dense_local(x, y, rate, k):
    x, y = F.normalize(x), F.normalize(y)
    out = []
    for row in x:
        s = y @ row
        near = s.argsort(descending=True)[:k]
        out.append(row - rate / k * (s[near, None] * y[near]).sum(0))
    return F.normalize(torch.stack(out))


@pytest.mark.parametrize("rate", [0.1, 1.0, 5.0])
def test_invgc_equals_its_dense_form(rate):
    torch.testing.assert_close(InvGC(rate=rate).fit(Y).apply(X), dense_invgc(X, Y, rate))


@pytest.mark.parametrize(("share", "k"), [(0.01, 1), (0.1, 4), (1.0, 40)])
@pytest.mark.parametrize("chunk", [3, 100])
def test_local_adjacency_equals_a_loop(share, k, chunk):
    found = LocalAdj(rate=0.7, share=share, chunk=chunk).fit(Y).apply(X)
    torch.testing.assert_close(found, dense_local(X, Y, 0.7, k))


def test_both_banks_are_averaged_and_normalised():
    found = BothBanks(gallery=InvGC(rate=0.5), query=InvGC(rate=2.0)).fit(Y, Z).apply(X)
    torch.testing.assert_close(found, F.normalize(dense_invgc(X, Y, 0.5) / 2 + dense_invgc(X, Z, 2.0) / 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rate_of_zero_changes_no_bit(dtype):
    x, y = X.to(dtype), Y.to(dtype)
    both = BothBanks(gallery=InvGC(rate=0), query=LocalAdj(rate=0)).fit(y, y)
    for found in (InvGC(rate=0).fit(y).apply(x), LocalAdj(rate=0).fit(y).apply(x), both.apply(x)):
        assert torch.equal(found, F.normalize(x, dim=1))


def test_a_row_pushed_to_zero_keeps_its_direction():
    """One bank row equal to x and rate 1, raw dot products: x - (x . x) x = 0."""
    x = F.normalize(X[:1])
    found = LocalAdj(rate=1.0).fit(x).apply(x)
    torch.testing.assert_close(found, x)
    assert torch.isfinite(LocalAdj(rate=1.0).fit(x.float()).apply(x.float())).all()


def test_rows_are_unit_and_the_input_is_not_written_to():
    before = X.clone()
    for adjustment in (InvGC(rate=3.0), LocalAdj(rate=3.0, share=0.2)):
        found = adjustment.fit(Y).apply(X)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(14, dtype=torch.float64))
    assert torch.equal(X, before)


def test_features_in_bf16_are_computed_in_float32():
    found = InvGC(rate=1.0).fit(Y.bfloat16()).apply(X.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, dense_invgc(X.bfloat16().float(), Y.bfloat16().float(), 1.0))


def test_errors_say_what_to_mend():
    with pytest.raises(DataError, match=r"InvGC: not fitted; call fit\(bank\) first"):
        InvGC(rate=1).apply(X)
    with pytest.raises(DataError, match=r"gallery is \(14, 3\), the bank \(40, 5\)"):
        InvGC(rate=1).fit(Y).apply(X[:, :3])
    with pytest.raises(DataError, match="not empty"):
        InvGC(rate=1).fit(Y[:0])
    with pytest.raises(ConfigError, match="rate is -1"):
        InvGC(rate=-1)
    with pytest.raises(ConfigError, match="share is 0"):
        LocalAdj(rate=1, share=0)
