"""A frontal radiograph of the same body: line integrals of attenuation, Beer-Lambert, scatter, quanta, display.

Shape legend: Z, Y, X = slices, rows, columns of the CT; H, W = rows and columns of the radiograph.
Parallel rays run from back to front (PA direction). The body is the supine one of the CT: fluid lies behind the lung
and air in front of it, so an effusion veils a lung more than it blunts its angle, as on a supine radiograph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from domains.medical.phantom.grid import Array

MU_WATER_PER_MM = 0.0190  # at 70 keV (NIST XCOM, water 0.193 /cm)
BONE_EXCESS = 0.8  # extra attenuation per HU above water: calcium absorbs more than the HU scale at 120 kV says


def attenuation(hu: Array) -> Array:
    """Linear attenuation per mm from HU: mu_water (1 + HU / 1000), steeper above water; never negative."""
    mu = np.maximum(hu * np.float32(0.001) + np.float32(1.0), np.float32(0.0))
    mu += np.maximum(hu - np.float32(100.0), np.float32(0.0)) * np.float32(0.001 * BONE_EXCESS)
    mu *= np.float32(MU_WATER_PER_MM)
    return mu


def line_integral(hu_ZYX: Array, row_mm: float) -> Array:
    """(Z, X) integral of attenuation along y, dimensionless. A block of L mm of water gives L * MU_WATER_PER_MM."""
    return attenuation(hu_ZYX).sum(axis=1) * np.float32(row_mm)


def transmission(integral: Array) -> Array:
    """Beer-Lambert: the share of the beam that passes."""
    return np.exp(-integral)


def detector_size(shape: tuple[int, int, int], spacing: tuple[float, float, float], pixels: int) -> float:
    """Pixel edge in mm of a square detector as wide as the scan is high (or as the scan is wide, if that is less)."""
    return min(shape[0] * spacing[0], shape[2] * spacing[2]) / pixels


def radiograph(
    hu_ZYX: Array,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    pixels: int = 256,
    quanta: float = 60_000.0,
    scatter: float = 0.30,
) -> NDArray[np.uint8]:
    """(H, W) uint8 image, bone white, patient right on the image's left, head up.

    quanta: photons per open pixel; scatter: ratio of scattered to primary radiation behind the grid.
    """
    nz, _, nx = hu_ZYX.shape
    integral_ZX = line_integral(hu_ZYX, spacing[1])
    edge = detector_size((nx, 1, nz), spacing, pixels)
    half = (np.arange(pixels) + 0.5) * edge - pixels * edge / 2
    rows = (nz - 1) / 2 - half / spacing[2]  # row 0 is the head
    columns = (nx - 1) / 2 - half / spacing[0]  # column 0 is the patient's right, the largest x
    coefficients = ndimage.spline_filter(integral_ZX, order=3, output=np.float32)
    integral = _separable(coefficients, rows, columns)
    primary = transmission(np.maximum(integral, 0))
    blurred = ndimage.zoom(ndimage.gaussian_filter(primary[::8, ::8], 5.0), 8, order=1, grid_mode=True, mode="nearest")
    beam = primary + np.float32(scatter) * blurred[:pixels, :pixels]
    counts = quanta * beam
    counts = counts + np.sqrt(counts) * rng.standard_normal(counts.shape, dtype=np.float32)
    density = -np.log(np.maximum(counts, 1.0) / quanta)
    return display(density)


def display(density: Array) -> NDArray[np.uint8]:
    """Window a log image on the chest: the darkest lung is near black, the spine and the abdomen near white."""
    h, w = density.shape
    chest = density[h // 6 : (5 * h) // 6 : 3, w // 6 : (5 * w) // 6 : 3]
    low, high = np.percentile(chest, (1.0, 99.0))
    margin = 0.08 * max(high - low, 1e-6)
    return np.round(255.0 * np.clip((density - low + margin) / (high - low + 2 * margin), 0.0, 1.0)).astype(np.uint8)


def _separable(coefficients: Array, rows: NDArray, columns: NDArray) -> Array:
    """Cubic B-spline interpolation of (Z, X) at the outer product of rows and columns; the edge value repeats."""
    of_rows, of_columns = _basis(rows, coefficients.shape[0]), _basis(columns, coefficients.shape[1])
    return np.asarray(of_rows @ coefficients @ of_columns.T, dtype=np.float32)


def _basis(at: NDArray, size: int) -> Array:
    """(len(at), size) cubic B-spline weights with mirrored borders."""
    at = np.clip(at, 0, size - 1)
    base = np.floor(at).astype(int)
    t = at - base
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    index = np.abs(base[:, None] + np.arange(-1, 3))
    index = np.where(index > size - 1, 2 * (size - 1) - index, index)
    matrix: Array = np.zeros((len(at), size), np.float32)
    np.add.at(matrix, (np.arange(len(at))[:, None], np.clip(index, 0, size - 1)), weights)
    return matrix
