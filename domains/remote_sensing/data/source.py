"""What a reader must be told about a file: which bands it holds, in which order and unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from domains.remote_sensing.bands import BandSpec
from domains.remote_sensing.raster import Window


@dataclass(frozen=True, slots=True)
class RasterSource:
    """One raster file, or a folder with one file per band.

    spec: the bands in the order of the file, or of `files`, and how their numbers are stored. files: names relative to
    the folder `path`, one per band; empty: `path` is a file that holds them all. time: ISO date of acquisition, or "".
    window: the part that is meant, in pixels of the finest grid, which may hold no value at all; None = all of it.
    """

    path: Path
    spec: BandSpec
    files: tuple[str, ...] = ()
    time: str = ""
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class ArraySource:
    """One sample of an HDF5 file: entry `index` of the data set `key`, or all of it when index is None.

    channels: which of the last axis' (channels_last) or first axis' channels the bands of `spec` are; empty: all, in
    their order.
    """

    path: Path
    key: str
    spec: BandSpec
    index: int | None = None
    channels: tuple[int, ...] = ()
    channels_last: bool = False
    time: str = ""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """A label map whose numbers need a reading.

    mapping: (number in the file, class) pairs; numbers that are in none are unknown. Empty: numbers are classes.
    unknown: numbers that mean "not labelled". classes: how many there are; a number beyond them is an error. None: any.
    band: which band of the file, from 1.
    """

    path: Path
    mapping: tuple[tuple[int, int], ...] = ()
    unknown: tuple[int, ...] = (255,)
    classes: int | None = None
    band: int = 1
