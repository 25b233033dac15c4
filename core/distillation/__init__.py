"""Dataset distillation: a few learned pairs on which a student follows the path of experts (RepBlend, LoRS)."""

from core.distillation.distil import Distilled, distil, outer_loss
from core.distillation.expert import Expert, record_expert
from core.distillation.losses import bce, cwcl, kl, mse, nce, weighted_bce
from core.distillation.similarity import LearnedSimilarity
from core.distillation.student import Heads, blend, inner_steps, logits, trajectory_distance

__all__ = [
    "Distilled",
    "Expert",
    "Heads",
    "LearnedSimilarity",
    "bce",
    "blend",
    "cwcl",
    "distil",
    "inner_steps",
    "kl",
    "logits",
    "mse",
    "nce",
    "outer_loss",
    "record_expert",
    "trajectory_distance",
    "weighted_bce",
]
