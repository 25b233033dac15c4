"""Ribs, costal cartilage, spine, sternum, shoulder girdle.

All ribs are one surface: a shell around the chest cavity in which rib i is the line z = z_i(angle), so that the
nearest rib of a voxel has a closed form and all of them are drawn at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom.anatomy import VERTEBRA_MM, Anatomy
from domains.medical.phantom.facts import Fracture
from domains.medical.phantom.grid import Array, Coords, ellipsoid

RIBS = 12
RIB_DEPTH_MM = 4.2  # centre line of a rib outside the cavity's surface
BONE_END = 2.32  # angle at which a true rib turns into cartilage


def vertebra_z(anatomy: Anatomy, number: float | NDArray) -> float | NDArray:
    """Height of thoracic vertebra `number`'s centre; the carina (z = 0) is at the fifth."""
    return (5.2 - number) * VERTEBRA_MM * anatomy.body.scale_z


def _drop(angle: NDArray) -> NDArray:
    """How far along its fall a rib is at `angle`: 0 at the spine, 1 at the end of the bone, then rising again."""
    fall = np.clip((angle - np.float32(0.25)) / np.float32(2.07), 0.0, 1.0)
    rise = np.clip((angle - np.float32(BONE_END)) / np.float32(0.82), 0.0, 1.0)
    return fall * (np.float32(1.25) - np.float32(0.25) * fall) - np.float32(0.75) * rise


def rib_height(anatomy: Anatomy, rib: float | NDArray, angle: NDArray) -> NDArray:
    """z of the centre line of `rib` at `angle`."""
    sz = anatomy.body.scale_z
    return vertebra_z(anatomy, rib) + np.float32(6.0) - (np.float32(20.0) + np.float32(6.2) * rib) * sz * _drop(angle)


def nearest_rib(anatomy: Anatomy, angle: Array, z: Array) -> Array:
    """Number (float, not rounded) of the rib at `angle` and height z: the inverse of `rib_height`."""
    sz = anatomy.body.scale_z
    drop = _drop(angle)
    top = np.float32(5.2 * VERTEBRA_MM * sz + 6.0) - np.float32(20.0 * sz) * drop
    return (top - z) / (np.float32(VERTEBRA_MM * sz) + np.float32(6.2 * sz) * drop)


def ribs(anatomy: Anatomy, cavity: Array, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Signed distance (mm) to bone and to cartilage, for points with known distance `cavity` (flat arrays)."""
    a, b, centre = anatomy.chest_axes(z)
    angle = np.arctan2(np.abs(x) / a, -(y - centre) / b)
    fractures = anatomy.body.fractures
    raw = nearest_rib(anatomy, angle, z)
    number = np.clip(np.round(raw), 1, RIBS)
    height = z - rib_height(anatomy, number, angle)
    depth = cavity - np.float32(RIB_DEPTH_MM)
    for fracture in fractures:
        _break(fracture, x, angle, number, height, depth)
    floating = np.where(number >= 11, np.float32(1.45), np.where(number == 10, np.float32(2.0), np.float32(BONE_END)))
    sdf = np.sqrt((depth / np.float32(3.6)) ** 2 + (height / np.float32(6.2)) ** 2)
    sdf = (sdf - np.float32(1.0)) * np.float32(4.4)
    mm_per_rad = (a + b) * np.float32(0.5)
    bone = np.maximum(sdf, np.maximum((angle - floating), (np.float32(0.2) - angle)) * mm_per_rad)
    for fracture in fractures:
        mine = (number == fracture.rib) & ((x > 0) == (fracture.side == "right"))
        away = np.abs(angle - np.float32(fracture.angle)) * mm_per_rad
        if fracture.gap_mm > 0:
            bone = np.where(mine, np.maximum(bone, np.float32(fracture.gap_mm / 2) - away), bone)
        if fracture.callus_mm > 0:
            lump = np.sqrt(depth**2 + height**2 + away**2) - np.float32(fracture.callus_mm)
            bone = np.where(mine, np.minimum(bone, lump), bone)
    cartilage = np.where(number <= 10, np.maximum(sdf, (np.float32(BONE_END) - angle) * mm_per_rad), np.float32(99.0))
    return bone, cartilage


def _break(fracture: Fracture, x: Array, angle: Array, number: Array, height: Array, depth: Array) -> None:
    """Shift the far piece of a broken rib in place: down and inwards near the break, fading towards the sternum."""
    beyond = angle - np.float32(fracture.angle)
    mine = (number == fracture.rib) & ((x > 0) == (fracture.side == "right")) & (beyond > 0)
    fade = np.float32(fracture.step_mm) * np.exp(-beyond[mine] / np.float32(0.4))
    height[mine] += np.float32(0.6) * fade
    depth[mine] += np.float32(0.8) * fade


def spine(anatomy: Anatomy, coords: Coords) -> tuple[Array, Array, Array]:
    """Signed distances (mm) of bone, of discs and of the canal."""
    x, y, z = coords
    pitch = np.float32(VERTEBRA_MM * anatomy.body.scale_z)
    behind = y - anatomy.spine_y(z)
    number = (np.float32(5.2) * pitch - z) / pitch
    phase = (number - np.round(number)) * pitch  # mm from the middle of the nearest vertebra
    width = np.float32(14.5) + np.float32(0.032) * np.clip(np.float32(80.0) - z, 0, 300)
    body = (np.sqrt((x / width) ** 2 + (behind / np.float32(13.5)) ** 2) - np.float32(1.0)) * np.float32(15.0)
    gap = np.abs(phase) - pitch * np.float32(0.40)
    canal = np.sqrt(x * x + (behind + np.float32(21.0)) ** 2) - np.float32(8.0)
    ring = np.maximum(
        np.sqrt((x / np.float32(1.25)) ** 2 + (behind + np.float32(20.0)) ** 2) - np.float32(13.0), -canal
    )
    ring = np.maximum(ring, np.abs(phase) - np.float32(8.0))
    thorn = np.maximum(np.abs(x) - np.float32(3.6), np.abs(behind + np.float32(40.0)) - np.float32(12.0))
    thorn = np.maximum(thorn, np.abs(phase - np.float32(4.0)) - np.float32(6.0))
    wing_y = behind + np.float32(19.0) + np.float32(0.25) * np.abs(x)
    wings = np.maximum(
        np.sqrt(wing_y**2 + (phase + np.float32(3.0)) ** 2) - np.float32(5.0), np.abs(x) - np.float32(30.0)
    )
    bone = np.minimum(np.minimum(np.maximum(body, gap), ring), np.minimum(thorn, wings))
    return bone, body, canal


def sternum(anatomy: Anatomy, coords: Coords) -> Array:
    """Manubrium and body as one flat bar that follows the front wall."""
    x, y, z = coords
    sz = np.float32(anatomy.body.scale_z)
    _, b, centre = anatomy.chest_axes(z)
    ahead = y - (centre + b + np.float32(7.0))
    half = np.where(z > 8 * sz, np.float32(15.0) + (z - 8 * sz) * np.float32(0.3), np.float32(14.0)).astype(np.float32)
    flat = np.maximum(np.abs(ahead) - np.float32(5.0), np.abs(x) - half)
    ends = np.maximum(z - np.float32(46.0) * sz, np.float32(-98.0) * sz - z)
    return np.maximum(flat, ends)


def scapula(anatomy: Anatomy, side: str, coords: Coords) -> Array:
    """The blade, a thin plate that leans on the back of the chest."""
    center, angle = scapula_center(anatomy, side)
    sign = 1.0 if side == "right" else -1.0
    normal = np.array([sign * np.sin(angle), -np.cos(angle), 0.0])
    along = np.array([sign * np.cos(angle), np.sin(angle), 0.0])
    return ellipsoid(coords, center, np.array([5.0, 36.0, 62.0]), np.stack([normal, along, [0.0, 0.0, 1.0]]))


def scapula_center(anatomy: Anatomy, side: str) -> tuple[NDArray, float]:
    angle = 1.05
    return anatomy.wall_point(angle, 16.0, 26.0 * anatomy.body.scale_z, side), angle


def clavicle_points(anatomy: Anatomy, side: str) -> list[NDArray]:
    """Sternal end, middle, shoulder, head of the humerus (arms raised)."""
    sign, sx, sz = (1.0 if side == "right" else -1.0), anatomy.body.scale_x, anatomy.body.scale_z
    front = anatomy.front_y(48.0 * sz)
    return [
        np.array([sign * 19.0, front + 9.0, 50.0 * sz]),
        np.array([sign * 78.0 * sx, front + 4.0, 70.0 * sz]),
        np.array([sign * 142.0 * sx, front - 50.0, 88.0 * sz]),
        np.array([sign * 160.0 * sx, front - 55.0, 92.0 * sz]),
    ]
