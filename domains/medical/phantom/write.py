"""Write simulated studies to disk in the layout of CT-RATE (v2, that is: Hounsfield units with a valid affine).

    root/dataset/{train,valid}/train_1/train_1_a/train_1_a_1.nii.gz        CT, int16 HU
    root/radiology_text_reports/{train,validation}_reports.csv             the four report sections
    root/metadata/{train,validation}_metadata.csv                          rescale, spacing, age, sex
    root/multi_abnormality_labels/{train,valid}_predicted_labels.csv       0 or 1 per label
and, beside CT-RATE's own files:
    root/radiographs/<stem>.png   root/masks/{organs,lesions}/<stem>.nii.gz   root/facts/<stem>.json
    root/splits.csv (VolumeName, patient, split = train, val or test)      root/README.txt
CT-RATE has two splits: our val and test patients are both in `valid`, and splits.csv tells them apart.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from domains.medical.phantom.labels import LABELS, LESIONS, ORGANS, VERSION
from domains.medical.phantom.study import SHAPE, SPACING, Study, simulate

SPLITS = ("train", "val", "test")
REPORT_COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")
GZIP_LEVEL = 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One study to write: which, where, and from which seed."""

    root: str
    stem: str
    split: str
    seed: int
    index: int
    masks: bool
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]


def write_dataset(
    root: Path | str,
    *,
    studies: Mapping[str, int] | None = None,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
    masks: bool = True,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
) -> None:
    """Simulate and write a dataset; study i of a split depends on (seed, split, i) only, not on `workers`.

    studies: patients per split, default {"train": 1200, "val": 100, "test": 200}. progress(done, total) is called after
    every study. workers: processes; 0 writes in this one. Study files are complete or absent; the tables come last.
    Raises ConfigError for an unknown split.
    """
    studies = {"train": 1200, "val": 100, "test": 200} if studies is None else studies
    unknown = sorted(set(studies) - set(SPLITS))
    if unknown or not all(n >= 0 for n in studies.values()):
        raise ConfigError(f"write_dataset: studies is {dict(studies)}; give counts for {', '.join(SPLITS)}")
    root = Path(root)
    jobs = _jobs(root, studies, seed, masks, shape, spacing)
    rows: list[dict[str, Any]] = []
    if workers == 0:
        for job in jobs:
            rows.append(run_job(job))
            _tell(progress, len(rows), len(jobs))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for row in pool.map(run_job, jobs, chunksize=4):
                rows.append(row)
                _tell(progress, len(rows), len(jobs))
    _write_tables(root, rows)
    _write_readme(root, studies, seed, shape, spacing)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


def _jobs(
    root: Path,
    studies: Mapping[str, int],
    seed: int,
    masks: bool,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> list[Job]:
    jobs, number = [], {"train": 0, "valid": 0}
    for split in SPLITS:
        folder = "train" if split == "train" else "valid"
        for index in range(studies.get(split, 0)):
            number[folder] += 1
            stem = f"{folder}_{number[folder]}_a_1"
            jobs.append(Job(str(root), stem, split, seed, index, masks, shape, spacing))
    return jobs


def run_job(job: Job) -> dict[str, Any]:
    """Simulate and write one study; returns its table row."""
    sequence = np.random.SeedSequence([job.seed, SPLITS.index(job.split), job.index])
    study = simulate(sequence, shape=job.shape, spacing=job.spacing)
    return write_study(study, Path(job.root), stem=job.stem, split=job.split, masks=job.masks)


def write_study(study: Study, root: Path, *, stem: str, split: str, masks: bool = True) -> dict[str, Any]:
    """Write the files of one study (each atomically) and return its row for the tables.

    stem: CT-RATE's patient_scan_reconstruction name, for instance "train_1_a_1".
    """
    folder = "train" if split == "train" else "valid"
    patient, scan = "_".join(stem.split("_")[:2]), "_".join(stem.split("_")[:3])
    write_nifti(root / "dataset" / folder / patient / scan / f"{stem}.nii.gz", study.ct, study.affine)
    if masks:
        write_nifti(root / "masks" / "organs" / f"{stem}.nii.gz", study.organs, study.affine)
        write_nifti(root / "masks" / "lesions" / f"{stem}.nii.gz", study.lesions, study.affine)
    _write_bytes(root / "radiographs" / f"{stem}.png", _png(study.radiograph))
    facts = {
        "findings": [asdict(f) for f in study.findings],
        "history": asdict(study.history),
        "body": asdict(study.body),
    }
    _write_bytes(root / "facts" / f"{stem}.json", json.dumps(facts).encode())
    report = study.report
    return {
        "VolumeName": f"{stem}.nii.gz",
        "patient": patient,
        "split": split,
        "folder": folder,
        "report": (report.clinical_information, report.technique, report.findings, report.impressions),
        "labels": study.labels,
        "sex": study.body.sex[0].upper(),
        "age": study.body.age,
        "spacing": study.spacing,
        "shape": study.ct.shape,
    }


def write_nifti(path: Path, array_XYZ: NDArray, affine: NDArray[np.float64]) -> None:
    """NIfTI-1 with sform and qform in RAS mm, gzipped fast; the same array gives the same bytes."""
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_dtype(array_XYZ.dtype)
    header.set_xyzt_units("mm")
    image = nib.Nifti1Image(array_XYZ, affine, header)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    _write_bytes(path, gzip.compress(image.to_bytes(), GZIP_LEVEL, mtime=0))


def _png(image_HW: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image_HW).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def _write_bytes(path: Path, content: bytes) -> None:
    """Write beside the target, then rename: a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content)
    partial.replace(path)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(header)
    writer.writerows(rows)
    _write_bytes(path, stream.getvalue().encode())


def _write_tables(root: Path, rows: list[dict[str, Any]]) -> None:
    for folder, long in (("train", "train"), ("valid", "validation")):
        mine = [r for r in rows if r["folder"] == folder]
        reports = [(r["VolumeName"], *r["report"]) for r in mine]
        _write_csv(root / "radiology_text_reports" / f"{long}_reports.csv", REPORT_COLUMNS, reports)
        labels = [(r["VolumeName"], *(r["labels"][name] for name in LABELS)) for r in mine]
        _write_csv(
            root / "multi_abnormality_labels" / f"{folder}_predicted_labels.csv", ("VolumeName", *LABELS), labels
        )
        columns = (
            "VolumeName", "Manufacturer", "PatientSex", "PatientAge", "RescaleIntercept", "RescaleSlope",
            "XYSpacing", "ZSpacing", "Rows", "Columns", "NumberofSlices",
        )  # fmt: skip
        metadata = [
            (
                r["VolumeName"], "SIMULATED ThoraxPhantom", r["sex"], f"{r['age']:03d}Y", 0, 1,
                str([r["spacing"][0], r["spacing"][1]]), r["spacing"][2], r["shape"][1], r["shape"][0], r["shape"][2],
            )
            for r in mine
        ]  # fmt: skip
        _write_csv(root / "metadata" / f"{long}_metadata.csv", columns, metadata)
    split_rows = [(r["VolumeName"], r["patient"], r["split"]) for r in rows]
    _write_csv(root / "splits.csv", ("VolumeName", "patient", "split"), split_rows)


def _write_readme(
    root: Path,
    studies: Mapping[str, int],
    seed: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> None:
    text = f"""SIMULATED DATA - ThoraxPhantom {VERSION}

No real person is shown. Chest CT volumes, frontal radiographs, reports and masks were drawn from sampled facts.
Studies: {dict(studies)}; seed {seed}; grid {tuple(shape)} voxels of {tuple(spacing)} mm (x, y, z).
Layout: CT-RATE v2 (int16 Hounsfield units, affine valid, RAS), plus radiographs/, masks/, facts/ and splits.csv.
The patients of val and test are both in dataset/valid; splits.csv says which is which.
Radiographs are parallel projections of the supine body, before noise, 8 bit, patient right on the image's left.
Organ labels: {json.dumps(ORGANS)}
Lesion labels: {json.dumps(LESIONS)}
"""
    _write_bytes(root / "README.txt", text.encode())
