"""Any folder of rasters, with or without one CSV table: the layout for data of one's own.

Without a table every raster below the root is a record (a folder of files named after bands is one raster); "s1",
"s2" or "rgb" by what it holds. With root/data.csv, or the only .csv in the root, one row per record; columns, compared
without case:
  s1 | radar, s2 | optical, rgb | picture, dem    relative path of a raster file, or of a folder with a file per band
  file | path | image                             the same, the modality told by what it holds
  label | mask | dw                               relative path of a label map (mask "label"): classes, 255 unknown
  caption | text, caption_de ...                  text in English, or in the language that the ending names; several
                                                  captions are separated by " | "
  id                                              optional, default: the row's number
  group | place | scene | tile                    optional; what a split keeps together. Default: the record
  date                                            optional ISO date of acquisition
  split                                           optional: train, val (valid, validation), test
  every other column of numbers                   a label where all are 0 or 1, else a quantity (an indicator, an area);
                                                  blank = unknown
Without a split column, groups are dealt by the hash of their name, 80 / 10 / 10, always the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from core.data.layout import Layout, Record, Source, refuse_empty
from core.data.tables import hash_split, label_matrix, optional_column, read_table
from core.errors import ConfigError, DataError, nearest
from domains.remote_sensing.bands import BandSpec
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.io.find import find_inputs, modality_of
from domains.remote_sensing.io.open import folder_source
from domains.remote_sensing.processors.captions import caption_source
from domains.remote_sensing.sensors import preset, with_baseline

if TYPE_CHECKING:
    import pandas as pd

RASTERS = {"s1": ("s1", "radar"), "s2": ("s2", "optical"), "rgb": ("rgb", "picture"), "dem": ("dem",)}
ANY = ("file", "path", "image")
LABEL = ("label", "mask", "dw")
TEXT = ("caption", "text")
GROUP = ("group", "place", "scene", "tile")
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SEPARATOR = "|"


class FolderGeoTIFF(Layout):
    """Modalities "s1", "s2", "rgb", "dem" and "text", as far as there are any; mask "label".

    table: name of the CSV in the root; None = data.csv, the only one there is, or none. s1, s2, rgb, dem: presets that
    say which bands the files hold and how their numbers are stored (`domains.remote_sensing.sensors`); band
    descriptions in a file must agree. baseline: Sentinel-2 processing baseline of the "s2" files, such as "05.10".
    classes: of the label maps; a number beyond them is an error; None = any.
    """

    name: ClassVar[str] = "folder of rasters"
    licence: ClassVar[str] = "the data's own"
    source: ClassVar[str] = "a folder of rasters of your own, with or without a CSV table"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        table: str | None = None,
        s1: str = "sentinel1_db",
        s2: str = "sentinel2_l2a",
        rgb: str = "rgb",
        dem: str = "elevation",
        baseline: str = "",
        classes: int | None = None,
    ) -> None:
        super().__init__(root=root, split=split)
        optical = with_baseline(preset(s2), baseline) if baseline else preset(s2)
        self._specs = {"s1": preset(s1), "s2": optical, "rgb": preset(rgb), "dem": preset(dem)}
        if classes is not None and classes < 1:
            raise ConfigError(f"classes: is {classes}; give how many classes the label maps have")
        self._classes = classes
        path = self._find_table(table)
        records = self._from_table(path) if path is not None else self._from_folder()
        refuse_empty(len(records), owner=self.name, where=self.root, expected="rasters, or a table that names them")
        self._records = [record for record, where in records if where == self.split]
        refuse_empty(
            len(self._records), owner=f"'{split}' split of the folder", where=path or self.root,
            expected=f"records of that split among its {len(records)}",
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        return self._records[index]

    def _find_table(self, name: str | None) -> Path | None:
        if name is not None:
            return self.root / name
        found = sorted(self.root.glob("*.csv"))
        if (self.root / "data.csv") in found:
            return self.root / "data.csv"
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"{self.root}: several tables ({names}); name one as data.csv, or give its name as `table`")
        return found[0] if found else None

    def _from_folder(self) -> list[tuple[Record, str]]:
        out = []
        for path, modality in find_inputs([self.root]):
            name = path.relative_to(self.root).as_posix()
            out.append((Record(name, name, {modality: self._raster(path, modality, "")}), _dealt(name)))
        return out

    def _from_table(self, path: Path) -> list[tuple[Record, str]]:
        rows = read_table(path)
        rows = rows.assign(**{column: rows[column].str.strip() for column in rows.columns})
        columns = {m: optional_column(rows, names) for m, names in RASTERS.items()}
        other, label, split = (optional_column(rows, names) for names in (ANY, LABEL, ("split",)))
        texts = {column: _language(column) for column in rows.columns if _language(column)}
        identity, group, date = (optional_column(rows, names) for names in (("id",), GROUP, ("date",)))
        if other is None and not any(columns.values()):
            raise DataError(
                f"{path}: no column names a raster: one of s1, s2, rgb, dem or file is needed "
                f"(columns found: {', '.join(map(str, rows.columns))})"
            )
        used = {*columns.values(), other, label, split, identity, group, date, *texts}
        numbers = _number_columns(rows, [str(c) for c in rows.columns if c not in used])
        values_RL = label_matrix(rows, numbers, path)
        is_label = [set(np.unique(column[~np.isnan(column)])) <= {0.0, 1.0} for column in values_RL.T]
        self.label_names = tuple(name for name, label in zip(numbers, is_label, strict=True) if label)
        self.quantity_names = tuple(name for name, label in zip(numbers, is_label, strict=True) if not label)
        out, seen = [], set()
        for i, cells in enumerate(rows.to_dict("records")):
            where = f"{path}: row {i + 2}"
            name = str(cells[identity]) if identity else str(i)
            if name in seen:
                raise DataError(f"{where}: id '{name}' is used twice")
            seen.add(name)
            day = str(cells[date]) if date else ""
            sources: dict[str, Source] = {}
            for modality, column in columns.items():
                if column is not None and cells[column]:
                    sources[modality] = self._raster(self._below(str(cells[column]), where), modality, day)
            if other is not None and cells[other]:
                found = self._below(str(cells[other]), where)
                sources.setdefault(modality_of(found), self._raster(found, modality_of(found), day))
            captions = caption_source(_captions({str(k): v for k, v in cells.items()}, texts))
            if captions:
                sources["text"] = captions
            masks: dict[str, Source] = {}
            if label is not None and cells[label]:
                masks["label"] = LabelSource(self._below(str(cells[label]), where), classes=self._classes)
            values = dict(zip(numbers, map(float, values_RL[i]), strict=True))
            kept = str(cells[group]) if group else name
            stated = _stated(str(cells[split]), where) if split else _dealt(kept)
            out.append((Record(name, kept, sources, values, masks), stated))
        self._refuse_shared_groups(out, path)
        return out

    def _raster(self, path: Path, modality: str, day: str) -> RasterSource:
        spec: BandSpec = self._specs[modality]
        return folder_source(path, spec, time=day) if path.is_dir() else RasterSource(path, spec, time=day)

    def _below(self, name: str, where: str) -> Path:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{where}: '{name}' leads out of {self.root}; give a path relative to it")
        return self.root / name

    def _refuse_shared_groups(self, records: list[tuple[Record, str]], path: Path) -> None:
        split_of: dict[str, str] = {}
        for record, split in records:
            known = split_of.setdefault(record.group, split)
            if known != split:
                raise DataError(
                    f"{path}: group '{record.group}' is in both {known} and {split}; a group belongs to one split, or "
                    "scores are too good"
                )


def _language(column: str) -> str:
    """Language of a caption column: "caption" and "text" are English, "caption_de" German; "" = no caption column."""
    head, _, tail = column.lower().partition("_")
    return (tail or "en") if head in TEXT else ""


def _captions(cells: Mapping[str, object], texts: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for column, language in texts.items():
        parts = [part.strip() for part in str(cells[column]).split(SEPARATOR)]
        found.setdefault(language, []).extend(part for part in parts if part)
    return found


def _number_columns(rows: pd.DataFrame, columns: list[str]) -> tuple[str, ...]:
    """Those of `columns` whose cells are all numbers or blank, and not all blank."""
    import pandas as pd

    def is_label(column: str) -> bool:
        cells = rows[column].str.lower().replace("nan", "")
        values = pd.to_numeric(cells.where(cells != ""), errors="coerce")
        return bool(
            (values.notna() == (cells != "")).all() and np.isfinite(values.dropna()).all() and (cells != "").any()
        )

    return tuple(column for column in columns if is_label(column))


def _dealt(group: str) -> str:
    return hash_split(group, SHARES, salt="folder of rasters")


def _stated(name: str, where: str) -> str:
    if name.lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: split is '{name}'{nearest(name.lower(), SPLIT_NAMES)}")
    return SPLIT_NAMES[name.lower()]
