"""Weights from a frozen modality (CWCL) classify better without labels than InfoNCE, from one template per class.

Image vectors come from a frozen model that groups classes well; captions are noisy, and some belong to another image of
the batch. The text tower learns against the frozen vectors, and classes are then told apart by one template caption each.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks.objectives.towers import Node, generator, node, rows, towers, trained, vectors
from benchmarks.result import Comparison, Options, Result, per_seed

CWCL, PLAIN = "CWCL", "InfoNCE"
METRIC = "zero-shot accuracy"


@dataclass(frozen=True, slots=True)
class Design:
    """spread: of frozen image vectors about their class centre. noise: of caption vectors about theirs. wrong: share of
    captions that were given to an image of another class."""

    classes: int = 20
    train_rows: int = 2000
    test_rows: int = 1000
    features: int = 32
    spread: float = 0.6
    noise: float = 1.5
    wrong: float = 0.3
    steps: int = 150
    batch_size: int = 128
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="cwcl_transfer",
        claim=(__doc__ or "").split("\n")[0],
        source="CWCL (Srinivasa et al. 2023)",
        data="clustered frozen vectors and captions that are noisy images of the class, part of them of a wrong class",
        simulated=True,
        rule=f"share of held-out images whose class has the nearest template caption (chance {1 / design.classes:.2f})",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "model": model(design), "objectives": {a: terms(a) for a in (CWCL, PLAIN)}},
        comparisons=(Comparison(METRIC, CWCL, PLAIN),),
        notes=("Weights in the direction image to text, InfoNCE in the other; vectors are centred for the weights.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    draw = generator(seed)
    centre = torch.randn(design.classes, design.features, generator=draw)
    words = torch.randn(design.classes, design.features, generator=draw)

    def images(label: Tensor) -> Tensor:
        return centre[label] + design.spread * torch.randn(len(label), design.features, generator=draw)

    label = torch.randint(0, design.classes, (design.train_rows,), generator=draw)
    given = torch.where(
        torch.rand(len(label), generator=draw) < design.wrong,
        torch.randint(0, design.classes, label.shape, generator=draw),
        label,
    )
    captions = words[given] + design.noise * torch.randn(len(label), design.features, generator=draw)
    known = rows({"image": images(label), "text": captions})
    asked = torch.randint(0, design.classes, (design.test_rows,), generator=draw)
    pictures = images(asked)
    found = {}
    for arm in (CWCL, PLAIN):
        fitted, _ = trained(
            model(design), terms(arm), known, seed=seed, steps=design.steps, batch_size=design.batch_size, lr=design.lr
        )
        image = torch.as_tensor(vectors(fitted, rows({"image": pictures}), ["image"]).vectors["image"])
        text = torch.as_tensor(vectors(fitted, rows({"text": words}), ["text"]).vectors["text"])
        found[arm] = {METRIC: float(((image @ text.T).argmax(1) == asked).double().mean())}
    return found


def model(design: Design) -> Node:
    """The image vectors are compared as they are."""
    sizes = {"image": design.features, "text": design.features}
    return towers(sizes, dim=design.features, widths=[64], frozen=["image"])


def terms(arm: str) -> list[Node]:
    scale = node("LogScale", init=10.0)
    if arm == PLAIN:
        return [node("Pair", rows="image", keys="text", scale=scale, directions=[1, 1])]
    weights = node("IntraModal", view="image", centre=True)
    return [
        node("Pair", rows="image", keys="text", scale=scale, directions=[1, 0], target=weights),
        node("Pair", rows="image", keys="text", scale=scale, directions=[0, 1]),
    ]
