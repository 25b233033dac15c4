"""Several texts of one sample in one softmax: values against a dense matrix, missing wordings, two processes."""

from __future__ import annotations

import gloo
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives import EachEqual, Equality, FixedScale, IntraModal, LogScale, OneHot, Pair, Step, WordingKeys
from core.types import Batch, Encoded, ModalityInput

PRESENT = {"image": [1, 1, 1, 1, 1], "one": [1, 1, 1, 0, 1], "two": [1, 0, 1, 1, 1], "three": [0, 0, 1, 0, 1]}
ROWS = [0, 1, 2, 4]  # hold the term's own pair


class Given(nn.Module):
    """Embeddings that are parameters themselves."""

    def __init__(self, vectors: dict[str, Tensor]) -> None:
        super().__init__()
        self.vectors = nn.ParameterDict(vectors)
        self.encoders, self.heads, self.fusion = nn.ModuleDict(), nn.ModuleDict(), None
        self.reads = {name: name for name in vectors}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=self.vectors[modality])

    def project(self, modality, encoded):
        return encoded.pooled


def vectors() -> dict[str, Tensor]:
    """(5, 3) per modality, also for rows that lack it."""
    rng = torch.Generator().manual_seed(8)
    return {m: torch.randn(5, 3, generator=rng, dtype=torch.float64) for m in PRESENT}


def told(rows: list[int] | None = None) -> Step:
    rows = list(range(5)) if rows is None else rows
    present = {m: torch.tensor([has[i] for i in rows]).bool() for m, has in PRESENT.items()}
    shown = {m: x[rows][present[m]] for m, x in vectors().items()}
    model = Given({m: nn.Parameter(x.clone()) for m, x in shown.items()})
    keys = {"sample": torch.tensor([10 + i for i in rows])}
    inputs = {m: ModalityInput(x) for m, x in shown.items() if len(x)}
    batch = Batch([str(i) for i in rows], inputs, present, keys=keys)
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


def term(target=None, also=("two", "three"), **settings) -> Pair:
    target = EachEqual(key="sample", weight=1 / 3) if target is None else target
    own = {"scale": FixedScale(temperature=0.25), "tile": (2, 3)} | settings
    return Pair(rows="image", keys="one", target=target, columns=WordingKeys(also=list(also)), **own).double()


def dense(at: Step, weight: float | None, scale: float = 4.0) -> Tensor:
    """weight of each own text; None: rows and columns that sum to 1."""
    u = {m: F.normalize(at.model.vectors[m], dim=1) for m in at.model.vectors}
    place = {m: torch.tensor(has).cumsum(0) - 1 for m, has in PRESENT.items()}
    columns = [(m, i) for m in ("one", "two", "three") for i in ROWS if PRESENT[m][i]]
    texts = torch.stack([u[m][place[m][i]] for m, i in columns])
    own = torch.tensor([[i == j for _, j in columns] for i in ROWS]).double()
    z = scale * u["image"][ROWS] @ texts.T
    w = own / own.sum(1, keepdim=True) if weight is None else own * weight
    back = own.T / own.T.sum(1, keepdim=True) if weight is None else own.T * weight
    rows, cols = (-(t * a.log_softmax(1)).sum(1).mean() for t, a in ((w, z), (back, z.T)))
    return (rows + cols) / 2


def test_one_to_k_is_k_ones_per_row_over_all_texts_and_the_loss_divided_by_k():
    at, again = told(), told()
    term()(at)["loss"].backward()
    want = dense(again, 1 / 3)
    want.backward()
    assert term()(told())["loss"].item() == pytest.approx(want.item(), abs=1e-12)
    for name, vector in at.model.vectors.items():
        torch.testing.assert_close(vector.grad, again.model.vectors[name].grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", [OneHot(), Equality(key="sample")])
def test_all_texts_of_a_sample_are_one_item(target):
    assert term(target)(told())["loss"].item() == pytest.approx(dense(told(), None).item(), abs=1e-12)


def test_the_order_of_the_wordings_changes_nothing():
    one, other = (term(also=also)(told())["loss"] for also in (["two", "three"], ["three", "two"]))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_without_further_wordings_it_is_the_plain_term():
    plain = Pair(rows="image", keys="one", scale=FixedScale(temperature=0.25)).double()
    torch.testing.assert_close(term(OneHot(), also=())(told())["loss"], plain(told())["loss"], rtol=0, atol=1e-13)


def test_gradients_agree_with_finite_differences():
    made, at = term(scale=LogScale(init=4.0)), told()

    def loss(*_):
        at._memo.clear()
        return made(at)["loss"]

    assert torch.autograd.gradcheck(loss, [*at.model.parameters(), *made.parameters()])


def test_a_batch_without_any_text_is_an_exact_zero_with_a_graph():
    at = told([3])
    loss = term()(at)["loss"]
    assert loss == 0
    loss.backward()


def across(rank: int) -> list:
    out = []
    for target in (EachEqual(key="sample", weight=1 / 3), OneHot()):
        for split in (([0, 1], [2, 3, 4]), ([3], [0, 1, 2, 4])):
            at = told(split[rank])
            loss, *grads = gloo.loss_and_gradients(term(target), at)
            by_name = dict(zip(at.model.vectors, grads, strict=True))
            out.append([gloo.mean_over_processes([loss])[0], by_name["image"], by_name["two"]])
    return out


def test_two_processes_share_every_text(tmp_path):
    first, second = gloo.in_processes(2, across, tmp_path)
    for number, ((loss, *one), (_, *two)) in enumerate(zip(first, second, strict=True)):
        at = told()
        want = dense(at, 1 / 3 if number < 2 else None)
        want.backward()
        assert loss.item() == pytest.approx(want.item(), abs=1e-12)
        for name, a, b in zip(("image", "two"), one, two, strict=True):
            grad = at.model.vectors[name].grad
            if number % 2:  # row 3 alone in the first process, so its place in the whole is another
                place = [sum(PRESENT[name][:i]) for i in (3, 0, 1, 2, 4) if PRESENT[name][i]]
                grad = grad[place]
            torch.testing.assert_close(torch.cat([a, b]) / 2, grad, rtol=0, atol=1e-12)


def test_targets_of_pairs_are_refused():
    with pytest.raises(ConfigError, match="sides of pairs"):
        term(IntraModal(view="image"), directions=(1.0, 0.0))(told())
