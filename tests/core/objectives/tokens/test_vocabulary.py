"""The chunked cross entropy is the dense one: values, gradients, types and memory."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from core.objectives.tokens.vocabulary import Classes, SoftTarget, hard_cross_entropy, soft_cross_entropy

M, V, D, E = 11, 7, 4, 3


@pytest.fixture
def case():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(M, D, generator=rng, dtype=torch.float64).requires_grad_()
    weight = torch.randn(V, D, generator=rng, dtype=torch.float64).requires_grad_()
    bias = torch.randn(V, generator=rng, dtype=torch.float64).requires_grad_()
    target = torch.randint(0, V, (M,), generator=rng)
    teacher = torch.randn(M, E, generator=rng, dtype=torch.float64)
    teacher_weight = torch.randn(V, E, generator=rng, dtype=torch.float64)
    centre = torch.randn(V, generator=rng, dtype=torch.float64)
    return x, weight, bias, target, SoftTarget(teacher, Classes(teacher_weight), centre, temperature=0.3)


@pytest.mark.parametrize("logits", [1, 3 * V, 10**6])
def test_hard_equals_the_dense_form_in_value_and_gradient(case, logits):
    x, weight, bias, target, _ = case
    token_weight = torch.arange(1.0, M + 1, dtype=torch.float64)
    errors = hard_cross_entropy(x, Classes(weight, bias), target, temperature=0.5, logits=logits)
    dense = F.cross_entropy(F.linear(x, weight, bias) / 0.5, target, reduction="none")
    torch.testing.assert_close(errors.loss, dense, rtol=1e-12, atol=1e-12)
    assert torch.equal(errors.hit, F.linear(x, weight, bias).argmax(1) == target)
    ours = torch.autograd.grad((errors.loss * token_weight).sum(), (x, weight, bias))
    theirs = torch.autograd.grad((dense * token_weight).sum(), (x, weight, bias))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.4, 0.0])
def test_soft_equals_the_dense_form_in_value_and_gradient(case, share):
    x, weight, bias, target, soft = case
    soft = soft._replace(share=share)
    errors = soft_cross_entropy(x, Classes(weight, bias), soft, target, temperature=0.1, logits=2 * V)
    log_p = (F.linear(x, weight, bias) / 0.1).log_softmax(1)
    q = ((soft.x @ soft.classes.weight.T - soft.centre) / 0.3).softmax(1)
    q = share * q + (1 - share) * F.one_hot(target, V).double()
    dense = -(q * log_p).sum(1)
    torch.testing.assert_close(errors.loss, dense, rtol=1e-12, atol=1e-12)
    for a, b in zip(
        torch.autograd.grad(errors.loss.sum(), (x, weight, bias)),
        torch.autograd.grad(dense.sum(), (x, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_gradients_agree_with_finite_differences(case):
    x, weight, bias, target, soft = case

    def loss(x, weight, bias):
        classes = Classes(weight, bias)
        hard = hard_cross_entropy(x, classes, target, logits=2 * V).loss
        return hard + soft_cross_entropy(x, classes, soft, logits=2 * V).loss

    assert torch.autograd.gradcheck(loss, (x, weight, bias))


def test_an_undecided_student_costs_the_log_of_the_classes_whatever_the_teacher_says(case):
    x, weight, _, target, soft = case
    flat = Classes(torch.zeros_like(weight))
    for loss in (hard_cross_entropy(x, flat, target).loss, soft_cross_entropy(x, flat, soft).loss):
        torch.testing.assert_close(loss, torch.full((M,), math.log(V), dtype=torch.float64))


def test_the_teacher_gets_no_gradient(case):
    x, weight, bias, _, soft = case
    teacher = soft._replace(x=soft.x.clone().requires_grad_(), classes=Classes(soft.classes.weight.requires_grad_()))
    soft_cross_entropy(x, Classes(weight, bias), teacher).loss.sum().backward()
    assert teacher.x.grad is None
    assert teacher.classes.weight.grad is None


def test_bfloat16_tokens_give_float32_losses_under_autocast(case):
    x, weight, bias, target, _ = (t.detach().float() if isinstance(t, torch.Tensor) else t for t in case)
    target = target.long()
    exact = hard_cross_entropy(x, Classes(weight, bias), target).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = hard_cross_entropy(x.bfloat16(), Classes(weight, bias), target).loss
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0.02)  # x itself lost 16 bits


def test_no_token_gives_no_loss(case):
    x, weight, bias, target, soft = case
    assert hard_cross_entropy(x[:0], Classes(weight, bias), target[:0]).loss.shape == (0,)
    assert soft_cross_entropy(x[:0], Classes(weight), soft._replace(x=soft.x[:0])).loss.shape == (0,)


def test_logits_never_exist_as_a_whole():
    """Largest tensor that any operation of forward and backward makes, seen through the dispatcher."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for t in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(t, torch.Tensor):
                    largest.append(t.numel())
            return out

    x, weight = torch.randn(256, 8, requires_grad=True), torch.randn(512, 8, requires_grad=True)
    with Watch():
        loss = hard_cross_entropy(x, Classes(weight), torch.zeros(256, dtype=torch.long), logits=16 * 512).loss
        loss.sum().backward()
    assert max(largest) <= 16 * 512 < 256 * 512
