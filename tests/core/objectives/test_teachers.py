"""Teachers that keep an old model: the frozen one and the compatible momentum."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.errors import CheckpointError, ConfigError
from core.objectives import CompatibleMomentum, FrozenTeacher, MomentumTeacher


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)


@pytest.fixture
def student() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().train()


def move(student: nn.Module, rng: torch.Generator) -> None:
    with torch.no_grad():
        for p in student.parameters():
            p.add_(torch.randn(p.shape, generator=rng))
        student.norm.running_mean += 1


def test_compatible_momentum_is_the_stated_sum_of_three_models(student, rng):
    teacher = CompatibleMomentum()
    teacher.attach(student)
    old = {name: p.detach().clone() for name, p in student.named_parameters()}
    want = {name: p.clone() for name, p in old.items()}
    for index in range(1, 6):
        move(student, rng)
        teacher.after_step(student, index)
        for name, p in student.named_parameters():
            want[name] = 0.9 * want[name] + 0.05 * p.detach() + 0.05 * old[name]
    for name, p in teacher.model.named_parameters():
        torch.testing.assert_close(p, want[name], rtol=0, atol=1e-6)
        assert not p.requires_grad
    assert torch.equal(teacher.model.norm.running_mean, student.norm.running_mean)
    assert all(torch.equal(p, old[name]) for name, p in teacher.start.named_parameters())


def test_compatible_momentum_of_a_student_that_stays_where_it_was_stays_too(student):
    teacher = CompatibleMomentum()
    teacher.attach(student)
    for index in range(50):
        teacher.after_step(student, index)
    for own, new in zip(teacher.model.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(own, new, rtol=0, atol=1e-6)


def test_without_the_old_model_it_is_the_plain_momentum(student, rng):
    compatible, plain = CompatibleMomentum(keep=0.9, new=0.1, old=0.0), MomentumTeacher(decay=0.9)
    for teacher in (compatible, plain):
        teacher.attach(student)
    for index in range(4):
        move(student, rng)
        for teacher in (compatible, plain):
            teacher.after_step(student, index)
    for own, new in zip(compatible.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(own, new, rtol=0, atol=1e-6)


def test_its_limit_lies_between_the_old_and_the_new(student, rng):
    """A student that moved once and stays: theta_m tends to (new theta + old theta_old) / (new + old)."""
    teacher = CompatibleMomentum(keep=0.5, new=0.3, old=0.2)
    teacher.attach(student)
    old = student.linear.weight.detach().clone()
    move(student, rng)
    for index in range(60):
        teacher.after_step(student, index)
    want = 0.6 * student.linear.weight.detach() + 0.4 * old
    torch.testing.assert_close(teacher.model.linear.weight, want, rtol=0, atol=1e-6)


def test_both_models_are_part_of_the_state(student, rng):
    teacher, again = CompatibleMomentum(), CompatibleMomentum()
    teacher.attach(student)
    move(student, rng)
    teacher.after_step(student, 1)
    again.attach(student)
    again.load_state_dict(teacher.state_dict())
    assert {name.split(".")[0] for name in teacher.state_dict()} == {"model", "start"}
    for a, b in zip(teacher.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("shares", [(0.9, 0.05, 0.06), (1.1, -0.05, -0.05)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ConfigError, match=r"three shares >= 0 that sum to 1"):
        CompatibleMomentum(keep=shares[0], new=shares[1], old=shares[2])


def test_a_frozen_teacher_never_moves_and_stays_in_evaluation_mode(student, rng):
    teacher = FrozenTeacher()
    teacher.attach(student)
    before = {name: t.clone() for name, t in teacher.state_dict().items()}
    move(student, rng)
    teacher.before_forward(student, 0)
    teacher.after_step(student, 1)
    teacher.on_epoch(student, 1)
    teacher.train()
    assert all(torch.equal(t, before[name]) for name, t in teacher.state_dict().items())
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())


def test_a_frozen_teacher_of_no_saved_model_says_so(student, tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        FrozenTeacher(saved=tmp_path / "nothing").attach(student)
