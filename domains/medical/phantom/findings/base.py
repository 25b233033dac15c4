"""The contract of one finding and what its drawings share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.grid import Array, Box
from domains.medical.phantom.labels import LESIONS, LOBES, ORGANS
from domains.medical.phantom.scene import Scene

LUNG_IDS = (ORGANS["right lung"], ORGANS["left lung"])


class FindingModel(ABC):
    """How one label comes about: how often, with which facts, and what it looks like in the volume.

    prevalence: share of patients. loading: correlation with hidden causes (age, heart failure, ...), whose squares
    sum to less than 1. stable: probability that a prior examination showed the same.
    """

    label: ClassVar[str]
    prevalence: ClassVar[float]
    loading: ClassVar[Mapping[str, float]] = {}
    stable: ClassVar[float] = 0.4

    @abstractmethod
    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        """The facts of this label in a patient who has it; at least one."""

    def adjust(self, finding: Finding, body: Body) -> Body:
        """The body changed by the finding, for what cannot be painted afterwards (a larger heart)."""
        return body

    @abstractmethod
    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        """Paint the finding; returns it with its place and measured size, or None when there is no room for it."""


def pick(rng: np.random.Generator, options: tuple[str, ...], weights: tuple[float, ...] | None = None) -> str:
    p = None if weights is None else np.asarray(weights) / np.sum(weights)
    return options[int(rng.choice(len(options), p=p))]


def side_and_lobe(rng: np.random.Generator) -> tuple[str, str]:
    side = pick(rng, ("right", "left"), (0.56, 0.44))
    return side, pick(rng, LOBES[side], (0.45, 0.15, 0.4) if side == "right" else (0.5, 0.5))


def lung_mask(scene: Scene, box: Box) -> Array:
    """1 where the box is lung that carries no other pleural or solid lesion, else 0."""
    organs, lesions = scene.organs[box], scene.lesions[box]
    free = (lesions == 0) | (lesions == LESIONS["Emphysema"]) | (lesions == LESIONS["Lung opacity"])
    return (((organs == LUNG_IDS[0]) | (organs == LUNG_IDS[1])) & free).astype(np.float32)


def free_point(
    scene: Scene, rng: np.random.Generator, finding: Finding, margin_mm: float, clear_mm: float
) -> tuple[Finding, NDArray] | None:
    """A point in the finding's lobe, `margin_mm` inside the lung, with free lung `clear_mm` around it.

    Other lobes, then the other side, are tried when the lobe has no room; the returned finding says where it went.
    """
    other = "left" if finding.side == "right" else "right"
    options = [(finding.side, finding.lobe)]
    options += [(s, lobe) for s in (finding.side, other) for lobe in LOBES[s] if (s, lobe) != options[0]]
    star = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]) * clear_mm
    lower_z = float(scene.grid.z.min())
    for side, lobe in options:
        points = scene.anatomy.lung_points(rng, side, 80, margin_mm, lobe)
        points = points[points[:, 2] > lower_z + clear_mm]
        if len(points) == 0:
            continue
        around = (points[:, None] + star[None]).reshape(-1, 3)
        index = np.rint(scene.grid.to_index(around)).astype(int)
        inside = np.all((index >= 0) & (index < scene.grid.shape), axis=1)
        i = np.where(inside[:, None], index, 0)
        organs, lesions = scene.organs[i[:, 2], i[:, 1], i[:, 0]], scene.lesions[i[:, 2], i[:, 1], i[:, 0]]
        lesion_ok = (lesions == 0) | (lesions == LESIONS["Emphysema"])
        ok = (inside & np.isin(organs, LUNG_IDS) & lesion_ok).reshape(len(points), -1).all(axis=1)
        if ok.any():
            return replace(finding, side=side, lobe=lobe), points[int(ok.argmax())]
    return None


def random_turn(rng: np.random.Generator) -> NDArray:
    """A random rotation matrix (3, 3)."""
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q
