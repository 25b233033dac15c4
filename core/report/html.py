"""A self-contained HTML report: build it section by section, then write it as one file.

The page holds its pictures, charts and styles, runs no script and asks nothing of the network. Every text is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import ConfigError
from core.files import write_atomic
from core.report.charts import SERIES_COLOURS, Record, panels
from core.report.content import Item, KeyFigure, Overlay, RetrievalExample, Section
from core.report.pictures import data_uri, outline_path

if TYPE_CHECKING:
    from core.evaluation.bootstrap import Interval

_FOLD_AFTER = 420  # characters of a text shown before it is folded


class Report:
    """The report of one run. Sections appear in the order in which they are added."""

    def __init__(self, *, title: str, subtitle: str = "", banner: str = "", footer: str = "") -> None:
        """banner: a warning across the top that every reader must see, for instance "SIMULATED DATA: ..."."""
        self.title, self.subtitle, self.banner, self.footer = title, subtitle, banner, footer
        self.key_figures: list[KeyFigure] = []
        self.sections: list[Section] = []

    def add_key_figure(
        self,
        name: str,
        value: float,
        *,
        interval: tuple[float, float] | Interval | None = None,
        target: float | None = None,
        chance: float | None = None,
        better: Literal["higher", "lower"] = "higher",
        unit: str = "",
        note: str = "",
        digits: int = 3,
    ) -> None:
        """A tile at the top of the page. chance and target are drawn beside the value."""
        pair = interval if interval is None or isinstance(interval, tuple) else (interval.low, interval.high)
        self.key_figures.append(KeyFigure(name, value, pair, target, chance, better, unit, note, digits))

    def add_text(self, title: str, *paragraphs: str) -> None:
        """Plain paragraphs."""
        self._add("text", title, "", paragraphs=paragraphs)

    def add_curves(
        self,
        title: str,
        records: Sequence[Record],
        *,
        x: str = "step",
        choice: Mapping[str, Sequence[str]] | None = None,
        note: str = "",
    ) -> None:
        """Line charts of logged values, for instance the lines of metrics.jsonl.

        choice: panel title -> key patterns (`*` matches anything); None sorts keys into loss, terms, learning rate,
        throughput and so on. Values that are missing or not finite are left out; no panel, no section.
        """
        shown = panels(records, x=x, choice=choice)
        if shown:
            self._add("curves", title, note, panels=shown)

    def add_intervals(
        self,
        title: str,
        rows: Mapping[str, Interval],
        *,
        chance: float | None = None,
        limits: tuple[float, float] = (0.0, 1.0),
        remarks: Mapping[str, str] | None = None,
        sort: bool = True,
        digits: int = 3,
        note: str = "",
    ) -> None:
        """A forest plot as a table: name, dot with interval, figures, and a remark (a count, for instance) by name.

        limits: ends of the axis. chance: a line down the plot. sort: best first; the first row named "mean" or
        "macro ..." stays on top in bold.
        """
        items = [(name, f) for name, f in rows.items()]
        if sort:
            items.sort(key=lambda i: (not _is_mean(i[0]), -i[1].value if math.isfinite(i[1].value) else math.inf))
        body = [
            {
                "name": name,
                "value": f.value,
                "low": f.low,
                "high": f.high,
                "mean": _is_mean(name),
                "remark": (remarks or {}).get(name, ""),
            }
            for name, f in items
        ]
        has_remarks = any(row["remark"] for row in body)
        self._add(
            "intervals", title, note, rows=body, chance=chance, limits=limits, digits=digits, has_remarks=has_remarks
        )

    def add_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, digits: int = 3, note: str = ""
    ) -> None:
        """A table; numbers are right-aligned and rounded. Raises ConfigError for a row of the wrong length."""
        for i, row in enumerate(rows):
            if len(row) != len(columns):
                raise ConfigError(f"report table '{title}': row {i} has {len(row)} cells for {len(columns)} columns")
        self._add("table", title, note, columns=columns, rows=rows, digits=digits)

    def add_retrieval(self, title: str, examples: Sequence[RetrievalExample], *, note: str = "") -> None:
        """A gallery of queries with their best answers, right ones marked."""
        body = [
            {
                "query": self._item(e.query),
                "rank": e.rank,
                "pool": e.pool,
                "answers": [{"item": self._item(a.item), "score": a.score, "hit": a.hit} for a in e.answers],
            }
            for e in examples
        ]
        self._add("retrieval", title, note, examples=body)

    def add_overlays(
        self,
        title: str,
        overlays: Sequence[Overlay],
        *,
        mask_name: str = "prediction",
        reference_name: str = "reference",
        note: str = "",
    ) -> None:
        """Pictures with mask outlines, one colour per class (first come, first coloured), and a legend."""
        names = list(dict.fromkeys(n for o in overlays for n in (*o.masks, *o.reference)))
        colour = {name: i % SERIES_COLOURS + 1 for i, name in enumerate(names)}
        body = []
        for o in overlays:
            height, width = o.picture.shape[:2]
            outlines = [
                {"name": name, "colour": colour[name], "dashed": dashed, "path": path}
                for masks, dashed in ((o.reference, True), (o.masks, False))
                for name, mask in masks.items()
                if (path := outline_path(mask))
            ]
            body.append(
                {
                    "src": data_uri(o.picture, max_side=768),
                    "width": width,
                    "height": height,
                    "ratio": width * o.pixel_size[1] / (height * o.pixel_size[0]),
                    "outlines": outlines,
                    "caption": o.caption,
                }
            )
        dashed = any(o.reference for o in overlays)
        self._add(
            "overlays", title, note,
            overlays=body, legend=colour, mask_name=mask_name, reference_name=reference_name if dashed else "",
        )  # fmt: skip

    def add_figure(self, title: str, png: bytes, *, alt: str, note: str = "") -> None:
        """A ready picture (PNG bytes) with its description for readers who cannot see it."""
        import base64

        src = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
        self._add("figure", title, note, src=src, alt=alt)

    def add_config(self, yaml_text: str, *, title: str = "Configuration") -> None:
        """The resolved configuration, folded."""
        self._add("config", title, "", text=yaml_text)

    def add_facts(self, title: str, facts: Mapping[str, Any], *, note: str = "") -> None:
        """Names and values in small print: the environment, a protocol, a data card. Nested mappings are flattened."""
        self._add("facts", title, note, facts=_flat(facts))

    def render(self) -> str:
        """The page as text."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters["number"] = number
        return templates.get_template("report.html.j2").render(report=self, gauge=gauge, place=place)

    def write(self, path: Path | str) -> Path:
        """Write the page in one step: a reader sees the old file or the new one, never a part of it."""
        path = Path(path)
        write_atomic(path, self.render())
        return path

    def _add(self, kind: str, title: str, note: str, **body: Any) -> None:
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        self.sections.append(Section(kind, title, f"s{len(self.sections) + 1}-{slug}", note, body))

    def _item(self, item: Item) -> dict[str, Any]:
        text, rest = item.text.strip(), ""
        if len(text) > _FOLD_AFTER:
            cut = text.rfind(" ", 0, _FOLD_AFTER)
            cut = cut if cut > 0 else _FOLD_AFTER
            text, rest = text[:cut], text[cut:]
        pictures = [data_uri(p, max_side=320) for p in item.pictures]
        return {"pictures": pictures, "text": text, "rest": rest, "caption": item.caption}


def number(value: Any, digits: int = 3) -> str:
    """A number for people: fixed digits below 1000, thousands separated above, an en dash for what is not defined."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def place(value: float, limits: tuple[float, float]) -> float:
    """Where a value lies between two limits, in percent, kept inside."""
    low, high = limits
    share = (value - low) / (high - low) if high > low and math.isfinite(value) else 0.0
    return round(100 * min(max(share, 0.0), 1.0), 2)


def gauge(figure: KeyFigure) -> tuple[float, float]:
    """Ends of a tile's scale: from just below chance (or from 0) to 1 for shares, or to just beyond what is shown."""
    shown = [figure.value, *(figure.interval or ()), figure.target, figure.chance]
    known = [v for v in shown if v is not None and math.isfinite(v)] or [1.0]
    low, high = min([0.0, *known]), max(known)
    if low == 0.0 and figure.chance is not None and min(known) >= figure.chance:
        low = max(0.0, figure.chance - 0.15 * (high - figure.chance))
    # a share near the left end would be unreadable on 0..1 (recall in a large pool), so the scale shrinks with it
    return (low, 1.0) if 0.4 < high <= 1.0 else (low, high + 0.15 * (high - low) if high > low else low + 1.0)


def _is_mean(name: str) -> bool:
    return name.lower().startswith(("mean", "macro"))


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out |= _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            out[name] = ", ".join(str(v) for v in value) or "–"
        else:
            out[name] = str(value) if str(value) else "–"
    return out
