"""Results of a search for people and for other tools: a table, GeoJSON, CSV and a page with pictures."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.files import write_atomic
from core.report import Answer, Item, Report, RetrievalExample
from core.retrieval.archive import Entry
from core.training.text_report import pictures_of
from domains.remote_sensing.processors.raster import RasterProcessor

COLUMNS = ("query", "rank", "score", "file", "modality", "date", "west", "south", "east", "north")


@dataclass(frozen=True, slots=True)
class Result:
    """One answer. rank: from 1. score: cosine."""

    query: str
    rank: int
    score: float
    entry: Entry

    def row(self) -> list[Any]:
        """The cells of `COLUMNS`; blank where unknown."""
        bounds = self.entry.about["bounds"] or [""] * 4
        e = self.entry
        return [self.query, self.rank, round(self.score, 4), e.file, e.modality, e.about["date"], *bounds]


def show(results: Sequence[Result], *, pool: int) -> None:
    """A table of each query on the terminal."""
    for query, group in itertools.groupby(results, key=lambda result: result.query):
        print(f"\n{query}   (best of {pool})")
        for result in group:
            about = result.entry.about
            where = "place unknown" if about["bounds"] is None else "lon {:.3f}..{:.3f} lat {:.3f}..{:.3f}".format(
                about["bounds"][0], about["bounds"][2], about["bounds"][1], about["bounds"][3]
            )  # fmt: skip
            facts = f"{result.entry.modality:<4} {about['date'] or 'date unknown':<12} {where}"
            print(f"{result.rank:>3}  {result.score:6.3f}  {facts}  {result.entry.file}")


def write(results: Sequence[Result], folder: Path, readers: Mapping[str, RasterProcessor], *, pool: int) -> None:
    """results.geojson, results.csv and report.html in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "results.geojson", json.dumps(geojson(results), indent=1))
    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(result.row() for result in results)
    report = Report(title="remote_sensing / search", subtitle=f"best of {pool} rasters")
    for query, group in itertools.groupby(results, key=lambda result: result.query):
        answers = [Answer(_item(result, readers), result.score, False) for result in group]
        report.add_retrieval(query, [RetrievalExample(Item(text=query), answers, pool=pool)])
    report.write(folder / "report.html")
    print(f"\nresults {folder / 'results.geojson'}\nreport  {folder / 'report.html'}", flush=True)


def geojson(results: Sequence[Result]) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946): the outline of each raster, null where its place is unknown; a box across the
    antimeridian is cut into two."""
    features = []
    for result in results:
        properties = dict(zip(COLUMNS[:6], result.row()[:6], strict=True))
        features.append(
            {"type": "Feature", "geometry": _outline(result.entry.about["bounds"]), "properties": properties}
        )
    return {"type": "FeatureCollection", "features": features}


def _outline(bounds: Sequence[float] | None) -> dict[str, Any] | None:
    if bounds is None:
        return None
    west, south, east, north = bounds
    if west <= east:
        return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}
    parts = [[_ring(west, south, 180.0, north)], [_ring(-180.0, south, east, north)]]
    return {"type": "MultiPolygon", "coordinates": parts}


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _item(result: Result, readers: Mapping[str, RasterProcessor]) -> Item:
    entry, processor = result.entry, readers[result.entry.modality]
    caption = f"{Path(entry.file).name}  {entry.about['date']}"
    try:
        return Item(pictures=pictures_of(processor, processor.load(Path(entry.file))), caption=caption)
    except DataError:  # changed since it was encoded
        return Item(text=entry.file, caption=caption)
