"""The momentum teacher: its average, its schedule, its place in checkpoints, and its equality on all processes."""

from __future__ import annotations

import math
from pathlib import Path

import gloo
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.errors import ConfigError
from core.objectives import (
    Embedding,
    FixedScale,
    FromTeacher,
    MomentumTeacher,
    Objective,
    OneHot,
    Pair,
    QueueKeys,
    Step,
)
from core.objectives.contrast.targets import KeySoftmax, Mix
from core.training.checkpoint import load_latest, save

SEES = {name: FromTeacher(teacher="momentum", view=Embedding(modality=name)) for name in "ab"}


class Net(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 3, generator=rng).to(dtype))
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x @ self.weight)


def attached(teacher: MomentumTeacher, student: nn.Module) -> MomentumTeacher:
    teacher.attach(student)
    return teacher


def test_the_average_is_the_stated_sum_over_the_past():
    student = Net()
    teacher, m = attached(MomentumTeacher(decay=0.9), student), 0.9
    want = student.weight.detach().clone()
    for index in range(1, 8):
        with torch.no_grad():
            student.weight.add_(index)
        teacher.after_step(student, index)
        want = m * want + (1 - m) * student.weight.detach()
    torch.testing.assert_close(teacher.model.weight, want, rtol=0, atol=1e-5)
    assert not teacher.model.weight.requires_grad


@pytest.mark.parametrize(("decay", "far"), [(0.0, 0.0), (1.0, 1.0)])
def test_its_limits_are_the_student_and_the_start(decay, far):
    student = Net()
    start = student.weight.detach().clone()
    teacher = attached(MomentumTeacher(decay=decay), student)
    with torch.no_grad():
        student.weight.add_(1.0)
    teacher.after_step(student, 1)
    torch.testing.assert_close(teacher.model.weight, start + (1 - far), rtol=0, atol=1e-6)


def test_the_schedule_rises_by_a_half_cosine_and_stays():
    teacher = MomentumTeacher(decay=0.996, final=1.0, steps=100)
    for index, share in [(0, 0.0), (25, 0.25), (50, 0.5), (100, 1.0), (1000, 1.0)]:
        want = 1.0 - 0.004 * 0.5 * (1 + math.cos(math.pi * share))
        assert teacher.momentum(index) == pytest.approx(want, abs=1e-9)
    assert MomentumTeacher(decay=0.995).momentum(12345) == 0.995


def test_buffers_are_those_of_the_student_and_the_mode_is_evaluation():
    student = Net().train()
    teacher = attached(MomentumTeacher(decay=0.9), student)
    student(torch.randn(8, 3, generator=torch.Generator().manual_seed(1)) + 5)
    teacher.after_step(student, 1)
    assert torch.equal(teacher.model.norm.running_mean, student.norm.running_mean)
    assert teacher.model.norm.num_batches_tracked == 1
    teacher.train()
    assert not teacher.training
    assert not teacher.model.training
    before = teacher.model.norm.running_mean.clone()
    teacher.model(torch.ones(4, 3))
    assert torch.equal(teacher.model.norm.running_mean, before)


def test_the_average_is_kept_in_float32_under_autocast():
    """Steps of 1e-5 are lost in bfloat16, where numbers near 1 are 0.008 apart."""
    student = Net()
    with torch.no_grad():
        student.weight.fill_(1.0)
    teacher = attached(MomentumTeacher(decay=0.99), student)
    with torch.no_grad():
        student.weight.fill_(1.001)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for index in range(1, 11):
            teacher.after_step(student, index)
    assert teacher.model.weight.dtype == torch.float32
    want = 1.001 - 0.001 * 0.99**10
    assert teacher.model.weight[0, 0].item() == pytest.approx(want, abs=1e-6)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ConfigError, match="needs 0 <= decay <= final <= 1"):
        MomentumTeacher(decay=1.2)
    with pytest.raises(ConfigError, match="needs 0 <= decay <= final <= 1"):
        MomentumTeacher(decay=0.9, final=0.5, steps=10)
    with pytest.raises(ConfigError, match="give final and steps together"):
        MomentumTeacher(decay=0.9, final=1.0)


class Run(nn.Module):
    """A model and TCL's contrast with a momentum queue, mixed soft targets included."""

    def __init__(self, *, queue: int = 5, amount: float = 0.4, decay: float = 0.9) -> None:
        super().__init__()
        self.model = gloo.Tower()
        settings = {"scale": FixedScale(temperature=0.25), "directions": (1.0, 0.0)}
        terms = []
        for rows, keys in ("ab", "ba"):
            soft = KeySoftmax(rows=SEES[rows], keys=SEES[keys], temperature=0.25)
            target = Mix(soft=soft, hard=OneHot(), amount=amount)
            columns = QueueKeys(size=queue, width=4)
            terms.append(Pair(rows=rows, keys=SEES[keys], columns=columns, target=target, **settings))
        self.objective = Objective(terms=terms, weights=[0.5, 0.5], teachers={"momentum": MomentumTeacher(decay=decay)})
        self.double()
        self.objective.attach(self.model)

    def step(self, rows: list[int], index: int) -> Step:
        return Step(
            model=self.model,
            batch=gloo.batch(torch.tensor(rows, dtype=torch.int64), seed=index),
            index=index,
            generator=torch.Generator().manual_seed(index),
            teachers=self.objective.teacher_models(),
        )

    def forward(self, rows: list[int], index: int) -> Tensor:
        return self.objective(self.step(rows, index))[0]


def train(run: Run, parts: list[list[int]], first: int = 0, parallel: nn.Module | None = None) -> list[Tensor]:
    optimizer = torch.optim.SGD(run.model.parameters(), lr=0.5)
    losses = []
    for index, rows in enumerate(parts, start=first):
        loss = (run if parallel is None else parallel)(rows, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.objective.after_step(run.model, index + 1)
        losses.append(loss.detach())
    return losses


SPLITS = [([0, 1, 2, 4], [5, 6]), ([3], [7, 8, 9]), ([1, 4, 0], [2, 6, 5]), ([8, 7], [3, 0])]
WHOLE = [first + second for first, second in SPLITS]


def test_without_queue_and_soft_targets_and_with_a_teacher_like_the_student_it_is_the_plain_contrast():
    """TCL's limit: alpha 0, no queue, EMA = student."""
    run = Run(queue=0, amount=0.0, decay=0.0)
    at = run.step([0, 1, 2, 4, 5], 0)
    plain = Pair(rows="a", keys="b", scale=FixedScale(temperature=0.25)).double()
    assert run([0, 1, 2, 4, 5], 0).item() == pytest.approx(plain(at)["loss"].item(), abs=1e-10)


def test_a_resumed_run_has_its_teacher_and_its_queues(tmp_path):
    unbroken = train(Run(), WHOLE)
    before = Run()
    train(before, WHOLE[:2])
    optimizer = torch.optim.SGD(before.model.parameters(), lr=0.5)
    save(tmp_path, step=2, module=before, optimizer=optimizer, progress={}, facts={})
    after = Run()
    found = load_latest(tmp_path)
    assert found is not None
    after.load_state_dict(found.weights)
    torch.testing.assert_close(train(after, WHOLE[2:], first=2), unbroken[2:], rtol=0, atol=0)


def parallel(rank: int) -> list[Tensor]:
    run = Run()
    wrapped = DistributedDataParallel(run, find_unused_parameters=True)
    losses = gloo.mean_over_processes(train(run, [split[rank] for split in SPLITS], parallel=wrapped))
    assert dist.get_world_size() == 2
    return [*losses, *run.model.parameters(), *run.objective.teachers["momentum"].parameters()]


def test_under_data_parallel_training_all_processes_have_the_teacher_of_a_single_one(tmp_path: Path):
    """Uneven rows and a process without a pair, through torch's own DistributedDataParallel."""
    first, second = gloo.in_processes(2, parallel, tmp_path)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    run = Run()
    losses = train(run, WHOLE)
    want = [*losses, *run.model.parameters(), *run.objective.teachers["momentum"].parameters()]
    torch.testing.assert_close(first, [t.detach() for t in want], rtol=0, atol=1e-9)
