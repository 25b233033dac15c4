"""Any folder of images with one CSV table: the layout for data of one's own.

root/data.csv    (or the only .csv in the root) one row per image, columns by name, compared without case:
  file | path | image | filename    relative to the root; a NIfTI volume, a folder with one DICOM series, a DICOM,
                                    PNG or JPEG file
  report | caption | text           optional text
  patient | patient_id | subject    optional; what a split keeps together. Default: the study
  study | study_id | id             optional; rows with the same study are one record. Default: the row
  split                             optional: train, val (valid, validate, validation), test
  modality                          optional: ct (volume) or xray (2D picture). Default: by the kind of file
  every other column of numbers, none outside [0, 1]    a label; blank = unknown
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from core.data.layout import SPLITS, Layout, Record, Source, refuse_empty
from core.data.tables import first_column, hash_share, hash_split, label_matrix, optional_column, read_table
from core.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
FILE = ("file", "path", "image", "filename", "image_path")
TEXT = ("report", "caption", "text")
PATIENT = ("patient", "patient_id", "patientid", "subject", "subject_id")
STUDY = ("study", "study_id", "id")
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val",
               "validation": "val", "dev": "val", "test": "test"}  # fmt: skip
MODALITIES = {
    "ct": "ct", "volume": "ct", "3d": "ct",
    "xray": "xray", "x-ray": "xray", "cr": "xray", "dx": "xray", "2d": "xray", "image": "xray",
}  # fmt: skip
FEW_PATIENTS = 50  # below it, shares by hash alone may leave a split empty


class FolderCSV(Layout):
    """Modalities "ct" (volumes), "xray" (2D) and "report".

    table: name of the CSV in the root; None = `data.csv`, or the only one there is.
    Without a split column, patients are dealt by the hash of their name, 80 / 10 / 10: always the same way, and from
    50 patients on each stays where it is when others are added. Fewer are ranked by hash, so that no split is empty.
    """

    name: ClassVar[str] = "folder with a CSV"
    licence: ClassVar[str] = "the data's own"
    source: ClassVar[str] = "a folder of images and one CSV table of your own"

    def __init__(self, *, root: Path, split: str, table: str | None = None) -> None:
        super().__init__(root=root, split=split)
        self.table_path = self._find_table(table)
        rows = read_table(self.table_path)
        self._file = first_column(rows, FILE, self.table_path, what="image file")
        self._text, self._modality = optional_column(rows, TEXT), optional_column(rows, ["modality"])
        rows = rows.assign(**{column: rows[column].str.strip() for column in rows.columns})
        self._check_cells(rows)
        patient, study = optional_column(rows, PATIENT), optional_column(rows, STUDY)
        ids = rows[study] if study is not None else rows[self._file]
        groups = rows[patient] if patient is not None else ids
        self._check_groups(ids, groups, what=study)
        used = {self._file, self._text, self._modality, patient, study, optional_column(rows, ["split"])}
        self.label_names = _label_columns(rows, [str(c) for c in rows.columns if c not in used])
        here = self._split_of(rows, groups) == split
        refuse_empty(
            int(here.sum()), owner=f"'{split}' split of the folder", where=self.table_path,
            expected=f"rows of that split among its {len(rows)} (at least 3 patients when there is no split column)",
        )  # fmt: skip
        kept = rows[here]
        self._labels_RL = label_matrix(kept, self.label_names, self.table_path)
        self._kept, self._groups = kept, groups[here].to_numpy()
        members: dict[str, list[int]] = {}
        for row, name in enumerate(ids[here]):
            members.setdefault(name, []).append(row)
        self._members = list(members.items())
        if not any((self.root / name).exists() for name in kept[self._file].head(100)):
            first = self.root / kept[self._file].iloc[0]
            raise DataError(f"{self.table_path}: none of the files it names exists, for instance {first}; column "
                            f"'{self._file}' holds paths relative to {self.root}")  # fmt: skip

    def __len__(self) -> int:
        return len(self._members)

    def record(self, index: int) -> Record:
        name, rows = self._members[index]
        sources: dict[str, Source] = {}
        for row in rows:
            cells = self._kept.iloc[row]
            path = self.root / cells[self._file]
            sources.setdefault(self._kind(cells, path), path)
        texts = dict.fromkeys(self._kept[self._text].iloc[row] for row in rows) if self._text is not None else {}
        report = " ".join(text for text in texts if text)
        if report:
            sources["report"] = report
        known = self._labels_RL[rows]
        values = [column[~np.isnan(column)] for column in known.T]
        labels = {n: float(v[0]) if len(v) else float("nan") for n, v in zip(self.label_names, values, strict=True)}
        return Record(id=name, group=str(self._groups[rows[0]]), sources=sources, labels=labels)

    def _kind(self, cells: pd.Series, path: Path) -> str:
        stated = cells[self._modality].lower() if self._modality is not None else ""
        return MODALITIES[stated] if stated else modality_of(path)

    def _find_table(self, name: str | None) -> Path:
        if name is not None:
            return self.root / name
        found = sorted(self.root.glob("*.csv"))
        if (self.root / "data.csv").exists() or not found:
            return self.root / "data.csv"
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"{self.root}: several tables ({names}); name one as data.csv, or give its name as `table`")
        return found[0]

    def _check_cells(self, rows: pd.DataFrame) -> None:
        """Paths must lie below the root; stated modalities must be known."""
        for row, name in enumerate(rows[self._file]):
            if not name or Path(name).is_absolute() or ".." in Path(name).parts:
                raise DataError(f"{self.table_path}: row {row + 2}: column '{self._file}' is '{name}'; give a path "
                                f"relative to {self.root}")  # fmt: skip
        if self._modality is None:
            return
        for row, stated in enumerate(rows[self._modality].str.lower()):
            if stated and stated not in MODALITIES:
                hint = nearest(stated, MODALITIES)
                raise DataError(f"{self.table_path}: row {row + 2}: modality '{stated}' is not known{hint} "
                                "(ct stands for volumes, xray for 2D pictures)")  # fmt: skip

    def _check_groups(self, ids: pd.Series, groups: pd.Series, *, what: str | None) -> None:
        twice = groups.groupby(ids.to_numpy()).nunique()
        mixed = twice[twice > 1]
        if len(mixed):
            raise DataError(f"{self.table_path}: study '{mixed.index[0]}' belongs to {mixed.iloc[0]} patients; a study "
                            "has one")  # fmt: skip
        if what is None and ids.duplicated().any():
            name = ids[ids.duplicated()].iloc[0]
            raise DataError(f"{self.table_path}: '{name}' is listed twice; give each file once")

    def _split_of(self, rows: pd.DataFrame, groups: pd.Series) -> pd.Series:
        column = optional_column(rows, ["split"])
        if column is None:
            return groups.map(deal(sorted(set(groups))))
        stated = rows[column].str.lower()
        for row, name in enumerate(stated):
            if name not in SPLIT_NAMES:
                raise DataError(f"{self.table_path}: row {row + 2}: split '{name}' is not known"
                                f"{nearest(name, SPLIT_NAMES)} (splits: {', '.join(SPLITS)})")  # fmt: skip
        return stated.map(SPLIT_NAMES)


def deal(groups: Sequence[str]) -> dict[str, str]:
    """Group -> split by hash, 80 / 10 / 10; at least one group each from three groups on."""
    if len(groups) >= FEW_PATIENTS:
        return {group: hash_split(group, SHARES) for group in groups}
    ranked = sorted(groups, key=hash_share)
    held = max(1, round(len(ranked) * SHARES["test"])) if len(ranked) >= 3 else 0
    names = ["test"] * held + ["val"] * held + ["train"] * (len(ranked) - 2 * held)
    return dict(zip(ranked, names, strict=True))


def modality_of(path: Path) -> str:
    """ "ct" for a volume, "xray" for a 2D picture, by the kind of file; a DICOM file by its number of frames.

    A file that is absent or of no known kind counts as a picture: its reader names the fault when it is read.
    """
    from domains.medical.io import dicom_file, nifti

    name = path.name.lower()
    if name.endswith(nifti.SUFFIXES) or path.is_dir():
        return "ct"
    return "ct" if dicom_file.is_dicom(path) and _frames(path) > 1 else "xray"


def _frames(path: Path) -> int:
    """NumberOfFrames from the header alone; 1 where it cannot be read, since the reader proper will say why."""
    from domains.medical.io.dicom_file import frame_count, open_dicom
    from domains.medical.io.guard import reading

    try:
        with reading(path, "DICOM file"):
            return frame_count(open_dicom(path, pixels=False))
    except DataError:
        log.debug("a DICOM header without a frame count")
        return 1


def _label_columns(rows: pd.DataFrame, candidates: Sequence[str]) -> tuple[str, ...]:
    """The columns whose cells are all blank or numbers in [0, 1], with at least one number."""
    import pandas as pd

    chosen = []
    for column in candidates:
        blank = rows[column] == ""
        values = pd.to_numeric(rows[column].where(~blank), errors="coerce")
        if not blank.all() and not (values.isna() & ~blank).any() and values.dropna().between(0, 1).all():
            chosen.append(column)
    return tuple(chosen)
