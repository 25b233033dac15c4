"""Towers over vectors, and the settings that the entries of this suite share.

Shape legend: N = rows of a set, P = parts of a row, F = features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import Rows, features, train
from core.config.build import build
from core.config.schema import OptimSettings
from core.models.dual_encoder import DualEncoder
from core.objectives.base import Objective
from core.training.features import Features
from core.training.setup import build_model, build_objective
from core.types import ModalityInput

Node = dict[str, Any]


def node(name: str, **init_args: Any) -> Node:
    """`core.objectives.<name>`, or a whole class path, with its arguments."""
    path = name if "." in name else f"core.objectives.{name}"
    return {"class_path": path, "init_args": init_args}


def towers(
    sizes: Mapping[str, int],
    *,
    dim: int,
    widths: Sequence[int] = (),
    frozen: Sequence[str] = (),
    project: Sequence[str] | None = None,
    heads: Mapping[str, Node] | None = None,
) -> Node:
    """A model node with one tower per modality. sizes: modality -> F. widths: of each tower's layers, none for linear
    towers. frozen: modalities whose tower is the features as they are. project: modalities with a projection of their
    own, all that are not frozen when None; the others compare the tower's output."""
    learned = [m for m in sizes if m not in frozen] if project is None else list(project)
    encoders = {
        m: node("core.encoders.VectorMLP", features=f, widths=[] if m in frozen else list(widths))
        for m, f in sizes.items()
    }
    plain = {m: {"class_path": "torch.nn.Identity"} for m in sizes if m not in learned}
    return node(
        "core.models.DualEncoder",
        encoders=encoders,
        modalities={m: m for m in sizes},
        dim=dim,
        projections=plain,
        heads=dict(heads or {}),
    )


def rows(inputs: Mapping[str, Tensor], **keys: Tensor) -> Rows:
    """A set of vectors by modality; keys (N,) int64."""
    return Rows({name: ModalityInput(x) for name, x in inputs.items()}, {}, dict(keys))


def trained(
    model: Node,
    terms: Sequence[Node],
    data: Rows,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    lr: float = 1e-2,
    teachers: Mapping[str, Node] | None = None,
    start: DualEncoder | None = None,
) -> tuple[DualEncoder, Objective]:
    """The model after `steps`, with what it was trained by. start: a model to go on with, in place of a fresh one."""
    built = build_model(model, seed) if start is None else start
    objective = build_objective(list(terms), seed, dict(teachers or {}))
    optim = OptimSettings(lr=lr, weight_decay=0.0)
    train(built, objective, data, steps=steps, batch_size=batch_size, optim=optim, seed=seed)
    return built.eval(), objective


def vectors(model: DualEncoder, data: Rows, modalities: Sequence[str]) -> Features:
    """Unit vectors and pooled features of every row."""
    return features(model, data, modalities)


def generator(seed: int, part: int = 0) -> torch.Generator:
    """Random numbers of one seed; parts are independent of each other."""
    return torch.Generator().manual_seed(seed * 1000 + part)


__all__ = ["Node", "build", "generator", "node", "rows", "towers", "trained", "vectors"]
