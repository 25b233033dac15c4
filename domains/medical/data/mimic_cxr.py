"""MIMIC-CXR-JPG 2.x: chest radiographs with reports, as distributed by PhysioNet.

    mimic-cxr-2.0.0-split.csv[.gz]       dicom_id, study_id, subject_id, split (train, validate, test)
    mimic-cxr-2.0.0-metadata.csv[.gz]    dicom_id, subject_id, study_id, ViewPosition, ...
    mimic-cxr-2.0.0-chexpert.csv[.gz]    subject_id, study_id, 14 labels in {1, 0, -1, blank}; optional
    files/p10/p10000032/s50414267/<dicom_id>.jpg
    files/p10/p10000032/s50414267.txt    the report, beside the study folder (from MIMIC-CXR; `reports` elsewhere)

The data use agreement forbids passing the data on, also to services of third parties.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from core.data.layout import Layout, Record, Source, refuse_empty, require
from core.data.tables import label_matrix, read_table, require_columns
from core.errors import DataError
from domains.medical.reports import findings_and_impression, main_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)
PREFIX = "mimic-cxr-2.0.0-"
SPLIT_NAMES = {"train": "train", "val": "validate", "test": "test"}
LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip


class MimicCXR(Layout):
    """Modalities "xray" and "report"; group = subject. The report text is read when its record is.

    views: values of ViewPosition to keep, the first one preferred where a study has several; empty keeps all.
    per_study: one image for each study (id `s<study_id>`); otherwise each image is a record (id = dicom_id).
    section: "main" is impression, else findings, else the last paragraph; "both" is "Findings: ... Impression: ...".
    uncertain: what the label -1 becomes: "ignore" = nan, "zeros", "ones". Blank = not mentioned = 0; nan for a study
    that the label table lacks. reports: folder with the `files/` tree of the reports, when it is not the root.
    """

    name: ClassVar[str] = "MIMIC-CXR-JPG"
    licence: ClassVar[str] = "PhysioNet Credentialed Health Data License 1.5.0"
    source: ClassVar[str] = "https://physionet.org/content/mimic-cxr-jpg/"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        views: Sequence[str] = ("PA", "AP"),
        per_study: bool = True,
        section: Literal["main", "both"] = "both",
        uncertain: Literal["ignore", "zeros", "ones"] = "ignore",
        reports: Path | None = None,
    ) -> None:
        super().__init__(root=root, split=split)
        if uncertain not in ("ignore", "zeros", "ones"):
            raise DataError(f"{self.name}: uncertain is '{uncertain}'; valid: ignore, zeros, ones")
        if section not in ("main", "both"):
            raise DataError(f"{self.name}: section is '{section}'; valid: main, both")
        self.per_study, self.section = per_study, section
        self.report_root = self.root if reports is None else Path(reports)
        split_csv, meta_csv = self._table("split"), self._table("metadata")
        require(
            self.root,
            {"split of each image": split_csv, "view of each image": meta_csv, "images": self.root / "files"},
            owner=self.name, source=self.source,
        )  # fmt: skip
        images = self._images(split_csv, meta_csv, list(views))
        listed = len(images)
        images = images[images["subject_id"].isin(self._subjects_on_disk())]
        self.absent = listed - len(images)
        if self.absent:
            log.info("%s: %d of %d images belong to subjects that are not on disk", self.name, self.absent, listed)
        shown = ", ".join(views) or "any"
        refuse_empty(
            len(images), owner=f"{self.name} '{split}'", where=self.root / "files",
            expected=f"files/p1x/p<subject>/s<study>/<dicom_id>.jpg of the {listed} listed images with view {shown}",
        )  # fmt: skip
        self._images_of = images[["dicom_id", "study_id", "subject_id"]].to_numpy(dtype=object)
        self.label_names, self._labels = self._read_labels(uncertain)

    def __len__(self) -> int:
        return len(self._images_of)

    def record(self, index: int) -> Record:
        dicom, study, subject = self._images_of[index]
        folder = Path(f"p{subject[:2]}") / f"p{subject}"
        sources: dict[str, Source] = {"xray": self.root / "files" / folder / f"s{study}" / f"{dicom}.jpg"}
        report = self._report(self.report_root / "files" / folder / f"s{study}.txt")
        if report:
            sources["report"] = report
        values = self._labels.get(study)
        row = [float("nan")] * len(self.label_names) if values is None else values
        return Record(
            id=f"s{study}" if self.per_study else dicom, group=f"p{subject}", sources=sources,
            labels={name: float(value) for name, value in zip(self.label_names, row, strict=True)},
        )  # fmt: skip

    def _report(self, path: Path) -> str:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # MIMIC-CXR-JPG comes without reports: an image alone is a valid record
            return ""
        return main_text(text) if self.section == "main" else findings_and_impression(text)

    def _table(self, kind: str) -> Path:
        plain = self.root / f"{PREFIX}{kind}.csv"
        return plain if plain.exists() else plain.with_suffix(".csv.gz")

    def _images(self, split_csv: Path, meta_csv: Path, views: list[str]) -> pd.DataFrame:
        """dicom_id, study_id, subject_id, ViewPosition of this split, studies in file order, best view first."""
        splits = read_table(split_csv, ["dicom_id", "study_id", "subject_id", "split"])
        meta = read_table(meta_csv, ["dicom_id", "ViewPosition"])[["dicom_id", "ViewPosition"]]
        found = sorted(splits["split"].unique())
        if not set(found) & set(SPLIT_NAMES.values()):
            raise DataError(f"{split_csv}: column 'split' holds {', '.join(found[:5])}; expected train, validate, test")
        images = splits[splits["split"] == SPLIT_NAMES[self.split]].merge(meta, on="dicom_id", how="left")
        if views:
            images = images[images["ViewPosition"].isin(views)]
            rank = images["ViewPosition"].map({view: i for i, view in enumerate(views)})
            images = images.assign(rank=rank, order=images.groupby("study_id", sort=False).ngroup())
            images = images.sort_values(["order", "rank"], kind="stable")
        return images.drop_duplicates("study_id") if self.per_study else images

    def _subjects_on_disk(self) -> set[str]:
        """Subjects with a folder: eleven listings instead of one look per image."""
        subjects: set[str] = set()
        with os.scandir(self.root / "files") as groups:
            for group in groups:
                if group.is_dir():
                    subjects |= {name.removeprefix("p") for name in os.listdir(group.path)}
        return subjects

    def _read_labels(self, uncertain: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Names and (14,) float32 by study; none without the label table."""
        import numpy as np

        path = self._table("chexpert")
        if not path.exists():
            log.info("%s: no %s, so these records have no labels", self.name, path)
            return (), {}
        table = read_table(path, ["subject_id", "study_id"])
        require_columns(table, LABELS, path)
        values_RL = np.nan_to_num(label_matrix(table, LABELS, path), nan=0.0)
        values_RL[values_RL == -1] = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0}[uncertain]
        wanted = set(self._images_of[:, 1])
        return LABELS, {s: row_L for s, row_L in zip(table["study_id"], values_RL, strict=True) if s in wanted}
