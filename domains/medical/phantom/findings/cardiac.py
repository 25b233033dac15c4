"""Heart, coronary arteries, aorta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom import tubes
from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings.base import FindingModel, pick
from domains.medical.phantom.grid import capsule, ellipsoid
from domains.medical.phantom.scene import Scene


class Cardiomegaly(FindingModel):
    """A heart wider than half the inner chest; value is the cardiothoracic ratio."""

    label, prevalence, stable = "Cardiomegaly", 0.19, 0.7
    loading: ClassVar[Mapping[str, float]] = {"cardiac": 0.65, "age": 0.25}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        ratio = float(np.round(np.clip(0.525 + rng.exponential(0.04), 0.525, 0.66), 2))
        severity = "mild" if ratio < 0.56 else "moderate" if ratio < 0.61 else "severe"
        return [Finding(self.label, value=max(ratio, 0.53), severity=severity)]

    def adjust(self, finding: Finding, body: Body) -> Body:
        return replace(body, ctr=finding.value)

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        return replace(finding, center_mm=scene.world(scene.anatomy.heart_center))


class PericardialEffusion(FindingModel):
    """Fluid between the heart and its sac; size_mm is its thickness. The renderer draws it, under the heart."""

    label, prevalence, stable = "Pericardial effusion", 0.10, 0.3
    loading: ClassVar[Mapping[str, float]] = {"cardiac": 0.45, "malignancy": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        size = float(np.round(np.exp(rng.uniform(np.log(6), np.log(24)))))
        return [
            Finding(self.label, size_mm=size, severity="mild" if size < 10 else "moderate" if size < 20 else "severe")
        ]

    def adjust(self, finding: Finding, body: Body) -> Body:
        return replace(body, pericardial_mm=finding.size_mm)

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        return replace(finding, center_mm=scene.world(scene.anatomy.heart_center))


# Angle around the long axis (0 = up, positive towards the right of the patient) and range of the angle from the apex
CORONARIES = {"LAD": ((0.45, 0.45), (0.45, 1.75)), "LCx": ((-0.3, -1.5), (1.65, 1.8)), "RCA": ((0.9, 2.6), (1.6, 1.75))}


class CoronaryCalcification(FindingModel):
    """Plaques of 1 to 2 mm radius along the coronary grooves."""

    label, prevalence, stable = "Coronary artery wall calcification", 0.23, 0.9
    loading: ClassVar[Mapping[str, float]] = {"age": 0.6, "smoking": 0.2, "cardiac": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        severity = pick(rng, ("mild", "moderate", "severe"), (0.4, 0.35, 0.25))
        count = int(rng.integers(*{"mild": (2, 4), "moderate": (5, 8), "severe": (10, 16)}[severity]))
        detail = (
            "LAD"
            if severity == "mild"
            else pick(rng, ("LAD, RCA", "LAD, LCx"))
            if severity == "moderate"
            else "LAD, LCx, RCA"
        )
        return [Finding(self.label, severity=severity, count=count, detail=detail)]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        vessels, first = finding.detail.split(", "), None
        for i in range(finding.count):
            vessel = vessels[i % len(vessels)]
            t = rng.uniform(0, 1)
            a, b = (self._point(scene, vessel, t + d) for d in (0.0, rng.uniform(0.03, 0.1)))
            radius = float(rng.uniform(1.0, 1.8))
            plaque = partial(capsule, a=a, b=b, radius_a=radius, radius_b=radius)
            scene.paint_small(a, 12.0, plaque, rng.uniform(600, 1000), self.label)
            first = a if first is None else first
        return replace(finding, center_mm=None if first is None else scene.world(first))

    def _point(self, scene: Scene, vessel: str, t: float) -> NDArray:
        (turn0, turn1), (polar0, polar1) = CORONARIES[vessel]
        turn, polar = turn0 + (turn1 - turn0) * t, polar1 + (polar0 - polar1) * t
        unit = np.array([np.cos(polar), np.sin(polar) * np.sin(turn), -np.sin(polar) * np.cos(turn)])
        anatomy = scene.anatomy
        return anatomy.heart_center + anatomy.heart_turn.T @ ((anatomy.heart_axes + 1.5) * unit)


class ArterialCalcification(FindingModel):
    """Plaques in the wall of the aorta."""

    label, prevalence, stable = "Arterial wall calcification", 0.23, 0.9
    loading: ClassVar[Mapping[str, float]] = {"age": 0.65, "smoking": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        severity = pick(rng, ("mild", "moderate", "severe"), (0.4, 0.35, 0.25))
        count = int(rng.integers(*{"mild": (2, 4), "moderate": (5, 9), "severe": (12, 20)}[severity]))
        detail = (
            "aortic arch" if severity == "mild" else pick(rng, ("aortic arch and descending aorta", "thoracic aorta"))
        )
        return [Finding(self.label, severity=severity, count=count, detail=detail)]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        aorta = tubes.aorta(scene.anatomy)
        first_segment = 1.0 if finding.detail == "thoracic aorta" else 3.0
        last_segment = 6.0 if finding.detail == "aortic arch" else 10.0
        first = None
        for _ in range(finding.count):
            t = rng.uniform(first_segment, last_segment)
            i, part = int(t), t - int(t)
            axis = aorta.points[i + 1] - aorta.points[i]
            axis /= np.linalg.norm(axis)
            out = rng.normal(size=3)
            out -= out @ axis * axis
            out /= np.linalg.norm(out)
            radius = (1 - part) * aorta.radius[i] + part * aorta.radius[i + 1]
            center = (1 - part) * aorta.points[i] + part * aorta.points[i + 1] + radius * out
            frame = np.stack([out, axis, np.cross(out, axis)])
            axes = np.array([rng.uniform(1.0, 1.6), rng.uniform(2.5, 6.5), rng.uniform(2.0, 4.5)])
            plaque = partial(ellipsoid, center=center, axes=axes, turn_33=frame)
            scene.paint_small(center, 7.0, plaque, rng.uniform(500, 900), self.label)
            first = center if first is None else first
        return replace(finding, center_mm=None if first is None else scene.world(first))
