"""Where things are, in words: prompts from boxes that went through the same geometry as their image (PTP-style).

After Wang et al. 2023 (position-guided text prompt), with boxes transformed as coordinates instead of painted masks.
Boxes are (x1, y1, x2, y2) in pixels, x to the right, y down, edges at the outer borders of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import ConfigError

Box = tuple[float, float, float, float]
NOWHERE = "x"  # the block of a box that has left the image


@dataclass(frozen=True, slots=True)
class Affine:
    """x' = a x + b y + c, y' = d x + e y + f."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    def then(self, other: Affine) -> Affine:
        """This one first, then `other`."""
        return Affine(
            a=other.a * self.a + other.b * self.d,
            b=other.a * self.b + other.b * self.e,
            c=other.a * self.c + other.b * self.f + other.c,
            d=other.d * self.a + other.e * self.d,
            e=other.d * self.b + other.e * self.e,
            f=other.d * self.c + other.e * self.f + other.f,
        )

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f

    def box(self, box: Box) -> Box:
        """The smallest box around the four corners."""
        x1, y1, x2, y2 = box
        points = [self.point(x, y) for x in (x1, x2) for y in (y1, y2)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)


def flip_horizontally(width: float) -> Affine:
    """Mirrors an image of this width."""
    return Affine(a=-1.0, c=width)


def crop_and_resize(left: float, top: float, width: float, height: float, *, to: tuple[float, float]) -> Affine:
    """Cuts the region out and stretches it to `to` = (width, height)."""
    if min(width, height, *to) <= 0:
        raise ConfigError(f"crop_and_resize: region {width} x {height} to {to}; all sides must be positive")
    sx, sy = to[0] / width, to[1] / height
    return Affine(a=sx, c=-left * sx, e=sy, f=-top * sy)


def rotate(degrees: float, *, about: tuple[float, float]) -> Affine:
    """Turns about a point, clockwise as seen on the screen."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = about
    return Affine(a=cos, b=-sin, c=x - cos * x + sin * y, d=sin, e=cos, f=y - sin * x - cos * y)


def block_of(box: Box, size: tuple[float, float], *, blocks: int = 3) -> int | None:
    """Block = blocks * row + column of the centre of what is visible of the box; None when nothing is.

    size: (width, height) of the image. The right and the lower edge belong to the last column and row.
    """
    x1, y1, x2, y2 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], size[0]), min(box[3], size[1])
    if x1 >= x2 or y1 >= y2:
        return None
    column = min(int((x1 + x2) / 2 / size[0] * blocks), blocks - 1)
    row = min(int((y1 + y2) / 2 / size[1] * blocks), blocks - 1)
    return blocks * row + column


def position_prompt(
    box: Box,
    tag: str,
    *,
    size: tuple[float, float],
    transform: Affine | None = None,
    blocks: int = 3,
    template: str = "The block {block} has a {tag}",
) -> str:
    """The sentence for one box. transform: what was done to the image, none when None. size: of the image after it."""
    moved = box if transform is None else transform.box(box)
    block = block_of(moved, size, blocks=blocks)
    return template.format(block=NOWHERE if block is None else block, tag=tag)


def with_prompt(caption: str, prompt: str, *, caption_words: int = 22, prompt_words: int = 8) -> str:
    """Caption and prompt, each cut to its number of words, as one text."""
    return f"{_cut(caption, caption_words).rstrip('. ')}. {_cut(prompt, prompt_words)}"


def _cut(text: str, words: int) -> str:
    parts: Sequence[str] = text.split()
    return " ".join(parts[:words])
