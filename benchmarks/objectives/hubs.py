"""Query-bank normalisation and inverse graph convolution undo hubs: skewness falls and R@1 rises.

Some gallery vectors are pulled towards the mean of the queries, so that they are near to everything. Corrections see a
bank of other queries only, never the test queries.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.objectives.towers import generator
from benchmarks.result import Comparison, Options, Result, per_seed
from core.evaluation.alignment.hubness import hubness_of
from core.evaluation.retrieval import retrieval_of
from core.evaluation.scores import given_scores
from core.retrieval import InvGC, QBNorm

PLAIN, QB, GC, NONE = "cosine", "QB-norm", "InvGC", "InvGC, r = 0"
RECALL, SKEW = "R@1", "skewness of the 10-occurrence"


@dataclass(frozen=True, slots=True)
class Design:
    """hubs: gallery rows that are pulled to the mean query by `pull`. shift: common part of all queries.
    rates: of InvGC; the one with the best R@1 of validation queries, which are neither in the bank nor in the test."""

    rows: int = 500
    bank: int = 1000
    features: int = 32
    noise: float = 0.7
    shift: float = 1.0
    hubs: int = 10
    pull: float = 0.9
    rates: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    beta: float = 20.0


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="hubs",
        claim=(__doc__ or "").split("\n")[0],
        source="QB-norm (Bogolin et al. 2022) and InvGC (Jian and Wang 2023)",
        data=f"noisy pairs of vectors, {design.hubs} of {design.rows} gallery rows pulled towards the mean query",
        simulated=True,
        rule="R@1 of test queries; skewness of how often a gallery row is among the 10 nearest, over the whole gallery",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design)},
        comparisons=tuple(
            Comparison(metric, arm, PLAIN, better)
            for arm in (QB, GC)
            for metric, better in ((RECALL, "higher"), (SKEW, "lower"))
        ),
        notes=("InvGC with r = 0 must give the figures of the cosine exactly; it is listed as an arm of its own.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    gallery, queries, known, bank = sample(design, seed)
    tried = [InvGC(rate=rate).fit(bank).apply(gallery) for rate in design.rates]
    moved = {PLAIN: gallery, GC: max(tried, key=lambda x: figures(known @ x.T)[RECALL])}
    moved[NONE] = InvGC(rate=0.0).fit(bank).apply(gallery)
    found = {arm: figures(queries @ x.T) for arm, x in moved.items()}
    norm = QBNorm(beta=design.beta).fit(given_scores(bank @ gallery.T))
    return {**found, QB: figures(norm.apply(queries @ gallery.T))}


def figures(score_QG: Tensor) -> dict[str, float]:
    keys = torch.arange(len(score_QG)).numpy()
    scores = given_scores(score_QG)
    recall = retrieval_of(scores, keys, keys, ks=(1,), n_bootstrap=1).recall[1].value
    return {RECALL: recall, SKEW: hubness_of(scores, k=10).skewness}


def sample(design: Design, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit vectors: gallery (N, F), two queries for each of its rows (N, F), a bank of other queries (M, F)."""
    draw = generator(seed)
    common = F.normalize(torch.randn(design.features, generator=draw), dim=0)

    def asked(x: Tensor) -> Tensor:
        noise = design.noise * torch.randn(x.shape, generator=draw) / design.features**0.5
        return F.normalize(x + noise + design.shift * common, dim=1)

    rows, others = (
        F.normalize(torch.randn(count, design.features, generator=draw), dim=1) for count in (design.rows, design.bank)
    )
    queries, known, bank = asked(rows), asked(rows), asked(others)
    gallery = rows.clone()
    centre = F.normalize(bank.mean(0), dim=0)
    gallery[: design.hubs] = F.normalize((1 - design.pull) * rows[: design.hubs] + design.pull * centre, dim=1)
    return gallery, queries, known, bank
