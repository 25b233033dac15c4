"""Pictures of molecules, words and a graph's neighbourhood as PNG bytes. Nothing of them is kept open.

Shape legend: N = atoms, W = words; weights are at least 0, 0 = not looked at.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from domains.molecules.io.rdkit import silent

WARM = (0.94, 0.45, 0.13)  # of an atom or word that is looked at most
WHITE = (1.0, 1.0, 1.0)
INK = "#16191d"
KIND_COLOURS = ("#3a6ea5", "#c8553d", "#4f8a5b", "#8c6bb1", "#b08a2e", "#4a9aa0", "#9c4f6b", "#6b7280")
MOST_SHOWN = 18  # neighbours in one picture


def weighted_molecule(mol: Any, weights_N: Sequence[float], *, size: tuple[int, int] = (380, 280)) -> Any:
    """The drawn molecule as a PIL picture, atoms shaded by their weight; see `shades`."""
    from PIL import Image
    from rdkit.Chem.Draw import rdMolDraw2D

    shade = {i: colour for i, colour in enumerate(shades(weights_N)) if colour != WHITE}
    canvas = rdMolDraw2D.MolDraw2DCairo(*size)
    with silent():
        rdMolDraw2D.PrepareAndDrawMolecule(
            canvas, mol, highlightAtoms=list(shade), highlightAtomColors=shade, highlightBonds=[]
        )
    canvas.FinishDrawing()
    return Image.open(io.BytesIO(canvas.GetDrawingText())).convert("RGB")


def attention_sheet(cases: Sequence[tuple[Any, Sequence[float], Sequence[tuple[str, float]]]]) -> bytes:
    """One row per case: an RDKit molecule, a weight per atom, and words with their weights."""
    figure = _figure(10.5, 2.9 * len(cases))
    for row, (mol, weights_N, words) in enumerate(cases):
        left, right = (figure.add_subplot(len(cases), 2, 2 * row + column) for column in (1, 2))
        left.imshow(weighted_molecule(mol, weights_N))
        for axis in (left, right):
            axis.set_axis_off()
        _words(right, words)
    return _png(figure)


def shades(weights_N: Sequence[float]) -> list[tuple[float, float, float]]:
    """A colour per weight: white up to an equal share of their sum, darkest at three such shares."""
    equal = max(sum(weights_N) / max(len(weights_N), 1), 1e-12)
    depth_N = [min(max((w / equal - 1) / 2, 0.0), 1.0) for w in weights_N]
    return [(1 - (1 - WARM[0]) * d, 1 - (1 - WARM[1]) * d, 1 - (1 - WARM[2]) * d) for d in depth_N]


def _words(axis: Any, words: Sequence[tuple[str, float]], *, width: int = 74) -> None:
    line, column = 0, 0
    for (word, _), colour in zip(words, shades([weight for _, weight in words]), strict=True):
        if column and column + len(word) > width:
            line, column = line + 1, 0
        axis.text(
            column / width, 0.95 - 0.085 * line, word, fontsize=8, family="monospace", color=INK, va="top",
            transform=axis.transAxes, bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
        )  # fmt: skip
        column += len(word) + 1


def neighbour_sheet(rows: Sequence[Sequence[tuple[Any, str]]], *, size: tuple[int, int] = (240, 190)) -> bytes:
    """A grid of drawn molecules (RDKit molecule, caption): each row a query and what is near it."""
    figure = _figure(2.1 * max(map(len, rows)), 1.95 * len(rows))
    across = max(map(len, rows))
    for r, row in enumerate(rows):
        for c, (mol, caption) in enumerate(row):
            axis = figure.add_subplot(len(rows), across, r * across + c + 1)
            axis.imshow(weighted_molecule(mol, (), size=size))
            axis.set_title(caption, fontsize=7, color=INK, pad=2)
            axis.set_axis_off()
    return _png(figure)


def neighbourhood(mol: Any, known: Sequence[tuple[str, str]], drawn: Sequence[str] = ()) -> bytes:
    """A molecule in the middle of what a graph says of it: (relation, entity) pairs around it, a colour per relation.
    drawn: entities that the model saw, in bold."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    shown = sorted(known)[:MOST_SHOWN]
    colour = {r: KIND_COLOURS[i % len(KIND_COLOURS)] for i, r in enumerate(dict.fromkeys(r for r, _ in shown))}
    figure = _figure(9.5, 6.2)
    axis = figure.add_subplot(1, 1, 1)
    axis.set_xlim(-1.75, 1.75)
    axis.set_ylim(-1.2, 1.2)
    axis.set_axis_off()
    for i, (relation, entity) in enumerate(shown):
        angle = 2 * math.pi * i / len(shown)
        x, y = 1.05 * math.cos(angle), math.sin(angle)
        axis.plot([0.42 * x, 0.93 * x], [0.42 * y, 0.93 * y], color=colour[relation], linewidth=1.2, zorder=0)
        side = "left" if x > 0.2 else "right" if x < -0.2 else "center"
        name = entity.partition(":")[2] or entity
        label = name if len(name) <= 30 else name[:29] + "…"
        weight = "bold" if entity in drawn else "normal"
        axis.text(x, y, label, ha=side, va="center", fontsize=8, color=colour[relation], weight=weight)
    picture = OffsetImage(weighted_molecule(mol, (), size=(300, 220)), zoom=0.62)
    axis.add_artist(AnnotationBbox(picture, (0, 0), frameon=True, pad=0.1, bboxprops={"edgecolor": "#cccccc"}))
    handles = [axis.plot([], [], color=c, label=r.replace("_", " "))[0] for r, c in colour.items()]
    figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False, fontsize=7)
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
