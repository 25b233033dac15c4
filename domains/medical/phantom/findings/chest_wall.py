"""Rib fractures and implanted devices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom import skeleton, tubes
from domains.medical.phantom.anatomy import Anatomy
from domains.medical.phantom.facts import Body, Finding, Fracture
from domains.medical.phantom.findings.base import FindingModel, pick
from domains.medical.phantom.grid import ellipsoid
from domains.medical.phantom.scene import Scene


class RibFracture(FindingModel):
    """Breaks in neighbouring ribs of one side: `level` is the uppermost, `count` how many; value is the angle."""

    label, prevalence, stable = "Rib fracture", 0.11, 0.3
    loading: ClassVar[Mapping[str, float]] = {"trauma": 0.7}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        count = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
        level = int(rng.integers(3, 9 - count + 1))
        detail = pick(rng, ("displaced", "healing"), (0.6, 0.4))
        severity = "mild" if count == 1 else "moderate" if count == 2 else "severe"
        side = pick(rng, ("right", "left"))
        angle = float(rng.uniform(0.9, 1.9))
        return [Finding(self.label, side, severity=severity, count=count, detail=detail, level=level, value=angle)]

    def adjust(self, finding: Finding, body: Body) -> Body:
        acute = finding.detail == "displaced"
        breaks = tuple(
            Fracture(finding.side, finding.level + i, finding.value, *((9.0, 6.0, 0.0) if acute else (3.0, 0.0, 9.0)))
            for i in range(finding.count)
        )
        return replace(body, fractures=body.fractures + breaks)

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        center = None
        for i in range(finding.count):
            at = rib_point(scene.anatomy, finding.side, finding.level + i, finding.value)
            box = scene.grid.box(at[None], 12.0)
            if box is None:
                continue
            ball = ellipsoid(scene.grid.coords(box), at, np.array([9.0, 9.0, 9.0]))
            scene.mark(box, scene.grid.cover(ball), self.label)
            center = at if center is None else center
        return None if center is None else replace(finding, center_mm=scene.world(center))


def rib_point(anatomy: Anatomy, side: str, rib: int, angle: float) -> NDArray:
    """Centre of `rib` at `angle`."""
    z = float(skeleton.rib_height(anatomy, rib, np.asarray(angle)))
    return anatomy.wall_point(angle, skeleton.RIB_DEPTH_MM, z, side)


METAL_HU, WIRE_HU = 8000.0, 22000.0  # titanium case, steel; the CT saturates at 3071, the radiograph does not


class MedicalMaterial(FindingModel):
    """A port, a pacemaker, sternal wires or a central venous catheter."""

    label, prevalence, stable = "Medical material", 0.16, 0.8
    loading: ClassVar[Mapping[str, float]] = {"cardiac": 0.25, "malignancy": 0.3, "age": 0.2}

    def sample(self, rng: np.random.Generator, body: Body) -> list[Finding]:
        detail = pick(rng, ("port", "pacemaker", "sternal wires", "central venous catheter"), (0.3, 0.25, 0.25, 0.2))
        side = {"sternal wires": "", "pacemaker": pick(rng, ("left", "right"), (0.85, 0.15))}.get(detail)
        return [
            Finding(self.label, pick(rng, ("right", "left"), (0.75, 0.25)) if side is None else side, detail=detail)
        ]

    def draw(self, finding: Finding, scene: Scene, rng: np.random.Generator) -> Finding | None:
        if finding.detail == "sternal wires":
            center = self._sternal_wires(scene)
        else:
            center = self._line(finding, scene)
        return replace(finding, center_mm=scene.world(center))

    def _line(self, finding: Finding, scene: Scene) -> NDArray:
        """A lead or catheter from the upper chest through the caval vein, with its box or chamber if it has one."""
        anatomy = scene.anatomy
        sz = anatomy.body.scale_z
        sign = 1.0 if finding.side == "right" else -1.0
        arch_y = tubes.trachea_y(anatomy, 20.0)
        z = 38.0 * sz
        angle = np.pi - 0.72
        outwards = np.array([sign * np.sin(angle), -np.cos(angle), 0.0])
        chamber = anatomy.wall_point(angle, 0.0, z, finding.side)
        while float(anatomy.skin(*np.asarray(chamber, np.float32)[:, None])[0]) < -11.0:  # under the skin
            chamber = chamber + 1.0 * outwards
        flat = np.stack([outwards, np.cross([0.0, 0.0, 1.0], outwards), [0.0, 0.0, 1.0]])
        entry = np.array([sign * 46.0, arch_y + 26.0, 72.0 * sz])
        cava = [np.array([24.0, arch_y + 16, 45 * sz]), np.array([25.0, arch_y + 16, 5 * sz])]
        path = [chamber, entry, *([np.array([0.0, arch_y + 20, 52 * sz])] if sign < 0 else []), *cava]
        radius = 1.1
        if finding.detail == "pacemaker":
            apex = anatomy.heart_center + anatomy.heart_turn[0] * anatomy.heart_axes[0] * 0.6
            path += [anatomy.atrium_center, apex]
            self._solid(scene, chamber, np.array([6.0, 24.0, 22.0]), flat)
        elif finding.detail == "port":
            path.append(anatomy.atrium_center + np.array([2.0, 2.0, 26.0]))
            self._solid(scene, chamber, np.array([7.0, 13.0, 13.0]), flat, hu=2000.0)
        else:
            path = [entry + np.array([sign * 8, -6.0, 38.0]), *path[1:]]
        self._wire(scene, np.stack(path), radius, 7000.0 if finding.detail == "pacemaker" else 2500.0)
        return chamber if finding.detail != "central venous catheter" else cava[0]

    def _solid(self, scene: Scene, center: NDArray, axes: NDArray, turn_33: NDArray, hu: float = METAL_HU) -> None:
        box = scene.grid.box(center[None], axes.max() + 3)
        if box is not None:
            cover = scene.grid.cover(ellipsoid(scene.grid.coords(box), center, axes, turn_33))
            scene.paint(box, cover, hu, lesion=self.label)

    def _wire(self, scene: Scene, path_P3: NDArray, radius: float, hu: float) -> None:
        pieces, volumes = [], []
        for a, b in itertools.pairwise(path_P3):
            length = float(np.linalg.norm(b - a))
            steps = max(round(length), 1)
            pieces.append(a + (b - a) * ((np.arange(steps) + 0.5) / steps)[:, None])
            volumes.append(np.full(steps, np.pi * radius**2 * length / steps))
        drawn = scene.paint_pieces(np.concatenate(pieces), np.concatenate(volumes), hu)
        if drawn is not None:
            scene.mark(drawn[0], np.clip(drawn[1] * 5, 0, 1), self.label)

    def _sternal_wires(self, scene: Scene) -> NDArray:
        anatomy = scene.anatomy
        center = np.zeros(3)
        for z in np.linspace(34, -82, 6) * anatomy.body.scale_z:
            t = np.linspace(0, 2 * np.pi, 28)
            y = anatomy.front_y(float(z)) + 7.0
            ring = np.stack([19.0 * np.cos(t), y + 8.0 * np.sin(t), np.full_like(t, z)], axis=1)
            self._wire(scene, ring, 0.6, WIRE_HU)
            center += np.array([0.0, y, float(z)]) / 6
        return center
