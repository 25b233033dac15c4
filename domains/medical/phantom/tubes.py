"""Everything tubular: airways, great vessels, and the branching vessels of the lungs.

Shape legend: L = levels of a tree, S = segments, P = points, 3 = body-frame x, y, z in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom.anatomy import Anatomy


@dataclass(frozen=True, slots=True)
class Tube:
    """A polyline of centres (P, 3) with a radius at each."""

    points: NDArray
    radius: NDArray


def tube(points: list[tuple[float, float, float]] | NDArray, radius: float | list[float]) -> Tube:
    points_P3 = np.asarray(points, dtype=np.float64)
    return Tube(points_P3, np.broadcast_to(np.asarray(radius, dtype=np.float64), len(points_P3)))


def _spine_y(anatomy: Anatomy, z: float) -> float:
    return anatomy.spine_at(z)


def trachea_y(anatomy: Anatomy, z: float) -> float:
    return _spine_y(anatomy, z) + 38.0


def airways(anatomy: Anatomy) -> list[Tube]:
    """Trachea, main bronchi and the first lobar ones (lumen radii)."""
    big = 1.12 if anatomy.body.sex == "male" else 0.97
    carina = np.array([3.0, trachea_y(anatomy, 0.0), 0.0])
    windpipe = [(1.0, trachea_y(anatomy, z), z) for z in (135.0, 90.0, 45.0, 8.0)] + [tuple(carina)]
    out = [tube(windpipe, 8.2 * big)]
    for side, sign, r in (("right", 1.0, 6.4), ("left", -1.0, 5.6)):
        hilum = anatomy.hilum(side) + np.array([-sign * 4.0, -2.0, 3.0])
        out.append(tube([tuple(carina), tuple(hilum)], [r * 1.1 * big, r * 0.9 * big]))
        for dx, dy, dz, q in ((22, 2, 24, 3.0), (20, 22, -22, 2.6), (14, -16, -38, 3.2)):
            out.append(tube([tuple(hilum), tuple(hilum + np.array([sign * dx, dy, dz]))], [4.3 * big, q * big * 0.7]))
    return out


def aorta(anatomy: Anatomy) -> Tube:
    """Root, ascending part, arch and descending part, in this order."""
    r, sz, sx = anatomy.body.aorta_mm, anatomy.body.scale_z, anatomy.body.scale_x
    heart = anatomy.heart_center
    arch_y = trachea_y(anatomy, 20.0 * sz)
    points = [
        (heart[0] + 24.0, heart[1] - 2.0, heart[2] + 22.0),
        (15.0 * sx, max(heart[1] - 10, arch_y + 34), -22.0 * sz),
        (16.0 * sx, arch_y + 32.0, 4.0 * sz),
        (12.0 * sx, arch_y + 26.0, 20.0 * sz),
        (2.0 * sx, arch_y + 16.0, 29.0 * sz),
        (-11.0 * sx, arch_y + 2.0, 29.0 * sz),
        (-20.0 * sx, arch_y - 11.0, 20.0 * sz),
    ]
    for z in (4.0, -25.0, -60.0, -95.0, -130.0, -175.0, -215.0):
        points.append(((-24.0 + 10.0 * max(0.0, -(z + 40.0) / 140.0)) * sx, _spine_y(anatomy, z * sz) + 17.0, z * sz))
    radius = [1.1, 1.08, 1.05, 1.0, 0.95, 0.92, 0.9] + [0.86] * 3 + [0.82] * 4
    return tube(points, [r * f for f in radius])


def great_vessels(anatomy: Anatomy) -> list[Tube]:
    """Caval veins, pulmonary trunk and arteries, arch branches, azygos, lower lung veins."""
    heart, size = anatomy.heart_center, anatomy.heart_size
    arch_y, sz = trachea_y(anatomy, 20.0), anatomy.body.scale_z
    right, left = anatomy.hilum("right"), anatomy.hilum("left")
    atrium = anatomy.atrium_center
    trunk_top = np.array([-17.0, arch_y + 22.0, -10.0 * sz])
    back = np.array([heart[0] + 14.0, heart[1] - 34.0 * size, heart[2] + 18.0])
    out = [
        tube([(atrium[0] + 4, atrium[1], atrium[2] + 24), (25, arch_y + 16, 5 * sz), (25, arch_y + 15, 42 * sz)], 9.0),
        tube([(25, arch_y + 15, 42 * sz), (30, arch_y + 4, 105 * sz)], 7.0),
        tube([(25, arch_y + 15, 42 * sz), (-20, arch_y + 22, 52 * sz), (-32, arch_y + 6, 105 * sz)], 6.0),
        tube([(heart[0] - 6, heart[1] + 14, heart[2] + 24), tuple(trunk_top)], [13.0, 12.5]),
        tube([tuple(trunk_top), tuple(left + np.array([0, 4, 6]))], [11.0, 8.5]),
        tube([tuple(trunk_top), (4, arch_y + 10, -17 * sz), tuple(right + np.array([-2, 6, 0]))], [11.0, 10.5, 8.5]),
        tube([tuple(atrium + np.array([0, -6, -26 * size])), (20, 4, -130 * sz), (20, -4, -215)], [11.0, 11.5, 11.0]),
        tube([(11, arch_y + 24, 26 * sz), (14, arch_y + 8, 105 * sz)], [6.0, 5.0]),
        tube([(-3, arch_y + 14, 32 * sz), (-14, arch_y + 4, 105 * sz)], 3.8),
        tube([(-12, arch_y + 2, 32 * sz), (-26, arch_y - 8, 105 * sz)], 4.6),
        tube([(9, _spine_y(anatomy, -160) + 17, -215), (8, _spine_y(anatomy, 0) + 17, 5), (22, arch_y, 12)], 3.6),
    ]
    for hilum in (right, left):
        out.append(tube([tuple(back), tuple(hilum + np.array([0, -2, -16]))], [7.0, 5.5]))
    return out


def esophagus(anatomy: Anatomy) -> Tube:
    points = [
        (-3.0 - 6.0 * max(0.0, -z / 160.0), _spine_y(anatomy, z) + 23.5, z) for z in (130, 60, 0, -60, -110, -150)
    ]
    return tube([(x, y + (10.0 if z < -100 else 0.0), float(z)) for x, y, z in points], 6.5)


def lung_tree(
    rng: np.random.Generator, root: NDArray, targets_P3: NDArray, root_radius: float
) -> list[tuple[NDArray, NDArray, float]]:
    """Grow a binary tree from `root` to `targets_P3` by halving the targets along their widest axis, level by level.

    Each level of the result is (starts (S, 3), ends (S, 3), radius); radii fall by 2^(-1/2.7) a level (Murray's law
    with the exponent measured for lungs). The number of targets is cut to a power of two.
    """
    levels = int(np.log2(len(targets_P3)))
    groups = targets_P3[: 2**levels][None]
    nodes, out = root[None], []
    for level in range(levels):
        widest = groups.var(axis=1).argmax(axis=1)
        key = np.take_along_axis(groups, widest[:, None, None], axis=2)[..., 0]
        order = key.argsort(axis=1)
        groups = np.take_along_axis(groups, order[..., None], axis=1).reshape(2 * len(groups), -1, 3)
        starts = np.repeat(nodes, 2, axis=0)
        toward = groups.mean(axis=1) - starts
        reach = 0.5 if level < levels - 1 else 0.95
        nodes = (
            starts + reach * toward + rng.normal(0, 0.07, starts.shape) * np.linalg.norm(toward, axis=1, keepdims=True)
        )
        out.append((starts, nodes, root_radius * 2.0 ** (-level / 2.7)))
    return out


def tree_pieces(
    levels: list[tuple[NDArray, NDArray, float]], step_mm: float, bend: float, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Cut the segments of a tree into bent rows of small pieces: centres (P, 3) and volumes (P,) in mm3."""
    points, volumes = [], []
    for starts, ends, radius in levels:
        along = ends - starts
        length = np.linalg.norm(along, axis=1)
        steps = max(int(np.ceil(length.mean() / step_mm)), 2)
        t = ((np.arange(steps) + 0.5) / steps)[None, :, None]
        sag = rng.normal(0, bend, starts.shape)[:, None, :] * length[:, None, None] * 4 * t * (1 - t)
        points.append((starts[:, None] + along[:, None] * t + sag).reshape(-1, 3))
        volumes.append(np.repeat(np.pi * radius**2 * length / steps, steps))
    return np.concatenate(points), np.concatenate(volumes)
