"""The losses that `objectives` measures: this suite's, and beside each what a user would take instead.

Shape legend: B = pairs, D = width, T, U = tokens of an image and of a text.
A peer is another library where one has the loss, or the loss written out with whole matrices ("dense").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import missing_extra
from core.objectives import (
    BatchKeys,
    OneHot,
    PermutedKeys,
    Sigmoid,
    TeacherPair,
    TeacherSoftmax,
    TokenMax,
    Viewed,
)
from core.objectives.contrast.divergence import Divergence, RowCE
from core.objectives.contrast.kernel import term_weights, tiled_loss
from core.objectives.contrast.matrix import DotMatrix, Matrix
from core.objectives.contrast.targets import Ids, SparseWeights, Target, Weights
from core.objectives.contrast.tiles import Tile

Inputs = list[Tensor]
Loss = Callable[[Inputs], Tensor]
TOKENS = (196, 64)
SCALE, BIAS = 14.2857, -10.0


@dataclass(frozen=True, slots=True)
class Case:
    """about: what is computed. inputs: (pairs, width, dtype) -> tensors. sides: name -> maker of the loss, this suite's
    first. matrices: how many B x B float32 matrices the hungriest peer holds, to tell beforehand what will not fit."""

    about: str
    inputs: Callable[[int, int, torch.dtype], Inputs]
    sides: dict[str, Callable[[], Loss]]
    matrices: Callable[[int], float]


def unit(rng: torch.Generator, *shape: int, dtype: torch.dtype) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=rng, dtype=dtype), dim=-1)


def vectors(count: int, scalars: tuple[float, ...] = (SCALE,), frozen: int = 0) -> Callable[..., Inputs]:
    """`count` correlated sets of unit vectors and `scalars` that want a gradient, then `frozen` sets without."""

    def make(pairs: int, dim: int, dtype: torch.dtype) -> Inputs:
        rng = torch.Generator().manual_seed(0)
        first = unit(rng, pairs, dim, dtype=dtype)
        sets = [first]
        for _ in range(count + frozen - 1):
            sets.append(F.normalize(unit(rng, pairs, dim, dtype=dtype).add_(first, alpha=0.5), dim=-1))
        numbers = [torch.tensor(x, dtype=dtype).requires_grad_() for x in scalars]
        return [*(x.requires_grad_() for x in sets[:count]), *numbers, *sets[count:]]

    return make


def token_sequences(pairs: int, dim: int, dtype: torch.dtype) -> Inputs:
    rng = torch.Generator().manual_seed(0)
    x, y = (unit(rng, pairs, t, dim, dtype=dtype) for t in TOKENS)
    return [x.requires_grad_(), y.requires_grad_(), torch.tensor(SCALE, dtype=dtype, requires_grad=True)]


def solve(
    matrix: Matrix, scale: Tensor, weights: Weights, shares: tuple[float | None, float | None], **more: Any
) -> Tensor:
    divergence: Divergence = more.pop("divergence", RowCE())
    rows, cols = (
        term_weights(total, share, every_row=divergence.every_row)
        for total, share in zip((weights.row_total_n, weights.col_total_m), shares, strict=True)
    )
    return tiled_loss(
        matrix, scale=scale, weights=weights, divergence=divergence, row_weight_n=rows, col_weight_m=cols, **more
    )[0]


def target_weights(target: Target, pairs: int, dtype: torch.dtype, **sides: tuple[Tensor, Tensor]) -> Weights:
    item = torch.arange(pairs)
    rows, cols = (Ids(item, item, {name: both[k] for name, both in sides.items()}) for k in (0, 1))
    return target.weights(rows, cols, dtype)


def infonce(x: Inputs) -> Tensor:
    a, b, s = x
    return solve(DotMatrix(a, b), s, target_weights(OneHot(), len(a), a.dtype), (0.5, 0.5))


def siglip(x: Inputs) -> Tensor:
    a, b, s, bias = x
    weights = target_weights(OneHot(), len(a), a.dtype)
    return solve(DotMatrix(a, b), s, weights, (1.0, None), divergence=Sigmoid(), bias=bias)


def distilled(x: Inputs) -> Tensor:
    """Contrast plus distillation from one teacher, as MobileCLIP trains."""
    a, b, s, teacher_a, teacher_b = x
    soft = TeacherSoftmax(teachers=[TeacherPair(rows="a", keys="b", temperature=1 / SCALE)])
    weights = target_weights(soft, len(a), a.dtype, teacher0=(teacher_a, teacher_b))
    return infonce([a, b, s]) + solve(DotMatrix(a, b), s, weights, (0.5, 0.5))


class _Self:
    """The diagonal: what a vector is not compared with."""

    def __call__(self, tile: Tile) -> tuple[Tensor, Tensor]:
        both = torch.arange(max(tile.rows.start, tile.cols.start), min(tile.rows.stop, tile.cols.stop))
        return both - tile.rows.start, both - tile.cols.start


def ntxent(x: Inputs) -> Tensor:
    """All 2 B vectors against all others (SimCLR); normalised here, as the peer does."""
    a, b, s = x
    both = F.normalize(torch.cat([a, b]), dim=1)
    every = torch.arange(len(both))
    partner = every.roll(len(a))
    weights = OneHot().weights(Ids(partner, partner), Ids(every, every), a.dtype)
    assert isinstance(weights, SparseWeights)
    weights.excluded = _Self()
    return solve(DotMatrix(both, both), s, weights, (1.0, None))


def filip(x: Inputs) -> Tensor:
    a, b, s = x
    similarity = TokenMax()
    weights = target_weights(OneHot(), len(a), a.dtype)
    matrices = similarity.both(similarity.rows(Viewed(a)), similarity.rows(Viewed(b)))
    return torch.stack([solve(m, s, weights, (0.5, None)) for m in matrices]).sum()


def dense_filip(x: Inputs) -> Tensor:
    a, b, s = x
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    z = (a.flatten(0, 1) @ b.flatten(0, 1).T).view(*a.shape[:2], *b.shape[:2])
    y = torch.arange(len(a))
    forth, back = s * z.amax(3).mean(1), s * z.amax(1).mean(2)
    return (F.cross_entropy(forth, y) + F.cross_entropy(back.T, y)) / 2


def symile(x: Inputs) -> Tensor:
    *modalities, s = x
    columns = PermutedKeys(across=BatchKeys())
    gathered = columns.gather(modalities, None)
    losses = []
    for anchor in columns.tuples(gathered, columns.shared(torch.Generator().manual_seed(0), s.device)):
        weights = target_weights(OneHot(), len(anchor.positive_n), s.dtype)
        assert isinstance(weights, SparseWeights)
        weights.excluded = anchor.excluded
        losses.append(solve(anchor.matrix, s, weights, (1.0, None)))
    return torch.stack(losses).mean()


def dense_symile(x: Inputs) -> Tensor:
    """The form of the released code, without its false negatives."""
    *modalities, s = x
    y = torch.arange(len(x[0]))
    columns = PermutedKeys(across=BatchKeys())
    generator = columns.shared(torch.Generator().manual_seed(0), s.device)
    losses = []
    for k, anchor in enumerate(modalities):
        one, two = (m for other, m in enumerate(modalities) if other != k)
        first, second = (torch.randperm(len(y), generator=generator) for _ in range(2))
        z = s * anchor @ (one[first] * two[second]).T
        z = torch.where(torch.eye(len(y), dtype=torch.bool), (s * (anchor * one * two).sum(1))[:, None], z)
        together = (first == second) & (first != y)
        z = z.index_put((first[together], y[together]), torch.tensor(torch.finfo(z.dtype).min, dtype=z.dtype))
        losses.append(F.cross_entropy(z, y))
    return torch.stack(losses).mean()


def open_clip_infonce() -> Loss:
    loss = _open_clip("ClipLoss")()
    return lambda x: loss(*x)


def open_clip_siglip() -> Loss:
    loss = _open_clip("SigLipLoss")()
    return lambda x: loss(*x)


def open_clip_distilled() -> Loss:
    loss = _open_clip("DistillClipLoss")()
    return lambda x: torch.stack(loss(x[0], x[1], x[2], x[3], x[4], SCALE)).sum()


def lightly_ntxent() -> Loss:
    try:
        from lightly.loss import NTXentLoss
    except ImportError as err:
        raise missing_extra("lightly", "peers") from err
    loss = NTXentLoss(temperature=1 / SCALE)
    # the temperature is a constant there; the zero keeps the scale's gradient defined
    return lambda x: loss(x[0], x[1]) + 0 * x[2]


def _open_clip(name: str) -> Any:
    try:
        import open_clip.loss
    except ImportError as err:
        raise missing_extra("open_clip", "dev") from err
    return getattr(open_clip.loss, name)


def _ready(loss: Loss) -> Callable[[], Loss]:
    return lambda: loss


CASES = {
    "infonce": Case(
        "symmetric InfoNCE",
        vectors(2),
        {"heptad": _ready(infonce), "open_clip": open_clip_infonce},
        lambda pairs: 7 * pairs**2,
    ),
    "ntxent": Case(
        "NT-Xent, all 2 B against all others",
        vectors(2),
        {"heptad": _ready(ntxent), "lightly": lightly_ntxent},
        lambda pairs: 7 * (2 * pairs) ** 2,
    ),
    "siglip": Case(
        "sigmoid loss",
        vectors(2, (10.0, BIAS)),
        {"heptad": _ready(siglip), "open_clip": open_clip_siglip},
        lambda pairs: 6 * pairs**2,
    ),
    "soft": Case(
        "InfoNCE and distillation from a teacher",
        vectors(2, frozen=2),
        {"heptad": _ready(distilled), "open_clip": open_clip_distilled},
        lambda pairs: 14 * pairs**2,
    ),
    "symile": Case(
        "Symile, three modalities, permuted",
        vectors(3),
        {"heptad": _ready(symile), "dense": _ready(dense_symile)},
        lambda pairs: 15 * pairs**2,
    ),
    "filip": Case(
        f"FILIP, {TOKENS[0]} x {TOKENS[1]} tokens",
        token_sequences,
        {"heptad": _ready(filip), "dense": _ready(dense_filip)},
        lambda pairs: 3 * pairs**2 * TOKENS[0] * TOKENS[1],
    ),
}
