"""Write simulated scenes in the layout of SSL4EO-S12 and NoLDO-S12.

    root/s1/{id:07d}/{product}/{VV,VH}.tif                 float32 dB, nan = no data
    root/s2a/{id:07d}/{product}/{B1 ... B12}.tif           uint16, 10,000 = reflectance 1, 0 = no data; 10, 20, 60 m
    root/dw_noisy_labels/{id:07d}/{product}/label.tif      uint8, 0 to 8, with faults like those of Dynamic World
    root/dw_complete_ids.csv                               ids, sub1 ... sub4
and, beside what NoLDO-S12 has:
    root/clean_labels/{id:07d}/{product}/label.tif         the truth
    root/cloud_masks/{id:07d}/{product}/label.tif          1 cloud, 2 shadow of a cloud
    root/change_masks/{id:07d}/{product}/label.tif         with events: 1 where land cover is not that of the first date
    root/scenes.csv   one row per place and date: split, season, place, share of wrong labels, what covers most,
                      event and the first date that shows it, classes present, simulated indicators of
                      the place
    root/captions.csv (id, product, language, caption)     root/noise.csv   counts, true class x noisy label
    root/README.txt
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from domains.remote_sensing.raster import scaled
from domains.remote_sensing.scenes.classes import CLASSES, VERSION
from domains.remote_sensing.scenes.geotiff import GeoTiffWriter
from domains.remote_sensing.scenes.indicators import INDICATORS
from domains.remote_sensing.scenes.places import Place, date
from domains.remote_sensing.scenes.radar import LOOKS
from domains.remote_sensing.scenes.scene import SIZE, Scene, simulate
from domains.remote_sensing.scenes.weak_labels import noise_rate, transitions

SPLITS = ("train", "val", "test")
DESCRIPTION = f"SIMULATED by Heptad, SyntheticScenes {VERSION}; no satellite saw this"
# file name -> (row of the 12 bands, how many 10 m pixels its pixels are wide)
OPTICAL_FILES = {
    "B1": (0, 6), "B2": (1, 1), "B3": (2, 1), "B4": (3, 1), "B5": (4, 2), "B6": (5, 2), "B7": (6, 2), "B8": (7, 1),
    "B8A": (8, 2), "B9": (9, 6), "B11": (10, 2), "B12": (11, 2),
}  # fmt: skip
SCENE_COLUMNS = ("id", "product", "split", "season", "date", "climate", "longitude", "latitude", "epsg", "wrong_labels",
                 "cloud", "main", "event", "when", *CLASSES, *INDICATORS)  # fmt: skip
Progress = Callable[[int, int], None]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One place to write: which, where, and from which seed."""

    root: str
    number: int
    split: str
    seed: int
    index: int
    size: int
    events: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """What one place adds to the tables."""

    complete: Row
    scenes: tuple[Row, ...]
    captions: tuple[Row, ...]
    noise: NDArray[np.int64]


def write_dataset(
    root: Path,
    *,
    places: Mapping[str, int],
    seed: int = 0,
    size: int = SIZE,
    workers: int = 0,
    events: bool = False,
    progress: Progress | None = None,
) -> None:
    """Simulate and write a dataset; place i of a split depends on (seed, split, i) only, not on `workers`.

    places: number of places per split (train, val, test). size: rows and columns at 10 m. workers: processes; 0 writes
    in this one. events: whether land cover changes for good at some places. progress(done, total) is called after each
    place. Raises ConfigError for an unknown split.
    """
    unknown = sorted(set(places) - set(SPLITS))
    if unknown or not all(count >= 0 for count in places.values()):
        raise ConfigError(f"write_dataset: places is {dict(places)}; give counts for {', '.join(SPLITS)}")
    jobs: list[Job] = []
    for split in SPLITS:
        jobs += [Job(str(root), len(jobs) + i, split, seed, i, size, events) for i in range(places.get(split, 0))]
    found: list[Rows] = []

    def keep(rows: Rows) -> None:
        found.append(rows)
        if progress is not None:
            progress(len(found), len(jobs))

    if workers == 0:
        for job in jobs:
            keep(run_job(job))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for rows in pool.map(run_job, jobs, chunksize=4):
                keep(rows)
    _write_tables(root, found)
    _write_readme(root, places, seed, size, found)


def run_job(job: Job) -> Rows:
    """Simulate and write one place."""
    sequence = np.random.SeedSequence([job.seed, SPLITS.index(job.split), job.index])
    scene = simulate(sequence, size=job.size, events=job.events)
    return write_scene(scene, Path(job.root), number=job.number, split=job.split, events=job.events)


def write_scene(scene: Scene, root: Path, *, number: int, split: str, events: bool = False) -> Rows:
    """Write the files of one place and return its rows of the tables. events: write masks of change too."""
    writer = GeoTiffWriter(scene.crs, description=DESCRIPTION)
    products = [optical_product(scene.place, t) for t in range(4)]
    for t, product in enumerate(products):
        _write_optical(writer, scene, t, _folder(root, "s2a", number, product))
        radar = _folder(root, "s1", number, radar_product(scene.place, t, number))
        for name, band_HW in zip(("VV", "VH"), scene.radar_TPHW[t], strict=True):
            writer.write(radar / f"{name}.tif", band_HW, scene.transform, float("nan"))
        maps = {
            "dw_noisy_labels": scene.noisy_THW, "clean_labels": scene.clean_THW, "cloud_masks": scene.cloud_THW,
        }  # fmt: skip
        if events:
            maps["change_masks"] = scene.changed_THW.astype(np.uint8)
        for kind, labels_THW in maps.items():
            writer.write(_folder(root, kind, number, product) / "label.tif", labels_THW[t], scene.transform, None)
    return Rows(
        (f"{number:07d}", *products),
        tuple(_scene_row(scene, t, number, products[t], split) for t in range(4)),
        tuple(
            (f"{number:07d}", products[t], language, text)
            for t in range(4)
            for language, texts in scene.captions[t].items()
            for text in texts
        ),
        transitions(scene.noisy_THW, scene.clean_THW),
    )


def optical_product(place: Place, t: int) -> str:
    """Name of a Sentinel-2 product folder as Earth Engine has it: sensing time, generation time, tile."""
    day = date(place.days[t])
    return f"{day:%Y%m%d}T103031_{day:%Y%m%d}T103425_T{place.epsg % 100:02d}SIM"


def radar_product(place: Place, t: int, number: int) -> str:
    """Name of a Sentinel-1 product folder: mission, mode, times, orbit, take, unique number."""
    day, start = date(place.radar_days[t]), "1710" if place.ascending else "0531"
    orbit = 30_000 + place.radar_days[t]
    return f"S1A_IW_GRDH_1SDV_{day:%Y%m%d}T{start}02_{day:%Y%m%d}T{start}27_{orbit:06d}_SIM000_{number % 65536:04X}"


def _folder(root: Path, kind: str, number: int, product: str) -> Path:
    folder = root / kind / f"{number:07d}" / product
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_optical(writer: GeoTiffWriter, scene: Scene, t: int, folder: Path) -> None:
    for name, (row, step) in OPTICAL_FILES.items():
        band_HW = scene.reflectance_TCHW[t, row]
        size = len(band_HW) // step
        if step > 1:  # a coarse pixel that is partly beyond the swath was not recorded
            band_HW = band_HW.reshape(size, step, size, step).mean(axis=(1, 3))
        counts_HW = np.where(np.isfinite(band_HW), np.clip(np.rint(band_HW * 10_000), 1, 65_535), 0).astype(np.uint16)
        writer.write(folder / f"{name}.tif", counts_HW, scaled(scene.transform, step, step), 0)


def _scene_row(scene: Scene, t: int, number: int, product: str, split: str) -> Row:
    place, facts = scene.place, scene.facts[t]
    return (
        f"{number:07d}", product, split, facts.season, date(place.days[t]).isoformat(), place.climate.name,
        f"{place.longitude:.4f}", f"{place.latitude:.4f}", place.epsg,
        f"{noise_rate(scene.noisy_THW[t], scene.clean_THW[t]):.4f}", f"{(scene.cloud_THW[t] == 1).mean():.4f}",
        CLASSES[int(np.argmax(facts.shares))], scene.event, scene.when, *facts.labels.values(),
        *(f"{scene.indicators[name]:.6g}" for name in INDICATORS),
    )  # fmt: skip


def _write_tables(root: Path, found: Sequence[Rows]) -> None:
    _write_csv(root / "dw_complete_ids.csv", ("ids", "sub1", "sub2", "sub3", "sub4"), [rows.complete for rows in found])
    _write_csv(root / "scenes.csv", SCENE_COLUMNS, [row for rows in found for row in rows.scenes])
    _write_csv(
        root / "captions.csv", ("id", "product", "language", "caption"), [r for rows in found for r in rows.captions]
    )
    counts = np.sum([rows.noise for rows in found], axis=0) if found else np.zeros((9, 9), int)
    _write_csv(root / "noise.csv", ("true", *CLASSES), [(name, *row) for name, row in zip(CLASSES, counts.tolist())])


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Row]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_readme(root: Path, places: Mapping[str, int], seed: int, size: int, found: Sequence[Rows]) -> None:
    counts = np.sum([rows.noise for rows in found], axis=0) if found else np.ones((9, 9))
    wrong = 1 - np.trace(counts) / max(1, counts.sum())
    (root / "README.txt").write_text(
        f"""SIMULATED DATA - SyntheticScenes {VERSION}

No satellite saw any of this. Places, each on four dates of 2020: {dict(places)}; seed {seed}.
Tiles: {size} x {size} pixels of 10 m. Layout: NoLDO-S12 (s1, s2a, dw_noisy_labels, dw_complete_ids.csv),
plus clean_labels, cloud_masks, scenes.csv, captions.csv, noise.csv.
s1: sigma0 in dB, gamma speckle with {LOOKS} looks, independent from pixel to pixel. s2a: surface reflectance x 10,000.
Labels: the nine classes of Dynamic World: {", ".join(f"{i} {name}" for i, name in enumerate(CLASSES))}.
{wrong:.1%} of the noisy labels are wrong; noise.csv counts them, true class by noisy label.
A place is in one split only (scenes.csv).
Indicators (scenes.csv, {", ".join(INDICATORS)}): made from the simulated buildings and fields, with noise; they are no
statistics of any place.
""",
        encoding="utf-8",
    )


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
