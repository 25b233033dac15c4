"""Analytic anatomy of one subject: every organ is a signed distance in the body frame.

The body frame is RAS in mm (x right, y anterior, z superior) with the carina at z = 0. Functions broadcast over
coordinates, so the same code draws voxels and answers whether a point lies in a lobe. Distances are negative inside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from domains.medical.phantom.facts import Body
from domains.medical.phantom.grid import Array, Coords, ellipsoid

VERTEBRA_MM = 22.5  # height of one vertebra with its disc

# z (mm, stature 1), half width and half depth of the inner chest
_CHEST = np.array(
    [
        [130, 20, 18], [104, 26, 24], [90, 50, 38], [75, 72, 48], [50, 95, 62], [10, 115, 79],
        [-40, 126, 89], [-90, 129, 93], [-140, 128, 91], [-200, 125, 88],
    ]
)  # fmt: skip
# z, half width of the trunk, half width of the mediastinum to the right and to the left
_SHOULDERS = np.array([[150, 62], [122, 82], [106, 125], [86, 154], [45, 156], [0, 138], [-60, 118], [-210, 110]])
_MEDIASTINUM = np.array(
    [[130, 20, 20], [80, 25, 25], [40, 31, 30], [10, 33, 34], [-25, 34, 33], [-80, 20, 22], [-200, 12, 14]]
)
_TABLE_Z = np.linspace(-260, 200, 461)


def _profile(points: NDArray, column: int, scale: float, scale_z: float) -> NDArray:
    order = np.argsort(points[:, 0])
    curve = PchipInterpolator(points[order, 0] * scale_z, points[order, column] * scale, extrapolate=False)
    z = np.clip(_TABLE_Z, points[:, 0].min() * scale_z, points[:, 0].max() * scale_z)
    return curve(z)


def _scalar(value: float) -> Array:
    return np.asarray(value, dtype=np.float32)


class Anatomy:
    """The organs of `body`. Sides are "right" (x > 0) and "left" (x < 0)."""

    def __init__(self, body: Body) -> None:
        self.body = body
        sx, sy, sz = body.scale_x, body.scale_y, body.scale_z
        self._a, self._b = _profile(_CHEST, 1, sx, sz), _profile(_CHEST, 2, sy, sz)
        self._spine = sy * (-50.0 - 9.0 * (1.0 - np.clip((_TABLE_Z / sz + 30.0) / 120.0, -1.3, 1.3) ** 2))
        self._shoulders = _profile(_SHOULDERS, 1, sx, sz)
        self._med = {"right": _profile(_MEDIASTINUM, 1, sx, sz), "left": _profile(_MEDIASTINUM, 2, sx, sz)}
        self.inner_half_width = float(self._a[(_TABLE_Z < 40) & (body.dome_mm[0] - 25 < _TABLE_Z)].max())
        self._build_heart()

    def _at(self, table: NDArray, z: Array) -> Array:
        return np.interp(z, _TABLE_Z, table).astype(np.float32)

    # -- trunk ---------------------------------------------------------------------------------------------------

    def chest_axes(self, z: Array) -> tuple[Array, Array, Array]:
        """Half width, half depth and centre y (mm) of the inner chest at height z."""
        a, b = self._at(self._a, z), self._at(self._b, z)
        return a, b, self.spine_y(z) - np.float32(29.0 * self.body.scale_y) + b

    def spine_y(self, z: Array) -> Array:
        """y of the vertebral bodies' centres."""
        return self._at(self._spine, z)

    def cavity(self, x: Array, y: Array, z: Array) -> Array:
        """Inner surface of the rib cage."""
        a, b, centre = self.chest_axes(z)
        q = np.sqrt((x / a) ** 2 + ((y - centre) / b) ** 2)
        return (q - np.float32(1.0)) * np.sqrt(a * b)

    def skin(self, x: Array, y: Array, z: Array) -> Array:
        """Outer surface of the trunk: chest wall, muscle and fat, with shoulders above."""
        a, b, centre = self.chest_axes(z)
        wall = np.float32(9.0 + self.body.muscle_mm)
        fat = np.float32(self.body.fat_mm)
        half_x = np.maximum(a + wall + fat, self._at(self._shoulders, z) + np.float32(0.6) * fat)
        half_y = np.maximum(b, np.float32(50.0)) + wall + np.float32(8.0) + np.float32(0.9) * fat
        front = np.float32(8.0) * self._at(self._shoulders, z) / np.float32(160.0)
        q = np.sqrt((x / half_x) ** 2 + ((y - centre + np.float32(9.0) + front) / half_y) ** 2)
        return (q - np.float32(1.0)) * np.sqrt(half_x * half_y)

    # -- heart ---------------------------------------------------------------------------------------------------

    def _build_heart(self) -> None:
        body = self.body
        angle, dip = body.heart_axis, 0.55
        long_axis = np.array([-np.sin(angle) * np.cos(dip), np.cos(angle) * np.cos(dip), -np.sin(dip)])
        side = np.cross(long_axis, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side)
        turn = np.stack([long_axis, side, np.cross(long_axis, side)])
        unit_axes = np.array([56.0, 39.0, 41.0])
        atrium_offset, atrium_axes = np.array([31.0, -12.0, 13.0]), np.array([29.0, 36.0, 41.0])
        reach = float(np.sqrt(((unit_axes[:, None] * turn) ** 2).sum(0))[0])
        size = body.ctr * 2 * self.inner_half_width / (reach + atrium_offset[0] + atrium_axes[0])
        right_edge = 40.0 * body.scale_x * (size / 1.0) ** 0.6  # an enlarging heart grows mostly to the left
        center_x = right_edge - size * (atrium_offset[0] + atrium_axes[0])
        z = max(body.dome_mm) + 34.0 * size
        y = self.spine_at(z) + 17.0 + 66.0 * min(size, 1.15) * body.scale_y
        front = self.front_y(z) - 8.0
        depth = float(np.sqrt(((size * unit_axes[:, None] * turn) ** 2).sum(0))[1])
        self.heart_center = np.array([center_x, min(y, front - depth), z])
        self.heart_axes, self.heart_turn, self.heart_size = size * unit_axes, turn, size
        self.atrium_center, self.atrium_axes = self.heart_center + size * atrium_offset, size * atrium_axes
        self.heart_extent_x = (
            float(self.heart_center[0] - size * reach),
            float(self.atrium_center[0] + self.atrium_axes[0]),
        )

    def heart(self, coords: Coords) -> Array:
        """Chambers and muscle: the ventricles' ellipsoid joined with the atria's."""
        ventricles = ellipsoid(coords, self.heart_center, self.heart_axes, self.heart_turn)
        return np.minimum(ventricles, ellipsoid(coords, self.atrium_center, self.atrium_axes))

    @property
    def sac_mm(self) -> float:
        """Distance between the heart's surface and the lung: fat, and fluid if there is an effusion."""
        return self.body.epicardial_fat_mm + self.body.pericardial_mm

    # -- lungs ---------------------------------------------------------------------------------------------------

    def dome(self, side: str, x: Array, y: Array) -> Array:
        """Height of the diaphragm over (x, y)."""
        body = self.body
        sign, top = (1.0, body.dome_mm[0]) if side == "right" else (-1.0, body.dome_mm[1])
        u = (x * np.float32(sign) - np.float32(58.0 * body.scale_x)) / np.float32(74.0 * body.scale_x)
        v = (y - np.float32(20.0)) / np.float32(82.0 * body.scale_y)
        fall = u * u + v * v
        return np.float32(top) - np.float32(72.0) * fall / np.sqrt(np.float32(1.0) + (fall * np.float32(0.72)) ** 2)

    def chest_side(self, side: str, x: Array, y: Array, z: Array) -> Array:
        """The pleural space of one side, heart not yet cut out."""
        sign = np.float32(1.0 if side == "right" else -1.0)
        spine = self.spine_y(z)
        out = self.cavity(x, y, z)
        out += np.float32(1.5)
        middle = np.clip(((y - spine - np.float32(62.0)) / np.float32(66.0)) ** 2, 0.0, 1.0)
        width = self._at(self._med[side], z)
        np.maximum(out, (width - (width - np.float32(5.0)) * middle) - sign * x, out=out)
        column = np.float32(28.0) - np.sqrt(x * x + ((y - spine + np.float32(9.0)) * np.float32(0.85)) ** 2)
        np.maximum(out, column, out=out)
        np.maximum(out, (self.dome(side, x, y) - z) * np.float32(0.75), out=out)
        return out

    def lung(self, side: str, x: Array, y: Array, z: Array) -> Array:
        """One lung, as it is without findings of its own."""
        sac = np.float32(self.sac_mm) - self.heart((x, y, z))
        return np.maximum(self.chest_side(side, x, y, z), sac)

    def oblique_fissure(self, side: str, y: Array) -> Array:
        """Height of the oblique fissure: the lower lobe lies behind and below."""
        steep = np.float32(-0.92 if side == "right" else -1.0)
        return np.float32(-42.0 * self.body.scale_z) + steep * (y + np.float32(2.0))

    @property
    def horizontal_fissure(self) -> float:
        """Height of the right horizontal fissure, between upper and middle lobe."""
        return -34.0 * self.body.scale_z

    def lobe(self, side: str, x: Array, y: Array, z: Array) -> NDArray[np.int64]:
        """0 = upper, 1 = middle (right side only), 2 = lower."""
        lower = z < self.oblique_fissure(side, y)
        middle = (z < self.horizontal_fissure) if side == "right" else np.zeros_like(lower)
        return np.where(lower, 2, np.where(middle, 1, 0)) + 0 * np.asarray(x, dtype=np.int64)

    def lung_points(self, rng: np.random.Generator, side: str, count: int, margin_mm: float, lobe: str = "") -> NDArray:
        """Up to `count` random points (P, 3) at least `margin_mm` inside a lung (and a lobe, if named)."""
        sign = 1.0 if side == "right" else -1.0
        low = np.array([0.0, -95.0, min(self.body.dome_mm) - 60.0])
        high = np.array([135.0 * self.body.scale_x, 100.0, 100.0 * self.body.scale_z])
        points = rng.uniform(low, high, size=(max((12 if lobe else 4) * count, 400), 3)) * np.array([sign, 1.0, 1.0])
        x, y, z = points.T.astype(np.float32)
        ok = self.lung(side, x, y, z) < -margin_mm
        if lobe:
            ok &= self.lobe(side, x, y, z) == {"upper": 0, "middle": 1, "lower": 2}[lobe]
        return points[ok][:count]

    # -- fixed points --------------------------------------------------------------------------------------------

    def hilum(self, side: str) -> NDArray:
        """Where vessels and airways enter the lung."""
        x, y, z = (41.0, 31.0, -24.0) if side == "right" else (-42.0, 29.0, -17.0)
        return np.array([x * self.body.scale_x, self.spine_at(z) + y + 10.0, z * self.body.scale_z])

    def front_y(self, z: float) -> float:
        """y of the inner front wall at the midline."""
        _, b, centre = self.chest_axes(_scalar(z))
        return float(b + centre)

    def spine_at(self, z: float) -> float:
        """y of the vertebral bodies' centres at one height."""
        return float(self.spine_y(_scalar(z)))

    def wall_point(self, angle: float, depth_mm: float, z: float, side: str) -> NDArray:
        """A point `depth_mm` outside the inner chest; `angle` runs from the spine (0) to the sternum (pi)."""
        a, b, centre = (float(v) for v in self.chest_axes(_scalar(z)))
        sign = 1.0 if side == "right" else -1.0
        return np.array([sign * (a + depth_mm) * np.sin(angle), centre - (b + depth_mm) * np.cos(angle), z])
