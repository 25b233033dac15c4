"""Label maps beside what they were made from, as one picture with the colours of the classes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

_INK = "#16191d"
Pictures = Mapping[str, NDArray[np.uint8]]


def map_cases_png(cases: Sequence[tuple[str, Pictures]], classes: Mapping[str, str]) -> bytes:
    """PNG: a row per case, a column per picture ((H, W) grey or (H, W, 3)), and a legend of `classes` (name -> colour).

    A case may lack some of the pictures. Raises DataError without any case.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = list(dict.fromkeys(name for _, pictures in cases for name in pictures))
    if not names:
        raise DataError("map figure: there is no case to show")
    figure = Figure(figsize=(2.1 * len(names), 2.1 * len(cases) + 0.7), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = np.atleast_2d(figure.subplots(len(cases), len(names), squeeze=False))
    for row, (caption, pictures) in enumerate(cases):
        for column, name in enumerate(names):
            axis = axes[row, column]
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(name, color=_INK, fontsize=10)
            if column == 0:
                axis.set_ylabel(caption, color=_INK, fontsize=8)
            if name in pictures:
                axis.imshow(pictures[name], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    handles = [Patch(color=colour, label=name.replace("_", " ")) for name, colour in classes.items()]
    figure.legend(handles=handles, loc="lower center", ncols=min(len(handles), 5), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.45 / (2.1 * len(cases) + 0.7) * 1.2, 1, 1))
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
