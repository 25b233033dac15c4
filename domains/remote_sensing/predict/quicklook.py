"""A small picture of a map with its legend.

Shape legend: h, w = rows and columns of the picture.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from domains.remote_sensing.predict.result import NODATA, ClassArea

SIDE = 1024  # pixels at most
Colours = Mapping[int, tuple[int, int, int]]
_LINE, _BOX, _LEGEND = 18, 12, 260  # pixels: a line of the legend, its coloured box, its width


def default_colours(classes: int) -> dict[int, tuple[int, int, int]]:
    """Colours that are told apart: hues a golden angle apart, in three strengths."""
    import colorsys

    out = {}
    for i in range(classes):
        rgb = colorsys.hsv_to_rgb(i * 0.618034 % 1, (0.75, 0.5, 0.95)[i % 3], (0.85, 0.95, 0.6)[i % 3])
        out[i] = (round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255))
    return out


def picture(classes_hw: np.ndarray, colours: Colours, areas: Sequence[ClassArea]) -> bytes:
    """PNG of a map of class numbers; what is NODATA is transparent. The legend shows classes that occur."""
    from PIL import Image, ImageDraw

    table = np.zeros((256, 4), np.uint8)
    for value, rgb in colours.items():
        table[value] = (*rgb, 255)
    table[NODATA] = 0
    rows, columns = classes_hw.shape
    shown = [(i, area) for i, area in enumerate(areas) if area.pixels]
    size = (columns + _LEGEND, max(rows, _LINE * (len(shown) + 1)))
    image = Image.new("RGBA", size, (255, 255, 255, 255))
    image.paste(Image.fromarray(np.full((rows, columns, 4), (255, 255, 255, 0), np.uint8)), (0, 0))
    image.paste(Image.fromarray(table[classes_hw]), (0, 0))
    draw = ImageDraw.Draw(image)
    for line, (i, area) in enumerate(shown):
        x, y = columns + _BOX, _LINE * line + _BOX // 2
        draw.rectangle([x, y, x + _BOX, y + _BOX], fill=(*colours[i], 255), outline=(0, 0, 0, 255))
        size_text = "" if area.hectares is None else f"{area.hectares:,.1f} ha, "
        draw.text((x + 2 * _BOX, y), f"{area.name}: {size_text}{area.percent:.1f}%", fill=(0, 0, 0, 255))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
