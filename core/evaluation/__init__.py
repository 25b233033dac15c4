"""Figures of what a model learned: retrieval, zero-shot, probes, segmentation, embedding spaces."""

from core.evaluation.bootstrap import Interval, bootstrap_interval
from core.evaluation.calibration import Reliability, operating_point, reliability, youden_threshold
from core.evaluation.classification import (
    ClassificationScores,
    LabelScores,
    classification_scores,
    macro_auroc,
    macro_auroc_gain,
)
from core.evaluation.embeddings import alignment_figures
from core.evaluation.label_efficiency import ProbeScores, ProbeSplit, label_efficiency, subset
from core.evaluation.pair_scores import multilinear_scores, pair_scores, prompt_scores
from core.evaluation.probe import KNNProbe, LinearProbe, Probe
from core.evaluation.ranking import Ranking, ranks, top_k
from core.evaluation.retrieval import RetrievalScores, chance_levels, mean_recall, retrieval_scores, two_way_retrieval
from core.evaluation.segmentation import ClassScores, segmentation_case, segmentation_protocol
from core.evaluation.segmentation_summary import SegmentationScores, summarise_segmentation
from core.evaluation.zero_shot import (
    PromptPair,
    PromptVariance,
    ZeroShot,
    prompt_prototype,
    prompt_variance,
    zero_shot_scores,
)

__all__ = [
    "ClassScores",
    "ClassificationScores",
    "Interval",
    "KNNProbe",
    "LabelScores",
    "LinearProbe",
    "Probe",
    "ProbeScores",
    "ProbeSplit",
    "PromptPair",
    "PromptVariance",
    "Ranking",
    "Reliability",
    "RetrievalScores",
    "SegmentationScores",
    "ZeroShot",
    "alignment_figures",
    "bootstrap_interval",
    "chance_levels",
    "classification_scores",
    "label_efficiency",
    "macro_auroc",
    "macro_auroc_gain",
    "mean_recall",
    "multilinear_scores",
    "operating_point",
    "pair_scores",
    "prompt_prototype",
    "prompt_scores",
    "prompt_variance",
    "ranks",
    "reliability",
    "retrieval_scores",
    "segmentation_case",
    "segmentation_protocol",
    "subset",
    "summarise_segmentation",
    "top_k",
    "two_way_retrieval",
    "youden_threshold",
    "zero_shot_scores",
]  # fmt: skip
