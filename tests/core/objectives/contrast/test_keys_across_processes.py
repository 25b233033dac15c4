"""Real gloo processes, averaged as data-parallel training does, against one process with all rows."""

from __future__ import annotations

import math
from typing import Any

import gloo
import pytest
import torch

from core.errors import ConfigError
from core.objectives import (
    BatchKeys,
    Equality,
    FromTeacher,
    GatheredKeys,
    GroupedKeys,
    Keys,
    LabelSmooth,
    LogScale,
    MaskedDuplicates,
    Pair,
    ReleasedGather,
    RingKeys,
    Step,
)
from core.objectives.contrast.divergence import BalancedBCE, Hinge, Margin, ReverseKL, Sigmoid
from core.objectives.contrast.targets import EachEqual, IntraModal, Mix, OneHot, TeacherPair, TeacherSoftmax
from core.objectives.views import Embedding

# rows of each process: even; uneven, where the first process holds no pair at all
SPLITS = {
    2: [[[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], [[3], [0, 1, 2, 4, 5, 6, 7, 8, 9]]],
    3: [[[0, 1], [3], [2, 4, 5, 6, 7, 8, 9]]],
}
EVERY = list(range(10))

TEACHER = TeacherPair(
    rows=FromTeacher(teacher="teacher", view=Embedding(modality="a")),
    keys=FromTeacher(teacher="teacher", view=Embedding(modality="b")),
    temperature=0.5,
)
SETTINGS: dict[str, dict[str, Any]] = {
    "one-hot": {},
    "equality": {"target": Equality(key="text")},
    "masked": {"target": MaskedDuplicates(key="text")},
    "smooth, one way": {"target": LabelSmooth(amount=0.2), "directions": (1.0, 0.0)},
    "bias": {"scale": LogScale(init=3.0, bias=-1.5)},
    "sigmoid": {"divergence": Sigmoid(), "scale": LogScale(init=3.0, bias=-1.5), "directions": (1.0, 0.0)},
    "sigmoid, equality": {"divergence": Sigmoid(), "target": EachEqual(key="text")},
    "reverse KL": {"divergence": ReverseKL(), "target": Equality(key="text")},
    "balanced": {"divergence": BalancedBCE(), "target": EachEqual(key="text")},
    "margin": {"divergence": Margin(margin=0.1), "target": Equality(key="text")},
    "hinge": {"divergence": Hinge(margin=0.3)},
    "sample weights": {"sample_weight": "trust"},
    "taught": {"target": Mix(soft=TeacherSoftmax(teachers=[TEACHER]), hard=OneHot(), amount=0.3)},
    "intra-modal": {"target": IntraModal(view=FromTeacher(teacher="teacher", view=Embedding(modality="a")))},
}


def pair(keys: Keys | None = None, **settings: Any) -> Pair:
    own = {"scale": LogScale(init=3.0), "directions": (0.75, 0.25), "tile": (2, 3)} | settings
    return Pair(rows="a", keys="b", columns=keys, **own).double()


def step(rows: list[int]) -> Step:
    """With a teacher, and with a label that says how far a sample is to be trusted."""
    at = gloo.step(rows, teacher=gloo.Tower(frozen="ab", seed=6))
    at.batch.labels["trust"] = torch.arange(10.0, dtype=torch.float64)[rows] / 10
    return at


def cases(world: int) -> dict[str, tuple[Keys, dict[str, Any]]]:
    return {
        f"{type(keys).__name__}: {name}": (keys, settings)
        for keys in (GatheredKeys(), RingKeys(), GroupedKeys(size=world), ReleasedGather())
        for name, settings in SETTINGS.items()
    }


def measure(rank: int) -> dict[str, Any]:
    world = torch.distributed.get_world_size()
    out: dict[str, Any] = {}
    for number, split in enumerate(SPLITS[world]):
        for name, (keys, settings) in cases(world).items():
            result = gloo.loss_and_gradients(pair(keys, **settings), step(split[rank]))
            out[f"{number} {name}"] = gloo.mean_over_processes(result)
        for keys in (GatheredKeys(), RingKeys()):  # keys of a frozen tower, and of a teacher, carry no gradient
            at = gloo.step(split[rank], gloo.Tower(frozen="b"))
            out[f"{number} {type(keys).__name__} frozen"] = gloo.mean_over_processes(
                gloo.loss_and_gradients(pair(keys), at)
            )
            at = gloo.step(split[rank], teacher=gloo.Tower(frozen="ab"))
            term = Pair(rows="a", keys=FromTeacher(teacher="teacher", view=Embedding(modality="b")), columns=keys)
            result = gloo.loss_and_gradients(term.double(), at)
            out[f"{number} {type(keys).__name__} teacher"] = gloo.mean_over_processes(result)
        local = gloo.loss_and_gradients(pair(GroupedKeys(size=1)), gloo.step(split[rank]))
        out[f"{number} groups of one"] = gloo.mean_over_processes(local)
    if world == 3:
        try:
            GroupedKeys(size=2)._group()
        except ConfigError as error:
            out["refused"] = torch.tensor("groups of 2 cannot be made of 3 processes" in str(error))
    return out


@pytest.fixture(scope="module", params=[2, 3])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """What the first of 2 and of 3 processes found; all found the same."""
    world = request.param
    first, *others = gloo.in_processes(world, measure, tmp_path_factory.mktemp("processes"))
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=0)
    return world, first


def close(got: list[torch.Tensor], want: list[torch.Tensor], tolerance: float = 1e-10) -> None:
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=tolerance)


def test_exact_keys_give_value_and_gradients_of_the_whole_batch(measured):
    """Encoders, scale and bias; rows spread evenly, unevenly, and with a process that holds no pair."""
    world, found = measured
    for number in range(len(SPLITS[world])):
        for name, (keys, settings) in cases(world).items():
            if not isinstance(keys, ReleasedGather):
                close(found[f"{number} {name}"], gloo.loss_and_gradients(pair(**settings), step(EVERY)))


def test_released_gather_has_the_value_and_the_scale_but_a_share_of_the_encoder_gradient(measured):
    world, found = measured
    for number in range(len(SPLITS[world])):
        for name, (keys, settings) in cases(world).items():
            if isinstance(keys, ReleasedGather):
                loss, a, b, *scale = gloo.loss_and_gradients(pair(**settings), step(EVERY))
                close(found[f"{number} {name}"], [loss, a / world, b / world, *scale])


def test_keys_without_gradient_make_no_exchange_of_gradients(measured):
    """A process without a pair stands in with an empty tensor that has a graph; it must not wait for the others."""
    world, found = measured
    frozen = gloo.loss_and_gradients(pair(), gloo.step(EVERY, gloo.Tower(frozen="b")))
    term = Pair(rows="a", keys=FromTeacher(teacher="teacher", view=Embedding(modality="b"))).double()
    taught = gloo.loss_and_gradients(term, gloo.step(EVERY, teacher=gloo.Tower(frozen="ab")))
    for number in range(len(SPLITS[world])):
        for keys in ("GatheredKeys", "RingKeys"):
            close(found[f"{number} {keys} frozen"], frozen)
            close(found[f"{number} {keys} teacher"], taught)


def test_groups_of_one_process_are_local_losses_weighted_by_their_pairs(measured):
    world, found = measured
    for number, split in enumerate(SPLITS[world]):
        pairs = [sum(row != 3 for row in rows) for rows in split]
        total = None
        for rows, n in zip(split, pairs, strict=True):
            if n < 2:  # a lone pair has nothing to compete with: ln 1
                continue
            weighted = [n / sum(pairs) * t for t in gloo.loss_and_gradients(pair(BatchKeys()), gloo.step(rows))]
            total = weighted if total is None else [x + y for x, y in zip(total, weighted, strict=True)]
        close(found[f"{number} groups of one"], total)


GROUPS = [[[0, 1], [2, 4, 5]], [[3, 6, 7], [8, 9]]]


def grouped(rank: int) -> list[torch.Tensor]:
    rows = GROUPS[rank // 2][rank % 2]
    return gloo.mean_over_processes(gloo.loss_and_gradients(pair(GroupedKeys(size=2)), gloo.step(rows)))


def test_two_groups_of_two_processes_are_two_batches_weighted_by_their_pairs(tmp_path):
    found = gloo.in_processes(4, grouped, tmp_path)
    parts = [gloo.loss_and_gradients(pair(BatchKeys()), gloo.step(first + second)) for first, second in GROUPS]
    want = [5 / 9 * x + 4 / 9 * y for x, y in zip(*parts, strict=True)]
    for one in found:
        close(one, want)


def test_groups_have_to_be_of_one_size(measured):
    world, found = measured
    if world == 3:
        assert found["refused"]
    with pytest.raises(ConfigError, match="size is 0"):
        GroupedKeys(size=0)


@pytest.mark.parametrize("keys", [GatheredKeys(), RingKeys(), GroupedKeys(size=1), ReleasedGather()])
def test_in_one_process_all_are_the_pairs_of_the_batch(keys):
    want = gloo.loss_and_gradients(pair(BatchKeys()), gloo.step(EVERY))
    close(gloo.loss_and_gradients(pair(keys), gloo.step(EVERY)), want, tolerance=0)
    assert math.isfinite(want[0])
