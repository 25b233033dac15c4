"""Cross entropy over a large vocabulary (or many prototypes) whose logits never exist as a whole.

Tokens are cut into chunks; the float32 logits of one chunk live during its forward and again during its backward.
Exact, differentiable once, and on any device.
Shape legend: M = tokens, V = size of the vocabulary, D = width of the tokens, E = width of the teacher's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LOGITS = 2**24  # logits of one chunk: 64 MB in float32


class TokenErrors(NamedTuple):
    """loss: (M,) in nats, float32 or finer. hit: (M,) bool, the best logit is the target's."""

    loss: Tensor
    hit: Tensor


class Classes(NamedTuple):
    """A linear map to logits. weight: (V, D). bias: (V,) or None."""

    weight: Tensor
    bias: Tensor | None = None

    @classmethod
    def of(cls, linear: nn.Linear) -> Classes:
        return cls(linear.weight, linear.bias)


class SoftTarget(NamedTuple):
    """A teacher's distribution, softmax((W x - centre) / temperature), without gradient.

    x: (M, E). centre: (V,) or None. share: how much of the target it is; the rest is one-hot.
    """

    x: Tensor
    classes: Classes
    centre: Tensor | None = None
    temperature: float = 1.0
    share: float = 1.0


def hard_cross_entropy(
    x_MD: Tensor, classes: Classes, target_M: Tensor, *, temperature: float = 1.0, logits: int = LOGITS
) -> TokenErrors:
    """-log softmax(W x / temperature)[target] of each token. logits: how many may exist at a time."""

    def some(x_mD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, target_m: Tensor) -> tuple[Tensor, Tensor]:
        z_mV = _logits(x_mD, Classes(weight_VD, bias_V)) / temperature
        return F.cross_entropy(z_mV, target_m, reduction="none"), z_mV.detach().argmax(1) == target_m

    return _by_chunks(some, (x_MD,), (classes.weight, classes.bias), (target_M,), logits)


def soft_cross_entropy(
    x_MD: Tensor,
    classes: Classes,
    soft: SoftTarget,
    target_M: Tensor | None = None,
    *,
    temperature: float = 1.0,
    logits: int = LOGITS,
) -> TokenErrors:
    """share * H(teacher, student) + (1 - share) * H(one-hot, student) of each token.

    target_M: ids of the one-hot part; only a share of 1 needs none, and `hit` is then against the teacher's best class.
    Without a teacher's share this is `hard_cross_entropy`. Uniform student: ln V whatever the teacher says.
    """
    assert target_M is not None or soft.share == 1.0

    def some(
        x_mD: Tensor, soft_mE: Tensor, weight_VD: Tensor, bias_V: Tensor | None, *rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        log_p_mV = (_logits(x_mD, Classes(weight_VD, bias_V)) / temperature).log_softmax(1)
        with torch.no_grad():
            teacher_mV = _logits(soft_mE, soft.classes)
            if soft.centre is not None:
                teacher_mV = teacher_mV - soft.centre
            q_mV = (teacher_mV / soft.temperature).softmax(1)
        target_m = rest[0] if rest else q_mV.argmax(1)
        loss_m = -(q_mV * log_p_mV).sum(1)
        if rest:
            loss_m = soft.share * loss_m - (1 - soft.share) * log_p_mV.gather(1, target_m[:, None])[:, 0]
        return loss_m, log_p_mV.detach().argmax(1) == target_m

    others = () if target_M is None else (target_M,)
    return _by_chunks(some, (x_MD, soft.x.detach()), (classes.weight, classes.bias), others, logits)


def _logits(x_mD: Tensor, classes: Classes) -> Tensor:
    """In float32 or finer, under autocast too."""
    dtype = torch.promote_types(torch.promote_types(x_mD.dtype, classes.weight.dtype), torch.float32)
    with torch.autocast(x_mD.device.type, enabled=False):
        bias = None if classes.bias is None else classes.bias.to(dtype)
        return F.linear(x_mD.to(dtype), classes.weight.to(dtype), bias)


def _by_chunks(
    some: Callable[..., tuple[Tensor, Tensor]],
    rows: tuple[Tensor, ...],
    shared: tuple[Tensor | None, ...],
    targets: tuple[Tensor, ...],
    logits: int,
) -> TokenErrors:
    """`some` over slices of the tokens; what it computes inside is not kept for the backward but computed again."""
    assert shared[0] is not None
    step = max(1, logits // len(shared[0]))
    loss_M, hit_M = _Recomputed.apply(some, step, (len(rows), len(shared)), *rows, *shared, *targets)
    return TokenErrors(loss_M, hit_M)


class _Recomputed(torch.autograd.Function):
    """some(*slices of rows, *shared, *slices of targets) -> (loss, hit), slice after slice; forward again in backward.

    Not torch.utils.checkpoint, which loads the compiler on first use and keeps one gradient of the weight per slice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        some: Callable[..., tuple[Tensor, Tensor]],
        step: int,
        counts: tuple[int, int],
        *tensors: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.some, ctx.step, ctx.counts = some, step, counts
        ctx.save_for_backward(*tensors)
        parts = [some(*slices) for slices in _slices(tensors, step, counts)]
        loss_M, hit_M = (torch.cat(values) for values in zip(*parts, strict=True))
        ctx.mark_non_differentiable(hit_M)
        return loss_M, hit_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_M: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        tensors, (row_count, _) = ctx.saved_tensors, ctx.counts
        asked = [i for i in range(len(tensors)) if ctx.needs_input_grad[3 + i]]
        total: list[Tensor | None] = [torch.zeros_like(t) if i in asked else None for i, t in enumerate(tensors)]
        for number, slices in enumerate(_slices(tensors, ctx.step, ctx.counts)):
            here = slice(number * ctx.step, (number + 1) * ctx.step)
            leaves = [t.detach().requires_grad_() if i in asked else t for i, t in enumerate(slices)]
            with torch.enable_grad():
                loss_m, _ = ctx.some(*leaves)
            found = torch.autograd.grad(loss_m, [leaves[i] for i in asked], grad_M[here], allow_unused=True)
            for i, gradient in zip(asked, found, strict=True):
                own = total[i]
                if own is not None and gradient is not None:
                    (own[here] if i < row_count else own).add_(gradient)
        return (None, None, None, *total)


def _slices(tensors: tuple[Any, ...], step: int, counts: tuple[int, int]) -> Iterator[list[Any]]:
    """Arguments for one slice after the other: rows and targets cut, the others whole. No row: one empty slice."""
    rows, shared, targets = tensors[: counts[0]], tensors[counts[0] : sum(counts)], tensors[sum(counts) :]
    for start in range(0, max(len(rows[0]), 1), step):
        yield [*(t[start : start + step] for t in rows), *shared, *(t[start : start + step] for t in targets)]
