"""Voxelise a healthy subject in Hounsfield units: painter's algorithm, from the skin inwards.

Shape legend: Z, Y, X = slices, rows, columns of the scan.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import fft

from domains.medical.phantom import skeleton, tubes
from domains.medical.phantom.anatomy import Anatomy
from domains.medical.phantom.grid import Array, Box, Grid, capsule, ellipsoid
from domains.medical.phantom.labels import ORGANS, SIDES
from domains.medical.phantom.scene import Scene

FAT, MUSCLE, BLOOD, LIVER, SPLEEN, AIR, CARTILAGE, DISC, CANAL = (
    -100.0,
    45.0,
    50.0,
    60.0,
    50.0,
    -1000.0,
    95.0,
    80.0,
    25.0,
)
OUTSIDE_FIELD = -1024.0
VESSEL_TARGETS = 256  # end points of each of the four vessel trees


def render(anatomy: Anatomy, grid: Grid, rng: np.random.Generator) -> Scene:
    """Paint every organ of `anatomy` on a new scene, without noise."""
    scene = Scene.empty(grid, anatomy)
    cavity = _trunk(scene)
    _lungs(scene, rng)
    _abdomen(scene, cavity)
    _lung_vessels(scene, rng)
    _mediastinum(scene, rng)
    _bones(scene, cavity)
    return scene


def _all(scene: Scene) -> Box:
    nz, ny, nx = scene.hu.shape
    return slice(0, nz), slice(0, ny), slice(0, nx)


def _trunk(scene: Scene) -> Array:
    """Fat under the skin, muscle, then the fat that fills the chest cavity. Returns the cavity's distance."""
    grid, anatomy = scene.grid, scene.anatomy
    x, y, z = grid.coords(_all(scene))
    body = anatomy.body
    skin = anatomy.skin(x, y, z)
    cavity = anatomy.cavity(x, y, z)
    scene.outside = skin > grid.edge_mm
    scene.hu += grid.cover(skin) * np.float32(FAT - AIR)
    lean = skin + np.float32(body.fat_mm) * (np.float32(0.85) + np.float32(0.3) * np.abs(x) / np.float32(150.0))
    # muscle between the skin's fat and the cavity, less the fat plane between the rib cage and the outer muscles
    plane = cavity - np.float32(11.0 + 0.25 * body.muscle_mm)
    np.abs(plane, out=plane)
    plane *= np.float32(-1.0 / grid.edge_mm)
    plane += np.float32((0.8 + 0.04 * body.fat_mm) / grid.edge_mm + 0.5)
    np.clip(plane, 0.0, 0.7, out=plane)
    share = grid.cover(lean)
    share -= np.maximum(grid.cover(cavity), np.minimum(plane, share, out=plane), out=plane)
    share *= np.float32(MUSCLE - FAT)
    scene.hu += share
    if body.sex == "female":
        _breasts(scene, skin)
    for side in SIDES:  # the raised arms
        head = skeleton.clavicle_points(anatomy, side)[3]
        arm = tubes.tube(np.stack([head - [0, 0, 12.0], head * [1.12, 1.0, 1.0] + [0, 0, 45.0]]), 30.0)
        scene.paint_tube(arm, FAT, grow_mm=0.35 * body.fat_mm)
        scene.paint_tube(arm, MUSCLE)
    return cavity


def _breasts(scene: Scene, skin: Array) -> None:
    grid, body = scene.grid, scene.anatomy.body
    for sign in (1.0, -1.0):
        z = -66.0 * body.scale_z
        front = scene.anatomy.front_y(z) + body.muscle_mm + body.fat_mm * 0.6
        center = np.array([sign * 84.0 * body.scale_x, front - 16.0, z])
        axes = np.array([56.0, 20.0 + 0.35 * body.fat_mm, 54.0]) * (0.8 + 0.006 * body.fat_mm)
        box = grid.box(center[None], axes + 4)
        if box is not None:
            coords = grid.coords(box)
            outside = np.maximum(ellipsoid(coords, center, axes), -skin[box])
            scene.paint(box, grid.cover(outside), FAT)
            gland = ellipsoid(coords, center + np.array([0.0, 6.0, 0.0]), axes * 0.5)
            scene.paint(box, grid.cover(gland) * np.float32(0.55 if body.age < 60 else 0.3), 30.0)


def _lungs(scene: Scene, rng: np.random.Generator) -> None:
    grid, anatomy = scene.grid, scene.anatomy
    body = anatomy.body
    reach = anatomy.inner_half_width + 12.0
    heart_box = grid.box(anatomy.heart_center[None], anatomy.heart_axes.max() * 1.35 + anatomy.sac_mm + 6)
    sac = None
    if heart_box is not None:
        sac = np.float32(anatomy.sac_mm) - anatomy.heart(grid.coords(heart_box))
    for side, organ in zip(SIDES, ("right lung", "left lung"), strict=True):
        sign = 1.0 if side == "right" else -1.0
        corners = np.array([[-6.0 * sign, -105.0, -200.0], [sign * reach, 108.0, 112.0]])
        box = grid.box(corners, 4.0)
        if box is None:
            continue
        x, y, z = grid.coords(box)
        sdf = anatomy.chest_side(side, x, y, z)
        if sac is not None and heart_box is not None:
            _maximum_in(sdf, box, sac, heart_box)
        scene.pleura[side] = (box, sdf)
        base = np.float32(body.lung_hu) - np.float32(body.lung_gradient) * (y - np.float32(5.0)) / np.float32(160.0)
        density = base + rng.normal(0, 5) - np.float32(0.06) * z
        fissure = np.abs(z - anatomy.oblique_fissure(side, y)) * np.float32(0.72)
        if side == "right":
            flat = np.abs(z - np.float32(anatomy.horizontal_fissure))
            fissure = np.minimum(fissure, np.where(z > anatomy.oblique_fissure(side, y), flat, np.float32(99.0)))
        density = density + np.clip(np.float32(2.6) - fissure, 0.0, 2.0) * np.float32(30.0)
        scene.paint(box, grid.cover(sdf), density, ORGANS[organ])


def _maximum_in(target: Array, box: Box, source: Array, source_box: Box) -> None:
    """target = max(target, source) where the two boxes of the same grid overlap."""
    into, out = [], []
    for a, b in zip(box, source_box, strict=True):
        low, high = max(a.start, b.start), min(a.stop, b.stop)
        if low >= high:
            return
        into.append(slice(low - a.start, high - a.start))
        out.append(slice(low - b.start, high - b.start))
    view = target[tuple(into)]
    np.maximum(view, source[tuple(out)], out=view)


def _abdomen(scene: Scene, cavity: Array) -> None:
    """Below the diaphragm: its muscle, fat, liver with the right dome, spleen and stomach under the left one."""
    grid, anatomy = scene.grid, scene.anatomy
    body = anatomy.body
    top = max(body.dome_mm) + 8.0
    box = grid.box(np.array([[-150.0, -110.0, -260.0], [150.0, 120.0, top]]), 2.0)
    if box is None:
        return
    x, y, z = grid.coords(box)
    right, left = anatomy.dome("right", x, y), anatomy.dome("left", x, y)
    blend = np.clip(x / np.float32(30.0) + np.float32(0.5), 0.0, 1.0)
    under = (z - (left + (right - left) * blend)) * np.float32(0.75)
    inside = np.maximum(cavity[box], under)
    scene.paint(box, grid.cover(inside), MUSCLE)
    scene.paint(box, grid.cover(inside + np.float32(3.5)), FAT)
    liver = ellipsoid((x, y, z), np.array([52.0, 12.0, body.dome_mm[0] - 70.0]), np.array([112.0, 98.0, 92.0]))
    liver = np.maximum(liver, inside + np.float32(2.5))
    liver = np.maximum(liver, np.float32(-48.0) - x - np.float32(0.25) * (y - np.float32(40.0)))
    scene.paint(box, grid.cover(liver), LIVER, ORGANS["liver"])
    spleen = ellipsoid(
        (x, y, z), np.array([-86.0 * body.scale_x, -46.0, body.dome_mm[1] - 40.0]), np.array([40.0, 44.0, 46.0])
    )
    spleen = np.maximum(spleen, inside + np.float32(2.5))
    stomach = ellipsoid(
        (x, y, z), np.array([-60.0 * body.scale_x, 34.0, body.dome_mm[1] - 34.0]), np.array([36.0, 40.0, 32.0])
    )
    stomach = np.maximum(stomach, inside + np.float32(2.5))
    scene.paint(box, grid.cover(stomach), 30.0, ORGANS["stomach"])
    lumen = np.maximum(stomach + np.float32(4.5), np.float32(34.0) - y)
    scene.paint(box, grid.cover(lumen), AIR)
    scene.paint(box, grid.cover(spleen), SPLEEN, ORGANS["spleen"])


def _lung_vessels(scene: Scene, rng: np.random.Generator) -> None:
    """Arteries and veins of both lungs: thick branches as tubes, thin ones as rows of small pieces."""
    anatomy = scene.anatomy
    pieces, volumes = [], []
    for side in SIDES:
        sign = 1.0 if side == "right" else -1.0
        hilum = anatomy.hilum(side)
        for offset, radius in (((0.0, 4.0, 2.0), 7.0), ((-2.0 * sign, 0.0, -14.0), 5.6)):
            targets = anatomy.lung_points(rng, side, VESSEL_TARGETS, 2.5)
            levels = tubes.lung_tree(rng, hilum + np.array(offset), targets, radius)
            for starts, ends, r in levels[:3]:
                for a, b in zip(starts, ends, strict=True):
                    scene.paint_tube(tubes.tube(np.stack([a, b]), [r, r * 0.85]), BLOOD)
            points_P3, volume_P = tubes.tree_pieces(levels[3:], 1.6, 0.06, rng)
            pieces.append(points_P3)
            volumes.append(volume_P)
    scene.paint_pieces(np.concatenate(pieces), np.concatenate(volumes), BLOOD - 10)


def _mediastinum(scene: Scene, rng: np.random.Generator) -> None:
    grid, anatomy = scene.grid, scene.anatomy
    for tube in tubes.airways(anatomy):
        scene.paint_tube(tube, MUSCLE, grow_mm=1.4)
    for tube in tubes.great_vessels(anatomy):
        scene.paint_tube(tube, BLOOD)
    scene.paint_tube(tubes.esophagus(anatomy), MUSCLE - 5, ORGANS["esophagus"])
    box = grid.box(anatomy.heart_center[None], anatomy.heart_axes.max() * 1.35 + anatomy.sac_mm + 6)
    if box is not None:
        heart = anatomy.heart(grid.coords(box))
        scene.paint(box, grid.cover(heart - np.float32(anatomy.sac_mm)), MUSCLE)  # the pericardium, a thin line
        scene.paint(box, grid.cover(heart - np.float32(anatomy.sac_mm - 1.2)), FAT)
        if anatomy.body.pericardial_mm > 0:
            fluid = heart - np.float32(anatomy.sac_mm - 1.2)
            scene.paint(box, grid.cover(fluid), 14.0, lesion="Pericardial effusion")
            scene.paint(box, grid.cover(heart - np.float32(anatomy.body.epicardial_fat_mm * 0.6)), FAT)
            scene.lesions[box][heart < anatomy.body.epicardial_fat_mm * 0.6] = 0
        scene.paint(box, grid.cover(heart), BLOOD, ORGANS["heart"])
    scene.paint_tube(tubes.aorta(anatomy), BLOOD + 2, ORGANS["aorta"])
    for tube in tubes.airways(anatomy):
        scene.paint_tube(tube, AIR, ORGANS["airways"])
    _small_nodes(scene, rng)


def _small_nodes(scene: Scene, rng: np.random.Generator) -> None:
    """Normal lymph nodes, short axis 4 to 8 mm, which everybody has."""
    for _ in range(int(rng.integers(3, 8))):
        z = rng.uniform(-40, 50)
        center = np.array([rng.uniform(-22, 26), tubes.trachea_y(scene.anatomy, z) + rng.uniform(-2, 26), z])
        axes = np.array([1.0, rng.uniform(1.0, 1.6), 1.2]) * rng.uniform(2.0, 4.0)
        scene.paint_small(center, axes.max(), partial(ellipsoid, center=center, axes=axes), 40.0, parts=2)


def _bones(scene: Scene, cavity: Array) -> None:
    grid, anatomy = scene.grid, scene.anatomy
    shape = scene.hu.shape
    near = np.flatnonzero(np.abs(cavity - np.float32(skeleton.RIB_DEPTH_MM)) < 16.0)
    plane = near % (shape[1] * shape[2])
    x, y = (np.broadcast_to(v, (1, *shape[1:])).reshape(-1)[plane] for v in (grid.x, grid.y))
    z = grid.z.reshape(-1)[near // (shape[1] * shape[2])]
    bone, cartilage = skeleton.ribs(anatomy, cavity.reshape(-1)[near], x, y, z)
    hu, organs = scene.hu.reshape(-1), scene.organs.reshape(-1)
    for sdf, value in ((cartilage, CARTILAGE), (bone, 700.0), (bone + np.float32(2.6), 280.0)):
        cover = grid.cover(sdf)
        hu[near] += cover * (np.float32(value) - hu[near])
    organs[near[bone < 0]] = ORGANS["ribs"]
    _spine(scene)
    for side in SIDES:
        center, _ = skeleton.scapula_center(anatomy, side)
        box = grid.box(center[None], np.array([38.0, 38.0, 66.0]))
        if box is not None:
            scene.paint(box, grid.cover(skeleton.scapula(anatomy, side, grid.coords(box))), 480.0, ORGANS["other bone"])
        points = skeleton.clavicle_points(anatomy, side)
        scene.paint_tube(tubes.tube(np.stack(points[:3]), [7.5, 5.5, 6.5]), 520.0, ORGANS["other bone"])
        box = grid.box(points[3][None], 27.0)
        if box is not None:
            cover = grid.cover(capsule(grid.coords(box), points[3], points[3] + np.array([0, 0, 6.0]), 22.0, 20.0))
            scene.paint(box, cover, 330.0, ORGANS["other bone"])
    sz = anatomy.body.scale_z
    box = grid.box(np.array([[-30.0, 10.0, -100 * sz], [30.0, 120.0, 50 * sz]]), 4.0)
    if box is not None:
        bar = skeleton.sternum(anatomy, grid.coords(box))
        scene.paint(box, grid.cover(bar), 480.0, ORGANS["other bone"])
        scene.paint(box, grid.cover(bar + np.float32(3.0)), 180.0)


def _spine(scene: Scene) -> None:
    grid = scene.grid
    box = grid.box(np.array([[-36.0, -118.0, -300.0], [36.0, -22.0, 300.0]]), 3.0)
    if box is None:
        return
    bone, body, canal = skeleton.spine(scene.anatomy, grid.coords(box))
    scene.paint(box, grid.cover(body), DISC, ORGANS["spine"])
    scene.paint(box, grid.cover(bone), 560.0, ORGANS["spine"])
    scene.paint(box, grid.cover(bone + np.float32(3.2)), 210.0)
    scene.paint(box, grid.cover(canal), CANAL)


def add_noise(scene: Scene, rng: np.random.Generator) -> Array:
    """The scene's HU with quantum-like noise: white noise filtered by |f| exp(-(f/f0)^2) in each slice, scaled to
    the body's `noise_hu` in its centre and less towards the skin. The air around the body has next to none, and the
    corners outside the scanner's field of view hold -1024."""
    grid = scene.grid
    nz, ny, nx = scene.hu.shape
    noise = _texture((nz, ny, nx), rng)
    away = (grid.x / np.float32(170.0)) ** 2 + (grid.y / np.float32(130.0)) ** 2
    noise *= np.float32(scene.anatomy.body.noise_hu) * np.clip(np.float32(1.05) - np.float32(0.45) * away, 0.25, 1.05)
    if scene.outside is not None:
        noise[scene.outside & (scene.hu == AIR)] *= np.float32(0.2)
    noise += scene.hu
    if nx == ny:
        rows = np.arange(nx, dtype=np.float32) - np.float32((nx - 1) / 2)
        noise[:, rows[:, None] ** 2 + rows[None, :] ** 2 > (nx / 2) ** 2] = OUTSIDE_FIELD
    return noise


def _texture(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Noise of unit standard deviation whose power in each slice rises with frequency and is cut before Nyquist."""
    nz, ny, nx = shape
    f = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :])
    gain = f * np.exp(-((f / 0.32) ** 2))
    twice = np.full(gain.shape[1], 2.0)  # a column of the half spectrum stands for two, but for the first and the last
    twice[0] = 1.0
    if nx % 2 == 0:
        twice[-1] = 1.0
    gain *= nx * ny / np.sqrt((gain**2 * twice).sum())
    # uniform instead of normal coefficients: a sum of thousands is normal all the same, and they cost half
    parts = rng.random((nz, *gain.shape, 2), dtype=np.float32)
    parts -= np.float32(0.5)
    spectrum = parts.view(np.complex64)[..., 0]
    spectrum *= (gain * np.sqrt(6.0)).astype(np.float32)
    return fft.irfft2(spectrum, s=(ny, nx), axes=(1, 2), overwrite_x=True)
