"""Round lesions of the lung: nodules and masses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings.base import FindingModel, free_point, pick, random_turn, side_and_lobe
from domains.medical.phantom.grid import Array, Coords, ellipsoid, ripple
from domains.medical.phantom.scene import Scene

NODULE_HU = {"solid": 35.0, "part-solid": -250.0, "non-solid": -520.0, "calcified": 350.0}


class LungNodule(FindingModel):
    """4 to 30 mm; small ones have the size and contrast of a vessel seen end on."""

    label, prevalence, stable = "Lung nodule", 0.30, 0.5
    loading: ClassVar[Mapping[str, float]] = {"smoking": 0.3, "malignancy": 0.4, "age": 0.15}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        out = []
        for _ in range(1 if rng.random() < 0.65 else int(rng.integers(2, 5))):
            side, lobe = side_and_lobe(rng)
            size = float(np.round(np.exp(rng.uniform(np.log(4.0), np.log(30.0)))))
            detail = pick(rng, ("solid", "part-solid", "non-solid", "calcified"), (0.68, 0.1, 0.1, 0.12))
            if detail == "part-solid" and size < 8:
                detail = "solid"
            if detail == "calcified":
                size = min(size, 12.0)
            severity = "mild" if size < 8 else "moderate" if size < 16 else "severe"
            out.append(Finding(self.label, side, lobe, size, severity, detail=detail))
        return sorted(out, key=lambda f: -f.size_mm)

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        radius = finding.size_mm / 2
        found = free_point(scene, rng, finding, radius + 1.5, radius + 2.0)
        if found is None:
            return None
        finding, center = found
        axes = radius * np.array([1.0, rng.uniform(0.82, 1.0), rng.uniform(0.82, 1.0)])
        turn, rough = random_turn(rng), 0.0 if radius < 4 else rng.uniform(0.0, 0.1) * radius
        bumps = np.random.default_rng(rng.integers(2**32))
        state = bumps.bit_generator.state

        def shape(coords: Coords) -> Array:
            sdf = ellipsoid(coords, center, axes, turn)
            if rough > 0:
                bumps.bit_generator.state = state
                sdf = sdf + np.float32(rough) * ripple(coords, bumps, finding.size_mm * 0.6)
            return sdf

        parts = 4 if finding.size_mm < 12 else 2
        scene.paint_small(center, radius * 1.1, shape, NODULE_HU[finding.detail], self.label, parts)
        if finding.detail == "part-solid":
            scene.paint_small(center, radius, lambda c: ellipsoid(c, center, axes * 0.5, turn), 30.0, parts=parts)
        return replace(finding, center_mm=scene.world(center))


class LungMass(FindingModel):
    """Over 30 mm, lobulated, often spiculated, sometimes with a dead centre."""

    label, prevalence, stable = "Lung mass", 0.10, 0.2
    loading: ClassVar[Mapping[str, float]] = {"smoking": 0.35, "malignancy": 0.6}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        side, lobe = side_and_lobe(rng)
        size = float(np.round(rng.uniform(33.0, 68.0 if lobe != "middle" else 45.0)))
        detail = pick(rng, ("spiculated", "lobulated", "necrotic"), (0.45, 0.35, 0.2))
        return [Finding(self.label, side, lobe, size, "moderate" if size < 50 else "severe", detail=detail)]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        radius = finding.size_mm / 2
        found = free_point(scene, rng, finding, 0.7 * radius, 0.7 * radius)
        if found is None:
            return None
        finding, center = found
        axes = radius * np.array([1.0, rng.uniform(0.8, 0.95), rng.uniform(0.8, 0.95)])
        turn = random_turn(rng)
        box = scene.grid.box(center[None], radius * 1.5)
        if box is None:
            return None
        coords = scene.grid.coords(box)
        sdf = ellipsoid(coords, center, axes, turn) + np.float32(0.05 * radius) * ripple(coords, rng, radius)
        soft = np.isin(scene.organs[box], (0, 1, 2)) & (scene.hu[box] < 150)  # it does not grow into bone or heart
        scene.paint(box, scene.grid.cover(sdf) * soft, 38.0, organ=0, lesion=self.label)
        if finding.detail == "necrotic":
            scene.paint(box, scene.grid.cover(ellipsoid(coords, center, axes * 0.55, turn)) * soft, 8.0)
        if finding.detail == "spiculated":
            self._spicules(scene, rng, center, radius)
        return replace(finding, center_mm=scene.world(center))

    def _spicules(self, scene: Scene, rng: np.random.Generator, center: Array, radius: float) -> None:
        directions = rng.normal(size=(26, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        along = np.linspace(0.9, 1.0 + rng.uniform(0.25, 0.5), 14)[None, :, None] * radius
        points = (center + directions[:, None] * along).reshape(-1, 3)
        scene.paint_pieces(points, np.full(len(points), 6.0), 20.0)
