"""Does a generated image show what its prompt asks for, given detections? (Rules of GenEval, Ghosh et al. 2023)

The detector is the caller's (OWLv2 at threshold 0.1 in the telephone game); boxes are (left, top, right, bottom) in any
one unit, the vertical axis pointing down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.errors import ConfigError, DataError

Relation = Literal["left of", "right of", "above", "below"]
RELATIONS = ("left of", "right of", "above", "below")
SLACK = 0.1  # share of the two boxes' sizes by which their centres must differ along an axis
DIRECTION = 0.5  # share of the distance that must lie along an axis


@dataclass(frozen=True, slots=True)
class Detection:
    """One found object. box: (left, top, right, bottom). score: confidence. color: its colour, "" for none known."""

    name: str
    box: tuple[float, float, float, float]
    score: float = 1.0
    color: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a prompt asks for: at least `count` objects `name` (no more, when `exact`), of `color` if one is given, and
    in `relation` to the wanted object number `to` (an earlier one)."""

    name: str
    count: int = 1
    color: str = ""
    relation: Relation | None = None
    to: int = 0
    exact: bool = False


def relations(a: Detection, b: Detection) -> set[str]:
    """How a lies relative to b: a subset of left of, right of, above, below; empty for centres that nearly coincide.

    The offset of the centres is shrunk by 10% of the two boxes' sizes and divided by its length, so that the answer
    does not depend on the resolution of the image.
    """
    box_a, box_b = np.reshape(a.box, (2, 2)), np.reshape(b.box, (2, 2))
    offset = box_a.mean(axis=0) - box_b.mean(axis=0)
    sizes = np.abs(np.diff(box_a, axis=0)[0]) + np.abs(np.diff(box_b, axis=0)[0])
    left_over = np.sign(offset) * np.maximum(np.abs(offset) - SLACK * sizes, 0.0)
    distance = math.hypot(*left_over)
    if distance <= 1e-3 * float(sizes.max()):
        return set()
    x, y = left_over / distance
    named = (
        (x < -DIRECTION, "left of"),
        (x > DIRECTION, "right of"),
        (y < -DIRECTION, "above"),
        (y > DIRECTION, "below"),
    )
    return {name for holds, name in named if holds}


def shows(detections: Sequence[Detection], wanted: Sequence[Wanted]) -> bool:
    """Whether the detections hold everything that is wanted.

    Colour and relation are asked of the `count` most confident objects of the name, and of every pair of them.
    Raises ConfigError for a relation that is unknown or points to no earlier object.
    """
    for i, want in enumerate(wanted):
        if want.relation is not None and (want.relation not in RELATIONS or not 0 <= want.to < i):
            raise ConfigError(
                f"wanted object {i} ('{want.name}') is '{want.relation}' object {want.to}; valid: "
                f"{', '.join(RELATIONS)}, of an object listed before it"
            )
    ordered = sorted(detections, key=lambda d: -d.score)
    found: list[list[Detection]] = []
    for want in wanted:
        objects = [d for d in ordered if d.name == want.name]
        if len(objects) < want.count or (want.exact and len(objects) > want.count):
            return False
        found.append(objects[: want.count])
        if want.color and any(d.color != want.color for d in found[-1]):
            return False
        if want.relation is not None and any(
            want.relation not in relations(a, b) for a in found[-1] for b in found[want.to]
        ):
            return False
    return True


def multi_generation_accuracy(
    detections: Mapping[int, Sequence[Sequence[Detection]]], wanted: Sequence[Sequence[Wanted]]
) -> tuple[float, dict[int, float]]:
    """MGG of the telephone game: share of images that show their prompt, mean over generations; and by generation.

    detections: image generation (1, 3, 5, ...) -> detections of every prompt's image, all prompts, in order.
    """
    by_generation = {}
    for generation, images in detections.items():
        if len(images) != len(wanted) or not wanted:
            raise DataError(
                f"generation {generation}: {len(images)} images for {len(wanted)} prompts; give one per prompt"
            )
        by_generation[generation] = float(np.mean([shows(d, w) for d, w in zip(images, wanted, strict=True)]))
    if not by_generation:
        raise DataError("multi-generation accuracy: no generation was given")
    return float(np.mean(list(by_generation.values()))), by_generation
