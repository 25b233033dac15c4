"""CT-RATE: chest CT volumes with reports and 18 labels, one folder per patient and scan.

    [dataset/]{train,valid}[_fixed]/train_1/train_1_a/train_1_a_1.nii.gz      patient / scan / reconstruction
    [dataset/]radiology_text_reports/{train,validation}_reports.csv           VolumeName, Findings_EN, Impressions_EN
    [dataset/]metadata/{train,validation}_metadata.csv                        RescaleSlope, XYSpacing "[0.7, 0.7]", ...
    [dataset/]multi_abnormality_labels/{train,valid}_predicted_labels.csv     VolumeName + label columns
    [dataset/]metadata/no_chest_{train,valid}.txt                             optional: volumes of other body parts

Beside it this suite reads, when they are there, `splits.csv` (VolumeName or patient, split), `radiographs/<stem>.png`
and `masks/{organs,lesions}/<stem>.nii.gz`. The labels come from a report classifier, not from radiologists.
"""

from __future__ import annotations

import ast
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from core.data.layout import Layout, Record, Source, check_split, refuse_empty, require
from core.data.tables import first_column, hash_share, label_matrix, read_table
from core.errors import DataError
from domains.medical.data.source import LocatedReport, ScanSource
from domains.medical.reports import joined

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)
NOT_GIVEN = {"", "not given", "not given."}
MASK_TASKS = ("organs", "lesions")
_STEM = re.compile(r"^(?P<patient>(?P<folder>[a-z]+)_\d+)_[a-z]+_\d+$")
_REPORTS, _LABELS, _METADATA = "radiology_text_reports", "multi_abnormality_labels", "metadata"


class CTRate(Layout):
    """One record per scan: modalities "ct", "report" and, where they exist, "xray"; group = patient. Where lesions are
    labelled, "located_report" is the report with their label map.

    split: `train`, `val`, `test`, or the published `valid`. With a `splits.csv` the first three are what it says.
    Without one, `test` is the published validation set, and `val` is `holdout` of the training patients, by hash.
    version: "v2" reads `{train,valid}_fixed` (HU and affine are in the files, nothing is rescaled); "v1" reads
    `{train,valid}`, whose files hold raw values, and gives each a `ScanSource` with the slope, intercept and spacing
    of the metadata table; "auto" takes v2 where it is there.
    reconstruction: "first" keeps one reconstruction per scan, so that retrieval has no twins; "all" keeps each.
    """

    name: ClassVar[str] = "CT-RATE"
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"
    source: ClassVar[str] = "https://huggingface.co/datasets/ibrahimhamamci/CT-RATE"
    v2_suffix: ClassVar[str] = "_fixed"  # of the folders whose volumes are already in Hounsfield units

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        version: Literal["auto", "v1", "v2"] = "auto",
        reconstruction: Literal["first", "all"] = "first",
        holdout: float = 0.02,
    ) -> None:
        super().__init__(root=root, split="test" if split == "valid" else split)
        self.split = check_split(split, owner=self.name, valid=("train", "val", "test", "valid"))
        self.version = self._find_version(version)
        self.holdout = holdout
        assigned = self._assignment()
        folders = self._folders(assigned is not None)
        self._require(folders)
        volumes: dict[str, Path] = {}
        for folder in folders:
            excluded = self._other_body_parts(folder)
            volumes |= {s: p for s, p in self._volumes(folder) if s not in excluded and self._belongs(s, assigned)}
        if reconstruction == "first":
            volumes = _first_of_each_scan(volumes)
        self._reports = self._read_reports(folders)
        self._metadata = self._read_metadata(folders) if self.version == "v1" else {}
        self.label_names, self._labels = self._read_labels(folders)
        self.stems = [stem for stem in volumes if self._is_usable(stem)]
        self._paths = volumes
        self.absent = len(volumes) - len(self.stems)
        if self.absent:
            log.info("%s: %d volumes on disk are in no table and are left out", self.name, self.absent)
        where = self._volume_folder(folders[0])
        expected = "patient/scan/volume.nii.gz whose names stand in the report table"
        refuse_empty(len(self.stems), owner=f"{self.name} '{split}'", where=where, expected=expected)

    def __len__(self) -> int:
        return len(self.stems)

    def record(self, index: int) -> Record:
        stem = self.stems[index]
        sources: dict[str, Source] = {"ct": self._scan(stem)}
        radiograph = self._beside("radiographs") / f"{stem}.png"
        if radiograph.exists():
            sources["xray"] = radiograph
        if self._reports.get(stem):
            sources["report"] = self._reports[stem]
        masks = {task: self._beside("masks") / task / f"{stem}.nii.gz" for task in MASK_TASKS}
        masks = {task: path for task, path in masks.items() if path.exists()}
        if "lesions" in masks and self._reports.get(stem):
            sources["located_report"] = LocatedReport(masks["lesions"], self._reports[stem])
        values = self._labels.get(stem)
        labels = {} if values is None else {n: float(v) for n, v in zip(self.label_names, values, strict=True)}
        return Record(
            id=stem, group=_parts(stem)[0], sources=sources, labels=labels,
            masks=masks,
        )  # fmt: skip

    def _is_usable(self, stem: str) -> bool:
        """Whether the tables know the volume: by report or labels, and in version 1 by its scaling too."""
        return (stem in self._reports or stem in self._labels) and (self.version == "v2" or stem in self._metadata)

    def _scan(self, stem: str) -> Source:
        path = self._paths[stem]
        if self.version == "v2":
            return path
        slope, intercept, spacing = self._metadata[stem]
        return ScanSource(path, slope, intercept, spacing)

    def _folders(self, assigned: bool) -> tuple[str, ...]:
        """Which of the published folders may hold records of this split."""
        if self.split == "valid" or (not assigned and self.split == "test"):
            return ("valid",)
        if not assigned:
            return ("train",)
        return tuple(f for f in ("train", "valid") if self._volume_folder(f).is_dir()) or ("train",)

    def _beside(self, name: str) -> Path:
        """`name` in the `dataset` folder of the public repository, or in the root itself."""
        inside = self.root / "dataset" / name
        return inside if inside.exists() else self.root / name

    def _find_version(self, version: str) -> str:
        if version not in ("auto", "v1", "v2"):
            raise DataError(f"{self.name}: version is '{version}'; valid: auto, v1, v2")
        if version != "auto":
            return version
        fixed = any(self._beside(folder + self.v2_suffix).is_dir() for folder in ("train", "valid"))
        plain = any(self._beside(folder).is_dir() for folder in ("train", "valid"))
        return "v1" if plain and not fixed else "v2"

    def _volume_folder(self, folder: str) -> Path:
        return self._beside(folder + self.v2_suffix if self.version == "v2" else folder)

    def _table(self, kind: str, folder: str) -> Path:
        name = {
            _REPORTS: f"{'validation' if folder == 'valid' else folder}_reports.csv",
            _METADATA: f"{'validation' if folder == 'valid' else folder}_metadata.csv",
            _LABELS: f"{folder}_predicted_labels.csv",
        }[kind]
        return self._beside(kind) / name

    def _require(self, folders: Sequence[str]) -> None:
        wanted: dict[str, Path] = {}
        for folder in folders:
            wanted[f"volumes of '{folder}', {self.version}"] = self._volume_folder(folder)
            wanted[f"reports of '{folder}'"] = self._table(_REPORTS, folder)
            if self.version == "v1":
                wanted[f"slope, intercept and spacing of '{folder}'"] = self._table(_METADATA, folder)
        require(self.root, wanted, owner=self.name, source=self.source)

    def _assignment(self) -> dict[str, str] | None:
        """Patient or volume -> split, from `splits.csv`; None without one."""
        path = self._beside("splits.csv")
        if not path.exists():
            return None
        table = read_table(path, ["split"])
        key = first_column(table, ["VolumeName", "id", "patient"], path, what="volume or patient")
        names = {"validate": "val", "valid": "val", "validation": "val"}
        return {_stem(k): names.get(s, s) for k, s in zip(table[key], table["split"].str.strip(), strict=True)}

    def _belongs(self, stem: str, assigned: dict[str, str] | None) -> bool:
        patient, folder = _parts(stem)
        if self.split == "valid":
            return folder == "valid"
        if assigned is not None:
            return assigned.get(stem, assigned.get(patient)) == self.split
        if self.split == "test":
            return True
        return (hash_share(patient, salt=self.name) < self.holdout) == (self.split == "val")

    def _volumes(self, folder: str) -> Iterator[tuple[str, Path]]:
        """Stems and paths of the volumes on disk: most copies of this 20 TB dataset are partial."""
        for patient in _subfolders(self._volume_folder(folder)):
            for scan in _subfolders(patient):
                for entry in sorted(os.listdir(scan)):
                    if entry.endswith(".nii.gz") and _STEM.match(_stem(entry)):
                        yield _stem(entry), Path(scan) / entry

    def _other_body_parts(self, folder: str) -> set[str]:
        path = self._beside(_METADATA) / f"no_chest_{folder}.txt"
        if not path.exists():
            return set()
        return {_stem(line.strip()) for line in path.read_text(encoding="utf-8").splitlines()}

    def _read_reports(self, folders: Sequence[str]) -> dict[str, str]:
        reports: dict[str, str] = {}
        for folder in folders:
            table = read_table(self._table(_REPORTS, folder), ["VolumeName", "Findings_EN", "Impressions_EN"])
            for name, findings, impression in zip(
                table["VolumeName"], table["Findings_EN"], table["Impressions_EN"], strict=True
            ):
                reports[_stem(name)] = joined(_given(findings), _given(impression))
        return reports

    def _read_labels(self, folders: Sequence[str]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Label names in file order, and (labels,) float32 by stem. A copy without label tables has no labels."""
        names: tuple[str, ...] = ()
        values: dict[str, np.ndarray] = {}
        for folder in folders:
            path = self._table(_LABELS, folder)
            if not path.exists():
                log.info("%s: no %s, so these records have no labels", self.name, path)
                continue
            table = read_table(path, ["VolumeName"])
            found = tuple(c for c in table.columns if c != "VolumeName")
            if names and set(found) != set(names):
                differing = ", ".join(sorted(set(found) ^ set(names)))
                raise DataError(f"{path}: its label columns differ from those of the other split: {differing}")
            names = names or found
            matrix_RL = label_matrix(table, names, path)
            values |= {_stem(name): row_L for name, row_L in zip(table["VolumeName"], matrix_RL, strict=True)}
        return names, values

    def _read_metadata(self, folders: Sequence[str]) -> dict[str, tuple[float, float, tuple[float, float, float]]]:
        columns = ["VolumeName", "RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing"]
        found = {}
        for folder in folders:
            path = self._table(_METADATA, folder)
            table = read_table(path, columns)
            for row, cells in enumerate(table[columns].itertuples(index=False, name=None)):
                found[_stem(cells[0])] = _geometry(cells, path, row)
        return found


def _geometry(cells: Sequence[str], path: Path, row: int) -> tuple[float, float, tuple[float, float, float]]:
    """(slope, intercept, (x, y, z) spacing in mm) of one metadata row."""
    _, slope, intercept, in_plane, through = cells
    try:
        x, y = (float(v) for v in ast.literal_eval(in_plane))
        values = float(slope), float(intercept), (x, y, float(through))
    except (ValueError, TypeError, SyntaxError) as fault:
        raise DataError(
            f"{path}: row {row + 2}: slope '{slope}', intercept '{intercept}', XYSpacing '{in_plane}', ZSpacing "
            f"'{through}' are not numbers and a pair such as [0.7, 0.7]"
        ) from fault
    if values[0] == 0 or min(values[2]) <= 0:
        raise DataError(f"{path}: row {row + 2}: slope {slope}, spacing {in_plane} x {through} mm cannot be right")
    return values


def _first_of_each_scan(volumes: dict[str, Path]) -> dict[str, Path]:
    kept: dict[Path, str] = {}
    for stem, path in volumes.items():
        first = kept.get(path.parent)
        if first is None or _reconstruction(stem) < _reconstruction(first):
            kept[path.parent] = stem
    return {stem: volumes[stem] for stem in kept.values()}


def _reconstruction(stem: str) -> int:
    return int(stem.rpartition("_")[2])


def _subfolders(folder: Path | str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted((e.path for e in entries if e.is_dir()), key=_natural)


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii")


def _parts(stem: str) -> tuple[str, str]:
    """(patient, folder) of `train_1_a_1`: ("train_1", "train")."""
    match = _STEM.match(stem)
    if match is None:
        raise DataError(f"'{stem}' is not a volume name such as train_1_a_1.nii.gz")
    return match["patient"], match["folder"]


def _given(text: str) -> str:
    text = " ".join(text.split())
    return "" if text.lower() in NOT_GIVEN else text
