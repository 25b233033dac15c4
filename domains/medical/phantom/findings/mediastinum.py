"""Mediastinal findings: enlarged nodes and hiatal hernia."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom import tubes
from domains.medical.phantom.anatomy import Anatomy
from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings.base import FindingModel
from domains.medical.phantom.grid import ellipsoid
from domains.medical.phantom.labels import ORGANS
from domains.medical.phantom.scene import Scene

STATIONS = ("right paratracheal", "prevascular", "subcarinal", "right hilar", "left hilar", "aortopulmonary")


def station(anatomy: Anatomy, name: str) -> NDArray:
    """Centre of a nodal station."""
    y, sz = tubes.trachea_y(anatomy, 10.0), anatomy.body.scale_z
    fixed = {
        "right paratracheal": (22.0, y + 2.0, 24.0 * sz),
        "prevascular": (-6.0, y + 42.0, 24.0 * sz),
        "subcarinal": (4.0, y - 5.0, -24.0 * sz),
        "aortopulmonary": (-27.0, y + 12.0, 6.0 * sz),
    }
    if name in fixed:
        return np.array(fixed[name])
    side = name.split()[0]
    return anatomy.hilum(side) + np.array([6.0 if side == "right" else -6.0, 2.0, -6.0])


class Lymphadenopathy(FindingModel):
    """Nodes with a short axis (size_mm, that of the largest) over 10 mm; detail is the station of the largest."""

    label, prevalence, stable = "Lymphadenopathy", 0.15, 0.35
    loading: ClassVar[Mapping[str, float]] = {"malignancy": 0.6, "infection": 0.25}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        size = float(np.round(np.exp(rng.uniform(np.log(12), np.log(32)))))
        severity = "mild" if size < 16 else "moderate" if size < 24 else "severe"
        name = STATIONS[int(rng.integers(len(STATIONS)))]
        side = name.split()[0] if name.split()[0] in ("right", "left") else ""
        return [Finding(self.label, side, size_mm=size, severity=severity, count=int(rng.integers(1, 5)), detail=name)]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        others = [s for s in STATIONS if s != finding.detail]
        names = [finding.detail, *(others[i] for i in rng.permutation(len(others))[: finding.count - 1])]
        center = None
        for i, name in enumerate(names):
            short = finding.size_mm / 2 * (1.0 if i == 0 else rng.uniform(0.7, 0.95))
            short = max(short, 5.5)
            axes = short * np.array([1.0, rng.uniform(1.0, 1.3), rng.uniform(1.3, 1.7)])
            at = station(scene.anatomy, name) + rng.normal(0, 1.5, 3)
            box = scene.grid.box(at[None], axes + 3)
            if box is None:
                continue
            keep = (scene.organs[box] != ORGANS["airways"]) & (scene.organs[box] != ORGANS["aorta"])
            cover = scene.grid.fine_cover(box, partial(ellipsoid, center=at, axes=axes), 2) * keep
            scene.paint(box, cover, float(rng.uniform(32, 48)), organ=0, lesion=self.label)
            center = at if center is None else center
        return None if center is None else replace(finding, center_mm=scene.world(center))


class HiatalHernia(FindingModel):
    """Stomach behind the heart, with an air-fluid level; size_mm is its longest diameter."""

    label, prevalence, stable = "Hiatal hernia", 0.11, 0.9
    loading: ClassVar[Mapping[str, float]] = {"age": 0.4}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        size = float(np.round(np.exp(rng.uniform(np.log(32), np.log(85)))))
        return [
            Finding(self.label, size_mm=size, severity="mild" if size < 45 else "moderate" if size < 65 else "severe")
        ]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        anatomy, r = scene.anatomy, finding.size_mm / 2
        z = min(anatomy.body.dome_mm) - 6.0 + 0.55 * r
        center = np.array([-9.0 - rng.uniform(0, 0.2) * r, anatomy.spine_at(z) + 22.0 + 0.62 * r, z])
        axes = r * np.array([1.0, 0.72, 0.95])
        box = scene.grid.box(center[None], axes + 3)
        if box is None:
            return None
        coords = scene.grid.coords(box)
        free = ~np.isin(scene.organs[box], (ORGANS["aorta"], ORGANS["spine"]))
        if r < 26:
            free &= scene.organs[box] != ORGANS["heart"]
        sac = ellipsoid(coords, center, axes)
        scene.paint(box, scene.grid.cover(sac) * free, 35.0, ORGANS["stomach"], self.label)
        level = center[1] - r * rng.uniform(-0.1, 0.25)
        content = np.maximum(sac + np.float32(3.5), np.float32(level) - coords[1])
        scene.paint(box, scene.grid.cover(content) * free, -960.0)
        return replace(finding, center_mm=scene.world(center))
