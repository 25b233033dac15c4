"""The cheap alignment figures of two paired modalities, as one record for a run's summary and report.

Shape legend: N = pairs, E = embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.evaluation.alignment.cka import debiased_linear_cka
from core.evaluation.alignment.gap import modality_gap, relative_modality_gap
from core.evaluation.alignment.hubness import Hubness, hubness_of
from core.evaluation.alignment.rows import check_pairs, unit
from core.evaluation.alignment.separability import separability_hits
from core.evaluation.alignment.spread import alignment_per_pair, mean_self_cosine, uniformity
from core.evaluation.bootstrap import Groups, Interval, bootstrap_interval, mean_statistic
from core.evaluation.scores import cosine_scores

MAX_PAIRS = 2048


@dataclass(frozen=True, slots=True)
class AlignmentScores:
    """Figures of the functions they are named after. Means over pairs carry an interval; the others do not: a resample
    holds a row twice, which makes gaps longer, pairs of rows equal and neighbours of themselves.

    uniformity, self_cosine: by modality. hubness: by direction. pairs: how many were used.
    """

    gap: float
    relative_gap: float
    alignment: Interval
    separability: Interval
    linear_cka: float
    uniformity: dict[str, float]
    self_cosine: dict[str, float]
    hubness: dict[str, Hubness]
    pairs: int

    def flat(self) -> dict[str, float]:
        """Name -> number: `gap`, `alignment`, `alignment_low`, `uniformity_<modality>`, `hubness_<direction>`, ...;
        without those that the rows do not define."""
        out = {"gap": self.gap, "relative_gap": self.relative_gap, "linear_cka": self.linear_cka}
        out |= self.alignment.flat("alignment") | self.separability.flat("separability")
        out |= {f"uniformity_{name}": value for name, value in self.uniformity.items()}
        out |= {f"self_cosine_{name}": value for name, value in self.self_cosine.items()}
        for name, hubs in self.hubness.items():
            out |= {f"hubness_{name}": hubs.skewness, f"antihubs_{name}": hubs.antihubs}
        out["pairs"] = float(self.pairs)
        return {name: value for name, value in out.items() if np.isfinite(value)}


@torch.no_grad()
def alignment_scores(
    a_NE: Tensor,
    b_NE: Tensor,
    *,
    names: tuple[str, str] = ("a", "b"),
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    max_pairs: int = MAX_PAIRS,
) -> AlignmentScores:
    """All figures of two paired modalities (row i of both belongs together), at least 5 pairs.

    groups_N: what is resampled, and held out for separability, together. max_pairs: of more pairs a random choice by
    `seed` is used. linear_cka is the debiased one.
    """
    check_pairs("alignment", a_NE, b_NE, least=5)
    a_NE, b_NE = unit(a_NE), unit(b_NE)
    groups_N = None if groups_N is None else np.asarray(groups_N)
    if len(a_NE) > max_pairs:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(a_NE))[:max_pairs])
        groups_N = None if groups_N is None else groups_N[chosen]
        a_NE, b_NE = (x[torch.from_numpy(chosen).to(x.device)] for x in (a_NE, b_NE))

    def mean(x_N: np.ndarray) -> Interval:
        return bootstrap_interval(mean_statistic(x_N), len(x_N), groups_N=groups_N, n=n_bootstrap, seed=seed)

    a, b = names
    return AlignmentScores(
        gap=modality_gap(a_NE, b_NE),
        relative_gap=relative_modality_gap(a_NE, b_NE),
        alignment=mean(alignment_per_pair(a_NE, b_NE).double().cpu().numpy()),
        separability=mean(separability_hits(a_NE, b_NE, groups_N=groups_N, seed=seed)),
        linear_cka=debiased_linear_cka(a_NE, b_NE),
        uniformity={a: uniformity(a_NE), b: uniformity(b_NE)},
        self_cosine={a: mean_self_cosine(a_NE), b: mean_self_cosine(b_NE)},
        hubness={
            f"{a}_to_{b}": hubness_of(cosine_scores(a_NE, b_NE)),
            f"{b}_to_{a}": hubness_of(cosine_scores(b_NE, a_NE)),
        },
        pairs=len(a_NE),
    )
