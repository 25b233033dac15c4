"""Finds what can be embedded below a folder: rasters, and folders with one file per band."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from domains.remote_sensing.bands import canonical_name
from domains.remote_sensing.io.guard import DRIVERS
from domains.remote_sensing.sensors import PRESETS

RADAR = frozenset(PRESETS["sentinel1_db"].names)
OPTICAL = frozenset(PRESETS["sentinel2_l1c"].names)
PICTURES = {".png", ".jpg", ".jpeg"}


def find_inputs(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """(file or folder, modality) of every raster below `paths`, in the order of names: "s1", "s2" or "rgb".

    A folder whose files are named after bands (x_B02.tif, VV.tif) is one raster. Files of other kinds and hidden ones
    are passed over; a file that is named itself never is. What cannot be read is left to the reader to name.
    """
    for path in paths:
        if not path.is_dir():
            yield path, modality_of(path)
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(name for name in below if not name.startswith("."))
            files = [
                Path(folder) / n for n in sorted(names) if not n.startswith(".") and Path(n).suffix.lower() in DRIVERS
            ]
            bands = [band_of(file) for file in files]
            if len(files) > 1 and all(bands):
                yield Path(folder), "s1" if set(bands) <= RADAR else "s2"
            else:
                yield from ((file, modality_of(file)) for file in files)


def band_of(path: Path) -> str:
    """The band that a file name ends with; "" when it ends with none."""
    name = canonical_name(path.stem.rpartition("_")[2])
    return name if name in RADAR or name in OPTICAL else ""


def modality_of(path: Path) -> str:
    """Pictures are "rgb", rasters of one or two bands "s1", those with more, or that cannot be read, "s2"."""
    if path.suffix.lower() in PICTURES:
        return "rgb"
    if path.is_dir():
        return "s1" if all(band_of(p) in RADAR for p in path.iterdir() if p.suffix.lower() in DRIVERS) else "s2"
    from core.errors import DataError
    from domains.remote_sensing.io.guard import environment, opened, reading
    from domains.remote_sensing.io.header import read_header

    try:
        with environment(), reading(path), opened(path) as file:
            header = read_header(file)
    except DataError:  # the reader will say what is wrong
        return "s2"
    return "s1" if header.count <= 2 else "s2"
