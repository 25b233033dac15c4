"""Drawings of a structure: one plain, and others as another hand might draw it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 96  # pixels


def draw(mol: Any, path: Path, rng: np.random.Generator | None = None) -> None:
    """Write a .jpg. rng: turned by up to 30 degrees, with other line widths and margins; None: as RDKit lays it out."""
    from PIL import Image
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DCairo(SIDE, SIDE)
    options: Any = canvas.drawOptions()
    if rng is not None:
        options.rotate = float(rng.uniform(-30, 30))
        options.bondLineWidth = int(rng.integers(1, 4))
        options.padding = float(rng.uniform(0.02, 0.15))
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, mol)
    canvas.FinishDrawing()
    with Image.open(io.BytesIO(canvas.GetDrawingText())) as image:
        image.convert("RGB").save(path, quality=90)
