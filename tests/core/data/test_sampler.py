"""Which rows a step sees is a function of (seed, step) and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.sampler import PowerSampler, StepSampler
from core.errors import DataError


def steps(size=10, **how):
    return list(StepSampler(size, **{"batch_size": 3, "total": 9, "seed": 1, **how}))


@pytest.mark.parametrize("start", [0, 1, 3, 5, 9])
def test_a_sampler_that_starts_late_gives_the_same_later_batches(start):
    assert steps(start=start) == steps()[start:]
    assert len(StepSampler(10, batch_size=3, total=9, seed=1, start=start)) == 9 - start


def test_an_epoch_holds_no_row_twice_and_epochs_differ():
    batches = steps()
    epochs = [batches[i : i + 3] for i in (0, 3, 6)]
    for number, epoch in enumerate(epochs):
        rows = [row for batch in epoch for _, row in batch]
        assert len(set(rows)) == len(rows) == 9
        assert {e for batch in epoch for e, _ in batch} == {number}
    assert len({tuple(row for batch in epoch for _, row in batch) for epoch in epochs}) == 3


def test_another_seed_is_another_order():
    assert steps(seed=1) != steps(seed=2)
    assert steps(seed=1) == steps(seed=1)


@pytest.mark.parametrize(("size", "world"), [(10, 2), (12, 3), (5, 2), (3, 3)])
def test_processes_share_the_global_batch_without_overlap(size, world):
    ranks = [steps(size, rank=rank, world=world, batch_size=2) for rank in range(world)]
    whole = steps(size, batch_size=2 * world if size >= 2 * world else size - size % world)
    for step, batch in enumerate(whole):
        shares = [rank[step] for rank in ranks]
        assert len({len(share) for share in shares}) == 1
        assert sorted(row for share in shares for row in share) == sorted(batch)


def test_a_split_smaller_than_the_batch_gives_all_its_rows_each_step():
    assert [sorted(row for _, row in batch) for batch in steps(4, batch_size=64, total=3)] == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize(("size", "world"), [(0, 1), (1, 2)])
def test_fewer_rows_than_processes_is_an_error(size, world):
    with pytest.raises(DataError, match=f"a record for each of {world} processes; the split has {size}"):
        steps(size, world=world)


def test_groups_are_drawn_by_a_power_of_their_size():
    groups = ["a"] * 90 + ["b"] * 10
    for power, share in ((0.0, 0.5), (0.5, 0.25), (1.0, 0.1)):
        sampler = PowerSampler(groups, power=power, batch_size=50, total=80, seed=1)
        assert sampler.probability_N.sum() == pytest.approx(1)
        assert sampler.probability_N[90:].sum() == pytest.approx(share)
        rows = np.array([row for batch in sampler for _, row in batch])
        assert (rows >= 90).mean() == pytest.approx(share, abs=0.03)


def test_a_drawn_step_is_a_function_of_seed_step_and_process():
    def batches(**more):
        return list(PowerSampler(["a", "a", "b"] * 9, power=0, batch_size=6, total=9, **{"seed": 1, **more}))

    assert batches()[4:] == batches(start=4)
    assert batches() != batches(rank=1)
    assert batches() != batches(seed=2)
    with pytest.raises(DataError, match="none that can be read"):
        PowerSampler([], power=0, batch_size=2, total=1, seed=0)
