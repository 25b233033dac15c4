"""What a report is made of: plain values, images as uint8 arrays, no HTML.

Shape legend: H, W = rows and columns of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W) grey or (H, W, 3) colour


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A tile: one number and what to compare it with. interval: (low, high). better: which direction is good."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    target: float | None = None
    chance: float | None = None
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    note: str = ""
    digits: int = 3

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is searched for or found: pictures, a text, or both. caption: a short line under it."""

    pictures: Sequence[Picture] = ()
    text: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One retrieved item with its score; hit: whether it is a right answer."""

    item: Item
    score: float
    hit: bool


@dataclass(frozen=True, slots=True)
class RetrievalExample:
    """A query with its best answers, best first. rank: 1-based rank of the first right answer in a pool of `pool`."""

    query: Item
    answers: Sequence[Answer]
    rank: float | None = None
    pool: int | None = None


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture with the outlines of masks over it.

    masks: class -> (H, W) bool, drawn as solid lines. reference: the same for the true masks, drawn dashed.
    pixel_size: size of a pixel along rows and columns in one unit, so that anisotropic pictures keep their proportions.
    """

    picture: Picture
    masks: Mapping[str, NDArray[np.bool_]]
    reference: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    caption: str = ""
    pixel_size: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A ready picture (PNG bytes) with its title, and its description for readers who cannot see it."""

    title: str
    png: bytes
    alt: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the page; `kind` chooses its part of the template and `body` is what that part reads."""

    kind: str
    title: str
    anchor: str
    note: str
    body: dict[str, Any]
