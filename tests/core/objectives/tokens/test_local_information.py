"""The local mutual information term and the row log-sum-exp under it, against dense references."""

from __future__ import annotations

import math

import gloo
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import GridPool
from core.objectives import Embedding, FixedScale, LocalInformation, LogScale, Pair, Step, Stored, TokenView
from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.row_lse import row_lse
from core.types import Batch, Encoded, ModalityInput, Tokens

MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]]).bool()


class Given(nn.Module):
    """Vectors and tokens that are parameters themselves."""

    def __init__(self, g_nE: Tensor, l_nTE: Tensor, mask_nT: Tensor | None, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.g, self.l, self.mask = nn.Parameter(g_nE.clone()), nn.Parameter(l_nTE.clone()), mask_nT
        self.encoders, self.heads, self.fusion = nn.ModuleDict(), nn.ModuleDict(heads), None
        self.reads = {"a": "a", "b": "b"}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=self.g, tokens=Tokens(x=self.l, mask=self.mask))

    def project(self, modality, encoded):
        return encoded.pooled

    def width(self, modality):
        return self.g.shape[1]


def step(g_nE: Tensor, l_nTE: Tensor, mask_nT: Tensor | None = None, **heads: nn.Module) -> Step:
    n = len(g_nE)
    batch = Batch(
        [str(i) for i in range(n)],
        {"a": ModalityInput(g_nE)} if n else {},
        {"a": torch.ones(n, dtype=torch.bool), "b": torch.zeros(n, dtype=torch.bool)},
        keys={"sample": torch.arange(n), "text": torch.arange(n) // 2},
    )
    return Step(model=Given(g_nE, l_nTE, mask_nT, heads), batch=batch, index=0, generator=torch.Generator())


def term(**settings) -> LocalInformation:
    own = {"scale": FixedScale(temperature=0.25), "tile": (2, 3)} | settings
    return LocalInformation(vector="a", tokens=TokenView(modality="a"), **own).double()


def dense(at: Step, mask_nT: Tensor, scale: float, content: list[int]) -> Tensor:
    g, tokens = F.normalize(at.model.g, dim=1), F.normalize(at.model.l, dim=2)
    rows = []
    for i in range(len(g)):
        others = [
            scale * (g[i] @ tokens[j, q])
            for j in range(len(g))
            for q in range(tokens.shape[1])
            if content[j] != content[i] and mask_nT[j, q]
        ]
        own = [scale * (g[i] @ tokens[i, p]) for p in range(tokens.shape[1]) if mask_nT[i, p]]
        if own:
            rows.append(torch.stack([torch.logsumexp(torch.stack([z, *others]), 0) - z for z in own]).mean())
    return torch.stack(rows).mean()


@pytest.fixture
def drawn() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    return torch.randn(4, 5, generator=rng, dtype=torch.float64), torch.randn(
        4, 3, 5, generator=rng, dtype=torch.float64
    )


@pytest.mark.parametrize(("mask", "key"), [(None, None), (MASK, None), (MASK, "text")])
def test_value_and_gradients_are_the_dense_ones(drawn, mask, key):
    ours, theirs = step(*drawn, mask), step(*drawn, mask)
    loss = term(key=key)(ours)["loss"]
    content = [0, 0, 1, 1] if key else [0, 1, 2, 3]
    want = dense(theirs, torch.ones(4, 3).bool() if mask is None else mask, 4.0, content)
    assert loss.item() == pytest.approx(want.item(), abs=1e-10)
    loss.backward()
    want.backward()
    for name in ("g", "l"):
        torch.testing.assert_close(getattr(ours.model, name).grad, getattr(theirs.model, name).grad, rtol=0, atol=1e-10)


def test_gradients_agree_with_finite_differences(drawn):
    at, local = step(*drawn, MASK), term(scale=LogScale(init=2.0))
    parameters = [at.model.g, at.model.l, local.scale.log_scale]

    def loss(*_):
        at._memo.clear()
        return local(at)["loss"]

    assert torch.autograd.gradcheck(loss, parameters)


def test_padding_counts_for_nothing_whatever_it_holds(drawn):
    g, tokens = drawn
    other = tokens.clone()
    other[~MASK] = 100.0
    assert term()(step(g, tokens, MASK))["loss"] == term()(step(g, other, MASK))["loss"]


def test_one_token_per_sample_is_infonce_of_vector_and_token(drawn):
    g, tokens = drawn[0], drawn[1][:, :1]
    z = 4 * F.normalize(g, dim=1) @ F.normalize(tokens[:, 0], dim=1).T
    assert term()(step(g, tokens))["loss"].item() == pytest.approx(
        F.cross_entropy(z, torch.arange(4)).item(), abs=1e-10
    )


def test_equal_scores_cost_the_log_of_the_other_tokens_and_the_own_one(drawn):
    """The other own tokens are no negatives: 1 + 3 x 3, not 12."""
    values = term()(step(torch.ones(4, 5).double(), torch.ones(4, 3, 5).double()))
    assert values["loss"].item() == pytest.approx(math.log(10), abs=1e-10)
    assert values["gain"].item() == pytest.approx(0, abs=1e-6)


def test_too_little_to_compare_is_an_exact_zero_with_a_graph(drawn):
    g, tokens = drawn
    nothing = [step(g[:1], tokens[:1]), step(g, tokens, torch.zeros(4, 3).bool()), step(g[:0], tokens[:0])]
    for at in nothing:
        loss = term()(at)["loss"]
        assert loss == 0
        loss.backward()
        assert not at.model.g.grad.any()
    # two samples of which one has no token: the other has nothing to compete with
    alone = step(g[1:3], tokens[1:3], MASK[1:3])
    loss = term()(alone)["loss"]
    assert loss == 0
    loss.backward()
    assert bool(alone.model.g.grad.isfinite().all())


def test_half_precision_inputs_lose_no_more_than_their_rounding(drawn):
    half = [x.to(torch.bfloat16) for x in drawn]
    exact = term()(step(*(x.double() for x in half), MASK))["loss"].item()
    found = LocalInformation(vector="a", tokens=TokenView(modality="a"), scale=FixedScale(temperature=0.25))(
        step(*half, MASK)
    )["loss"]
    assert found.item() == pytest.approx(exact, abs=1e-5)
    assert found.dtype == torch.float32


def test_row_lse_holds_far_from_zero(drawn):
    """Scale 500: exponentials of float32 would overflow."""
    g, keys = drawn[0].float(), drawn[1].flatten(0, 1).float()
    found = row_lse(DotMatrix(g, keys), torch.tensor(500.0), tile=(3, 5))
    torch.testing.assert_close(found, torch.logsumexp(500 * g @ keys.T, 1), rtol=1e-6, atol=0)


def test_a_grid_pools_to_the_means_of_its_cells():
    x = torch.arange(16.0).reshape(1, 16, 1)  # a 4 x 4 grid, row by row
    pooled = GridPool(grid=(4, 4), to=(2, 2))(x)
    assert pooled[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]
    mask = torch.ones(1, 16).bool()
    mask[0, [0, 1, 4]] = False
    assert GridPool(grid=(4, 4), to=(2, 2))(x, mask)[0, 0, 0] == 5  # the one real token of the cell
    volume = torch.arange(8.0).reshape(1, 8, 1)
    assert GridPool(grid=(2, 2, 2), to=(1, 1, 1))(volume).item() == 3.5
    with pytest.raises(ConfigError, match=r"\[4, 4\] cannot be averaged to \[3, 2\]"):
        GridPool(grid=(4, 4), to=(3, 2))
    with pytest.raises(ConfigError, match="there are 16 tokens"):
        GridPool(grid=(2, 2), to=(1, 1))(x)


def rows_of(rank: int) -> list[int]:
    return [[0, 1], [2, 3, 4, 5, 6]][rank]


def part_of(rank: int) -> Step:
    rng = torch.Generator().manual_seed(8)
    g, tokens = (torch.randn(7, *shape, 5, generator=rng, dtype=torch.float64) for shape in ((), (3,)))
    mask = torch.ones(7, 3).bool()
    mask[4] = False
    mask[0, 1:] = False
    return step(g[rows_of(rank)], tokens[rows_of(rank)], mask[rows_of(rank)])


def across(rank: int) -> list[Tensor]:
    return gloo.mean_over_processes([term()(part_of(rank))["loss"].detach()])


def test_of_two_processes_the_loss_is_the_mean_over_the_rows_of_both(tmp_path):
    """Negatives are those of a process; rows without tokens count in no mean: 2 rows here, 4 there."""
    (first,), (second,) = gloo.in_processes(2, across, tmp_path)
    here, there = (term()(part_of(rank))["loss"].item() for rank in (0, 1))
    assert first.item() == second.item() == pytest.approx((2 * here + 4 * there) / 6, abs=1e-6)


def test_image_tokens_are_pooled_by_a_head_before_they_are_compared(drawn):
    rng = torch.Generator().manual_seed(5)
    tokens = torch.randn(4, 16, 5, generator=rng, dtype=torch.float64)
    pool = GridPool(grid=(4, 4), to=(2, 2))
    view = TokenView(modality="a", reduce="pool")
    local = LocalInformation(vector="a", tokens=view, scale=FixedScale(temperature=0.25)).double()
    found = local(step(drawn[0], tokens, pool=pool))["loss"]
    assert found.item() == pytest.approx(term()(step(drawn[0], pool(tokens)))["loss"].item(), abs=1e-12)


def test_stored_vectors_are_the_input_itself(drawn):
    at = step(*drawn)
    assert torch.equal(Stored(modality="a")(at).x, drawn[0])
    plain = Pair(rows="a", keys=Stored(modality="a"), directions=(1.0, 0.0)).double()
    again = Pair(rows="a", keys="a", directions=(1.0, 0.0)).double()
    assert plain(at)["loss"] == again(at)["loss"]
    at.batch.inputs["a"].x = torch.zeros(4, 2, dtype=torch.int64)
    with pytest.raises(ConfigError, match=r"Stored: the input of 'a' has the shape \(4, 2\) and holds torch.int64"):
        Stored(modality="a")(at)


def test_errors_say_what_to_change(drawn):
    with pytest.raises(ConfigError, match="vector is of 'b' and tokens of 'a'"):
        LocalInformation(vector=Embedding(modality="b"), tokens=TokenView(modality="a"))
    with pytest.raises(ConfigError, match="the scale has a bias"):
        LocalInformation(vector="a", tokens=TokenView(modality="a"), scale=LogScale(bias=1.0))
    with pytest.raises(ConfigError, match=r"no key 'txt'.*'text'"):
        term(key="txt")(step(*drawn))
    with pytest.raises(ConfigError, match=r"expected \(n, E\) and \(n, T, E\)"):
        LocalInformation(vector="a", tokens=Embedding(modality="a"))(step(*drawn))
