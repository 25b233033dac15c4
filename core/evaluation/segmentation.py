"""Dice, 95% Hausdorff distance and surface Dice of one case, with every empty-mask rule named.

Works on 2D and 3D label maps. Shape legend: ... = spatial axes, K = voxels of a boundary.
Backend "scipy-edt/voxel": boundaries are the mask's voxels with a neighbour (across a face, or the image's edge)
outside it, each counted once; distances are exact Euclidean ones between voxel centres, in the unit of `spacing` (mm
where spacing is in mm). MONAI counts voxels in the same way; tools that weight by surface area differ on anisotropic
grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError

BACKEND = "scipy-edt/voxel"
EmptyPolicy = Literal["nan-skip", "both-empty=1", "fp=0"]
EMPTY_POLICIES: dict[str, str] = {
    "nan-skip": "Dice is skipped (nan) where the class is absent from the target",
    "both-empty=1": "Dice is 1 where prediction and target are both empty, 0 where only one is",
    "fp=0": "Dice is 0 where only the prediction holds the class, skipped (nan) where both are empty",
}
Outcome = Literal["both", "missed", "false_positive", "absent"]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class in one case. outcome: "both" masks hold voxels, "missed" (prediction empty), "false_positive" (target
    empty) or "absent" from both. dice by the empty policy. hd95: image diagonal where exactly one mask is empty. nsd: 0
    there. hd95 and nsd are nan where both are empty."""

    dice: float
    hd95: float
    nsd: float
    outcome: Outcome


def segmentation_case(
    prediction: NDArray[np.integer],
    target: NDArray[np.integer],
    *,
    classes: Mapping[str, int],
    spacing: Sequence[float],
    tolerance: float | Mapping[str, float] = 2.0,
    empty: EmptyPolicy = "nan-skip",
    ignore: int = -1,
) -> dict[str, ClassScores]:
    """Score the label map of one case, class by class.

    prediction, target: integer label maps (...) of equal shape. classes: name -> label; leave the background out.
    spacing: voxel size per axis. tolerance: largest surface distance that counts as right, for all classes or by name,
    in the same unit. ignore: voxels with this target label belong to neither mask.
    Raises DataError for shapes that do not fit, ConfigError for an unknown policy, spacing or tolerance.
    """
    prediction, target = np.asarray(prediction), np.asarray(target)
    if prediction.shape != target.shape:
        raise DataError(f"segmentation: prediction is {prediction.shape}, target {target.shape}; resample one of them")
    if empty not in EMPTY_POLICIES:
        raise ConfigError(f"segmentation: empty is '{empty}'; valid: {', '.join(EMPTY_POLICIES)}")
    if len(spacing) != target.ndim or min(spacing) <= 0:
        raise ConfigError(
            f"segmentation: spacing is {list(spacing)} for {target.ndim} axes; give one size above 0 each"
        )
    valid = target != ignore
    scores = {}
    for name, label in classes.items():
        limit = tolerance.get(name, -1.0) if isinstance(tolerance, Mapping) else tolerance
        if limit < 0:
            raise ConfigError(f"segmentation: no tolerance of at least 0 for class '{name}'; add it to 'tolerance'")
        scores[name] = _class_scores((prediction == label) & valid, (target == label) & valid, spacing, limit, empty)
    return scores


def _class_scores(p: Mask, g: Mask, spacing: Sequence[float], tolerance: float, empty: EmptyPolicy) -> ClassScores:
    if p.any() and g.any():
        to_g_K, to_p_K = surface_distances(p, g, spacing=spacing)
        hd95 = max(float(np.percentile(to_g_K, 95)), float(np.percentile(to_p_K, 95)))
        # a distance equal to the tolerance is within it, whatever the rounding of the spacing
        within = sum(int((d_K <= tolerance * (1 + 1e-9)).sum()) for d_K in (to_g_K, to_p_K))
        return ClassScores(dice(p, g), hd95, within / (len(to_g_K) + len(to_p_K)), "both")
    if not p.any() and not g.any():
        return ClassScores(1.0 if empty == "both-empty=1" else np.nan, np.nan, np.nan, "absent")
    diagonal = float(np.linalg.norm(np.array(p.shape) * np.asarray(spacing, dtype=np.float64)))
    if g.any():
        return ClassScores(0.0, diagonal, 0.0, "missed")
    return ClassScores(np.nan if empty == "nan-skip" else 0.0, diagonal, 0.0, "false_positive")


def dice(p: Mask, g: Mask) -> float:
    """2 |P and G| / (|P| + |G|), in [0, 1]; nan when both are empty."""
    total = int(p.sum()) + int(g.sum())
    return 2.0 * int((p & g).sum()) / total if total else float("nan")


def surface_distances(p: Mask, g: Mask, *, spacing: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every boundary voxel of `p` to the boundary of `g`, and the reverse; both masks must hold a voxel."""
    from scipy.ndimage import distance_transform_edt

    # both boundaries lie inside the common bounding box, so nothing outside it can be nearest
    box = tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(p | g))
    edge_p, edge_g = _boundary(p[box]), _boundary(g[box])
    to_g = distance_transform_edt(~edge_g, sampling=spacing)
    to_p = distance_transform_edt(~edge_p, sampling=spacing)
    return to_g[edge_p], to_p[edge_g]


def _boundary(mask: Mask) -> Mask:
    """Voxels of the mask with a face neighbour outside it; outside the array counts as outside the mask."""
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask, border_value=0)


def segmentation_protocol(
    *, spacing_unit: str, tolerance: float | Mapping[str, float], empty: EmptyPolicy
) -> dict[str, Any]:
    """The rules behind the figures, for a report; `str` of it is one printable line per rule."""
    return {
        "backend": BACKEND,
        "empty_masks": f"{empty}: {EMPTY_POLICIES[empty]}",
        "surface_of_empty_masks": "one empty: hd95 = image diagonal, nsd = 0 (counted); both empty: nan",
        "aggregation": "mean over cases per class, then mean over classes; background left out",
        "tolerance": dict(tolerance) if isinstance(tolerance, Mapping) else tolerance,
        "unit": spacing_unit,
    }
