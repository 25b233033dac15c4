"""When a modality is the exclusive or of two others, the multilinear product finds it and pairwise InfoNCE cannot.

c = a XOR b bit by bit: every pair of modalities is independent, and the three together are not. A candidate for a is
scored by Symile as the product of the three vectors, and by pairwise CLIP as the sum of the three dot products.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations

import torch
from torch import Tensor

from benchmarks.objectives.towers import Node, generator, node, rows, towers, trained, vectors
from benchmarks.result import Comparison, Goal, Options, Result, per_seed

MODALITIES = ("a", "b", "c")
SYMILE, PAIRWISE, COPY = "symile", "pairwise", "pairwise, c = a"
METRIC = "accuracy"


@dataclass(frozen=True, slots=True)
class Design:
    """dim: of the shared space, as published."""

    dim: int = 16
    train_rows: int = 4_000
    test_rows: int = 2_000
    steps: int = 80
    batch_size: int = 400
    lr: float = 0.1


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="symile_xor",
        claim=(__doc__ or "").split("\n")[0],
        source="Symile (Saporta et al. 2024), the binary XOR experiment with a predicted instead of b",
        data="pairs of fair bits and their exclusive or, one-hot",
        simulated=True,
        rule="share of held-out rows whose true value of a scores above the other one, given b and c (chance 0.5)",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={
            "design": asdict(design),
            "model": model(design),
            "objectives": {kind: terms(kind) for kind in (SYMILE, PAIRWISE)},
        },
        comparisons=(Comparison(METRIC, SYMILE, PAIRWISE),),
        goals=(Goal(METRIC, SYMILE, 0.99), Goal(METRIC, COPY, 0.99)),
        notes=("Third arm: with c a copy of a there is pairwise information, and pairwise InfoNCE finds it.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    found = {}
    for arm, kind, xor in ((SYMILE, SYMILE, True), (PAIRWISE, PAIRWISE, True), (COPY, PAIRWISE, False)):
        data, held_out = (sample(n, seed, part, xor) for part, n in enumerate((design.train_rows, design.test_rows)))
        fitted, _ = trained(
            model(design), terms(kind), rows(data), seed=seed, steps=design.steps, batch_size=design.batch_size,
            lr=design.lr,
        )  # fmt: skip
        other = {**held_out, "a": held_out["a"].flip(1)}
        scores = [score(vectors(fitted, rows(x), MODALITIES).vectors, kind) for x in (held_out, other)]
        right = (scores[0] > scores[1]).double() + 0.5 * (scores[0] == scores[1])
        found[arm] = {METRIC: float(right.mean())}
    return found


def sample(count: int, seed: int, part: int, xor: bool) -> dict[str, Tensor]:
    """One-hot bits (N, 2) of three modalities."""
    draw = generator(seed, part)
    a, b = (torch.randint(0, 2, (count,), generator=draw) for _ in range(2))
    bits = {"a": a, "b": b, "c": a ^ b if xor else a}
    return {name: torch.nn.functional.one_hot(x, 2).float() for name, x in bits.items()}


def score(vector: dict[str, object], kind: str) -> Tensor:
    """(N,) how well the three modalities of each row go together."""
    parts = [torch.as_tensor(vector[m]).double() for m in MODALITIES]
    if kind == SYMILE:
        return torch.stack(parts).prod(0).sum(1)
    return torch.stack([(x * y).sum(1) for x, y in combinations(parts, 2)]).sum(0)


def model(design: Design) -> Node:
    return towers(dict.fromkeys(MODALITIES, 2), dim=design.dim)


def terms(kind: str) -> list[Node]:
    scale = node("LogScale", init=1.0, minimum=1e-3, maximum=None)
    if kind == SYMILE:
        return [node("Symile", modalities=list(MODALITIES), scale=scale)]
    return [node("Pair", rows=x, keys=y, scale=scale) for x, y in combinations(MODALITIES, 2)]
