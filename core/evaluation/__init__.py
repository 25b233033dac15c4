"""Figures of what a model learned: retrieval, zero-shot, probes, segmentation, embedding spaces."""

from core.evaluation.alignment import AlignmentScores, alignment_scores, two_alternative_accuracy
from core.evaluation.answers import AnswerScores, KnownAnswers, answer_ranks, answer_scores
from core.evaluation.bootstrap import Interval, bootstrap_interval
from core.evaluation.calibration import Reliability, operating_point, reliability, youden_threshold
from core.evaluation.classification import (
    ClassificationScores,
    LabelScores,
    classification_scores,
    macro_auroc,
    macro_auroc_gain,
)
from core.evaluation.continual import (
    ContinualScores,
    average_figure,
    average_over_time,
    backward_transfer,
    continual_scores,
    forgetting,
    forward_transfer,
)
from core.evaluation.embeddings import alignment_figures
from core.evaluation.label_efficiency import ProbeScores, ProbeSplit, label_efficiency, subset
from core.evaluation.multilingual import LanguageConsistency, language_consistency
from core.evaluation.pair_scores import multilinear_scores, pair_scores, prompt_scores
from core.evaluation.probe import KNNProbe, LinearProbe, Probe
from core.evaluation.ranking import Ranking, ranks, ranks_of, top_k
from core.evaluation.retrieval import (
    RetrievalScores,
    caption_retrieval,
    chance_levels,
    mean_recall,
    mean_recall_interval,
    retrieval_of,
    retrieval_scores,
    rsum,
    two_way_retrieval,
)
from core.evaluation.scores import Scores, cosine_scores, given_scores, top_k_of
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
    "AlignmentScores",
    "AnswerScores",
    "ClassScores",
    "ClassificationScores",
    "ContinualScores",
    "Interval",
    "KNNProbe",
    "KnownAnswers",
    "LabelScores",
    "LanguageConsistency",
    "LinearProbe",
    "Probe",
    "ProbeScores",
    "ProbeSplit",
    "PromptPair",
    "PromptVariance",
    "Ranking",
    "Reliability",
    "RetrievalScores",
    "Scores",
    "SegmentationScores",
    "ZeroShot",
    "alignment_figures",
    "alignment_scores",
    "answer_ranks",
    "answer_scores",
    "average_figure",
    "average_over_time",
    "backward_transfer",
    "bootstrap_interval",
    "caption_retrieval",
    "chance_levels",
    "classification_scores",
    "continual_scores",
    "cosine_scores",
    "forgetting",
    "forward_transfer",
    "given_scores",
    "label_efficiency",
    "language_consistency",
    "macro_auroc",
    "macro_auroc_gain",
    "mean_recall",
    "mean_recall_interval",
    "multilinear_scores",
    "operating_point",
    "pair_scores",
    "prompt_prototype",
    "prompt_scores",
    "prompt_variance",
    "ranks",
    "ranks_of",
    "reliability",
    "retrieval_of",
    "retrieval_scores",
    "rsum",
    "segmentation_case",
    "segmentation_protocol",
    "subset",
    "summarise_segmentation",
    "top_k",
    "top_k_of",
    "two_alternative_accuracy",
    "two_way_retrieval",
    "youden_threshold",
    "zero_shot_scores",
]
