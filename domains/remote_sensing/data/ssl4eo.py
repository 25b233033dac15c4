"""SSL4EO-S12 (Wang et al. 2023) and NoLDO-S12 (Liu et al. 2025): one place on four dates, Sentinel-1 and Sentinel-2.

SSL4EO-S12: CC-BY-4.0, github.com/zhu-xlab/SSL4EO-S12, 251,079 places, unpacked:
    root/s1/{id:07d}/{product}/{VV,VH}.tif      float32 dB, GRD
    root/s2c/{id:07d}/{product}/{B1 ... B12}.tif  uint16, L1C, 13 bands, 10,000 = reflectance 1 (baseline before 04.00)
    root/s2a/{id:07d}/{product}/{B1 ... B12}.tif  uint16, L2A, 12 bands (no B10)
    root/void_ids.csv                             optional: places that are not complete, one id per line
264 x 264 pixels of 10 m; the 20 m and 60 m bands hold fewer and are brought to 10 m when read. A UTM zone per place.
NoLDO-S12: CC-BY-4.0, Hugging Face vikki23/NoLDO-S12; its part SSL4EO-S12@NoL adds, for 103,793 of those places:
    root/dw_noisy_labels/{id:07d}/{product}/label.tif   uint8, Dynamic World classes 0 to 8
    root/dw_complete_ids.csv                            ids, sub1 ... sub4 (the Sentinel-2 products of the four labels)
There is no official split: places are dealt by the hash of their id (98 / 1 / 1 %), unless root/splits.csv (ids, split)
says otherwise.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import os
import re
from pathlib import Path
from typing import ClassVar, Literal

from core.data.layout import Layout, Record, Source, check_split, refuse_empty, require
from core.data.tables import first_column, hash_split, read_table
from core.errors import DataError
from domains.remote_sensing.bands import BandSpec
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.sensors import PRESETS

SEASONS = 4
SHARES = {"train": 0.98, "val": 0.01, "test": 0.01}
SPECS: dict[str, BandSpec] = {"s2a": PRESETS["sentinel2_l2a"], "s2c": PRESETS["sentinel2_l1c"]}
_DATE = re.compile(r"(?<!\d)(20\d{6})T\d{6}")


class SSL4EOS12(Layout):
    """Modalities "s1" and "s2". A record is one place on one date; its group is the place.

    optical: which Sentinel-2 product is read, "s2a" (L2A, surface) or "s2c" (L1C, top of the atmosphere). dates: of the
    four, those that become records (0 to 3 in order of time). Radar and optical products of one record are those of the
    pairing with the least days between them.
    """

    name: ClassVar[str] = "SSL4EO-S12"
    licence: ClassVar[str] = "CC-BY-4.0"
    source: ClassVar[str] = "github.com/zhu-xlab/SSL4EO-S12"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        optical: Literal["s2a", "s2c"] = "s2a",
        dates: tuple[int, ...] = (0, 1, 2, 3),
    ) -> None:
        super().__init__(root=root, split=split)
        if optical not in SPECS:
            raise DataError(f"optical: is '{optical}'; SSL4EO-S12 has s2a (L2A) and s2c (L1C)")
        if not dates or not set(dates) <= set(range(SEASONS)):
            raise DataError(f"dates: is {dates}; each place has dates 0, 1, 2 and 3")
        self.optical, self.dates = optical, tuple(sorted(set(dates)))
        self._require()
        places = self._places()
        refuse_empty(
            len(places), owner=f"'{split}' split of {self.name}", where=self.root,
            expected=f"places s1/0000000 and {optical}/0000000 of that split",
        )  # fmt: skip
        self._ids = places

    def _require(self) -> None:
        require(
            self.root,
            {"radar": self.root / "s1", "optical": self.root / self.optical},
            owner=self.name,
            source=self.source,
        )

    def __len__(self) -> int:
        return len(self._ids) * len(self.dates)

    def record(self, index: int) -> Record:
        place, date = self._ids[index // len(self.dates)], self.dates[index % len(self.dates)]
        optical, radar = self._optical_products(place), products(self.root / "s1" / place)
        pairs = paired(optical, radar)
        sources: dict[str, Source] = {}
        if date < len(optical):
            sources["s2"] = self._raster(self.optical, place, optical[date], SPECS[self.optical])
            if date in pairs:
                sources["s1"] = self._raster("s1", place, radar[pairs[date]], PRESETS["sentinel1_db"])
        elif date < len(radar) and not optical:
            sources["s1"] = self._raster("s1", place, radar[date], PRESETS["sentinel1_db"])
        product = optical[date] if date < len(optical) else ""
        return self._completed(Record(f"{place}/{date}", place, sources), place, product, optical)

    def _completed(self, record: Record, place: str, product: str, optical: list[str]) -> Record:
        """The record with what else a dataset knows about it."""
        return record

    def _optical_products(self, place: str) -> list[str]:
        return products(self.root / self.optical / place)

    def _raster(self, kind: str, place: str, product: str, spec: BandSpec) -> RasterSource:
        files = tuple(f"{file_name(band)}.tif" for band in spec.names)
        return RasterSource(self.root / kind / place / product, spec, files, day_of(product))

    def _places(self) -> list[str]:
        found = {e.name for kind in ("s1", self.optical) for e in os.scandir(self.root / kind) if e.is_dir()}
        return self._of_split(sorted(found - self._void()))

    def _of_split(self, places: list[str]) -> list[str]:
        assigned = self._assigned()
        if assigned is not None:
            return [place for place in places if assigned.get(place) == self.split]
        return [place for place in places if hash_split(place, SHARES, salt="SSL4EO-S12") == self.split]

    def _assigned(self) -> dict[str, str] | None:
        """Place -> split by a table, or None to deal them by hash."""
        path = self.root / "splits.csv"
        if not path.exists():
            return None
        table = read_table(path, ["split"])
        key = first_column(table, ["ids", "id"], path, what="place")
        names = {"valid": "val", "validation": "val"}
        return {padded(k): check_split(names.get(s, s), owner=str(path)) for k, s in zip(table[key], table["split"])}

    def _void(self) -> set[str]:
        path = self.root / "void_ids.csv"
        if not path.exists():
            return set()
        with open(path, newline="", encoding="utf-8") as rows:
            return {padded(row[0]) for row in csv.reader(rows) if row and row[0].strip().isdigit()}


class NoLDOS12(SSL4EOS12):
    """SSL4EO-S12@NoL: the places of SSL4EO-S12 that have Dynamic World labels on all four dates.

    Modality "dw" besides "s1" and "s2": the noisy labels, for models that read or reconstruct classes. Masks: "dw", the
    same of the record's date, and "dw_0" to "dw_3", those of all four dates of its place.
    """

    name: ClassVar[str] = "NoLDO-S12"
    source: ClassVar[str] = "Hugging Face data set vikki23/NoLDO-S12 (SSL4EO-S12@NoL) beside SSL4EO-S12"
    classes: ClassVar[int] = 9

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        optical: Literal["s2a", "s2c"] = "s2a",
        dates: tuple[int, ...] = (0, 1, 2, 3),
    ) -> None:
        self._products: dict[str, list[str]] = {}
        super().__init__(root=root, split=split, optical=optical, dates=dates)

    def _require(self) -> None:
        wanted = {
            "radar": self.root / "s1",
            "optical": self.root / self.optical,
            "Dynamic World labels": self.root / "dw_noisy_labels",
            "table of labelled places": self.root / "dw_complete_ids.csv",
        }
        require(self.root, wanted, owner=self.name, source=self.source)

    def _places(self) -> list[str]:
        path = self.root / "dw_complete_ids.csv"
        table = read_table(path, ["ids", "sub1", "sub2", "sub3", "sub4"])
        for row in table[["ids", "sub1", "sub2", "sub3", "sub4"]].itertuples(index=False, name=None):
            self._products[padded(row[0])] = sorted((name.strip() for name in row[1:]), key=day_of)
        listed = sorted(self._products)
        there = [place for place in listed if (self.root / "dw_noisy_labels" / place).is_dir()]
        self.absent = len(listed) - len(there)
        if not there:
            raise DataError(
                f"{path}: none of its {len(listed)} places has a folder below {self.root / 'dw_noisy_labels'}; "
                "unpack the labels there"
            )
        return self._of_split(there)

    def _optical_products(self, place: str) -> list[str]:
        return self._products[place]

    def _completed(self, record: Record, place: str, product: str, optical: list[str]) -> Record:
        masks: dict[str, Source] = {"dw": self._label("dw_noisy_labels", place, product)}
        masks |= {f"dw_{i}": self._label("dw_noisy_labels", place, name) for i, name in enumerate(optical)}
        sources: dict[str, Source] = {**record.sources, "dw": masks["dw"]}
        return Record(record.id, record.group, sources, record.labels, masks)

    def _label(self, kind: str, place: str, product: str) -> LabelSource:
        return LabelSource(self.root / kind / place / product / "label.tif", classes=self.classes)


def products(folder: Path) -> list[str]:
    """Product folders of one place in order of time; none when the place has no folder."""
    if not folder.is_dir():
        return []
    return sorted((entry.name for entry in os.scandir(folder) if entry.is_dir()), key=lambda name: (day_of(name), name))


def day_of(product: str) -> str:
    """ISO date of acquisition in the name of a Sentinel product; "" when it has none."""
    match = _DATE.search(product)
    return f"{match[1][:4]}-{match[1][4:6]}-{match[1][6:8]}" if match else ""


def paired(optical: list[str], radar: list[str]) -> dict[int, int]:
    """Optical product -> radar product, by number, with the least days between them in sum; each is used once."""
    days = [[_ordinal(name) for name in names] for names in (optical, radar)]
    few, many = days if len(optical) <= len(radar) else days[::-1]
    if not few:
        return {}
    chosen = min(
        itertools.permutations(range(len(many)), len(few)),
        key=lambda order: sum(abs(few[i] - many[j]) for i, j in enumerate(order)),
    )
    if len(optical) <= len(radar):
        return dict(enumerate(chosen))
    return {j: i for i, j in enumerate(chosen)}


def _ordinal(product: str) -> int:
    day = day_of(product)
    return datetime.date.fromisoformat(day).toordinal() if day else 0


def file_name(band: str) -> str:
    """Band "B02" is in B2.tif, "B8A" in B8A.tif."""
    return band.replace("B0", "B", 1)


def padded(number: str) -> str:
    """Folder name of a place: seven digits."""
    text = number.strip()
    return text.zfill(7) if text.isdigit() else text
