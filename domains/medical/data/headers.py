"""A folder of real scans without a download: the test images that pydicom and nibabel ship, as a FolderCSV dataset.

    python -m domains.medical.data.headers --out DIR

Captions are built from the headers: modality, body part, size, spacing, tube voltage, colour coding. Names, ids and
dates are not read into anything; a patient is a running number. Files that hold no readable image are left out, and
the reason is printed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError, HeptadError
from core.files import write_atomic
from domains.medical.geometry import Radiograph, Volume

NAMES = {
    "CT": "computed tomography", "MR": "magnetic resonance image", "CR": "computed radiograph",
    "DX": "digital radiograph", "US": "ultrasound image", "NM": "nuclear medicine image",
    "PT": "positron emission image",
    "XA": "X-ray angiogram", "RF": "fluoroscopy image", "MG": "mammogram",
}  # fmt: skip
COLUMNS = ("file", "report", "patient", "modality")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the headers of one file, or of one series, say about the picture; nothing of it identifies anyone."""

    modality: str
    body_part: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    kvp: float | None
    photometric: str

    def caption(self) -> str:
        part = f" of the {self.body_part.lower()}" if self.body_part else ""
        grid = " x ".join(str(n) for n in self.size)
        unit = "voxels" if len(self.size) == 3 else "pixels"
        lines = [f"{NAMES[self.modality].capitalize()}{part}, {grid} {unit}."]
        if self.spacing:
            lines.append(f"Spacing {' x '.join(f'{s:.3g}' for s in self.spacing)} mm.")
        if self.kvp:
            lines.append(f"Tube voltage {self.kvp:g} kV.")
        if self.photometric:
            lines.append(f"Stored as {self.photometric.lower()}.")
        return " ".join(lines)


def write(out: Path) -> tuple[int, list[str]]:
    """Write `out/images` and `out/data.csv`. Returns the number of images, and a line for each file left out.

    Raises DataError when `out` already holds something else, or no image was found.
    """
    if out.exists() and any(p.name not in ("images", "data.csv") for p in out.iterdir()):
        raise DataError(f"{out}: holds other files; give a new or empty folder")
    images = out / "images"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    rows: list[tuple[str, str, str, str]] = []
    left_out: list[str] = []
    patients: dict[str, str] = {}
    for found, name in _candidates():
        try:
            facts, patient, modality = _describe(found)
        except DataError as fault:
            left_out.append(str(fault))
            continue
        _copy(found, images / name)
        number = patients.setdefault(patient or str(found), f"p{len(patients) + 1:02d}")
        rows.append((f"images/{name}", facts.caption(), number, modality))
    if not rows:
        raise DataError("pydicom and nibabel were installed without their test images; reinstall them with pip")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_atomic(out / "data.csv", text.getvalue())
    return len(rows), left_out


def _candidates() -> Iterator[tuple[Path, str]]:
    """(file or series folder, its name in the copy), in a fixed order; readable series are not listed file by file."""
    dicom, nifti = _package("pydicom") / "data" / "test_files", _package("nibabel")
    for path in sorted(dicom.glob("*.dcm")):
        yield path, path.name
    discs = sorted({p.parent for p in (dicom / "dicomdirtests").glob("*/*/*") if p.is_file()})
    for number, folder in enumerate(discs, start=1):  # their names are patient numbers: ours count
        if _is_series(folder):
            yield folder, f"disc{number:02d}"
        else:
            names = enumerate(sorted(folder.iterdir()), start=1)
            yield from ((path, f"disc{number:02d}-{i:02d}.dcm") for i, path in names if path.is_file())
    for path in sorted((nifti / "nicom" / "tests" / "data").glob("*.dcm")):
        yield path, f"nicom-{path.name}"
    for path in sorted((nifti / "tests" / "data").glob("*anat*.nii*")):  # the others are 4D or made up
        yield path, path.name


def _describe(path: Path) -> tuple[Facts, str, str]:
    """(facts, key of the patient, modality of the suite). Raises DataError for what is no readable scan."""
    from domains.medical.io import read

    scan = read(path)
    flat = isinstance(scan, Radiograph) or min(scan.shape) == 1
    modality = "xray" if flat else "ct"
    if path.name.endswith((".nii", ".nii.gz")):
        assert isinstance(scan, Volume)
        # A NIfTI header names neither modality nor body part: these files are MR scans of one head.
        facts = Facts("MR", "BRAIN", tuple(scan.shape), tuple(float(s) for s in scan.spacing), None, "")
        return facts, "anat", modality
    return *_from_dicom(path, scan), modality


def _from_dicom(path: Path, scan: Volume | Radiograph) -> tuple[Facts, str]:
    from domains.medical.io.dicom_file import code, number, numbers, open_dicom
    from domains.medical.io.guard import reading

    first = min(path.iterdir()) if path.is_dir() else path
    with reading(path, "DICOM file"):
        header = open_dicom(first, pixels=False)
        modality = code(header, "Modality")
        if modality not in NAMES:
            raise DataError(f"modality '{modality}' is not a scan")
        if isinstance(scan, Volume) and min(scan.shape) > 1:
            size, spacing = tuple(scan.shape), tuple(float(s) for s in scan.spacing)
        else:
            size, spacing = (int(header.Columns), int(header.Rows)), numbers(header, "PixelSpacing")
        facts = Facts(
            modality, code(header, "BodyPartExamined"), size, spacing, number(header, "KVP"),
            code(header, "PhotometricInterpretation"),
        )  # fmt: skip
        return facts, str(header.get("PatientID") or "")


def _is_series(folder: Path) -> bool:
    from domains.medical.io import read

    try:
        scan = read(folder)
    except HeptadError:
        return False
    return isinstance(scan, Volume) and min(scan.shape) > 1


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise DataError(f"'{name}' is not installed; pip install 'heptad[medical]'")
    return Path(spec.origin).parent


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m domains.medical.data.headers", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write: images/ and data.csv")
    arguments = parser.parse_args()
    try:
        count, left_out = write(arguments.out)
    except HeptadError as fault:
        raise SystemExit(f"error: {fault}") from None
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{arguments.out}: {count} real images with captions from their headers ({len(left_out)} files left out)")
    print(f"next: python -m domains.medical.pretrain --data.layout folder_csv --data.root {arguments.out}")


if __name__ == "__main__":
    main()
