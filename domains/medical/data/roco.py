"""ROCO and ROCOv2: radiology figures of open-access articles, with captions and UMLS concepts.

ROCOv2 (79,789 images, 2023):
    {train,valid,test}_captions.csv    ID, Caption
    {train,valid,test}_concepts.csv    ID, CUIs ("C0040405;C0412555"); optional
    cui_mapping.csv                    CUI, Canonical name; optional
    {train,valid,test}[_images]/ROCOv2_2023_train_000001.jpg

ROCO (2018):
    data/{train,validation,test}/radiology/captions.txt    ROCO_00001<tab>caption
    data/{train,validation,test}/radiology/licences.txt    ROCO_ID,PMC_ID,CC; optional
    data/{train,validation,test}/radiology/images/ROCO_00001.jpg    fetched by the user

Figures mix modalities (CT, MR, X-ray, ultrasound); each is a 2D picture, given under one modality name.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, refuse_empty, require
from core.data.tables import first_column, optional_column, read_table
from core.errors import DataError

log = logging.getLogger(__name__)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class ROCOv2(Layout):
    """Modalities `modality` (2D) and "report" (the caption); group = figure: the release names no patient.

    concepts: how many of the most frequent training concepts become labels (1 = the figure is tagged with it).
    modality: the name under which the figures appear.
    """

    name: ClassVar[str] = "ROCOv2"
    licence: ClassVar[str] = "CC BY 4.0 and others, per image (license_information.csv)"
    source: ClassVar[str] = "https://zenodo.org/records/10821435"

    def __init__(self, *, root: Path, split: str, concepts: int = 50, modality: str = "xray") -> None:
        super().__init__(root=root, split=split)
        if concepts < 0:
            raise DataError(f"{self.name}: concepts is {concepts}; give 0 or more")
        self.modality = modality
        own = "valid" if split == "val" else split
        captions, images = self.root / f"{own}_captions.csv", self._image_folder(own)
        require(self.root, {"captions": captions, "images": images}, owner=self.name, source=self.source)
        table = read_table(captions, ["ID", "Caption"])
        self._rows, self.absent = _on_disk(dict(zip(table["ID"], table["Caption"], strict=True)), images)
        if self.absent:
            log.info("%s: %d of %d figures are not on disk", self.name, self.absent, len(table))
        expected = f"images named as in {captions.name}, for instance {table['ID'].iloc[0]}.jpg"
        refuse_empty(len(self._rows), owner=f"{self.name} '{split}'", where=images, expected=expected)
        self._names_of, self._concepts = self._read_concepts(own, concepts)
        self.label_names = tuple(self._names_of.values())

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> Record:
        name, path, caption = self._rows[index]
        tagged = self._concepts.get(name)
        labels = {} if tagged is None else {n: float(cui in tagged) for cui, n in self._names_of.items()}
        return _figure(name, name, path, caption, self.modality, labels)

    def _image_folder(self, own: str) -> Path:
        for folder in (self.root / own, self.root / f"{own}_images" / own, self.root / f"{own}_images"):
            if folder.is_dir():
                return folder
        return self.root / own

    def _read_concepts(self, own: str, count: int) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
        """CUI -> label name, most frequent first, counted on the training split; and the CUIs of each figure."""
        train, here = self.root / "train_concepts.csv", self.root / f"{own}_concepts.csv"
        if count == 0 or not train.exists() or not here.exists():
            return {}, {}
        frequency = Counter(cui for cuis in _concepts_of(train).values() for cui in cuis)
        chosen = sorted(frequency, key=lambda cui: (-frequency[cui], cui))[:count]
        names = self._canonical_names()
        label_of = {cui: names.get(cui, cui) for cui in chosen}
        twice = {name for name, n in Counter(label_of.values()).items() if n > 1}
        return {c: f"{n} ({c})" if n in twice else n for c, n in label_of.items()}, _concepts_of(here)

    def _canonical_names(self) -> dict[str, str]:
        path = self.root / "cui_mapping.csv"
        if not path.exists():
            return {}
        table = read_table(path, ["CUI"])
        column = first_column(table, ["Canonical name", "name", "Term"], path, what="concept's name")
        return dict(zip(table["CUI"], table[column], strict=True))


class ROCO(Layout):
    """The first ROCO: modalities `modality` (2D) and "report"; group = article where `licences.txt` names it.

    subset: "radiology" or "non-radiology". Dead links and empty files are left out and counted in `absent`.
    """

    name: ClassVar[str] = "ROCO"
    licence: ClassVar[str] = "Creative Commons, per image (licences.txt)"
    source: ClassVar[str] = "https://github.com/razorx89/roco-dataset"

    def __init__(self, *, root: Path, split: str, subset: str = "radiology", modality: str = "xray") -> None:
        super().__init__(root=root, split=split)
        self.modality = modality
        data = self.root / "data" if (self.root / "data").is_dir() else self.root
        folder = data / ("validation" if split == "val" else split) / subset
        captions, images = folder / "captions.txt", folder / "images"
        require(self.root, {"captions": captions, "images": images}, owner=self.name, source=self.source)
        pairs = (line.partition("\t") for line in captions.read_text(encoding="utf-8-sig").splitlines())
        listed = {name.strip(): caption for name, tab, caption in pairs if tab}
        self._rows, self.absent = _on_disk(listed, images)
        refuse_empty(len(self._rows), owner=f"{self.name} '{split}'", where=images, expected="ROCO_00001.jpg and so on")
        self._article = _articles(folder / "licences.txt")

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> Record:
        name, path, caption = self._rows[index]
        return _figure(name, self._article.get(name, name), path, caption, self.modality, {})


def _figure(name: str, group: str, path: Path, caption: str, modality: str, labels: dict[str, float]) -> Record:
    text = " ".join(caption.split())  # captions keep a leading space and line breaks
    sources: dict = {modality: path} | ({"report": text} if text else {})
    return Record(id=name, group=group, sources=sources, labels=labels)


def _on_disk(captions: dict[str, str], images: Path) -> tuple[list[tuple[str, Path, str]], int]:
    """(id, path, caption) of the figures with a file that is not empty, and how many have none."""
    found: dict[str, Path] = {}
    with os.scandir(images) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() in IMAGE_SUFFIXES and stem in captions and entry.stat().st_size > 0:
                found[stem] = Path(entry.path)
    rows = [(name, found[name], caption) for name, caption in captions.items() if name in found]
    return rows, len(captions) - len(rows)


def _concepts_of(path: Path) -> dict[str, frozenset[str]]:
    table = read_table(path, ["ID"])
    column = first_column(table, ["CUIs", "CUI"], path, what="concepts")
    return {n: frozenset(filter(None, cuis.split(";"))) for n, cuis in zip(table["ID"], table[column], strict=True)}


def _articles(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    table = read_table(path, ["ROCO_ID"])
    column = optional_column(table, ["PMC_ID"])
    return {} if column is None else dict(zip(table["ROCO_ID"], table[column], strict=True))
