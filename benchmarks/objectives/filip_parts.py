"""Token-wise similarity (FILIP) finds which part of an image a word means; a global vector finds none.

An image is a bag of part vectors and a caption the bag of their words, in random order. Nobody says which word belongs
to which part. After training, each word is asked for the part that is most similar to it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.objectives.towers import Node, generator, node, rows, towers, trained
from benchmarks.result import Comparison, Options, Result, per_seed
from core.models.dual_encoder import DualEncoder
from core.types import ModalityInput

FILIP, GLOBAL = "FILIP", "mean of tokens"
METRIC = "words that find their part"


@dataclass(frozen=True, slots=True)
class Design:
    """kinds: of parts there are. parts: in each image, all of different kinds. noise: of a part about its kind."""

    kinds: int = 40
    parts: int = 6
    features: int = 24
    noise: float = 0.6
    train_rows: int = 2000
    test_rows: int = 500
    dim: int = 24
    steps: int = 150
    batch_size: int = 64
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="filip_parts",
        claim=(__doc__ or "").split("\n")[0],
        source="FILIP (Yao et al. 2022)",
        data=f"bags of {design.parts} parts of {design.kinds} kinds, with words in another order",
        simulated=True,
        rule=f"share of held-out words whose most similar part is the one they name (chance {1 / design.parts:.2f})",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "model": model(design), "objectives": {a: terms(a) for a in (FILIP, GLOBAL)}},
        comparisons=(Comparison(METRIC, FILIP, GLOBAL),),
        notes=("Both arms have the same per-token towers; only what is compared in training differs.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    draw = generator(seed)
    kinds = {m: torch.randn(design.kinds, design.features, generator=draw) for m in ("image", "text")}
    known, _ = sample(kinds, design, design.train_rows, draw)
    held_out, partner = sample(kinds, design, design.test_rows, draw)
    found = {}
    for arm in (FILIP, GLOBAL):
        fitted, _ = trained(
            model(design), terms(arm), rows(known), seed=seed, steps=design.steps, batch_size=design.batch_size,
            lr=design.lr,
        )  # fmt: skip
        image, text = (tokens(fitted, m, held_out[m]) for m in ("image", "text"))
        chosen = (text @ image.transpose(1, 2)).argmax(2)
        found[arm] = {METRIC: float((chosen == partner).double().mean())}
    return found


def sample(
    kinds: dict[str, Tensor], design: Design, count: int, draw: torch.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Parts and words (N, P, F), and (N, P) which part each word names."""
    kind = torch.rand(count, design.kinds, generator=draw).argsort(1)[:, : design.parts]
    order = torch.rand(count, design.parts, generator=draw).argsort(1)
    bags = {"image": kinds["image"][kind], "text": kinds["text"][kind.gather(1, order)]}
    return {m: x + design.noise * torch.randn(x.shape, generator=draw) for m, x in bags.items()}, order


@torch.no_grad()
def tokens(model: DualEncoder, modality: str, x_NPF: Tensor) -> Tensor:
    """(N, P, E) unit vectors of every part."""
    encoded = model.encode(modality, ModalityInput(x_NPF))
    assert encoded.tokens is not None
    return F.normalize(model.heads[modality](encoded.tokens.x), dim=-1)


def model(design: Design) -> Node:
    sizes = {"image": design.features, "text": design.features}
    heads = {m: node("core.models.LinearProjection", width=48, dim=design.dim) for m in sizes}
    return towers(sizes, dim=design.dim, widths=[48], heads=heads)


def terms(arm: str) -> list[Node]:
    """The global arm compares the means of the same projected tokens, as the projection is linear."""
    if arm == FILIP:
        views = [node("TokenView", modality=m, head=m) for m in ("image", "text")]
        return [node("Pair", rows=views[0], keys=views[1], similarity=node("TokenMax"))]
    views = [node("Head", modality=m, head=m) for m in ("image", "text")]
    return [node("Pair", rows=views[0], keys=views[1])]
