"""Regression on a momentum copy (SLAP, BYOL) leaves a smaller gap between modalities than InfoNCE, at any batch size.

Two linear towers over vectors of one latent. InfoNCE needs negatives, which hold the modalities apart; the regression has
none, so that its loss of a sample does not depend on the batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from benchmarks.objectives.identities import sample
from benchmarks.objectives.towers import Node, node, rows, towers, trained, vectors
from benchmarks.result import Comparison, Options, Result, per_seed
from core.evaluation import retrieval_scores
from core.evaluation.alignment import linear_separability, modality_gap

SLAP, PLAIN, SMALL = "SLAP", "InfoNCE", "SLAP, batches of 16"
GAP, SEPARABLE, RECALL = "modality gap", "linear separability", "text to image R@10"


@dataclass(frozen=True, slots=True)
class Design:
    """Every row is an identity of its own (samples: 1)."""

    identities: int = 2000
    test_identities: int = 500
    samples: int = 1
    features: int = 32
    latent: int = 12
    noise: float = 0.3
    dim: int = 16
    steps: int = 400
    batch_size: int = 64
    small_batch: int = 16
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="slap_gap",
        claim=(__doc__ or "").split("\n")[0],
        source="SLAP (Guinot et al. 2025)",
        data="linear images of one latent in two modalities, with noise",
        simulated=True,
        rule=f"{GAP}: distance of the mean unit vectors; {SEPARABLE}: held-out accuracy of telling them apart (ideal 0.5)",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "model": model(design), "objectives": {a: terms(a) for a in (SLAP, PLAIN)}},
        comparisons=(
            Comparison(GAP, SLAP, PLAIN, "lower"),
            Comparison(SEPARABLE, SLAP, PLAIN, "lower"),
            Comparison(GAP, SMALL, PLAIN, "lower"),
        ),
        notes=("Retrieval is shown beside the gap: a smaller gap is worth nothing if the vectors say nothing.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    (known, _), (held_out, _) = sample(design, seed)  # type: ignore[arg-type]
    found = {}
    for arm, size in ((SLAP, design.batch_size), (PLAIN, design.batch_size), (SMALL, design.small_batch)):
        teachers = {} if arm == PLAIN else {"ema": node("MomentumTeacher", decay=0.99)}
        fitted, _ = trained(
            model(design), terms(arm), rows(known), seed=seed, steps=design.steps, batch_size=size, lr=design.lr,
            teachers=teachers,
        )  # fmt: skip
        at = vectors(fitted, rows(held_out), ["image", "text"]).vectors
        image, text = torch.as_tensor(at["image"]), torch.as_tensor(at["text"])
        keys = torch.arange(len(image)).numpy()
        found[arm] = {
            GAP: modality_gap(image, text),
            SEPARABLE: linear_separability(image, text, seed=seed),
            RECALL: retrieval_scores(text, image, keys, keys, ks=(10,), n_bootstrap=1).recall[10].value,
        }
    return found


def model(design: Design) -> Node:
    heads = {
        m: node("core.models.MLPProjection", width=design.dim, dim=design.dim, hidden=128) for m in ("image", "text")
    }
    return towers({"image": design.features, "text": design.features}, dim=design.dim, heads=heads)


def terms(arm: str) -> list[Node]:
    if arm == PLAIN:
        return [node("Pair", rows="image", keys="text")]
    online = {m: node("Head", modality=m, head=m, of_embedding=True) for m in ("image", "text")}
    teacher = {m: node("FromTeacher", teacher="ema", view=node("Embedding", modality=m)) for m in ("image", "text")}
    pairs = [("image", "text"), ("text", "image"), ("image", "image"), ("text", "text")]
    return [{**node("CosineRegression", rows=online[a], keys=teacher[b]), "weight": 0.25} for a, b in pairs]
