"""Multilinear contrast: dense references, closed forms, XOR, missing modalities, false negatives."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.evaluation import multilinear_scores, top_k_of
from core.models import Placeholder
from core.objectives import (
    BatchKeys,
    CartesianKeys,
    FixedScale,
    LogScale,
    Pair,
    PermutedKeys,
    Placeholders,
    Step,
    Symile,
)
from core.objectives.contrast.matrix import DotMatrix, dense
from core.objectives.contrast.multilinear import CartesianMatrix, OverwrittenMatrix
from core.objectives.contrast.tiles import tiles
from core.types import Batch, Encoded, ModalityInput

NAMES = "abcde"


class Vectors(nn.Module):
    """Embeddings that are parameters themselves, one per modality."""

    def __init__(self, vectors: dict[str, Tensor], heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.vectors = nn.ParameterDict({k: v.clone() for k, v in vectors.items()})
        self.reads, self.fusion, self.encoders = {k: k for k in vectors}, None, nn.ModuleDict()
        self.heads = nn.ModuleDict(heads)

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=self.vectors[modality])

    def project(self, modality, encoded):
        return encoded.pooled

    def width(self, modality):
        return self.vectors[modality].shape[1]


def step_of(vectors: dict[str, Tensor], present: dict[str, Tensor] | None = None, heads=None, seed=0, **keys) -> Step:
    """vectors: the present rows of each modality."""
    rows = len(next(iter(vectors.values()))) if present is None else len(next(iter(present.values())))
    present = present or {m: torch.ones(rows, dtype=torch.bool) for m in vectors}
    inputs = {m: ModalityInput(x) for m, x in vectors.items() if len(x)}
    batch = Batch([str(i) for i in range(rows)], inputs, present, keys={"sample": torch.arange(rows), **keys})
    generator = torch.Generator().manual_seed(seed)
    return Step(model=Vectors(vectors, heads or {}), batch=batch, index=0, generator=generator)


def random_vectors(rng, modalities: int, rows: int = 6, dim: int = 5) -> dict[str, Tensor]:
    return {m: torch.randn(rows, dim, generator=rng, dtype=torch.float64) for m in NAMES[:modalities]}


def symile(step: Step, **settings) -> Symile:
    return Symile(
        modalities=list(step.model.reads), **{"scale": LogScale(init=6.0, maximum=None), "tile": (4, 3), **settings}
    ).double()


SIX = math.exp(torch.tensor(math.log(6.0)).item())  # the scale 6 after its logarithm was stored in float32


def by_hand(vectors: list[Tensor], scale: float, orders: list[list[Tensor]] | None) -> Tensor:
    """Loops over anchors, samples and tuples. orders: of the other modalities, per anchor; None: all combinations."""
    unit = [F.normalize(v, dim=1) for v in vectors]
    n, losses = len(unit[0]), []
    for anchor, x in enumerate(unit):
        others = [v for k, v in enumerate(unit) if k != anchor]
        for i in range(n):
            true = math.prod([o[i] for o in others], start=x[i]).sum()
            if orders is None:
                tuples = list(itertools.product(range(n), repeat=len(others)))
            else:
                tuples = list(zip(*[order.tolist() for order in orders[anchor]], strict=True))
                tuples[i] = (i,) * len(others)
            logits = [scale * math.prod([o[j] for o, j in zip(others, t, strict=True)], start=x[i]).sum()
                      for j, t in enumerate(tuples) if set(t) != {i}]  # fmt: skip
            logits.append(scale * true)
            losses.append(torch.logsumexp(torch.stack(logits), 0) - scale * true)
    return torch.stack(losses).mean()


def orders_of(step: Step, columns: PermutedKeys, modalities: int, rows: int) -> list[list[Tensor]]:
    generator = columns.shared(torch.Generator().manual_seed(step.generator.initial_seed()), torch.device("cpu"))
    assert step.generator.initial_seed() == 0
    return [
        [columns._order(rows, modalities - 1, generator, torch.device("cpu")) for _ in range(modalities - 1)]
        for _ in range(modalities)
    ]


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_permuted_values_equal_the_sum_by_hand(rng, modalities):
    step = step_of(random_vectors(rng, modalities))
    columns = PermutedKeys()
    want = by_hand(list(step.model.vectors.values()), SIX, orders_of(step, columns, modalities, 6))
    got = symile(step, columns=columns)(step)["loss"]
    torch.testing.assert_close(got, want.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_cartesian_values_equal_the_sum_by_hand(rng, modalities):
    step = step_of(random_vectors(rng, modalities, rows=4))
    got = symile(step, columns=CartesianKeys())(step)["loss"]
    want = by_hand(list(step.model.vectors.values()), SIX, None)
    torch.testing.assert_close(got, want.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [PermutedKeys(), CartesianKeys()], ids=["permuted", "cartesian"])
@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("tile", [(2, 7), (64, 64)])
def test_gradients_agree_with_finite_differences(rng, columns, modalities, tile):
    step = step_of(random_vectors(rng, modalities, rows=3, dim=2))
    term = symile(step, columns=columns, tile=tile, scale=LogScale(init=2.0, bias=-0.5), rescale=True)

    def loss(*_):
        step._memo.clear()
        step.generator.manual_seed(0)
        return term(step)["loss"]

    assert torch.autograd.gradcheck(loss, [*step.model.parameters(), *term.parameters()])


@pytest.mark.parametrize("columns", [PermutedKeys(), CartesianKeys()], ids=["permuted", "cartesian"])
def test_two_modalities_are_infonce(rng, columns):
    step = step_of(random_vectors(rng, 2))
    term = symile(step, columns=columns)
    pair = Pair(rows="a", keys="b", scale=LogScale(init=6.0), columns=BatchKeys()).double()
    got, want = term(step), pair(step)
    for key in ("loss", "accuracy", "gain", "positive"):
        torch.testing.assert_close(got[key].double(), want[key].double(), rtol=0, atol=1e-10)
    a = torch.autograd.grad(got["loss"], list(step.model.parameters()), retain_graph=True)
    b = torch.autograd.grad(want["loss"], list(step.model.parameters()))
    for g, w in zip(a, b, strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-10)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_equal_vectors_cost_the_log_of_the_number_of_columns(modalities):
    step = step_of({m: torch.ones(5, 3).double() for m in NAMES[:modalities]})
    values = symile(step, columns=CartesianKeys())(step)
    assert values["loss"].item() == pytest.approx((modalities - 1) * math.log(5), abs=1e-9)
    assert values["gain"].item() == pytest.approx(0, abs=1e-9)
    # rows whose true tuple came together again have one column less, the rest ln B exactly
    columns = PermutedKeys()
    step.generator.manual_seed(0)
    loss = symile(step, columns=columns)(step)["loss"].item()
    orders = orders_of(step, columns, modalities, 5)
    false = [sum(1 for j in range(5) if len({int(o[j]) for o in per}) == 1 and int(per[0][j]) != j) for per in orders]
    want = sum((5 - f) * math.log(5) + f * math.log(4) for f in false) / (5 * modalities)
    assert loss == pytest.approx(want, abs=1e-9)


def test_a_shuffle_that_brings_a_true_tuple_together_is_no_negative(rng):
    """Both others shuffled alike: every column is some row's true tuple, and must not repel it."""

    class Alike(PermutedKeys):
        def _order(self, n, others, generator, device):
            return torch.arange(n).roll(1)

    vectors = random_vectors(rng, 3)
    step = step_of(vectors)
    got = symile(step, columns=Alike())(step)["loss"]
    want = by_hand(list(vectors.values()), SIX, [[torch.arange(6).roll(1)] * 2] * 3)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [PermutedKeys(), CartesianKeys()], ids=["permuted", "cartesian"])
def test_samples_of_equal_content_are_no_negatives_of_each_other(rng, columns):
    """Samples 0 and 1 are copies of each other; the loss does not ask to tell them apart."""
    vectors = {m: x[[0, 0, 1, 2]] for m, x in random_vectors(rng, 3).items()}
    step = step_of(vectors, text=torch.tensor([7, 7, 8, 9]))
    values = symile(step, columns=columns, key="text", scale=FixedScale(temperature=1e-3))(step)
    plain = symile(step, columns=columns, scale=FixedScale(temperature=1e-3))(step_of(vectors))
    assert values["loss"] <= plain["loss"]
    if isinstance(columns, CartesianKeys):
        assert plain["loss"].item() >= math.log(2) / 2 - 1e-9
    with pytest.raises(ConfigError, match="no key 'txt'"):
        symile(step, key="txt")(step)


def test_a_joint_permutation_changes_the_cartesian_loss_by_nothing(rng):
    vectors = random_vectors(rng, 3)
    order = torch.randperm(6, generator=rng)
    here, there = step_of(vectors), step_of({m: x[order] for m, x in vectors.items()})
    values = [symile(s, columns=CartesianKeys())(s)["loss"].item() for s in (here, there)]
    assert values[0] == pytest.approx(values[1], abs=1e-10)
    swapped = step_of(dict(reversed(vectors.items())))
    assert symile(swapped, columns=CartesianKeys())(swapped)["loss"].item() == pytest.approx(values[0], abs=1e-10)


def test_rescaling_gives_products_of_any_number_the_size_of_pairs(rng):
    """Independent unit vectors: std E^(-(M-1)/2), which for E = 256 and M = 3 is 1/256; rescaled it is 1/16."""
    x, y, z = (F.normalize(torch.randn(4000, 256, generator=rng), dim=1) for _ in range(3))
    assert (x * y * z).sum(1).std().item() == pytest.approx(1 / 256, rel=0.1)
    vectors = {m: torch.randn(8, 256, generator=rng).double() for m in "abc"}
    step = step_of(vectors)
    plain = symile(step, scale=FixedScale(temperature=1 / 320), columns=CartesianKeys())(step)
    scaled = symile(step, scale=FixedScale(temperature=1 / 20), columns=CartesianKeys(), rescale=True)(step)
    torch.testing.assert_close(plain["loss"], scaled["loss"], rtol=0, atol=1e-9)
    torch.testing.assert_close(plain["positive"], scaled["positive"], rtol=1e-9, atol=0)


def test_xor_has_a_product_of_minus_one_in_one_dimension():
    """c = a XOR b with r = 2 v - 1: every true triple has the product -1, so one flipped encoder tells all apart."""
    bits = torch.tensor([[a, b, a ^ b] for a in (0, 1) for b in (0, 1)])
    r = 2.0 * bits - 1
    assert r.prod(1).tolist() == [-1.0] * 4
    a, b, c = -r[:, :1], r[:, 1:2], r[:, 2:]
    candidates = torch.tensor([[-1.0], [1.0]])  # encodings of a = 1 and a = 0 after the flip
    found = top_k_of(multilinear_scores([b, c], candidates), k=1)[1][:, 0]
    assert found.tolist() == (1 - bits[:, 0]).tolist()
    assert (a * b * c).sum(1).tolist() == [1.0] * 4
    for x, y in itertools.combinations((a, b, c), 2):
        assert (x * y).mean() == 0  # no pair says anything


def accuracy_on_xor(objective: str, seed: int = 0) -> float:
    """Train three tables of vectors on XOR and predict a from b and c."""
    rng = torch.Generator().manual_seed(seed)
    maps = {m: nn.Parameter(0.5 * torch.randn(2, 8, generator=rng)) for m in "abc"}
    if objective == "symile":
        terms = [Symile(modalities=list("abc"), scale=LogScale(init=5.0, maximum=None))]
    else:
        terms = [Pair(rows=x, keys=y, scale=LogScale(init=5.0), columns=BatchKeys()) for x, y in ("ab", "bc", "ac")]
    optimiser = torch.optim.Adam([*maps.values(), *(p for t in terms for p in t.parameters())], lr=0.1)
    for i in range(50):
        bits = torch.randint(2, (64, 2), generator=rng)
        bits = {"a": bits[:, 0], "b": bits[:, 1], "c": bits[:, 0] ^ bits[:, 1]}
        step = step_of({m: torch.zeros(64, 8) for m in "abc"}, seed=i)
        del step.model.vectors
        step.model.vectors = {m: maps[m][bits[m]] for m in "abc"}
        loss = sum(term(step)["loss"] for term in terms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    b, c = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    unit = {m: F.normalize(x.detach(), dim=1) for m, x in maps.items()}
    if objective == "symile":
        score = multilinear_scores([unit["b"][b], unit["c"][c]], unit["a"]).block(slice(0, 4))
    else:
        score = (unit["b"][b] + unit["c"][c]) @ unit["a"].T
    return float((score.argmax(1) == b ^ c).float().mean())


def test_symile_learns_xor_and_pairs_do_not():
    assert accuracy_on_xor("symile") == 1.0
    assert accuracy_on_xor("pairs") <= 0.75


def test_a_sample_that_lacks_a_modality_is_left_out_by_default(rng):
    vectors = random_vectors(rng, 3)
    has = torch.tensor([1, 1, 0, 1, 1, 1]).bool()
    vectors["b"][3] = torch.nan  # of sample 4, which lacks a
    present = {"a": torch.tensor([1, 1, 1, 1, 0, 1]).bool(), "b": has, "c": torch.ones(6).bool()}
    given = {"a": vectors["a"][:5], "b": vectors["b"][:5], "c": vectors["c"]}
    step = step_of(given, present)
    whole = step_of({"a": given["a"][[0, 1, 3, 4]], "b": given["b"][[0, 1, 2, 4]], "c": given["c"][[0, 1, 3, 5]]})
    for columns in (PermutedKeys(), CartesianKeys()):
        step.generator.manual_seed(0)
        whole.generator.manual_seed(0)
        got, want = symile(step, columns=columns)(step), symile(whole, columns=columns)(whole)
        torch.testing.assert_close(got["loss"], want["loss"], rtol=0, atol=1e-12)


def test_a_placeholder_stands_for_what_is_missing_and_is_trained(rng):
    vectors = random_vectors(rng, 3)
    present = {"a": torch.ones(6).bool(), "b": torch.tensor([1, 1, 0, 1, 0, 1]).bool(), "c": torch.ones(6).bool()}
    heads = {"no_b": Placeholder(dim=5).double()}
    step = step_of(vectors | {"b": vectors["b"][:4]}, present, heads)
    filled = vectors["b"].clone()
    filled[[0, 1, 3, 5]], filled[[2, 4]] = vectors["b"][:4], heads["no_b"]().detach()
    whole = step_of(vectors | {"b": filled})
    got = symile(step, columns=CartesianKeys(), missing=Placeholders(heads={"b": "no_b"}))(step)["loss"]
    torch.testing.assert_close(got, symile(whole, columns=CartesianKeys())(whole)["loss"], rtol=0, atol=1e-12)
    got.backward()
    assert heads["no_b"].vector.grad.any()
    with pytest.raises(ConfigError, match="2 samples lack 'b', which has no head"):
        symile(step, missing=Placeholders(heads={"a": "no_b"}))(step)


def test_a_modality_that_no_sample_holds_is_all_placeholder(rng):
    vectors = random_vectors(rng, 3) | {"b": torch.zeros(0, 5).double()}
    present = {"a": torch.ones(6).bool(), "b": torch.zeros(6).bool(), "c": torch.ones(6).bool()}
    step = step_of(vectors, present, {"no_b": Placeholder(dim=5).double()})
    values = symile(step, missing=Placeholders(heads={"b": "no_b"}))(step)
    assert values["loss"].isfinite()
    assert symile(step)(step)["loss"] == 0  # without placeholders nothing is complete


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("columns", [PermutedKeys(), CartesianKeys()], ids=["permuted", "cartesian"])
def test_fewer_than_two_samples_give_an_exact_zero_with_a_graph(rng, rows, columns):
    vectors = random_vectors(rng, 3)
    has = torch.arange(6) < rows
    step = step_of(
        vectors | {"b": vectors["b"][:rows]}, {"a": torch.ones(6).bool(), "b": has, "c": torch.ones(6).bool()}
    )
    loss = symile(step, columns=columns)(step)["loss"]
    assert loss == 0
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in step.model.parameters())


def test_bfloat16_is_computed_in_float32(rng):
    vectors = {m: x.bfloat16() for m, x in random_vectors(rng, 3, dim=32).items()}
    step, double = step_of(vectors), step_of({m: x.double() for m, x in vectors.items()})
    settings = {"columns": CartesianKeys(), "scale": FixedScale(temperature=0.1)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = Symile(modalities=list("abc"), **settings)(step)["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), symile(double, **settings)(double)["loss"], rtol=0, atol=1e-5)


def test_a_cartesian_matrix_tiles_like_the_whole(rng):
    rows, others = torch.randn(5, 4, generator=rng), [torch.randn(k, 4, generator=rng) for k in (3, 2)]
    matrix = CartesianMatrix(rows, others)
    whole = torch.einsum("ne,je,ke->njk", rows, *others).reshape(5, 6)
    torch.testing.assert_close(dense(matrix), whole)
    assert matrix.reach() >= whole.abs().max()
    for tile in tiles(5, 6, (2, 4)):
        out = torch.empty(tile.shape)
        matrix.tile_(out, tile, 2.0)
        torch.testing.assert_close(out, 2 * whole[tile.rows, tile.cols])


def test_an_overwritten_matrix_differs_in_one_entry_of_each_row(rng):
    a, b, value = torch.randn(4, 3, generator=rng), torch.randn(5, 3, generator=rng), 9.0 + torch.arange(4.0)
    column = torch.tensor([0, 3, 1, 4])
    want = (a @ b.T).index_put((torch.arange(4), column), value)
    matrix = OverwrittenMatrix(DotMatrix(a, b), value, column)
    torch.testing.assert_close(dense(matrix), want)
    assert matrix.reach() >= want.abs().max()


def test_settings_are_checked(rng):
    with pytest.raises(ConfigError, match="modalities has 1 entries"):
        Symile(modalities=["a"])
    with pytest.raises(ConfigError, match=r"tile is \(0, 3\)"):
        Symile(modalities=["a", "b"], tile=(0, 3))
    step = step_of({"a": torch.ones(3, 4), "b": torch.ones(3, 5)})
    with pytest.raises(ConfigError, match=r"widths are \[4, 5\]"):
        Symile(modalities=["a", "b"])(step)
