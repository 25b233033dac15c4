"""Fluid and air around the lung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings.base import LUNG_IDS, FindingModel, pick
from domains.medical.phantom.grid import Array
from domains.medical.phantom.scene import Scene


def _severity(size_mm: float, limits: tuple[float, float]) -> str:
    return "mild" if size_mm < limits[0] else "moderate" if size_mm < limits[1] else "severe"


def _lung_only(scene: Scene, side: str) -> Array:
    box, _ = scene.pleura[side]
    return np.isin(scene.organs[box], LUNG_IDS).astype(np.float32)


class PleuralEffusion(FindingModel):
    """Fluid that layers behind the lung of the supine patient, deepest at the base, rising along the wall.

    size_mm is its greatest depth, front to back: mild (small) under 22, moderate under 48, else severe (large).
    """

    label, prevalence, stable = "Pleural effusion", 0.20, 0.25
    loading: ClassVar[Mapping[str, float]] = {"cardiac": 0.55, "infection": 0.25, "malignancy": 0.3}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        def one(side: str, low: float, high: float) -> Finding:
            size = float(np.round(np.exp(rng.uniform(np.log(low), np.log(high)))))
            return Finding(self.label, side, size_mm=size, severity=_severity(size, (22, 48)))

        if rng.random() < 0.4:
            return [one("right", 10, 60), one("left", 10, 50)]
        return [one(pick(rng, ("right", "left"), (0.55, 0.45)), 10, 85)]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        box, pleura = scene.pleura[finding.side]
        _, y, z = scene.grid.coords(box)
        _, b, centre = scene.anatomy.chest_axes(z)
        size = np.float32(finding.size_mm)
        height = {"mild": -30.0, "moderate": 15.0, "severe": 75.0}[finding.severity]
        taper = np.sqrt(np.clip((np.float32(height) - z) / np.float32(75.0), 0.0, 1.0))
        rim = np.float32(0.18) * size * np.clip(np.float32(1.0) + pleura / np.float32(14.0), 0.0, 1.0) * taper
        level = centre - np.float32(0.955) * b + np.float32(1.5) + size * taper + rim - np.float32(2.0)
        fluid = np.maximum(pleura, np.maximum(y - level, z - np.float32(height)))
        lung = _lung_only(scene, finding.side)
        near = scene.grid.cover((fluid - np.float32(6.0)) * np.float32(0.35)) * lung
        view = scene.hu[box]
        view += near * np.float32(110.0) * (view < -500)  # the lung beside the fluid airs less
        cover = scene.grid.cover(fluid) * lung
        scene.paint(box, cover, float(rng.uniform(4, 16)), organ=0, lesion=self.label)
        return finding if (cover > 0.5).any() else None


class Pneumothorax(FindingModel):
    """Air that rises in front of the lung of the supine patient and over its apex.

    size_mm is its greatest depth: mild (small) under 20, moderate under 40, else severe (large).
    """

    label, prevalence, stable = "Pneumothorax", 0.09, 0.1
    loading: ClassVar[Mapping[str, float]] = {"trauma": 0.55, "smoking": 0.15}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        size = float(np.round(np.exp(rng.uniform(np.log(9), np.log(60)))))
        return [Finding(self.label, pick(rng, ("right", "left")), size_mm=size, severity=_severity(size, (20, 40)))]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        box, pleura = scene.pleura[finding.side]
        x, y, z = scene.grid.coords(box)
        a, b, centre = scene.anatomy.chest_axes(z)
        front = np.clip((y - centre) / b + np.float32(0.1), 0.0, 1.0)
        apex = np.clip((z - np.float32(35.0)) / np.float32(45.0), 0.0, 1.0)
        depth = np.float32(finding.size_mm) * np.maximum(front, apex)
        cavity = scene.anatomy.cavity(x, y, z) + np.float32(1.5)
        gap = -cavity - depth * np.sqrt(a / b)  # negative between the wall and the lung
        lung = _lung_only(scene, finding.side)
        view = scene.hu[box]
        air = scene.grid.cover(np.maximum(gap, pleura)) * lung
        if not (air > 0.5).any():
            return None
        view += lung * (1 - air) * np.float32(1.6 * finding.size_mm) * (view < -500)  # the lung shrinks
        scene.paint(box, air, -1000.0, organ=0, lesion=self.label)
        line = scene.grid.cover(np.abs(gap) - np.float32(0.9)) * lung * (pleura < -3)
        view += line * np.float32(190.0)
        return finding


def with_size(finding: Finding, size_mm: float) -> Finding:
    """The finding at another size, severity following."""
    limits = (22.0, 48.0) if finding.label == PleuralEffusion.label else (20.0, 40.0)
    return replace(finding, size_mm=size_mm, severity=_severity(size_mm, limits))
