"""One overview picture of a run, for a README or a slide.

Shape legend: N = rows, E = embedding width, Q = queries, G = gallery rows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.files import write_atomic
from core.report.charts import Record, smoothed

if TYPE_CHECKING:
    from core.evaluation.bootstrap import Interval

_INK, _SOFT, _LINE = "#16191d", "#58616c", "#e2e6ea"
_COLOURS = ("#1f5fbf", "#c2570c", "#15803d", "#a21caf")
_MOST_ROWS = 64  # of a similarity matrix: more would be finer than the picture's pixels


def key_figure_png(
    path: Path | str,
    *,
    title: str,
    records: Sequence[Record],
    intervals: Mapping[str, Interval],
    similarity_QG: NDArray[np.floating] | None = None,
    points: Mapping[str, NDArray[np.floating]] | None = None,
    banner: str = "",
    losses: Sequence[str] = ("train/loss", "val/loss", "loss"),
    x: str = "step",
    interval_label: str = "AUROC",
    chance: float | None = 0.5,
    matrix_labels: tuple[str, str] = ("query", "gallery"),
) -> Path:
    """Write a PNG of three panels: the loss, what pairs look like, and a figure with its interval per name.

    records: logged values; those named in `losses` are drawn over `x`. intervals: name -> figure, drawn as bars.
    similarity_QG: cosines of paired rows (the diagonal is the right answer), cut to the first 64; or
    points: name -> (N, 2) positions, from `project_2d`, paired rows joined by a line. Give one of the two.
    banner: a line across the bottom, for instance that data is simulated. Raises DataError when both or none is given.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if (similarity_QG is None) == (points is None):
        raise DataError("overview picture: give either similarity_QG or points")
    with mpl.rc_context({"font.size": 10, "axes.unicode_minus": False, "text.color": _INK, "axes.labelcolor": _SOFT}):
        figure = Figure(
            figsize=(13.6, 4.6), dpi=150, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.12)
        )
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.0, 0.95, 1.25])
        _losses(left, records, losses, x)
        if similarity_QG is not None:
            _matrix(middle, similarity_QG, matrix_labels, figure)
        else:
            _map(middle, points or {})
        _bars(right, intervals, interval_label, chance)
        if banner:
            figure.supxlabel(banner, fontsize=9.5, color="#8a5a00")
        out = io.BytesIO()
        canvas.print_png(out)
    path = Path(path)
    write_atomic(path, out.getvalue())
    return path


def project_2d(**groups: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """Joint principal components of several sets of embeddings, name -> (N, 2).

    Rows are made unit, and every set is centred on its own mean, so that the gap between sets does not take the first
    axis; the map shows neighbourhoods within and between sets, not the gap. The sign of an axis is fixed.
    """
    unit = {k: np.asarray(x, dtype=np.float64) for k, x in groups.items()}
    unit = {k: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for k, x in unit.items()}
    centred = {k: x - x.mean(axis=0) for k, x in unit.items()}
    axes_2E = np.linalg.svd(np.concatenate(list(centred.values())), full_matrices=False)[2][:2]
    peak = np.abs(axes_2E).argmax(axis=1)
    axes_2E = axes_2E * np.sign(axes_2E[np.arange(len(axes_2E)), peak])[:, None]
    return {k: x @ axes_2E.T for k, x in centred.items()}


def _losses(axes: Any, records: Sequence[Record], losses: Sequence[str], x: str) -> None:
    drawn = 0
    for name in losses:
        points = [(float(r[x]), float(r[name])) for r in records if r.get(x) is not None and r.get(name) is not None]
        points = [p for p in points if np.isfinite(p).all()]
        if len(points) < 2:
            continue
        colour = _COLOURS[drawn % len(_COLOURS)]
        many = len(points) > 40
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, alpha=0.25 if many else 1.0,
                  label=None if many else name)  # fmt: skip
        if many:
            axes.plot(
                *zip(*smoothed(points, span=len(points) / 60), strict=True), color=colour, linewidth=2, label=name
            )
        drawn += 1
    if drawn:
        axes.legend(frameon=False, fontsize=9)
    _plain(axes, "Loss")
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_xlabel(x)


def _matrix(axes: Any, similarity_QG: NDArray[np.floating], labels: tuple[str, str], figure: Any) -> None:
    shown = np.asarray(similarity_QG, dtype=np.float64)[:_MOST_ROWS, :_MOST_ROWS]
    image = axes.imshow(shown, cmap="Blues", interpolation="nearest", aspect="equal")
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=_SOFT, labelsize=8)
    _plain(axes, f"Cosine of {len(shown)} held-out pairs")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylabel(labels[0])
    axes.set_xlabel(labels[1])


def _map(axes: Any, points: Mapping[str, NDArray[np.floating]]) -> None:
    sets = list(points.values())
    if len(sets) == 2 and len(sets[0]) == len(sets[1]):
        for a, b in zip(*sets, strict=True):
            axes.plot([a[0], b[0]], [a[1], b[1]], color=_LINE, linewidth=0.8, zorder=1)
    for (name, xy), colour in zip(points.items(), _COLOURS, strict=False):
        axes.scatter(xy[:, 0], xy[:, 1], s=14, color=colour, label=name, linewidths=0, alpha=0.85, zorder=2)
    axes.legend(frameon=False, fontsize=9)
    _plain(axes, "Embeddings, first two components")
    axes.set_xticks([])
    axes.set_yticks([])


def _bars(axes: Any, intervals: Mapping[str, Interval], label: str, chance: float | None) -> None:
    rows = sorted(intervals.items(), key=lambda i: i[1].value)
    start = 0.0 if chance is None else chance
    for y, (_, f) in enumerate(rows):
        axes.barh(y, f.value - start, left=start, height=0.62, color="#a9c6ee")
        if np.isfinite([f.low, f.high]).all():
            axes.plot([f.low, f.high], [y, y], color=_COLOURS[0], linewidth=1.6, solid_capstyle="round")
        axes.text(1.005, y, f"{f.value:.2f}", va="center", ha="left", fontsize=8.5, color=_SOFT,
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8.5)
    if chance is not None:
        axes.axvline(chance, color=_SOFT, linewidth=1)
    _plain(axes, f"{label} with 95% interval" + ("" if chance is None else f" (line: chance {chance:g})"))
    axes.grid(axis="x", color=_LINE, linewidth=0.8)


def _plain(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=_SOFT)
    axes.set_axisbelow(True)
