"""When a batch holds several samples of one identity, identity labels retrieve identities better than one-hot ones.

Image and text vectors of people who are each seen four times. InfoNCE with one-hot targets pushes the other three away;
similarity distribution matching (SDM, reverse KL) with identity labels does not. `shared` is InfoNCE with the labels, to
tell apart what the labels do and what the divergence does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks.objectives.towers import Node, generator, node, rows, towers, trained, vectors
from benchmarks.result import Comparison, Options, Result, per_seed
from core.evaluation import retrieval_scores

PLAIN, SDM, SHARED = "InfoNCE, one-hot", "SDM, identities", "InfoNCE, identities"
METRIC, REPULSION = "text to image mAP", "cosine to another sample of the identity"


@dataclass(frozen=True, slots=True)
class Design:
    """noise: of a sample about its identity, in each of `features` directions, relative to the identity's own spread."""

    identities: int = 150
    test_identities: int = 150
    samples: int = 4
    features: int = 32
    latent: int = 12
    noise: float = 1.0
    dim: int = 16
    steps: int = 200
    batch_size: int = 64
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="identities",
        claim=(__doc__ or "").split("\n")[0],
        source="IRRA and its SDM loss (Jiang and Ye 2023)",
        data="linear images of a latent identity in two modalities, with noise; test identities are others",
        simulated=True,
        rule=f"{METRIC} over all samples of an identity; {REPULSION}: mean over held-out image pairs, trained space",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "model": model(design), "objectives": {a: terms(a) for a in ARMS}},
        comparisons=(
            Comparison(METRIC, SDM, PLAIN),
            Comparison(METRIC, SHARED, PLAIN),
            Comparison(REPULSION, SDM, PLAIN),
        ),
    )


ARMS = (PLAIN, SDM, SHARED)


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    known, held_out = sample(design, seed)
    found = {}
    for arm in ARMS:
        fitted, _ = trained(
            model(design), terms(arm), rows(known[0], person=known[1]), seed=seed, steps=design.steps,
            batch_size=design.batch_size, lr=design.lr,
        )  # fmt: skip
        at = vectors(fitted, rows(held_out[0]), ["image", "text"]).vectors
        person, image = held_out[1].numpy(), torch.as_tensor(at["image"])
        scores = retrieval_scores(at["text"], at["image"], person, person, n_bootstrap=1)
        same = (held_out[1][:, None] == held_out[1]).fill_diagonal_(False)
        found[arm] = {METRIC: scores.mean_average_precision.value, REPULSION: float((image @ image.T)[same].mean())}
    return found


def sample(design: Design, seed: int) -> tuple[tuple[dict[str, Tensor], Tensor], tuple[dict[str, Tensor], Tensor]]:
    """(vectors by modality, identity of each row) of known and of held-out identities."""
    draw = generator(seed)
    maps = {m: torch.randn(design.latent, design.features, generator=draw) for m in ("image", "text")}

    def people(count: int) -> tuple[dict[str, Tensor], Tensor]:
        identity = torch.randn(count, design.latent, generator=draw).repeat_interleave(design.samples, 0)
        seen = {
            m: identity @ w / design.latent**0.5 + design.noise * torch.randn(len(identity), w.shape[1], generator=draw)
            for m, w in maps.items()
        }
        return seen, torch.arange(count).repeat_interleave(design.samples)

    return people(design.identities), people(design.test_identities)


def model(design: Design) -> Node:
    return towers({"image": design.features, "text": design.features}, dim=design.dim)


def terms(arm: str) -> list[Node]:
    target = node("OneHot") if arm == PLAIN else node("Equality", key="person")
    if arm != SDM:
        return [node("Pair", rows="image", keys="text", target=target)]
    scale = node("FixedScale", temperature=0.02)
    divergence = node("ReverseKL")
    return [
        node("Pair", rows="image", keys="text", target=target, scale=scale, divergence=divergence, directions=[1, 1])
    ]
