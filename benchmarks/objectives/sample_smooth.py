"""Targets that are flatter for pairs with a high loss (NEVLP) find shuffled pairs, and retrieve better than InfoNCE.

40% of the training pairs are given another row's text. `NoiseSmooth` keeps each pair's loss, fits two normal
distributions to them at the start of every epoch, and smooths a pair's target by the posterior of the higher one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks.objectives.latents import latent_pairs
from benchmarks.objectives.towers import Node, generator, node, rows, towers, trained, vectors
from benchmarks.result import Comparison, Goal, Options, Result, per_seed
from core.evaluation import retrieval_scores
from core.evaluation.classification import macro_auroc
from core.objectives import NoiseSmooth, Pair

SMOOTH, PLAIN, CLEAN = "NoiseSmooth", "InfoNCE", "InfoNCE, no pair shuffled"
RECALL, AUC = "text to image R@1", "AUC of the posterior"


@dataclass(frozen=True, slots=True)
class Design:
    """wrong: share of pairs whose texts are shuffled among them. noise: of a vector about the image of its latent.
    strength: lambda, largest share of a target that is spread. hidden: of the towers."""

    train_rows: int = 2000
    test_rows: int = 500
    wrong: float = 0.4
    features: int = 32
    latent: int = 12
    noise: float = 0.2
    hidden: int = 128
    dim: int = 24
    steps: int = 400
    batch_size: int = 100
    lr: float = 2e-3
    strength: float = 0.9
    warmup_epochs: int = 4


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="sample_smooth",
        claim=(__doc__ or "").split("\n")[0],
        source="NEVLP (2024) and NLIP (Huang et al. 2023); the exact regulariser is not public",
        data=f"images of one latent in two modalities, with noise; {design.wrong:.0%} of the pairs are shuffled",
        simulated=True,
        rule=f"{RECALL} of held-out clean pairs; {AUC}: shuffled against right training pairs, at the end",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={
            "design": asdict(design),
            "model": model(design),
            "objectives": {arm: terms(arm, design) for arm in (SMOOTH, PLAIN)},
        },
        comparisons=(Comparison(RECALL, SMOOTH, PLAIN),),
        goals=(Goal(AUC, SMOOTH, 0.9),),
        notes=(
            "Third arm, for scale: InfoNCE when no pair is shuffled. Tried on a seed that is not reported: towers of "
            "two layers of 256 over 60 epochs learn the shuffled pairs by heart; the area then is 0.76 and smoothing "
            "loses, R@1 0.20 against 0.30.",
        ),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    known, held_out = latent_pairs(
        (design.train_rows, design.test_rows), seed=seed, latent=design.latent, features=design.features,
        noise=design.noise,
    )  # fmt: skip
    order, is_wrong = shuffled(design, seed)
    noisy = rows({"image": known["image"], "text": known["text"][order]})
    found = {}
    for arm, data in ((SMOOTH, noisy), (PLAIN, noisy), (CLEAN, rows(known))):
        fitted, objective = trained(
            model(design), terms(arm, design), data, seed=seed, steps=design.steps, batch_size=design.batch_size,
            lr=design.lr,
        )  # fmt: skip
        at = vectors(fitted, rows(held_out), ["image", "text"]).vectors
        keys = torch.arange(design.test_rows).numpy()
        recall = retrieval_scores(at["text"], at["image"], keys, keys, ks=(1,), n_bootstrap=1).recall[1].value
        found[arm] = {RECALL: recall}
        if arm == SMOOTH:
            pair = next(iter(objective.terms.values()))
            assert isinstance(pair, Pair)
            assert isinstance(pair.target, NoiseSmooth)
            noise = pair.target.noise_s[:, None].double().numpy()
            found[arm][AUC] = macro_auroc(noise, is_wrong[:, None].double().numpy())
    return found


def shuffled(design: Design, seed: int) -> tuple[Tensor, Tensor]:
    """Which row's text each row gets, and whether that is a wrong one."""
    draw = generator(seed, 1)
    chosen = torch.randperm(design.train_rows, generator=draw)[: round(design.wrong * design.train_rows)]
    order = torch.arange(design.train_rows)
    order[chosen] = chosen.roll(1)  # a cycle: nobody keeps an own text
    return order, order != torch.arange(design.train_rows)


def model(design: Design) -> Node:
    sizes = dict.fromkeys(("image", "text"), design.features)
    return towers(sizes, dim=design.dim, widths=[design.hidden])


def terms(arm: str, design: Design) -> list[Node]:
    target = node("OneHot")
    if arm == SMOOTH:
        target = node(
            "NoiseSmooth", samples=design.train_rows, strength=design.strength, warmup_epochs=design.warmup_epochs
        )
    return [node("Pair", rows="image", keys="text", target=target)]
