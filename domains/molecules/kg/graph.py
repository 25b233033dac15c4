"""A knowledge graph as arrays: what a fitted processor tells an encoder.

Shape legend: E = entities, R = relations, T = training triples, F = features of an entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Graph:
    """entities, relations: how many there are. triples_T3: head, relation, tail of the training split. facts_N3: true
    triples that are known at inference and are neither trained on nor ranked (an inductive split's graph).
    features: name -> (E, F) float32, rows of unit length, zero where an entity has no text."""

    entities: int
    relations: int
    triples_T3: Ints  # noqa: N815
    facts_N3: Ints = field(default_factory=lambda: np.zeros((0, 3), np.int64))  # noqa: N815
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def triple_keys(triples_N3: Ints, *, entities: int, relations: int) -> Ints:
    """(N,) codes, equal exactly for equal triples."""
    head, relation, tail = triples_N3[:, 0], triples_N3[:, 1], triples_N3[:, 2]
    return (head * relations + relation) * entities + tail


def with_inverses(triples_N3: Ints, relations: int) -> Ints:
    """(2N, 3): every (h, r, t), then every (t, r + R, h)."""
    turned = np.stack([triples_N3[:, 2], triples_N3[:, 1] + relations, triples_N3[:, 0]], axis=1)
    return np.concatenate([triples_N3, turned])
