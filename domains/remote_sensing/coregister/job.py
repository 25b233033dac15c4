"""The whole of it: estimate, write the corrected raster, the report and the quick-look."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import ConfigError
from core.files import write_atomic
from domains.remote_sensing.coregister.estimate import Alignment, Tell, align
from domains.remote_sensing.coregister.output import fill_of, write_corrected
from domains.remote_sensing.coregister.picture import quick_look
from domains.remote_sensing.coregister.rasters import Interpolation, SceneRaster
from domains.remote_sensing.coregister.voters import Voter
from domains.remote_sensing.coregister.windows import Settings

REPORT, QUICK_LOOK = ".json", ".png"  # beside the output, in place of its suffix


def coregister(
    moving: Path | str,
    reference: Path | str,
    out: Path | str,
    voter: Voter,
    *,
    moving_bands: Sequence[str] = (),
    reference_bands: Sequence[str] = (),
    settings: Settings | None = None,
    interpolation: Interpolation | Literal["auto"] = "auto",
    tell: Tell = print,
) -> dict[str, Any]:
    """Write `out`, the moving raster corrected and on the grid of the reference, and beside it the report and a
    quick-look; returns the report.

    interpolation: of the output; "auto": bilinear, nearest neighbour for a raster with a palette.
    Raises NoConsensusError, and writes nothing, when the rasters do not tell how they lie to each other.
    """
    began, path, settings = time.time(), Path(out), settings or Settings()
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"--out {path}: is a GeoTIFF; give a name that ends with .tif")
    if path.resolve() in (Path(moving).resolve(), Path(reference).resolve()):
        raise ConfigError(f"--out {path}: is one of the inputs; choose another name")
    source, fixed = SceneRaster.of(moving, moving_bands), SceneRaster.of(reference, reference_bands)
    found = align(source, fixed, voter, settings, tell)
    chosen: Interpolation = ("nearest" if source.colours else "bilinear") if interpolation == "auto" else interpolation
    covered = write_corrected(source, fixed.grid, found.correction_33, path, chosen)
    report = facts(source, fixed, found, voter, settings)
    report |= {"interpolation": chosen, "covered": covered, "output": path.name, "seconds": time.time() - began}
    write_atomic(path.with_suffix(REPORT), json.dumps(report, indent=1))
    title = (
        f"moved by {report['shift_px'][0]:.2f} columns, {report['shift_px'][1]:.2f} rows ({report['shift_m']:.1f} m)"
    )
    write_atomic(path.with_suffix(QUICK_LOOK), quick_look(source, fixed, found, title))
    return report


def facts(
    moving: SceneRaster, fixed: SceneRaster, found: Alignment, voter: Voter, settings: Settings
) -> dict[str, Any]:
    """What the report says; lengths in pixels of the reference, and in metres."""
    fill = fill_of(moving)
    noted = [] if moving.header.nodata is not None else [
        f"{moving.path.name} states no nodata: {'nan' if math.isnan(fill) else '0'} stands for missing in the output"
    ]  # fmt: skip
    return {
        "moving": moving.path.name,
        "reference": fixed.path.name,
        "crs": fixed.header.crs,
        "crs_of_moving": moving.header.crs,
        "method": voter.name,
        "model": settings.model,
        "shift_px": list(found.shift_px),
        "east_m": found.shift_m[0],
        "north_m": found.shift_m[1],
        "shift_m": math.hypot(*found.shift_m),
        "rms_px": found.rms_px,
        "rms_m": found.rms_m,
        "matches": len(found.fit.inliers_N),
        "inliers": int(found.fit.inliers_N.sum()),
        "inlier_share": found.fit.share,
        "log10_false_alarms": found.fit.log10_chance,
        "probe_px": found.probe_px,
        "windows": len(found.votes.places),
        "correction": np.asarray(found.correction_33).tolist(),
        "nodata": None if math.isnan(fill) else fill,
        "settings": asdict(settings),
        "notes": noted,
    }
