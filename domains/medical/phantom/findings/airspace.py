"""Findings of the air spaces: consolidation, ground glass, collapse, emphysema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings.base import (
    FindingModel,
    free_point,
    lung_mask,
    pick,
    random_turn,
    side_and_lobe,
)
from domains.medical.phantom.grid import Array, Box, capsule, ellipsoid, ripple
from domains.medical.phantom.labels import LESIONS, LOBES, ORGANS
from domains.medical.phantom.scene import Scene

LOBE_ID = {"upper": 0, "middle": 1, "lower": 2}


def _extent_mm(scene: Scene, box: Box, inside: NDArray[np.bool_]) -> float:
    """Longest edge of the box around `inside`, in mm."""
    if not inside.any():
        return 0.0
    edges = []
    for axis, spacing in zip((0, 1, 2), scene.grid.spacing[::-1], strict=True):
        hit = np.flatnonzero(inside.any(axis=tuple(a for a in (0, 1, 2) if a != axis)))
        edges.append((hit[-1] - hit[0] + 1) * spacing)
    return float(np.round(max(edges)))


class Consolidation(FindingModel):
    """Air replaced by fluid in part of a lobe, with air-filled bronchi inside."""

    label, prevalence, stable = "Consolidation", 0.17, 0.15
    loading: ClassVar[Mapping[str, float]] = {"infection": 0.65}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        side, lobe = side_and_lobe(rng)
        severity = pick(rng, ("mild", "moderate", "severe"), (0.4, 0.38, 0.22))
        out = [Finding(self.label, side, lobe, severity=severity)]
        if rng.random() < 0.2:
            other = "left" if side == "right" else "right"
            out.append(replace(out[0], side=other, lobe="lower", severity="mild"))
        return out

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        radius = {"mild": 15.0, "moderate": 25.0, "severe": 42.0}[finding.severity] * rng.uniform(0.9, 1.15)
        found = free_point(scene, rng, finding, 5.0, 4.0)
        if found is None:
            return None
        finding, center = found
        box = scene.grid.box(center[None], radius * 1.35)
        if box is None:
            return None
        coords = scene.grid.coords(box)
        sdf = ellipsoid(coords, center, radius * rng.uniform(0.8, 1.1, 3), random_turn(rng))
        sdf = sdf + np.float32(0.2 * radius) * ripple(coords, rng, radius * 1.1)
        cover = scene.grid.cover(sdf * np.float32(0.55)) * lung_mask(scene, box)  # the edge is fuzzy
        cover *= scene.anatomy.lobe(finding.side, *coords) == LOBE_ID[finding.lobe]
        if (cover > 0.5).sum() * scene.grid.voxel_mm3 < 1500:
            return None
        scene.paint(box, cover * np.float32(0.92), 40.0)
        scene.mark(box, cover, self.label)
        away = center - scene.anatomy.hilum(finding.side)
        for _ in range(int(rng.integers(2, 5))):
            tip = center + rng.normal(0, 0.35, 3) * radius + 0.3 * radius * away / np.linalg.norm(away)
            bronchus = capsule(coords, scene.anatomy.hilum(finding.side) + 0.3 * away, tip, 2.4, 1.3)
            scene.paint(box, scene.grid.cover(bronchus) * (cover > 0.6), -880.0)
        return replace(finding, size_mm=_extent_mm(scene, box, cover > 0.5), center_mm=scene.world(center))


class GroundGlass(FindingModel):
    """Hazy density through which vessels stay visible; one lobe, or patches in both lungs."""

    label, prevalence, stable = "Lung opacity", 0.17, 0.2
    loading: ClassVar[Mapping[str, float]] = {"infection": 0.6, "cardiac": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        severity = pick(rng, ("mild", "moderate", "severe"), (0.4, 0.4, 0.2))
        if rng.random() < 0.45:
            return [Finding(self.label, "bilateral", "", severity=severity, count=int(rng.integers(4, 9)))]
        side, lobe = side_and_lobe(rng)
        return [Finding(self.label, side, lobe, severity=severity)]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        radius = {"mild": 14.0, "moderate": 21.0, "severe": 32.0}[finding.severity]
        density = rng.uniform(230, 380)
        drawn: list[Finding] = []
        for i in range(finding.count):
            patch = finding
            if finding.side == "bilateral":
                side = ("right", "left")[i % 2]
                patch = replace(finding, side=side, lobe=pick(rng, LOBES[side]))
            placed = self._patch(patch, scene, rng, radius * rng.uniform(0.8, 1.2), density)
            if placed is not None:
                drawn.append(placed)
        if not drawn:
            return None
        if finding.side != "bilateral":
            return drawn[0]
        sides = {f.side for f in drawn}
        if len(sides) == 1:
            lobes = {f.lobe for f in drawn}
            return replace(drawn[0], lobe=drawn[0].lobe if len(lobes) == 1 else "", count=len(drawn))
        return replace(finding, count=len(drawn), size_mm=max(f.size_mm for f in drawn))

    def _patch(
        self, finding: Finding, scene: Scene, rng: np.random.Generator, radius: float, density: float
    ) -> Finding | None:
        found = free_point(scene, rng, finding, 3.0, 3.0)
        if found is None:
            return None
        finding, center = found
        box = scene.grid.box(center[None], radius * 1.4)
        if box is None:
            return None
        coords = scene.grid.coords(box)
        sdf = ellipsoid(coords, center, radius * rng.uniform(0.75, 1.15, 3), random_turn(rng))
        sdf = sdf + np.float32(0.22 * radius) * ripple(coords, rng, radius)
        cover = scene.grid.cover(sdf * np.float32(0.4)) * lung_mask(scene, box)
        cover *= scene.anatomy.lobe(finding.side, *coords) == LOBE_ID[finding.lobe]
        if (cover > 0.5).sum() * scene.grid.voxel_mm3 < 600:
            return None
        view = scene.hu[box]
        view += cover * np.float32(density) * np.clip(np.float32(-0.0025) * (view + np.float32(100.0)), 0.0, 1.0)
        scene.mark(box, cover, self.label)
        return replace(finding, size_mm=_extent_mm(scene, box, cover > 0.5), center_mm=scene.world(center))


class Atelectasis(FindingModel):
    """Collapse: a thin plate at the base, or a shrunken lower lobe beside the spine with a raised diaphragm."""

    label, prevalence, stable = "Atelectasis", 0.19, 0.4
    loading: ClassVar[Mapping[str, float]] = {"cardiac": 0.3, "infection": 0.2, "malignancy": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        side = pick(rng, ("right", "left"))
        if rng.random() < 0.35:
            severity = pick(rng, ("moderate", "severe"))
            return [Finding(self.label, side, "lower", severity=severity, detail="lobar")]
        lobe = "middle" if side == "right" and rng.random() < 0.2 else "lower"
        size = float(np.round(rng.uniform(28, 60)))
        return [Finding(self.label, side, lobe, size, "mild", detail="linear")]

    def adjust(self, finding: Finding, body: Body) -> Body:
        if finding.detail != "lobar":
            return body
        rise = 11.0 if finding.severity == "moderate" else 19.0
        right, left = body.dome_mm
        return replace(body, dome_mm=(right + rise, left) if finding.side == "right" else (right, left + rise))

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        return self._linear(finding, scene, rng) if finding.detail == "linear" else self._lobar(finding, scene)

    def _linear(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        found = free_point(scene, rng, finding, 9.0, 6.0)
        if found is None:
            return None
        finding, center = found
        sign = 1.0 if finding.side == "right" else -1.0
        tilt, turn = rng.normal(0, 0.3), rng.uniform(-0.5, 0.5)
        flat = np.array([np.cos(turn) * sign, np.sin(turn), 0.0])
        normal = np.array([0.0, np.sin(tilt), np.cos(tilt)])
        axes = np.array([finding.size_mm / 2, finding.size_mm * 0.35, rng.uniform(2.2, 3.6)])
        normal -= normal @ flat * flat
        normal /= np.linalg.norm(normal)
        frame = np.stack([flat, np.cross(normal, flat), normal])
        box = scene.grid.box(center[None], np.abs(frame.T * axes).sum(1) + 3)
        if box is None:
            return None
        # the plain ellipsoid distance is scaled by its mean axis: too soft for a plate, so rescale to its thickness
        scale = np.float32(1.3 * axes[2] / np.prod(axes) ** (1 / 3))
        cover = scene.grid.fine_cover(box, lambda c: ellipsoid(c, center, axes, frame) * scale, 2)
        cover = cover * lung_mask(scene, box)
        scene.paint(box, cover, 0.0)
        scene.mark(box, cover, self.label)
        return replace(finding, center_mm=scene.world(center))

    def _lobar(self, finding: Finding, scene: Scene) -> Finding | None:
        box, pleura = scene.pleura[finding.side]
        x, y, z = scene.grid.coords(box)
        anatomy = scene.anatomy
        full = np.float32(26.0 if finding.severity == "moderate" else 44.0)
        depth = full * np.sqrt(np.clip((np.float32(-22.0) - z) / np.float32(60.0), 0.0, 1.0))  # a wedge from the hilum
        behind = y - (anatomy.spine_y(z) + depth - np.float32(28.0))
        sdf = np.maximum(pleura, np.maximum(behind + np.float32(0.55) * (np.abs(x) - np.float32(0.9) * depth), z + 22))
        sdf = np.maximum(sdf, z - anatomy.oblique_fissure(finding.side, y))
        cover = scene.grid.cover(sdf) * lung_mask(scene, box)
        if (cover > 0.5).sum() * scene.grid.voxel_mm3 < 2000:
            return None
        scene.paint(box, cover, 38.0)
        scene.mark(box, cover, self.label)
        zi, yi, xi = (float(v.mean()) for v in np.nonzero(cover > 0.5))
        offset = np.array([box[2].start, box[1].start, box[0].start])
        center = scene.grid.affine[:3, :3] @ (np.array([xi, yi, zi]) + offset) + scene.grid.affine[:3, 3]
        return replace(finding, center_mm=tuple(np.round(center, 1).tolist()))


class Emphysema(FindingModel):
    """Low-attenuation holes, mostly in the upper lobes, with a deep diaphragm."""

    label, prevalence, stable = "Emphysema", 0.17, 0.85
    loading: ClassVar[Mapping[str, float]] = {"smoking": 0.7, "age": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        severity = pick(rng, ("mild", "moderate", "severe"), (0.45, 0.35, 0.2))
        detail = pick(rng, ("centrilobular", "paraseptal"), (0.75, 0.25))
        return [Finding(self.label, "bilateral", "upper", severity=severity, detail=detail)]

    def adjust(self, finding: Finding, body: Body) -> Body:
        fall = {"mild": 3.0, "moderate": 7.0, "severe": 13.0}[finding.severity]
        return replace(
            body, dome_mm=(body.dome_mm[0] - fall, body.dome_mm[1] - fall), lung_hu=body.lung_hu - 0.8 * fall
        )

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        count, radius = {"mild": (30, 5.5), "moderate": (55, 7.0), "severe": (85, 8.5)}[finding.severity]
        for side in ("right", "left"):
            points = scene.anatomy.lung_points(rng, side, 8 * count, 2.0)
            likely = np.clip(0.15 + (points[:, 2] + 50) / 90, 0.02, 1.0)
            if finding.detail == "paraseptal":  # a row of holes under the pleura
                likely = likely * (scene.anatomy.lung(side, *points.T.astype(np.float32)) > -1.2 * radius)
            first = np.argsort(-likely * rng.random(len(points)))[:count]
            for point in points[first]:
                self._hole(scene, rng, point, radius * rng.uniform(0.6, 1.4), ORGANS[f"{side} lung"])
        if not (scene.lesions == LESIONS[self.label]).any():
            return None
        return finding

    def _hole(self, scene: Scene, rng: np.random.Generator, point: Array, radius: float, lung: int) -> None:
        box = scene.grid.box(point[None], radius + 2)
        if box is None:
            return
        cover = scene.grid.cover(ellipsoid(scene.grid.coords(box), point, radius * rng.uniform(0.75, 1.2, 3)))
        cover *= (scene.organs[box] == lung) & (scene.lesions[box] == 0)
        view = scene.hu[box]
        view += cover * np.minimum(np.float32(-970.0) - view, np.float32(0.0))
        if (cover > 0.5).any():
            scene.mark(box, cover, self.label)
