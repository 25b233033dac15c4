"""Pictures and outlines for a page that needs no other file. Shape legend: H, W = rows and columns."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.report.content import Picture


def data_uri(picture: Picture, *, max_side: int = 512) -> str:
    """A picture as a `data:` address (PNG), made smaller where its longer side exceeds `max_side` pixels.

    picture: uint8, (H, W) grey or (H, W, 3) colour. Raises DataError for any other shape or type.
    """
    from PIL import Image

    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise DataError(
            f"report: a picture is {picture.dtype} {picture.shape}; give uint8 (H, W) or (H, W, 3), scaled to 0..255"
        )
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def outline_path(mask: NDArray[np.bool_]) -> str:
    """The outline of a mask as an SVG path in pixel coordinates (x right, y down, first pixel 0..1); "" if empty.

    Lines run between pixel centres of mask and background (marching squares at one half).
    """
    from contourpy import LineType, contour_generator

    padded = np.pad(np.asarray(mask, dtype=np.float64), 1)
    if not padded.any():
        return ""
    lines = contour_generator(z=padded, line_type=LineType.Separate).lines(0.5)
    parts = []
    for line in lines:
        points = np.asarray(line) - 0.5  # padded centre (1, 1) is the centre (0.5, 0.5) of pixel (0, 0)
        parts.append("M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in points) + "Z")
    return "".join(parts)


def to_uint8(image: NDArray[np.floating], *, low: float | None = None, high: float | None = None) -> Picture:
    """A real-valued image as grey levels: `low` becomes black, `high` white (default: the 1st and 99th percentile)."""
    image = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low = float(np.percentile(image, 1)) if low is None else low
    high = float(np.percentile(image, 99)) if high is None else high
    return np.round(np.clip((image - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)
