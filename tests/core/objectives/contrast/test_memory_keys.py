"""Queue and cross-batch memory against plain lists kept by hand."""

from __future__ import annotations

import math

import gloo
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives import Embedding, Equality, FixedScale, FromTeacher, MaskedDuplicates, Pair, QueueKeys, XBMKeys
from core.objectives.contrast.keys.fifo import Fifo

TEACHER = FromTeacher(teacher="teacher", view=Embedding(modality="b"))
SPLITS = [([0, 1, 2, 4], [5, 6]), ([3], [7, 8, 9]), ([1, 4, 0], [2, 6, 5]), ([8], [3])]


def queue(size: int, **settings) -> Pair:
    own = {"scale": FixedScale(temperature=0.2), "directions": (1.0, 0.0), "tile": (2, 3)} | settings
    return Pair(rows="a", keys=TEACHER, columns=QueueKeys(size=size, width=4), **own).double()


def xbm(size: int, warm_up: int = 0, **settings) -> Pair:
    own = {"scale": FixedScale(temperature=0.2), "directions": (1.0, 0.0), "target": Equality(key="text")} | settings
    return Pair(rows="a", keys="b", columns=XBMKeys(size=size, width=4, warm_up=warm_up), **own).double()


def run(term: Pair, parts: list[list[int]]) -> list[list[Tensor]]:
    """Loss and gradients of a step per part; the features drift from step to step."""
    out = []
    for index, rows in enumerate(parts):
        at = gloo.step(rows, index=index, seed=index, teacher=gloo.Tower(frozen="ab"))
        out.append(gloo.loss_and_gradients(term, at))
        term.after_step(at.model, index)
    return out


def features(rows: list[int], seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors of both modalities of the rows that hold both."""
    model, batch = gloo.Tower(), gloo.batch(torch.tensor([row for row in rows if row != 3]), seed)
    a, b = (F.normalize(batch.inputs[m].x @ model.maps[m], dim=1) for m in "ab")
    return a, b.detach()


def both(split: tuple[list[int], list[int]]) -> list[int]:
    return split[0] + split[1]


@pytest.mark.parametrize("size", [0, 4, 7, 16])
def test_rows_meet_the_teachers_keys_of_now_and_then_of_the_last_batches(size):
    """Sizes smaller than a batch, no multiple of it, and larger than all that ever comes."""
    found = run(queue(size), [both(split) for split in SPLITS])
    kept = torch.zeros(0, 4, dtype=torch.float64)
    for index, split in enumerate(SPLITS):
        a, b = features(both(split), seed=index)
        if len(a) + len(kept) >= 2:
            z = a @ torch.cat([b, kept]).T / 0.2
            want = F.cross_entropy(z, torch.arange(len(a)))
            assert found[index][0].item() == pytest.approx(want.item(), abs=1e-7)
        kept = torch.cat([kept, b])[-size:] if size else kept


def test_without_a_memory_the_queue_is_the_contrast_with_the_teachers_batch():
    rows = [0, 1, 2, 4, 5]
    plain = Pair(rows="a", keys=TEACHER, scale=FixedScale(temperature=0.2), directions=(1.0, 0.0)).double()
    got, want = (
        gloo.loss_and_gradients(term, gloo.step(rows, teacher=gloo.Tower(frozen="ab"))) for term in (queue(0), plain)
    )
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


def test_one_pair_competes_with_the_queue_alone():
    term = queue(8)
    run(term, [[0, 1, 2]])
    loss = run(term, [[4]])[0][0]
    assert loss > 0


def test_a_sample_still_in_the_queue_is_a_positive_by_its_id_and_a_negative_without():
    """Every row holds the same vectors: all columns are alike, so the loss only tells how many there are."""

    def second_loss(term: Pair) -> float:
        for _ in range(2):
            at = gloo.step([0, 1], teacher=gloo.Tower(frozen="ab"))
            for inp in at.batch.inputs.values():
                inp.x[:] = inp.x[:1].clone()
            loss = term(at)["loss"].item()
            term.after_step(at.model, 0)
        return loss

    assert second_loss(queue(8)) == pytest.approx(math.log(4), abs=1e-7)
    assert second_loss(queue(8, target=Equality(key="sample"))) == pytest.approx(math.log(4), abs=1e-7)
    assert second_loss(queue(8, target=MaskedDuplicates(key="sample"))) == pytest.approx(math.log(3), abs=1e-7)


def test_the_queue_moves_once_per_step_after_it_and_not_in_evaluation():
    term = queue(8)
    window = [gloo.step([0, 1, 2], teacher=gloo.Tower(frozen="ab")) for _ in range(2)]
    first, second = (term(at)["loss"] for at in window)
    assert first == second
    assert len(term.columns.memory) == 0
    term.after_step(window[0].model, 0)
    assert len(term.columns.memory) == 6
    term.eval()
    term(gloo.step([0, 1, 2], teacher=gloo.Tower(frozen="ab")))
    term.after_step(window[0].model, 1)
    assert len(term.columns.memory) == 6


def test_a_state_dict_carries_the_memory():
    parts = [both(split) for split in SPLITS]
    unbroken = run(queue(7), parts)
    first, second = queue(7), queue(7)
    run(first, parts[:1])
    second.load_state_dict(first.state_dict())
    at = gloo.step(parts[1], index=1, seed=1, teacher=gloo.Tower(frozen="ab"))
    torch.testing.assert_close(second(at)["loss"], unbroken[1][0], rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 3, 5, 8])
def test_a_memory_holds_the_newest_rows_whatever_the_batch_sizes(size):
    """The released cross-batch memory overwrites its last slots when a batch runs over the end."""
    memory, came = Fifo(size, 1), []
    for start, stop in [(0, 2), (2, 3), (3, 3), (3, 7), (7, 9), (9, 20), (20, 21)]:
        ids = torch.arange(start, stop)
        coming = memory.shown(coming=len(ids))[1].tolist()
        memory.push(ids.float()[:, None], ids)
        came += ids.tolist()
        x, content, item = memory.shown()
        assert sorted(content.tolist()) == came[-size:]
        assert x[:, 0].tolist() == content.tolist()
        assert len(item.unique()) == len(item)
        assert bool((item < 0).all())
        assert sorted(coming + ids.tolist()[-size:]) == came[-size:]


def test_the_cross_batch_memory_takes_in_the_batch_before_its_loss():
    """Dense: all pairs of equal text, in the batch or in the memory, share a row's target."""
    parts = [[0, 1, 2, 4], [5, 6, 7], [8, 9, 0]]
    found = run(xbm(5), parts)
    kept, texts = torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    for index, rows in enumerate(parts):
        a, b = features(rows, seed=index)
        kept, texts = torch.cat([kept, b])[-5:], torch.cat([texts, gloo.TEXT[rows]])[-5:]
        same = (gloo.TEXT[rows][:, None] == texts).double()
        same = same / same.sum(1, keepdim=True).clamp_min(1)
        per_row = -(same * F.log_softmax(a @ kept.T / 0.2, dim=1)).sum(1)
        want = per_row[same.sum(1) > 0].mean()
        assert found[index][0].item() == pytest.approx(want.item(), abs=1e-7)


def test_nothing_is_compared_or_remembered_before_the_warm_up():
    term = xbm(8, warm_up=2)
    losses = [result[0] for result in run(term, [[0, 1], [2, 4], [5, 6]])]
    assert losses[0] == losses[1] == 0
    assert losses[2] > 0
    assert len(term.columns.memory) == 2


def test_class_zero_is_a_class_and_no_empty_slot_is_ever_shown():
    """The released code takes a last label of 0 for a memory that is not full, and empty slots for class 0."""
    term = xbm(6)
    run(term, [[0, 5]])  # both of class 0
    at = gloo.step([5, 0], seed=1)
    assert term(at)["loss"].item() > 0
    problems = term.columns.problems(*_sides(at), gloo.TEXT[[5, 0]], (1.0, 0.0))
    assert problems[0].col_ids.content.tolist() == [0, 0, 0, 0]
    assert problems[0].pairs == 4


def _sides(at):
    from core.objectives.views import Viewed

    return Viewed(at.embedding("a")), Viewed(at.embedding("b"))


def test_without_slots_the_cross_batch_memory_costs_nothing():
    result = run(xbm(0), [[0, 1, 2]])[0]
    assert all(not t.any() for t in result)


def test_errors_say_what_to_change():
    at = gloo.step([0, 1, 2], teacher=gloo.Tower(frozen="ab"))
    with pytest.raises(ConfigError, match=r"directions are \[0.5, 0.5\].*set directions to \[1, 0\]"):
        queue(4, directions=(0.5, 0.5))(at)
    with pytest.raises(ConfigError, match="width is 9, but the keys have 4; set width to 4"):
        Pair(rows="a", keys=TEACHER, columns=QueueKeys(size=4, width=9), directions=(1.0, 0.0))(at)
    with pytest.raises(ConfigError, match=r"the keys carry a gradient.*FromTeacher"):
        Pair(rows="a", keys="b", columns=QueueKeys(size=4, width=4), directions=(1.0, 0.0))(at)
    with pytest.raises(ConfigError, match="size -1"):
        QueueKeys(size=-1, width=4)
    with pytest.raises(ConfigError, match="warm_up is -1"):
        XBMKeys(size=4, width=4, warm_up=-1)


def two_terms() -> tuple[Pair, Pair]:
    return queue(5, target=MaskedDuplicates(key="sample")), xbm(5)


def across(rank: int) -> list:
    out = []
    for term in two_terms():
        results = run(term, [split[rank] for split in SPLITS])
        out.append([gloo.mean_over_processes(result) for result in results])
        out.append([term.columns.memory.x, term.columns.memory.content])
    return out


def test_of_two_processes_each_has_the_memory_and_the_loss_of_one(tmp_path):
    """Uneven rows, and processes that hold no pair at a step."""
    first, second = gloo.in_processes(2, across, tmp_path)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for number, term in enumerate(two_terms()):
        want = run(term, [both(split) for split in SPLITS])
        torch.testing.assert_close(first[2 * number], want, rtol=0, atol=1e-10)
        torch.testing.assert_close(
            first[2 * number + 1], [term.columns.memory.x, term.columns.memory.content], rtol=0, atol=1e-12
        )
