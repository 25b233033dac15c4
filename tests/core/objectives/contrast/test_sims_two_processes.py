"""Token-wise, query-wise, multilinear and lexical terms in two real processes against one process with all rows."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from core.objectives import (
    CartesianKeys,
    Embedding,
    LogScale,
    Overuse,
    Pair,
    PermutedKeys,
    QueryMax,
    Step,
    Symile,
    TokenMax,
    TokenView,
)
from core.types import Batch, Encoded, ModalityInput, Tokens
from tests.gloo import in_processes, loss_and_gradients, mean_over_processes

ROWS = 8
SPLITS = [([0, 1, 2, 3], [4, 5, 6, 7]), ([3], [0, 1, 2, 4, 5, 6, 7])]  # row 3 lacks b: the first has nothing to pair


class Towers(nn.Module):
    """Linear maps of tokens; the pooled vector is the first token."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(5)
        self.maps = nn.ParameterDict({m: torch.randn(6, 4, generator=rng, dtype=torch.float64) for m in "abc"})
        self.encoders, self.fusion, self.heads = nn.ModuleDict(), None, nn.ModuleDict()
        self.reads = {m: m for m in "abc"}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=inp.x[:, 0], tokens=Tokens(inp.x, inp.mask))

    def project(self, modality, encoded):
        return (encoded.pooled @ self.maps[modality]).exp()

    def width(self, modality):
        return 4


def terms() -> dict[str, nn.Module]:
    scale = {"scale": LogScale(init=3.0, maximum=None)}
    return {
        "tokens": Pair(
            rows=TokenView(modality="a"), keys=TokenView(modality="b"), similarity=TokenMax(),
            directions=(0.75, 0.25), tile=(2, 3), **scale,
        ),
        "queries": Pair(rows=TokenView(modality="a"), keys="b", similarity=QueryMax(), tile=(2, 3), **scale),
        "permuted": Symile(modalities=["a", "b", "c"], columns=PermutedKeys(), **scale),
        "cartesian": Symile(modalities=["a", "b", "c"], columns=CartesianKeys(), tile=(3, 7), **scale),
        "overuse": Overuse(view=Embedding(modality="b")),
    }  # fmt: skip


def batch(rows: torch.Tensor) -> Batch:
    """Rows of a fixed data set; sequences of b differ in length, and a process pads to its own longest."""
    rng = torch.Generator().manual_seed(9)
    x = {m: torch.randn(ROWS, t, 6, generator=rng, dtype=torch.float64) for m, t in (("a", 3), ("b", 5), ("c", 1))}
    length = torch.tensor([2, 3, 1, 5, 2, 4, 5, 1])
    present = {m: torch.ones(len(rows), dtype=torch.bool) for m in "abc"} | {"b": rows != 3}
    inputs = {}
    for m in "abc":
        own = rows[present[m]]
        if len(own) and m == "b":
            longest = int(length[own].max())
            inputs[m] = ModalityInput(x[m][own, :longest], torch.arange(longest) < length[own, None])
        elif len(own):
            inputs[m] = ModalityInput(x[m][own])
    return Batch([str(int(i)) for i in rows], inputs, present, keys={"sample": rows})


def results(rows: list[int]) -> dict[str, list[torch.Tensor]]:
    """Loss and gradients of every term."""
    out = {}
    for name, term in terms().items():
        model = Towers()
        step = Step(
            model=model,
            batch=batch(torch.tensor(rows)),
            index=0,
            generator=torch.Generator().manual_seed(2),
        )
        out[name] = loss_and_gradients(term.double(), step)
    return out


def of_both(rank: int) -> list[dict[str, list[torch.Tensor]]]:
    found = [results(split[rank]) for split in SPLITS]
    return [{name: mean_over_processes(tensors) for name, tensors in split.items()} for split in found]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    found = in_processes(2, of_both, tmp_path)[0]
    for split, got in zip(SPLITS, found, strict=True):
        want = results(split[0] + split[1])
        for name in want:
            for g, w in zip(got[name], want[name], strict=True):
                torch.testing.assert_close(g, w, rtol=0, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
