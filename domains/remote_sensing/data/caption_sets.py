"""Pictures with five sentences each: RSICD, RSITMD, UCM-Captions, Sydney-Captions.

Research use only, or no licence stated; the suite ships no copy. All share one format:
    root/dataset*.json   {"images": [{"filename", "split": "train|val|test", "sentences": [{"raw"}], ...}]}
    root/images/, root/imgs/, root/RSICD_images/ ...   the pictures (JPEG, PNG or 8-bit TIFF)
RSICD (Lu et al. 2018) 10,921 pictures of 224 pixels; RSITMD (Yuan et al. 2022) 4,743 of 256; UCM (Qu et al. 2016)
2,100 of 256; Sydney 613 of 500. Identical sentences repeat across pictures of UCM and Sydney: a duplicate is no
negative.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty
from core.data.tables import hash_share
from core.errors import DataError
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.processors.captions import caption_source
from domains.remote_sensing.sensors import PRESETS

FOLDERS = ("images", "imgs", "RSICD_images", "UCM_images", "Sydney_images", "")
HOLDOUT = 0.1  # share of the training pictures that becomes `val` where the set has none (RSITMD)
SPLIT_NAMES = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class CaptionSet(Layout):
    """Modalities "rgb" and "text" (all captions of a picture, one per line, English).

    annotations: name of the JSON file in the root; None = the only dataset*.json there.
    """

    name: ClassVar[str] = "remote sensing captions"
    licence: ClassVar[str] = "not stated, research use"
    source: ClassVar[str] = "the authors' repositories"
    json_name: ClassVar[str] = "dataset.json"

    def __init__(self, *, root: Path, split: str, annotations: str | None = None) -> None:
        super().__init__(root=root, split=split)
        self._json = self._find(annotations)
        pictures = _read(self._json)
        has_val = any(picture["split"] == "val" for picture in pictures)
        self._pictures = [picture for picture in pictures if self._split_of(picture, has_val) == self.split]
        refuse_empty(
            len(self._pictures), owner=f"'{split}' split of {self.name}", where=self._json,
            expected="images with that split",
        )  # fmt: skip
        self._folder = self._picture_folder()

    def __len__(self) -> int:
        return len(self._pictures)

    def record(self, index: int) -> Record:
        picture = self._pictures[index]
        sources: dict[str, Source] = {
            "rgb": RasterSource(self._folder / picture["filename"], PRESETS["rgb"]),
            "text": caption_source({"en": picture["sentences"]}),
        }
        return Record(picture["filename"], picture["filename"], sources)

    def _split_of(self, picture: dict[str, Any], has_val: bool) -> str:
        if picture["split"] == "train" and not has_val and hash_share(picture["filename"], salt=self.name) < HOLDOUT:
            return "val"
        return str(picture["split"])

    def _find(self, annotations: str | None) -> Path:
        if annotations is not None:
            return self.root / annotations
        if (self.root / self.json_name).exists():
            return self.root / self.json_name
        found = sorted(self.root.glob("dataset*.json"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none is there"
            raise DataError(f"{self.root}: one file {self.json_name} is expected ({names}); name it as `annotations`")
        return found[0]

    def _picture_folder(self) -> Path:
        names = [picture["filename"] for picture in self._pictures[:100]]
        for folder in FOLDERS:
            if any((self.root / folder / name).is_file() for name in names):
                return self.root / folder
        places = ", ".join(str(self.root / folder) for folder in FOLDERS)
        raise DataError(
            f"{self._json}: none of its pictures, for instance {names[0]}, is in {places}; unpack them there"
        )


class RSICD(CaptionSet):
    """10,921 pictures: 8,734 / 1,094 / 1,093."""

    name: ClassVar[str] = "RSICD"
    source: ClassVar[str] = "github.com/201528014227051/RSICD_optimal"
    json_name: ClassVar[str] = "dataset_rsicd.json"


class RSITMD(CaptionSet):
    """4,743 pictures: 4,291 for training, of which a tenth becomes `val`, and 452 for testing."""

    name: ClassVar[str] = "RSITMD"
    source: ClassVar[str] = "github.com/xiaoyuan1996/AMFMN"
    json_name: ClassVar[str] = "dataset_rsitmd.json"


class UCMCaptions(CaptionSet):
    """2,100 pictures: 1,680 / 210 / 210."""

    name: ClassVar[str] = "UCM-Captions"
    source: ClassVar[str] = "github.com/201528014227051/RSICD_optimal"


class SydneyCaptions(CaptionSet):
    """613 pictures: 497 / 58 / 58."""

    name: ClassVar[str] = "Sydney-Captions"
    source: ClassVar[str] = "github.com/201528014227051/RSICD_optimal"


def _read(path: Path) -> list[dict[str, Any]]:
    """The images of an annotation file: filename, split, sentences. Raises DataError naming what does not fit."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; expected the annotations as their authors distribute them") from err
    except (OSError, ValueError, RecursionError) as err:
        raise DataError(f"{path}: not readable JSON ({type(err).__name__}); copy it again") from err
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise DataError(f"{path}: expected {{'images': [...]}} with at least one image")
    found = []
    for number, image in enumerate(images):
        try:
            name, split = str(image["filename"]), SPLIT_NAMES[image["split"]]
            sentences = [str(sentence["raw"]) for sentence in image["sentences"]]
        except (KeyError, TypeError) as err:
            raise DataError(
                f"{path}: image number {number}: {err} is missing or unknown; each has filename, split (train, val, "
                "test) and sentences with 'raw'"
            ) from None
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{path}: image number {number}: '{name}' leads out of the folder of pictures")
        found.append({"filename": name, "split": split, "sentences": sentences})
    return found
