"""Columns that each row has a list of: written negatives, and the hardest ones by a teacher."""

from __future__ import annotations

import math
from itertools import pairwise

import gloo
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives import (
    Embedding,
    Equality,
    ExtraNegatives,
    FixedScale,
    FromTeacher,
    LogScale,
    Pair,
    Step,
    TeacherMined,
)
from core.objectives.contrast.keys.mined import hardest
from core.objectives.contrast.targets import TeacherPair, TeacherSoftmax
from core.types import Batch, Encoded, ModalityInput

PRESENT = {"wrong1": [1, 1, 0, 1, 0], "wrong2": [0, 1, 0, 1, 1]}


class Given(nn.Module):
    def __init__(self, vectors: dict[str, Tensor]) -> None:
        super().__init__()
        self.vectors = nn.ParameterDict(vectors)
        self.encoders, self.heads, self.fusion = nn.ModuleDict(), nn.ModuleDict(), None
        self.reads = {name: name for name in vectors}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=self.vectors[modality])

    def project(self, modality, encoded):
        return encoded.pooled

    def width(self, modality):
        return 3


def written(vectors: dict[str, Tensor] | None = None, rows: int = 5) -> Step:
    """Five images with a text and up to two wrong texts each; row 2 has none."""
    rng = torch.Generator().manual_seed(2)
    present = {"a": torch.ones(rows).bool(), "b": torch.ones(rows).bool()}
    present |= {name: torch.tensor(has[:rows]).bool() for name, has in PRESENT.items()}
    drawn = {m: torch.randn(int(has.sum()), 3, generator=rng, dtype=torch.float64) for m, has in present.items()}
    vectors = drawn if vectors is None else vectors
    inputs = {m: ModalityInput(x) for m, x in vectors.items() if len(x)}
    batch = Batch([str(i) for i in range(rows)], inputs, present, keys={"sample": torch.arange(rows)})
    model = Given({m: nn.Parameter(x.clone()) for m, x in vectors.items()})
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


def extra(**settings) -> Pair:
    own = {"scale": LogScale(init=4.0), "directions": (1.0, 0.0), "tile": (2, 2)} | settings
    return Pair(rows="a", keys="b", columns=ExtraNegatives(negatives=["wrong1", "wrong2"]), **own).double()


def dense_extra(at: Step, scale: float) -> Tensor:
    u = {m: F.normalize(at.model.vectors[m], dim=1) for m in at.model.vectors}
    losses = []
    for i in range(len(at.batch)):
        z = [scale * (u["a"][i] @ u["b"][i])]
        for m, has in PRESENT.items():
            if has[i]:
                z.append(scale * (u["a"][i] @ u[m][sum(has[:i])]))
        if len(z) > 1:
            losses.append(torch.logsumexp(torch.stack(z), 0) - z[0])
    return torch.stack(losses).mean()


def test_written_negatives_have_the_dense_value_and_gradients():
    at, again = written(), written()
    term = extra()
    term(at)["loss"].backward()
    scale = term.scale.value().item()
    dense_extra(again, scale).backward()
    assert term(written())["loss"].item() == pytest.approx(dense_extra(again, scale).item(), abs=1e-12)
    for name, vector in at.model.vectors.items():
        torch.testing.assert_close(vector.grad, again.model.vectors[name].grad, rtol=0, atol=1e-10)
    assert not at.model.vectors["a"].grad[2].any()  # the row without negatives has no term


def test_gradients_of_written_negatives_agree_with_finite_differences():
    term, at = extra(scale=LogScale(init=2.0, bias=-0.5)), written()
    parameters = [*at.model.parameters(), *term.parameters()]

    def loss(*_):
        at._memo.clear()
        return term(at)["loss"]

    assert torch.autograd.gradcheck(loss, parameters)


def test_negatives_as_good_as_the_positive_cost_the_log_of_their_number_and_itself():
    at = written()
    ones = {m: torch.ones_like(x) for m, x in at.model.vectors.items()}
    # rows 0 and 4 have one negative, 1 and 3 two, 2 none
    want = (2 * math.log(2) + 2 * math.log(3)) / 4
    assert extra()(written(ones))["loss"].item() == pytest.approx(want, abs=1e-12)


def test_without_negatives_the_term_is_an_exact_zero_with_a_graph():
    at = written(rows=1)
    at.batch.present["wrong1"][:] = False
    at.batch.inputs.pop("wrong1")
    loss = extra()(at)["loss"]
    assert loss == 0
    loss.backward()
    assert extra()(written(rows=1))["loss"] > 0  # one row is enough where it has a negative


def test_half_precision_inputs_lose_no_more_than_their_rounding():
    at = written()
    half = {m: x.detach().to(torch.bfloat16) for m, x in at.model.vectors.items()}
    want = dense_extra(written({m: x.double() for m, x in half.items()}), 4.0)
    term = Pair(
        rows="a",
        keys="b",
        columns=ExtraNegatives(negatives=["wrong1", "wrong2"]),
        directions=(1.0, 0.0),
        scale=LogScale(init=4.0),
    )
    assert term(written(half))["loss"].item() == pytest.approx(want.item(), abs=1e-5)


@pytest.mark.parametrize("k", [1, 3, 8, 20])
def test_the_hardest_columns_are_those_of_a_sort(k, monkeypatch):
    monkeypatch.setattr("core.objectives.contrast.keys.mined.TILE", (2, 3))
    rng = torch.Generator().manual_seed(4)
    rows, cols = torch.randn(5, 3, generator=rng), torch.randn(9, 3, generator=rng)
    items = torch.tensor([4, 0, 8, 2, 7])
    found = hardest(rows, cols, items, torch.arange(9), k)
    score = rows @ cols.T
    for i in range(5):
        others = [j for j in score[i].argsort(descending=True).tolist() if j != items[i]]
        assert found[i].tolist() == [items[i], *others[:k]]
    loss_needs = [len(set(row)) for row in found.tolist()]
    assert loss_needs == [min(k + 1, 9)] * 5


SEES = {name: FromTeacher(teacher="teacher", view=Embedding(modality=name)) for name in "ab"}


def mined(k: int, **settings) -> Pair:
    columns = TeacherMined(k=k, rows=SEES["a"], keys=SEES["b"])
    return Pair(rows="a", keys="b", columns=columns, scale=LogScale(init=3.0), tile=(2, 3), **settings).double()


def taught_step(rows: list[int]) -> Step:
    return gloo.step(rows, teacher=gloo.Tower(frozen="ab", seed=6))


EVERY = list(range(10))
SOFT = {"target": TeacherSoftmax(teachers=[TeacherPair(rows=SEES["a"], keys=SEES["b"], temperature=0.5)])}


@pytest.mark.parametrize("settings", [{}, SOFT, {"target": Equality(key="text")}])
def test_all_negatives_are_the_full_batch(settings):
    full = Pair(rows="a", keys="b", scale=LogScale(init=3.0), **settings).double()
    for k in (8, 50):
        torch.testing.assert_close(
            gloo.loss_and_gradients(mined(k, **settings), taught_step(EVERY)),
            gloo.loss_and_gradients(full, taught_step(EVERY)),
            rtol=0,
            atol=1e-10,
        )


@pytest.mark.parametrize("k", [1, 2, 5])
def test_mined_negatives_with_a_teachers_target_have_the_dense_value(k):
    at = taught_step(EVERY)
    rows, _, _ = at.paired_rows("a", "b")
    a, b = F.normalize(at.embedding("a")[rows], dim=1), F.normalize(at.embedding("b"), dim=1)
    teacher = at.teacher("teacher")
    ta, tb = F.normalize(teacher.embedding("a")[rows], dim=1), F.normalize(teacher.embedding("b"), dim=1)
    want, scale = 0.0, mined(k).scale.value().item()
    for x, y, tx, ty in ((a, b, ta, tb), (b, a, tb, ta)):
        score = (tx @ ty.T).fill_diagonal_(torch.inf)
        kept = score.topk(k + 1, dim=1).indices
        student = (scale * x @ y.T).gather(1, kept).log_softmax(1)
        target = (tx @ ty.T / 0.5).gather(1, kept).softmax(1)
        want = want - 0.5 * (target * student).sum(1).mean()
    got = mined(k, **SOFT)(taught_step(EVERY))
    assert got["loss"].item() == pytest.approx(want.item(), abs=1e-10)
    hard = mined(k)(taught_step(EVERY))
    assert hard["loss"].item() + hard["gain"].item() == pytest.approx(math.log(k + 1), abs=1e-6)


def test_more_negatives_never_cost_less():
    losses = [mined(k)(taught_step(EVERY))["loss"].item() for k in range(1, 9)]
    assert all(low < high for low, high in pairwise(losses))


def test_gradients_of_mined_columns_agree_with_finite_differences():
    term, at = mined(2, **SOFT), taught_step([0, 1, 2, 4])
    parameters = [*at.model.parameters(), *term.parameters()]

    def loss(*_):
        at._memo.clear()
        return term(at)["loss"]

    assert torch.autograd.gradcheck(loss, parameters)


def across(rank: int) -> list:
    out = []
    for split in (EVERY[:4], EVERY[4:]), ([3], EVERY):
        for settings in ({}, SOFT):
            out.append(
                gloo.mean_over_processes(gloo.loss_and_gradients(mined(3, **settings), taught_step(split[rank])))
            )
    return out


def test_two_processes_mine_among_all_columns(tmp_path):
    first, _ = gloo.in_processes(2, across, tmp_path)
    want = [gloo.loss_and_gradients(mined(3, **settings), taught_step(EVERY)) for settings in ({}, SOFT)]
    torch.testing.assert_close(first, [*want, *want], rtol=0, atol=1e-10)


def extra_across(rank: int) -> list:
    """The first process holds rows 0 to 1, the second 2 to 4."""
    whole = written()
    rows = torch.tensor([[0, 1], [2, 3, 4]][rank])
    of_rows = {
        m: whole.model.vectors[m].detach()[(has.long().cumsum(0) - 1)[rows][has[rows]]]
        for m, has in whole.batch.present.items()
    }
    at = written(of_rows, rows=len(rows))
    for m, has in whole.batch.present.items():
        at.batch.present[m] = has[rows]
    loss, *grads = gloo.loss_and_gradients(extra(scale=FixedScale(temperature=0.25)), at)
    grads = dict(zip(at.model.vectors, grads, strict=True))
    return [gloo.mean_over_processes([loss])[0], grads["a"]]


def test_two_processes_average_over_the_rows_that_have_negatives(tmp_path):
    (loss, first), (_, second) = gloo.in_processes(2, extra_across, tmp_path)
    at = written()
    want = dense_extra(at, 4.0)
    want.backward()
    assert loss.item() == pytest.approx(want.item(), abs=1e-12)
    torch.testing.assert_close(torch.cat([first, second]) / 2, at.model.vectors["a"].grad, rtol=0, atol=1e-12)


def test_errors_say_what_to_change():
    with pytest.raises(ConfigError, match="no negatives given"):
        ExtraNegatives(negatives=[])
    with pytest.raises(ConfigError, match=r"ExtraNegatives: directions are \[0.5, 0.5\].*\[1, 0\]"):
        extra(directions=(0.5, 0.5))(written())
    with pytest.raises(ConfigError, match="k is 0"):
        TeacherMined(k=0, rows="a", keys="b")
