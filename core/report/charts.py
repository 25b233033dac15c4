"""Line charts as inline SVG that follows the page's light or dark colours."""

from __future__ import annotations

import fnmatch
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Record = Mapping[str, Any]

SERIES_COLOURS = 8  # --series-1 .. --series-8 of the style sheet
_SMOOTH_FROM = 40  # points from which a series gets a smoothed line over its faint raw one
_MOST_POINTS = 500  # more are thinned: the page stays small and the line looks the same
_SIZE_INCHES = (5.4, 2.7)
_INK, _FAINT = "#010101", "#020202"  # stand-ins, replaced by the style sheet's colours in `_themed`

# Panels by name of the logged value; the first match takes a key. `*` matches any text, slashes too.
DEFAULT_PANELS: dict[str, Sequence[str]] = {
    "Loss": ("loss", "train/loss", "val/loss", "valid/loss", "test/loss"),
    "Learning rate": ("lr", "lr/*", "lr-*", "*/lr", "*/lr/*", "*learning_rate*"),
    "Throughput, samples per second": ("*samples_per_s*",),
    "Gradient norm": ("*grad_norm*",),
    "Scale": ("*logit_scale*", "*temperature*", "*/scale"),
    "Loss by term": ("*loss*",),
    "Validation": ("val/*", "valid/*"),
}


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: its key, points in order of x, and its colour's number (1-based)."""

    key: str
    points: list[tuple[float, float]]
    colour: int


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart ready for the page."""

    title: str
    svg: str
    series: list[Series]


def panels(records: Sequence[Record], *, x: str, choice: Mapping[str, Sequence[str]] | None) -> list[Panel]:
    """Charts of logged values: one panel per title whose patterns match a key with at least two finite points."""
    taken: set[str] = set()
    keys = list(dict.fromkeys(k for r in records for k in r if k != x))
    out = []
    for title, patterns in (DEFAULT_PANELS if choice is None else choice).items():
        chosen = [k for p in patterns for k in keys if k not in taken and fnmatch.fnmatchcase(k, p)]
        chosen = list(dict.fromkeys(chosen))[:SERIES_COLOURS]
        lines = [(k, _points(records, x, k)) for k in chosen]
        series = [Series(k, p, i) for i, (k, p) in enumerate(((k, p) for k, p in lines if len(p) > 1), start=1)]
        taken.update(s.key for s in series)
        if series:
            out.append(Panel(title, _line_svg(title, series, x), series))
    return out


def _points(records: Sequence[Record], x: str, key: str) -> list[tuple[float, float]]:
    def number(value: Any) -> float:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan

    points = [(number(r.get(x)), number(r.get(key))) for r in records if key in r]
    return sorted(p for p in points if math.isfinite(p[0]) and math.isfinite(p[1]))


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = math.ceil(len(points) / _MOST_POINTS)
    return points if step < 2 else [*points[:-1:step], points[-1]]


def smoothed(points: Sequence[tuple[float, float]], *, span: float) -> list[tuple[float, float]]:
    """Exponential moving average without start-up bias; `span` is its time constant in points."""
    keep, mean, weight, out = math.exp(-1 / span), 0.0, 0.0, []
    for x, y in points:
        mean, weight = keep * mean + (1 - keep) * y, keep * weight + (1 - keep)
        out.append((x, mean / weight))
    return out


def _jitters(values: Sequence[float]) -> bool:
    """Whether a line changes direction at more than a tenth of its points: a schedule does not, a noisy loss does."""
    steps = [b - a for a, b in pairwise(values)]
    return sum(a * b < 0 for a, b in pairwise(steps)) > len(steps) / 10


def _line_svg(title: str, series: Sequence[Series], x: str) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9, "axes.unicode_minus": False}):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for s in series:
            colour, raw = _stand_in(s.colour), _thinned(s.points)
            noisy = len(s.points) >= _SMOOTH_FROM and _jitters([y for _, y in s.points])
            axes.plot(*zip(*raw, strict=True), color=colour, linewidth=1.0 if noisy else 1.8, alpha=0.3 if noisy else 1)
            if noisy:
                smooth = _thinned(smoothed(s.points, span=len(s.points) / 60))
                axes.plot(*zip(*smooth, strict=True), color=colour, linewidth=1.8)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(_FAINT)
        axes.grid(axis="y", color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=_INK, length=0, labelsize=9)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
        axes.margins(x=0.01)
        axes.set_xlabel(x, color=_INK, fontsize=9)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _themed(out.getvalue(), _description(title, series, x))


def _description(title: str, series: Sequence[Series], x: str) -> str:
    ends = (f"{s.key} from {s.points[0][1]:.4g} to {s.points[-1][1]:.4g}" for s in series)
    return f"{title} by {x}: " + "; ".join(ends)


def _stand_in(colour: int) -> str:
    return f"#0a0b{colour:02x}"


def _themed(svg: str, description: str) -> str:
    """The drawing alone: no header, metadata or fixed colours and fonts, with a description for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r' id="(figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|LineCollection)_\d+"', "", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--font)", svg)
    svg = svg.replace(_INK, "var(--ink-2)").replace(_FAINT, "var(--line)")
    svg = re.sub(r"#0a0b([0-9a-f]{2})", lambda m: f"var(--series-{int(m[1], 16)})", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", svg, count=1)
    label = html.escape(description, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" class="chart" ', 1)
