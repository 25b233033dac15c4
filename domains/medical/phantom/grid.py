"""The voxel grid and the shapes drawn on it.

Shape legend: Z, Y, X = slices, rows (anterior is +), columns (patient right is +), all in RAS millimetres.
Arrays are (Z, Y, X) in memory, which is the order of a NIfTI file; the public face is the transpose (X, Y, Z).
The body frame is the RAS frame turned by the patient's rotation about z and moved by the patient's shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Coords = tuple[Array, Array, Array]  # x, y, z, broadcastable to the box
CENTRE_Z_MM = -28.0  # the scan is centred below the carina, which is z = 0 of the body frame


@dataclass
class Grid:
    """Voxel centres of a scan. shape and spacing are (x, y, z); rotation in radians; shift in mm.

    x, y are (1, Y, X) and z is (Z, 1, 1): body-frame coordinates of the voxel centres.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    rotation: float = 0.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    x: Array = field(init=False)
    y: Array = field(init=False)
    z: Array = field(init=False)

    def __post_init__(self) -> None:
        x, y, z = (
            ((np.arange(n) - (n - 1) / 2) * d).astype(np.float32) for n, d in zip(self.shape, self.spacing, strict=True)
        )
        c, s = np.float32(np.cos(self.rotation)), np.float32(np.sin(self.rotation))
        dx, dy = x[None, None, :] - self.shift_mm[0], y[None, :, None] - self.shift_mm[1]
        self.x, self.y = (c * dx + s * dy).astype(np.float32), (c * dy - s * dx).astype(np.float32)
        self._turn_33 = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], dtype=np.float64)
        self._shift_3, self._per_mm_3 = np.asarray(self.shift_mm, dtype=np.float64), 1.0 / np.asarray(self.spacing)
        self._origin_3 = self.affine[:3, 3]
        self.z = (z + np.float32(CENTRE_Z_MM) - np.float32(self.shift_mm[2]))[:, None, None].astype(np.float32)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4) voxel index (x, y, z) to RAS mm; the origin is the body frame's without rotation and shift."""
        affine = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = [-(n - 1) / 2 * d for n, d in zip(self.shape, self.spacing, strict=True)]
        affine[2, 3] += CENTRE_Z_MM
        return affine

    @property
    def edge_mm(self) -> float:
        """Width over which a surface fades from inside to outside: the voxel's width along a typical normal."""
        return 0.35 * self.spacing[0] + 0.35 * self.spacing[1] + 0.3 * self.spacing[2]

    @property
    def voxel_mm3(self) -> float:
        return float(np.prod(self.spacing))

    def to_world(self, points_P3: NDArray) -> NDArray:
        """Body-frame points (P, 3) in RAS mm of the volume."""
        return np.asarray(points_P3, dtype=np.float64).reshape(-1, 3) @ self._turn_33 + self._shift_3

    def to_index(self, points_P3: NDArray) -> NDArray:
        """Body-frame points (P, 3) as fractional (x, y, z) indices."""
        return (self.to_world(points_P3) - self._origin_3) * self._per_mm_3

    def box(self, points_P3: NDArray, margin_mm: float | NDArray) -> Box | None:
        """Smallest box that holds every body-frame point with `margin_mm` around it; None when outside the scan."""
        index = self.to_index(points_P3)
        reach = margin_mm * self._per_mm_3
        first, last = (index.min(0) - reach).tolist(), (index.max(0) + reach).tolist()
        low = [max(math.floor(v), 0) for v in first]
        high = [min(math.ceil(v) + 1, n) for v, n in zip(last, self.shape, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            return None
        return (slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0]))

    def coords(self, box: Box) -> Coords:
        """Body-frame x, y, z of the box's voxel centres."""
        return self.x[:, box[1], box[2]], self.y[:, box[1], box[2]], self.z[box[0]]

    def cover(self, sdf: Array) -> Array:
        """Part of each voxel inside a surface of signed distance `sdf` (mm, negative inside), in [0, 1]."""
        out = sdf * np.float32(-1.0 / self.edge_mm)
        out += np.float32(0.5)
        return np.clip(out, 0.0, 1.0, out=out)

    def fine_cover(self, box: Box, sdf: Callable[[Coords], Array], parts: int = 4) -> Array:
        """Like `cover`, by `parts`^3 samples a voxel: for things about as small as a voxel."""
        x, y, z = self.coords(box)
        offset = ((np.arange(parts) + 0.5) / parts - 0.5).astype(np.float32)
        c, s = np.float32(np.cos(self.rotation)), np.float32(np.sin(self.rotation))
        ox, oy = offset * np.float32(self.spacing[0]), offset * np.float32(self.spacing[1])
        nz, ny, nx = z.shape[0], x.shape[1], x.shape[2]
        px = x[0, :, None, :, None] + c * ox[None, None, None, :] + s * oy[None, :, None, None]
        py = y[0, :, None, :, None] - s * ox[None, None, None, :] + c * oy[None, :, None, None]
        pz = (z + offset * np.float32(self.spacing[2])).reshape(-1, 1, 1)
        flat = (1, ny * parts, nx * parts)
        values = sdf((px.reshape(flat), py.reshape(flat), pz))
        inside = np.clip(0.5 - values * np.float32(parts / self.edge_mm), 0.0, 1.0)
        return inside.reshape(nz, parts, ny, parts, nx, parts).mean(axis=(1, 3, 5), dtype=np.float32)

    def splat(self, points_P3: NDArray, volume_P: NDArray, box: Box) -> Array:
        """Part of each voxel of `box` filled by small pieces of `volume_P` mm3, shared between 8 neighbours each."""
        start = np.array([box[2].start, box[1].start, box[0].start])
        nx, ny, nz = (box[i].stop - box[i].start for i in (2, 1, 0))
        index = self.to_index(points_P3) - start
        low = np.floor(index).astype(np.int64)
        ok = np.all((low >= 0) & (low < np.array([nx, ny, nz]) - 1), axis=1)
        low, index, volume = low[ok], index[ok], np.asarray(volume_P)[ok] / self.voxel_mm3
        fx, fy, fz = (index - low).T
        base = (low[:, 2] * ny + low[:, 1]) * nx + low[:, 0]
        cells = base + np.array([(dz * ny + dy) * nx + dx for dz in (0, 1) for dy in (0, 1) for dx in (0, 1)])[:, None]
        weights = [
            wz * wy * wx for wz in (volume * (1 - fz), volume * fz) for wy in (1 - fy, fy) for wx in (1 - fx, fx)
        ]
        filled = np.bincount(cells.reshape(-1), np.concatenate(weights), minlength=nx * ny * nz)
        return np.minimum(filled, 1.0).astype(np.float32).reshape(nz, ny, nx)


def ellipsoid(coords: Coords, center: NDArray, axes: NDArray, turn_33: NDArray | None = None) -> Array:
    """Approximate signed distance (mm) of an ellipsoid of half axes `axes`; rows of `turn_33` are its directions."""
    x, y, z = coords
    x, y, z = x - np.float32(center[0]), y - np.float32(center[1]), z - np.float32(center[2])
    a = np.asarray(axes, dtype=np.float32)
    if turn_33 is None:
        q2 = (x / a[0]) ** 2 + (y / a[1]) ** 2 + (z / a[2]) ** 2
    else:
        t = np.asarray(turn_33, dtype=np.float32) / a[:, None]
        q2 = sum((t[i, 0] * x + t[i, 1] * y + t[i, 2] * z) ** 2 for i in range(3))
    return (np.sqrt(q2) - np.float32(1.0)) * np.float32(np.prod(a) ** (1 / 3))


def capsule(coords: Coords, a: NDArray, b: NDArray, radius_a: float, radius_b: float) -> Array:
    """Signed distance (mm) of a round-ended tube from `a` to `b` whose radius changes linearly."""
    x, y, z = coords
    ab = np.asarray(b, dtype=np.float32) - np.asarray(a, dtype=np.float32)
    length2 = np.float32(max(float(ab @ ab), 1e-6))
    x, y, z = x - np.float32(a[0]), y - np.float32(a[1]), z - np.float32(a[2])
    t = np.clip((x * ab[0] + y * ab[1] + z * ab[2]) / length2, 0.0, 1.0)
    distance = np.sqrt((x - t * ab[0]) ** 2 + (y - t * ab[1]) ** 2 + (z - t * ab[2]) ** 2)
    return distance - (np.float32(radius_a) + t * np.float32(radius_b - radius_a))


def ripple(coords: Coords, rng: np.random.Generator, wavelength_mm: float, waves: int = 4) -> Array:
    """A smooth random field of unit standard deviation: a sum of plane waves of about `wavelength_mm`."""
    x, y, z = coords
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for _ in range(waves):
        direction = rng.normal(size=3)
        k = direction / np.linalg.norm(direction) * 2 * np.pi / (wavelength_mm * rng.uniform(0.6, 1.6))
        in_plane = np.float32(k[0]) * x + np.float32(k[1]) * y + np.float32(rng.uniform(0, 6.28))
        total += np.sin(in_plane + np.float32(k[2]) * z)
    return total * np.float32(np.sqrt(2.0 / waves))
