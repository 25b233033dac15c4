"""A STAC item collection: one JSON file that lists items, with assets on this machine.

    root/items.json (or the only .json in the root), a FeatureCollection as `pystac_client` and `stac-fastapi` write it:
      features[].id, properties.datetime, properties.platform | constellation | collection
      features[].assets[key].href                  relative to the JSON file; what it names lies below the root
      features[].assets[key]["eo:bands"|"bands"]   names of the bands, in the order of the file
      features[].assets[key]["raster:bands"]       scale, offset, nodata (the same for all bands)
Sentinel-2 items without raster:bands follow `s2:processing_baseline` (or `processing:version`), and
`earthsearch:boa_offset_applied`. Nothing is fetched: assets that lie elsewhere are an error that names one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import Layout, Record, Source, check_split, refuse_empty
from core.data.tables import hash_split
from core.errors import ConfigError, DataError
from domains.remote_sensing.bands import BandSpec, canonical_name
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.io.guard import DRIVERS
from domains.remote_sensing.sensors import preset, with_baseline

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
LABEL_ROLES = {"labels", "label", "labels-raster"}


class STACItems(Layout):
    """Modalities "s1" and "s2" by the platform of an item; mask "label" where an asset has the role "labels".

    items: name of the JSON file in the root; None = items.json, or the only one there. group_by: property of an item
    that a split keeps together; items with equal values of it and different sensors are one record. "": items alone.
    s1, s2: presets for what the items leave unsaid. Splits by property "split" where every item has it, else by the
    hash of the group, 80 / 10 / 10.
    """

    name: ClassVar[str] = "STAC item collection"
    licence: ClassVar[str] = "the items' own"
    source: ClassVar[str] = "a STAC item collection file with local assets"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        items: str | None = None,
        group_by: str = "",
        s1: str = "sentinel1_db",
        s2: str = "sentinel2_l2a",
    ) -> None:
        super().__init__(root=root, split=split)
        self._path = self._find(items)
        self._specs = {"s1": preset(s1), "s2": preset(s2)}
        features = _features(self._path)
        grouped: dict[str, list[dict[str, Any]]] = {}
        for item in features:
            grouped.setdefault(self._group(item, group_by), []).append(item)
        stated = all("split" in item["properties"] for item in features)
        self._records = []
        for group, members in grouped.items():
            where = str(members[0]["properties"]["split"]) if stated else hash_split(group, SHARES, salt=self.name)
            if check_split(where, owner=str(self._path)) == self.split:
                self._records += self._of_group(group, members)
        refuse_empty(
            len(self._records), owner=f"'{split}' split of the items", where=self._path,
            expected=f"items of that split among its {len(features)}",
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        return self._records[index]

    def _find(self, name: str | None) -> Path:
        if name is not None:
            return self.root / name
        found = sorted(self.root.glob("*.json"))
        if (self.root / "items.json") in found:
            return self.root / "items.json"
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(
                f"{self.root}: one item collection, items.json, is expected ({names} found); name it as `items`"
            )
        return found[0]

    def _group(self, item: Mapping[str, Any], group_by: str) -> str:
        if not group_by:
            return str(item["id"])
        if group_by not in item["properties"]:
            raise DataError(
                f"{self._path}: item '{item['id']}' has no property '{group_by}', by which items are grouped"
            )
        return str(item["properties"][group_by])

    def _of_group(self, group: str, members: list[dict[str, Any]]) -> list[Record]:
        """Items of one group: each sensor's n-th item goes with the other's n-th, in order of time."""
        rows: list[tuple[str, dict[str, Source], dict[str, Source]]] = []
        for item in sorted(members, key=lambda item: str(item["properties"].get("datetime"))):
            modality, source, masks = self._item(item)
            row = next((row for row in rows if modality not in row[1]), None) if len(members) > 1 else None
            if row is None:
                rows.append((str(item["id"]), {modality: source}, masks))
            else:
                row[1][modality] = source
                row[2].update(masks)
        return [Record(name, group, sources, masks=masks) for name, sources, masks in rows]

    def _item(self, item: Mapping[str, Any]) -> tuple[str, RasterSource, dict[str, Source]]:
        where = f"{self._path}: item '{item['id']}'"
        properties = item["properties"]
        told = " ".join(str(properties.get(key, "")) for key in ("platform", "constellation")) + str(
            item.get("collection")
        )
        modality = "s1" if "sentinel-1" in told.lower() else "s2" if "sentinel-2" in told.lower() else ""
        if not modality:
            raise DataError(
                f"{where}: platform and constellation ('{told.strip()}') name neither Sentinel-1 nor Sentinel-2"
            )
        spec = self._offset(self._specs[modality], properties, where) if modality == "s2" else self._specs[modality]
        masks: dict[str, Source] = {}
        files: list[tuple[list[str], Path, Mapping[str, Any]]] = []
        for key, asset in item["assets"].items():
            path = self._local(asset, f"{where}: asset '{key}'")
            if path is None:
                continue
            if LABEL_ROLES & set(asset.get("roles") or ()):
                masks["label"] = LabelSource(path)
                continue
            named = [canonical_name(str(b.get("name", ""))) for b in asset.get("eo:bands") or asset.get("bands") or ()]
            names = [n for n in (named or [canonical_name(key)]) if n in spec.names]
            if names and len(names) == len(named or names):
                files.append((names, path, asset))
        return modality, _source(files, spec, str(properties.get("datetime") or "")[:10], where), masks

    def _offset(self, spec: BandSpec, properties: Mapping[str, Any], where: str) -> BandSpec:
        baseline = properties.get("s2:processing_baseline") or properties.get("processing:version")
        if baseline is None:
            return spec
        try:
            return with_baseline(
                spec, str(baseline), harmonised=bool(properties.get("earthsearch:boa_offset_applied", False))
            )
        except ConfigError as err:
            raise DataError(f"{where}: {err}") from err

    def _local(self, asset: Any, where: str) -> Path | None:
        """The file of an asset; None for what is no raster. Raises DataError for one that lies elsewhere."""
        href = str(asset.get("href", "")) if isinstance(asset, Mapping) else ""
        if Path(href.split("?")[0]).suffix.lower() not in DRIVERS:
            return None
        if "://" in href or href.startswith("/vsi"):
            raise DataError(
                f"{where}: lies at {href.split('?')[0]}; nothing is fetched, download it and give a relative href"
            )
        path = (self._path.parent / href).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise DataError(f"{where}: '{href}' leads out of {self.root}; copy it there")
        return path


def _source(
    files: list[tuple[list[str], Path, Mapping[str, Any]]], spec: BandSpec, day: str, where: str
) -> RasterSource:
    """The files of an item as one source, with the scale and offset that its assets state."""
    if not files:
        raise DataError(f"{where}: no asset holds a band of {spec.describe()} ({', '.join(spec.names)})")
    stated = {_numbers(asset) for _, _, asset in files}
    if len(stated) > 1:
        raise DataError(f"{where}: its assets state different scales, offsets or nodata: {sorted(map(str, stated))}")
    scale, offset, nodata = stated.pop()
    if scale is not None or offset is not None:
        spec = replace(spec, scale=1.0 if scale is None else scale, offset=0.0 if offset is None else offset)
    if nodata is not None:
        spec = replace(spec, nodata=nodata)
    if len(files) == 1 and len(files[0][0]) > 1:
        names, path, _ = files[0]
        return RasterSource(path, spec.select(names), time=day)
    by_band = {names[0]: path for names, path, _ in files if len(names) == 1}
    names = [name for name in spec.names if name in by_band]
    folder = _common([by_band[name] for name in names])
    return RasterSource(
        folder, spec.select(names), tuple(by_band[n].relative_to(folder).as_posix() for n in names), day
    )


def _numbers(asset: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    bands = asset.get("raster:bands") or [{}]
    first = bands[0] if isinstance(bands[0], Mapping) else {}
    found = [first.get(key) for key in ("scale", "offset", "nodata")]
    scale, offset, nodata = (float(v) if isinstance(v, (int, float)) else None for v in found)
    return scale, offset, nodata


def _common(paths: list[Path]) -> Path:
    folder = paths[0].parent
    while not all(path.is_relative_to(folder) for path in paths):
        folder = folder.parent
    return folder


def _features(path: Path) -> list[dict[str, Any]]:
    """Items of the collection, each with id, properties and assets. Raises DataError for what is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; expected a STAC item collection") from err
    except (OSError, ValueError, RecursionError) as err:
        raise DataError(f"{path}: not readable JSON ({type(err).__name__}); write it again") from err
    features = content.get("features") if isinstance(content, dict) else None
    if content and isinstance(content, dict) and content.get("type") == "Feature":
        features = [content]
    if not isinstance(features, list) or not features:
        raise DataError(f"{path}: expected a FeatureCollection with at least one item")
    for number, item in enumerate(features):
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("properties"), dict)
            or not isinstance(item.get("assets"), dict)
        ):
            raise DataError(f"{path}: feature number {number} is no STAC item: it needs id, properties and assets")
        if "id" not in item:
            raise DataError(f"{path}: feature number {number} has no id")
    return features
