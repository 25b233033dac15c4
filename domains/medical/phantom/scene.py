"""The canvas that organs and findings are painted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom.anatomy import Anatomy
from domains.medical.phantom.grid import Array, Box, Coords, Grid, capsule
from domains.medical.phantom.labels import LESIONS
from domains.medical.phantom.tubes import Tube


@dataclass
class Scene:
    """hu, organs and lesions are (Z, Y, X). pleura[side] = (box, signed distance) of the lung without findings."""

    grid: Grid
    anatomy: Anatomy
    hu: Array
    organs: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    pleura: dict[str, tuple[Box, Array]] = field(default_factory=dict)
    outside: NDArray[np.bool_] | None = None  # the air around the body

    @classmethod
    def empty(cls, grid: Grid, anatomy: Anatomy) -> Scene:
        nx, ny, nz = grid.shape
        volume = np.full((nz, ny, nx), -1000.0, np.float32)
        return cls(grid, anatomy, volume, np.zeros((nz, ny, nx), np.uint8), np.zeros((nz, ny, nx), np.uint8))

    def paint(self, box: Box, cover: Array, hu: float | Array, organ: int | None = None, lesion: str = "") -> None:
        """Mix `hu` into the box by `cover` (0..1). Voxels at least half covered get the organ or lesion label."""
        view = self.hu[box]
        view += cover * (np.asarray(hu, dtype=np.float32) - view)
        if organ is not None:
            self.organs[box][cover > 0.5] = organ
        if lesion:
            self.mark(box, cover, lesion)

    def mark(self, box: Box, cover: Array, lesion: str) -> None:
        """Label the half-covered voxels of the box; a thing too small for any keeps its fullest voxel."""
        inside = cover > 0.5
        if not inside.any() and cover.max() > 0:
            inside = cover == cover.max()
        self.lesions[box][inside] = LESIONS[lesion]

    def paint_tube(self, tube: Tube, hu: float, organ: int | None = None, grow_mm: float = 0.0) -> None:
        """Draw a tube, `grow_mm` thicker than it says (its wall)."""
        for i in range(len(tube.points) - 1):
            a, b = tube.points[i], tube.points[i + 1]
            ra, rb = float(tube.radius[i]) + grow_mm, float(tube.radius[i + 1]) + grow_mm
            box = self.grid.box(np.stack([a, b]), max(ra, rb) + self.grid.edge_mm)
            if box is not None:
                cover = self.grid.cover(capsule(self.grid.coords(box), a, b, ra, rb))
                self.paint(box, cover, hu, organ)

    def paint_pieces(self, points_P3: NDArray, volume_P: NDArray, hu: float) -> tuple[Box, Array] | None:
        """Draw many pieces far smaller than a voxel (mm3 each) where they are denser than what is there."""
        box = self.grid.box(points_P3, 2 * self.grid.edge_mm)
        if box is None:
            return None
        filled = self.grid.splat(points_P3, volume_P, box)
        view = self.hu[box]
        view += filled * np.maximum(np.float32(hu) - view, np.float32(0.0))
        return box, filled

    def paint_small(
        self,
        center: NDArray,
        reach_mm: float,
        sdf: Callable[[Coords], Array],
        hu: float,
        lesion: str = "",
        parts: int = 4,
    ) -> float:
        """Draw a small thing with supersampled edges; returns the volume drawn in mm3."""
        box = self.grid.box(center[None], reach_mm + self.grid.edge_mm)
        if box is None:
            return 0.0
        cover = self.grid.fine_cover(box, sdf, parts)
        self.paint(box, cover, hu, lesion=lesion)
        return float(cover.sum()) * self.grid.voxel_mm3

    def world(self, center: NDArray) -> tuple[float, float, float]:
        """A body-frame point in RAS mm, rounded to 0.1."""
        x, y, z = self.grid.to_world(center)[0]
        return round(float(x), 1), round(float(y), 1), round(float(z), 1)
