"""Figures of how modalities lie to each other: gap, spread, hubs, shared geometry, drift."""

from core.evaluation.alignment.choice import two_alternative_accuracy
from core.evaluation.alignment.cka import debiased_kernel_cka, debiased_linear_cka, kernel_cka, linear_cka, rbf_cka
from core.evaluation.alignment.drift import (
    Curve,
    Decay,
    Drift,
    decay_fit,
    generations,
    semantic_drift,
    similarity_curve,
)
from core.evaluation.alignment.gap import (
    ShiftedGap,
    gap_shift_curve,
    gap_vector,
    modality_gap,
    relative_modality_gap,
)
from core.evaluation.alignment.hubness import Hubness, hubness, hubness_of, k_occurrence
from core.evaluation.alignment.integration import (
    IntegrationRate,
    frechet_distance,
    frechet_distance_released_fast,
    integration_rate,
    integration_rate_released_fast,
)
from core.evaluation.alignment.kernels import Kernel, LinearKernel, RBFKernel
from core.evaluation.alignment.local_cka import local_cka_scores
from core.evaluation.alignment.scenes import Detection, Wanted, multi_generation_accuracy, relations, shows
from core.evaluation.alignment.separability import linear_separability, separability_hits
from core.evaluation.alignment.spread import alignment, alignment_per_pair, mean_self_cosine, uniformity
from core.evaluation.alignment.summary import AlignmentScores, alignment_scores

__all__ = [
    "AlignmentScores",
    "Curve",
    "Decay",
    "Detection",
    "Drift",
    "Hubness",
    "IntegrationRate",
    "Kernel",
    "LinearKernel",
    "RBFKernel",
    "ShiftedGap",
    "Wanted",
    "alignment",
    "alignment_per_pair",
    "alignment_scores",
    "debiased_kernel_cka",
    "debiased_linear_cka",
    "decay_fit",
    "frechet_distance",
    "frechet_distance_released_fast",
    "gap_shift_curve",
    "gap_vector",
    "generations",
    "hubness",
    "hubness_of",
    "integration_rate",
    "integration_rate_released_fast",
    "k_occurrence",
    "kernel_cka",
    "linear_cka",
    "linear_separability",
    "local_cka_scores",
    "mean_self_cosine",
    "modality_gap",
    "multi_generation_accuracy",
    "rbf_cka",
    "relations",
    "relative_modality_gap",
    "semantic_drift",
    "separability_hits",
    "shows",
    "similarity_curve",
    "two_alternative_accuracy",
    "uniformity",
]
