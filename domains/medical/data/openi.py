"""OpenI / Indiana University chest X-rays in the original release: one XML per study and a folder of PNG images.

    ecgen-radiology/1.xml             AbstractText Label="FINDINGS" | "IMPRESSION" | "COMPARISON" | "INDICATION",
                                      parentImage id="CXR1_1_IM-0001-3001", MeSH/major "Cardiomegaly/mild"
    NLMCXR_png/CXR1_1_IM-0001-3001.png    (or `images/`)

The release has no split: a study belongs to one by the hash of its id, 80 / 10 / 10.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from core.data.layout import Layout, Record, Source, refuse_empty, require
from core.data.tables import hash_split
from core.errors import DataError
from domains.medical.reports import clean, joined

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
MAX_XML_BYTES = 1 << 20  # a study has a few kB; entity bombs are larger once expanded, so DTDs are refused as well


@dataclass(frozen=True, slots=True)
class Study:
    """What one XML file says."""

    id: str
    findings: str
    impression: str
    images: tuple[str, ...]
    terms: tuple[str, ...]  # main headings of MeSH/major, lower case


class OpenI(Layout):
    """Modalities "xray" and "report"; labels are the MeSH headings; group = study (one per patient).

    min_count: a heading is a label when at least this many studies of the release carry it.
    """

    name: ClassVar[str] = "OpenI"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0"
    source: ClassVar[str] = "https://openi.nlm.nih.gov/faq#collection"

    def __init__(self, *, root: Path, split: str, min_count: int = 50) -> None:
        super().__init__(root=root, split=split)
        reports, images = self.root / "ecgen-radiology", self.root / "NLMCXR_png"
        if not images.is_dir():
            images = self.root / "images" if (self.root / "images").is_dir() else images
        require(self.root, {"reports": reports, "images": images}, owner=self.name, source=self.source)
        self.images = images
        studies = [read_study(path) for path in sorted(reports.glob("*.xml"))]
        refuse_empty(len(studies), owner=self.name, where=reports, expected="one XML file per study")
        counts = Counter(term for study in studies for term in study.terms)
        self.label_names = tuple(sorted(term for term, count in counts.items() if count >= min_count))
        with_image = [study for study in studies if study.images]
        self.absent = len(studies) - len(with_image)
        self.studies = [s for s in with_image if hash_split(s.id, SHARES, salt=self.name) == split]
        refuse_empty(len(self.studies), owner=f"{self.name} '{split}'", where=reports, expected="studies with an image")

    def __len__(self) -> int:
        return len(self.studies)

    def record(self, index: int) -> Record:
        study = self.studies[index]
        sources: dict[str, Source] = {"xray": self.images / f"{study.images[0]}.png"}
        report = joined(clean(study.findings), clean(study.impression))
        if report:
            sources["report"] = report
        labels = {name: float(name in study.terms) for name in self.label_names}
        return Record(id=study.id, group=study.id, sources=sources, labels=labels)


def read_study(path: Path) -> Study:
    """Parse one report. Raises DataError naming the file; document type definitions are refused."""
    content = path.read_bytes() if path.stat().st_size <= MAX_XML_BYTES else b""
    if not content or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{path}: not a report of this release (empty, over {MAX_XML_BYTES} bytes, or with a DTD)")
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError as fault:
        raise DataError(f"{path}: not readable as XML ({fault}); fetch it again") from fault
    texts = {(e.get("Label") or "").upper(): (e.text or "").strip() for e in tree.iter("AbstractText")}
    images = tuple(e.get("id") or "" for e in tree.iter("parentImage"))
    if any("/" in name or "\\" in name for name in images):
        raise DataError(f"{path}: an image id leads out of the images folder")
    majors = {(e.text or "").partition("/")[0].strip().lower() for e in tree.iter("major")}
    return Study(
        id=f"CXR{path.stem}", findings=texts.get("FINDINGS", ""), impression=texts.get("IMPRESSION", ""),
        images=images, terms=tuple(sorted(majors - {""})),
    )  # fmt: skip
