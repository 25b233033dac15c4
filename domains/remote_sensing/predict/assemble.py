"""From finished strips to the files of a map, in one pass over them.

Shape legend: R = rows of a strip, W = columns of the scene, G = classes.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from core.files import write_atomic
from domains.remote_sensing.io.write import MapWriter
from domains.remote_sensing.predict.area import row_hectares
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.predict.quicklook import SIDE, Colours, picture
from domains.remote_sensing.predict.result import AREAS, CLASS_MAP, CONFIDENCE, FACTS, NODATA, QUICK_LOOK, ClassArea
from domains.remote_sensing.predict.strips import StripStore
from domains.remote_sensing.raster import Window


def assemble(
    strips: StripStore,
    folder: Path,
    grid: Grid,
    classes: Sequence[str],
    colours: Colours,
    settings: Mapping[str, Any],
) -> tuple[ClassArea, ...]:
    """Write class map, confidence, areas, quick-look and facts below `folder`; the facts last: then it is finished."""
    hectares_R = row_hectares(grid)
    step = -(-max(grid.shape) // SIDE)
    pixels_G, area_G = np.zeros(len(classes), np.int64), np.zeros(len(classes))
    small, top = [], 0
    tags = {"CLASSES": json.dumps(dict(enumerate(classes))), "MODEL": str(settings.get("model", ""))}
    same: dict[str, Any] = {
        "shape": grid.shape, "transform": grid.transform, "crs": grid.crs, "dtype": "uint8", "nodata": NODATA
    }  # fmt: skip
    with ExitStack() as stack:
        if not grid.crs:  # a map without georeference is no news when the scene has none
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
        table = {i: colours[i] for i in range(len(classes))}
        class_map = stack.enter_context(
            MapWriter(folder / CLASS_MAP, **same, names=("class",), colours=table, tags=tags)
        )
        confidence = stack.enter_context(
            MapWriter(folder / CONFIDENCE, **same, names=("confidence, percent",), tags=tags)
        )
        for index in range(strips.count):
            classes_RW, percent_RW = strips.read(index)
            rows = len(classes_RW)
            window = Window(top, 0, rows, grid.shape[1])
            class_map.write(classes_RW, window)
            confidence.write(percent_RW, window)
            counts_RG = np.stack([np.bincount(row, minlength=256)[: len(classes)] for row in classes_RW])
            pixels_G += counts_RG.sum(axis=0)
            if hectares_R is not None:
                area_G += hectares_R[top : top + rows] @ counts_RG
            small.append(classes_RW[-top % step :: step, ::step])
            top += rows
    mapped = max(int(pixels_G.sum()), 1)
    areas = tuple(
        ClassArea(name, int(pixels_G[i]), None if hectares_R is None else float(area_G[i]), 100 * pixels_G[i] / mapped)
        for i, name in enumerate(classes)
    )
    write_atomic(folder / AREAS, _table(areas))
    write_atomic(folder / QUICK_LOOK, picture(np.concatenate(small), colours, areas))
    write_atomic(folder / FACTS, json.dumps({"settings": settings, "areas": [_plain(a) for a in areas]}, indent=1))
    return areas


def _plain(area: ClassArea) -> dict[str, Any]:
    return {"name": area.name, "pixels": area.pixels, "hectares": area.hectares, "percent": float(area.percent)}


def _table(areas: Sequence[ClassArea]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["class", "name", "pixels", "hectares", "percent"])
    for i, area in enumerate(areas):
        hectares = "" if area.hectares is None else f"{area.hectares:.4f}"
        writer.writerow([i, area.name, area.pixels, hectares, f"{area.percent:.4f}"])
    return out.getvalue()
