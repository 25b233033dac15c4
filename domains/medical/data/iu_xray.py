"""IU-Xray in the derived layout that report-generation work uses (the original release is in `openi.py`).

    annotation.json    {"train": [...], "val": [...], "test": [...]}, each item
                       {"id": "CXR2384_IM-0942", "image_path": ["CXR2384_IM-0942/0.png", ...], "report": "..."}
    images/CXR2384_IM-0942/{0,1}.png    0 is usually frontal, 1 lateral

De-identified words read XXXX; they are taken out of the report text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty, require
from core.errors import DataError
from domains.medical.reports import clean


class IUXray(Layout):
    """Modalities "xray" and "report", no labels; group = patient (CXR number). 7,470 images of 3,955 reports.

    view: which image of a study is the record's "xray"; a study without that many images is given its last one.
    """

    name: ClassVar[str] = "IU-Xray"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0"
    source: ClassVar[str] = "https://openi.nlm.nih.gov"

    def __init__(self, *, root: Path, split: str, view: int = 0) -> None:
        super().__init__(root=root, split=split)
        if view < 0:
            raise DataError(f"{self.name}: view is {view}; give 0 for the first image of a study, 1 for the second")
        table, images = self.root / "annotation.json", self.root / "images"
        require(self.root, {"reports and splits": table, "images": images}, owner=self.name, source=self.source)
        self.images, self.view = images, view
        self._items = [_checked(item, i, table, split) for i, item in enumerate(_items_of(table, split))]
        refuse_empty(len(self._items), owner=f"{self.name} '{split}'", where=table, expected="a list of studies")

    def __len__(self) -> int:
        return len(self._items)

    def record(self, index: int) -> Record:
        item = self._items[index]
        views = item["image_path"]
        sources: dict[str, Source] = {"xray": self.images / views[min(self.view, len(views) - 1)]}
        report = clean(item["report"])
        if report:
            sources["report"] = report
        return Record(id=item["id"], group=item["id"].partition("_")[0], sources=sources)


def _items_of(path: Path, split: str) -> list:
    try:
        annotation = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as fault:
        raise DataError(f"{path}: not readable as JSON ({fault}); fetch it again") from fault
    if not isinstance(annotation, dict) or not isinstance(annotation.get(split), list):
        found = ", ".join(annotation) if isinstance(annotation, dict) else type(annotation).__name__
        raise DataError(f"{path}: no list '{split}' (found: {found}); expected lists train, val and test")
    return annotation[split]


def _checked(item: dict, index: int, path: Path, split: str) -> dict:
    missing = [key for key in ("id", "image_path", "report") if not isinstance(item, dict) or key not in item]
    if missing or not item["image_path"]:
        raise DataError(f"{path}: item {index} of '{split}' lacks {', '.join(missing) or 'an image in image_path'}")
    outside = [name for name in item["image_path"] if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise DataError(f"{path}: item {index} of '{split}': '{outside[0]}' leads out of the images folder")
    return item
