"""What a pretrained model can do, as numbers: retrieval, zero-shot labels, probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.config.schema import EvaluationSettings
from core.data.datamodule import DataModule
from core.data.processor import Processor
from core.errors import ConfigError, nearest
from core.evaluation import (
    AlignmentScores,
    ClassificationScores,
    KNNProbe,
    LinearProbe,
    ProbeScores,
    ProbeSplit,
    PromptPair,
    PromptVariance,
    RetrievalScores,
    alignment_figures,
    alignment_scores,
    classification_scores,
    label_efficiency,
    mean_recall_interval,
    prompt_variance,
    rsum,
    zero_shot_scores,
)
from core.evaluation.graded import GradedScores
from core.evaluation.retrieval import retrieval_scores
from core.models.dual_encoder import DualEncoder
from core.report.content import Drawing
from core.training.features import Features, extract
from core.training.figures import Figure, drawings_of, measured_figures
from core.training.precision import Compute
from core.training.text_figures import LanguageFigures, graded_figures, language_figures

MIN_ROWS = 4  # fewer rows than this make no figure
MIN_PAIRS = 5  # of the alignment figures, which hold a fifth of the pairs out


@dataclass(slots=True)
class Measured:
    """Figures of one model on one split. numbers: flat name -> value, for summary.json. figures: those
    of them that the system itself is judged by. notes: what was left out."""

    features: Features
    image: str = ""
    text: str = ""
    retrieval: dict[str, RetrievalScores] = field(default_factory=dict)
    alignment: dict[str, AlignmentScores] = field(default_factory=dict)
    zero_shot: dict[str, ClassificationScores] = field(default_factory=dict)
    variance: dict[str, PromptVariance] = field(default_factory=dict)
    probes: dict[str, dict[float, ProbeScores]] = field(default_factory=dict)
    graded: dict[str, GradedScores] = field(default_factory=dict)
    languages: dict[str, LanguageFigures] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    headline: dict[str, str] = field(default_factory=dict)  # label -> name, of further figures
    drawings: list[Drawing] = field(default_factory=list)


def check_headline(
    model: DualEncoder, processors: Mapping[str, Processor], s: EvaluationSettings
) -> tuple[list[str], list[str]]:
    """The image and the text modalities of a model. Raises ConfigError when the settings name none of them."""
    texts = [m for m in model.reads if processors[m].modality_kind == "text"]
    images = [m for m in model.reads if processors[m].modality_kind != "text"]
    asked = [("image", s.image, images), ("text", s.text, texts), ("prompts_as", s.prompts_as, texts)]
    asked += [("images", modality, images) for modality in s.images]
    asked += [(f"languages.{language}", modality, texts) for language, modality in s.languages.items()]
    for name, given, valid in asked:
        if given and given not in valid:
            raise ConfigError(f"evaluation.{name}: '{given}' is not among {valid}{nearest(given, valid)}")
    return images, texts


def evaluated(model: DualEncoder, processors: Mapping[str, Processor], s: EvaluationSettings) -> list[str]:
    """The modalities that figures are about: all of the model, or its texts and the images the settings name."""
    return [m for m in model.reads if not s.images or m in s.images or processors[m].modality_kind == "text"]


def headline_modalities(
    model: DualEncoder, processors: Mapping[str, Processor], s: EvaluationSettings, found: Features
) -> tuple[str, str]:
    """The image and the text modality that headline figures are about: those asked for, as far as the data has them."""
    images, texts = check_headline(model, processors, s)
    present = [m for m in images if m in found.rows] or images
    image = s.image if s.image in present else (present[0] if present else "")
    return image, s.text or (texts[0] if texts else "")


def measure(
    model: DualEncoder,
    data: DataModule,
    settings: EvaluationSettings,
    compute: Compute,
    *,
    split: str,
    seed: int,
    scale: float,
    figures: Sequence[Figure] = (),
    tell: Callable[[str], None] = lambda text: None,
    untrained: Callable[[], DualEncoder] | None = None,
) -> Measured:
    """Every figure the settings ask for, on `split`. figures: the system's own, already built.

    untrained: makes the same model with its first weights, for the probe's baseline.
    """
    tell(f"encoding the {split} split")
    found = extract(model, data.eval_loader(split), compute, modalities=evaluated(model, data.processors, settings))
    result = Measured(found)
    result.image, result.text = headline_modalities(model, data.processors, settings, found)
    if settings.image and result.image != settings.image:
        result.notes.append(f"no held-out record has '{settings.image}'; headline figures are about '{result.image}'")
    common = {"n_bootstrap": settings.bootstrap, "seed": seed}
    kinds = {name: processor.modality_kind for name, processor in data.processors.items()}
    if settings.retrieval:
        _retrieval(result, kinds, split, common)
        _text_figures(result, settings, kinds, split, common)
    if settings.zero_shot and settings.prompts and result.text:
        tell("zero-shot labels")
        reader = settings.prompts_as or result.text
        read = partial(encode_texts, model, reader, data.processors[reader], compute=compute)
        _zero_shot(result, read, kinds, settings.prompts, scale, split, common)
    if settings.probe is not None:
        _probes(result, model, data, settings, compute, split, common, tell, untrained)
    for figure in figures:
        tell(type(figure).__name__)
        result.figures |= measured_figures([figure], model, data, split=split, compute=compute, **common)
        result.headline |= figure.headline
    result.drawings = drawings_of(figures, model, data, split=split, compute=compute, seed=seed)
    result.numbers |= {f"{split}/{name}": value for name, value in result.figures.items()}
    return result


def validation(
    model: DualEncoder, data: DataModule, settings: EvaluationSettings, compute: Compute
) -> dict[str, float]:
    """Cheap figures during training: mean retrieval recall over directions, and the state of the embedding space."""
    values: dict[str, float] = {}
    if not any(processor.modality_kind == "text" for processor in data.processors.values()):
        return values
    found = extract(model, data.eval_loader("val"), compute, modalities=evaluated(model, data.processors, settings))
    image, text = headline_modalities(model, data.processors, settings, found)
    if image not in found.rows or text not in found.rows:
        return values
    of_a, of_b, rows = found.paired(image, text)
    if len(rows) < MIN_ROWS:
        return values
    a, b = torch.from_numpy(found.vectors[image][of_a]), torch.from_numpy(found.vectors[text][of_b])
    keys = found.keys.get(text, np.arange(len(found.ids)))[rows]
    recalls: dict[str, float] = {}
    for name, (q, g) in {"image_to_text": (a, b), "text_to_image": (b, a)}.items():
        scores = retrieval_scores(q, g, keys, keys, n_bootstrap=1)
        recalls |= {f"{name}/R@5": scores.recall[5].value}
    values |= recalls | {"mean_recall": float(np.mean(list(recalls.values())))}
    return values | {f"space/{k}": v for k, v in alignment_figures(a, b).items()}


def _retrieval(result: Measured, kinds: Mapping[str, str], split: str, common: dict[str, Any]) -> None:
    found, text = result.features, result.text
    others = [m for m in found.rows if kinds[m] != "text"]
    if text not in found.rows or not others:
        result.notes.append("retrieval: the split holds no image-text pairs")
        return
    for modality in others:
        of_a, of_b, rows = found.paired(modality, text)
        if len(rows) < MIN_ROWS:
            result.notes.append(f"retrieval: only {len(rows)} pairs of {modality} and {text}")
            continue
        a, b = (torch.from_numpy(x) for x in (found.vectors[modality][of_a], found.vectors[text][of_b]))
        keys = found.keys.get(text, np.arange(len(found.ids)))[rows]
        names = {f"{modality}_to_{text}": (a, b), f"{text}_to_{modality}": (b, a)}
        for name, (q, g) in names.items():
            result.retrieval[name] = retrieval_scores(
                q, g, keys, keys, groups_Q=found.groups[rows], split=split, **common
            )
        figures = _pair_figures(result, modality, list(names), a, b, found.groups[rows], common)
        pair = f"{modality}_and_{text}"
        result.numbers |= {f"{split}/{kind}/{pair}/{k}": v for (kind, k), v in figures.items()}
        if modality == result.image:
            result.numbers |= {f"{split}/{kind}/{k}": v for (kind, k), v in figures.items()}
            result.retrieval["image_to_text"] = result.retrieval[f"{modality}_to_{text}"]
            result.retrieval["text_to_image"] = result.retrieval[f"{text}_to_{modality}"]
            for name, value in alignment_figures(a, b).items():
                result.numbers[f"{split}/space/{name}"] = value
    for name, scores in result.retrieval.items():
        result.numbers |= {f"{split}/retrieval/{name}/{k}": v for k, v in scores.flat().items()}


def _text_figures(
    result: Measured, settings: EvaluationSettings, kinds: Mapping[str, str], split: str, common: dict[str, Any]
) -> None:
    """What the settings ask of retrieval beyond recall: worth by labels, and figures of each language."""
    for modality in [m for m in result.features.rows if kinds[m] != "text"]:
        if settings.relevance:
            graded = graded_figures(result.features, modality, result.text, settings.relevance, split=split, **common)
            result.graded |= graded
            for name, scores in graded.items():
                result.numbers |= {f"{split}/retrieval/{name}/{k}": v for k, v in scores.flat().items()}
        if len(settings.languages) > 1:
            figures = language_figures(result.features, modality, settings.languages, split=split, **common)
            if figures is None:
                names = ", ".join(settings.languages)
                result.notes.append(f"languages: too few rows hold {modality} and all of {names}")
                continue
            result.languages[modality] = figures
            result.numbers |= {f"{split}/languages/{modality}/{k}": v for k, v in figures.flat().items()}


def _pair_figures(
    result: Measured,
    modality: str,
    directions: list[str],
    image_NE: torch.Tensor,
    text_NE: torch.Tensor,
    groups_N: NDArray[np.int64],
    common: dict[str, Any],
) -> dict[tuple[str, str], float]:
    """(kind, name) -> number of what belongs to a pair of modalities and to no direction: totals, alignment."""
    both = {name: result.retrieval[name] for name in directions}
    mean_recall = mean_recall_interval(both, groups_Q=groups_N, **common)
    figures = {("retrieval", k): v for k, v in ({"rsum": rsum(both)} | mean_recall.flat("mean_recall")).items()}
    if len(image_NE) < MIN_PAIRS:
        return figures
    scores = alignment_scores(image_NE, text_NE, names=("image", "text"), groups_N=groups_N, **common)
    result.alignment[modality] = scores
    return figures | {("alignment", k): v for k, v in scores.flat().items()}


def _zero_shot(
    result: Measured,
    read: Callable[[list[str]], torch.Tensor],
    kinds: Mapping[str, str],
    prompts: Mapping[str, Mapping[str, list[str]]],
    scale: float,
    split: str,
    common: dict[str, Any],
) -> None:
    found = result.features
    usable = {name: p for name, p in prompts.items() if name in found.label_names}
    if not usable:
        result.notes.append("zero-shot: no prompt is about a label of this dataset")
        return
    pairs = {
        name: PromptPair(*(read(list(p[side])) for side in ("positive", "negative"))) for name, p in usable.items()
    }
    columns = [found.label_names.index(name) for name in pairs]
    for modality in found.rows:
        if kinds[modality] == "text":
            continue
        rows = found.rows[modality]
        labels = found.labels[np.ix_(rows, np.array(columns))]
        if not _both_classes(labels):
            result.notes.append(f"zero-shot: no label has both classes among the {len(rows)} rows with {modality}")
            continue
        vectors = torch.from_numpy(found.vectors[modality])
        scores = zero_shot_scores(vectors, pairs, scale=scale)
        figures = classification_scores(
            scores.score, labels, scores.names, groups_N=found.groups[rows], split=split, **common
        )
        names = [modality] + ([""] if modality == result.image else [])
        for name in names:
            prefix = f"{split}/zero_shot/{name}/".replace("//", "/")
            result.numbers |= {f"{prefix}{k}": v for k, v in figures.flat().items()}
        result.zero_shot[modality] = figures
        try:
            result.variance[modality] = prompt_variance(vectors, pairs, labels)
        except ConfigError as fault:  # labels with different numbers of phrasings have no spread
            result.notes.append(str(fault))
            continue
        result.numbers[f"{split}/zero_shot/{modality}/phrasing_std"] = result.variance[modality].std


def _probes(
    result: Measured,
    model: DualEncoder,
    data: DataModule,
    settings: EvaluationSettings,
    compute: Compute,
    split: str,
    common: dict[str, Any],
    tell: Callable[[str], None],
    untrained: Callable[[], DualEncoder] | None,
) -> None:
    probe = settings.probe
    assert probe is not None
    image = result.image
    train_split, at_train = data.layouts["train"], data.indices.get("train", [])
    source = data.processors[image].of or image
    if not any(source in train_split.record(index).sources for index in at_train):
        result.notes.append(f"probes: the training split holds no {image}")
        return
    if image not in result.features.rows or not _both_classes(result.features.labels[result.features.rows[image]]):
        result.notes.append("probes: the split has no labels with both classes")
        return
    models = {"": lambda: model} | ({} if untrained is None else {"_untrained": untrained})
    for suffix, get in models.items():
        tell("probes" + (" on the untrained encoder" if suffix else ""))
        encoder = get()
        train, test = (
            _probe_split(
                result.features if part == split and not suffix else extract(
                    encoder, data.eval_loader(part), compute, modalities=[image]
                ),
                image,
            )
            for part in ("train", split)
        )  # fmt: skip
        kinds: dict[str, LinearProbe | KNNProbe] = {"probe": LinearProbe()}
        if not suffix:
            kinds["knn"] = KNNProbe(k=probe.neighbours)
        for kind, estimator in kinds.items():
            scores = label_efficiency(
                estimator,
                train,
                test,
                result.features.label_names,
                fractions=probe.fractions,
                seeds=tuple(range(probe.seeds)),
                **common,
            )
            result.probes[kind + suffix] = scores
            for fraction, figure in scores.items():
                name = f"{split}/{kind}_{fraction:.0%}".replace("%", "pct") + suffix
                result.numbers |= {f"{name}/{k}": v for k, v in figure.flat().items()}


@torch.no_grad()
def encode_texts(
    model: DualEncoder, modality: str, processor: Processor, texts: list[str], compute: Compute
) -> torch.Tensor:
    """(P, E) unit vectors of texts."""
    model.eval()
    batch = processor.collate([processor.load(text) for text in texts]).to(compute.device)
    with compute.autocast():
        return model.embed(modality, batch)[0].cpu()


def _probe_split(found: Features, modality: str) -> ProbeSplit:
    rows = found.rows[modality]
    return ProbeSplit(found.pooled[modality], found.labels[rows], found.groups[rows])


def _both_classes(labels_NL: NDArray[np.float64]) -> bool:
    return any({0.0, 1.0} <= set(np.unique(column[~np.isnan(column)])) for column in labels_NL.T)
