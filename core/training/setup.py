"""From a request to checked settings and built parts, without touching data before everything is known to be good."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from core.config.build import build
from core.config.check import FaultFinder, is_node, signature_of
from core.config.schema import DataSettings, RunSettings
from core.config.tree import Tree
from core.data.layout import SPLITS, Layout
from core.data.processor import Processor
from core.errors import ConfigError, nearest
from core.models.dual_encoder import DualEncoder
from core.objectives.base import Objective, Term
from core.objectives.teachers import Teacher
from core.training.cli import Request, domain_info

Settings = TypeVar("Settings", bound=RunSettings)
NAMES_A_MODALITY = ("rows", "keys", "modality", "first", "second", "partner")  # arguments of terms and token sources


def check(request: Request, schema: type[Settings]) -> Settings:
    """Settings of a request, with every component of it checked. Raises one ConfigError that lists all faults."""
    finder = FaultFinder()
    settings = finder.settings(schema, request.tree)
    tree = request.tree
    if isinstance(tree.get("model"), Mapping):
        finder.node("model", tree["model"], nn.Module)
    for position, node in enumerate(_list(tree.get("objectives"))):
        key = f"objectives.{position}"
        weight = node.get("weight", 1.0) if isinstance(node, Mapping) else 1.0
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            finder.faults.append(f"{key}.weight: is {weight!r}; should be a number")
        finder.node(key, {k: v for k, v in node.items() if k != "weight"} if isinstance(node, Mapping) else node, Term)
    teachers = tree.get("teachers")
    for name, node in teachers.items() if isinstance(teachers, Mapping) else ():
        finder.node(f"teachers.{name}", node, Teacher)
    if isinstance(tree.get("task"), Mapping):
        from core.training.tasks import Task

        finder.node("task", tree["task"], Task)
    evaluation = tree.get("evaluation")
    if isinstance(evaluation, Mapping) and _list(evaluation.get("figures")):
        from core.training.figures import Figure

        for position, node in enumerate(_list(evaluation.get("figures"))):
            finder.node(f"evaluation.figures.{position}", node, Figure)
    data = tree.get("data")
    if isinstance(data, Mapping):
        processors = data.get("processors")
        for modality, node in processors.items() if isinstance(processors, Mapping) else ():
            if request.verb == "finetune" and not is_node(node):
                continue  # laid over the pretrained run's own node, and checked then
            finder.node(f"data.processors.{modality}", node, Processor)
        _check_layout(finder, request.domain, data)
    finder.raise_if_any(f"{request.command} --config {request.system}" if request.system else request.command)
    assert settings is not None
    return settings


def resolved(settings: RunSettings) -> Tree:
    """The settings as a plain tree with every default written out: what config.yaml of a run holds."""
    tree: Tree = settings.model_dump(mode="json")
    return tree


def check_processors(nodes: Mapping[str, Tree]) -> None:
    """Raise one ConfigError for all faults of processor nodes that were merged from several places."""
    finder = FaultFinder()
    for modality, node in nodes.items():
        finder.node(f"data.processors.{modality}", node, Processor)
    finder.raise_if_any("data.processors")


def layout_class(domain: str, name: str) -> type[Layout]:
    """A domain's layout by name; empty: its embedded sample data."""
    about = domain_info(domain)
    found = importlib.import_module(about["layouts"])
    chosen: type[Layout] = found.layout_class(name or about["samples_layout"])
    return chosen


def _check_layout(finder: FaultFinder, domain: str, data: Mapping[str, Any]) -> None:
    try:
        cls = layout_class(domain, str(data.get("layout") or ""))
    except ConfigError as err:
        finder.faults.append(f"data.layout: {err}")
        return
    arguments = data.get("layout_args") or {}
    if isinstance(arguments, Mapping):
        finder.arguments("data.layout_args", cls, arguments, given=("root", "split"))
    _, root = signature_of(cls)["root"]
    if root.default is root.empty and data.get("root") is None:
        finder.faults.append(f"data.root: layout '{cls.name}' reads a folder; give it with --data.root DIR")


def build_layouts(domain: str, settings: DataSettings) -> dict[str, Layout]:
    """The three splits of the dataset asked for."""
    cls = layout_class(domain, settings.layout)
    where: dict[str, Any] = {} if settings.root is None else {"root": settings.root}
    return {split: cls(split=split, **where, **settings.layout_args) for split in SPLITS}


def build_processors(nodes: Mapping[str, Tree]) -> dict[str, Processor]:
    return {modality: build(node) for modality, node in nodes.items()}


def read_by(model: DualEncoder, processors: Mapping[str, Processor]) -> dict[str, Processor]:
    """The processors of the modalities that a model reads, and of those whose sources these share: no other is read."""
    needed = set(model.reads) | {p.of for m, p in processors.items() if m in model.reads}
    return {modality: processor for modality, processor in processors.items() if modality in needed}


def build_model(node: Tree, seed: int) -> DualEncoder:
    """The model with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(node)
    if not isinstance(model, DualEncoder):
        raise ConfigError(f"model: {type(model).__name__} cannot be pretrained; expected a DualEncoder")
    return model


def build_objective(nodes: list[Tree], seed: int, teachers: Mapping[str, Tree] | None = None) -> Objective:
    """The weighted terms and their teachers; their own parameters depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        terms = [build({k: v for k, v in node.items() if k != "weight"}) for node in nodes]
        built = {name: build(node) for name, node in (teachers or {}).items()}
    return Objective(terms=terms, weights=[float(node.get("weight", 1.0)) for node in nodes], teachers=built)


def check_parts(model: DualEncoder, objective: Objective, processors: Mapping[str, Processor]) -> None:
    """Refuse parts that do not belong together, before data is read.

    Every modality of the model needs a processor, and every modality that a term names has to be one of the model's.
    """
    for modality in model.reads:
        if modality not in processors:
            raise ConfigError(f"data.processors: the model reads '{modality}'{nearest(modality, processors)}")
    for name, part in objective.terms.named_modules():
        for argument in NAMES_A_MODALITY:
            value = getattr(part, argument, None)
            if isinstance(value, str) and value not in model.reads:
                raise ConfigError(
                    f"objectives: '{argument}' of {name or 'a term'} is '{value}', which the model does not read"
                    f"{nearest(value, model.reads)}"
                )


def check_fit(model: DualEncoder, processors: Mapping[str, Processor], layouts: Mapping[str, Layout]) -> None:
    """Refuse a model and data that do not belong together, before anything is trained; encoders take from the fitted
    processors what they need to know.

    A text encoder needs enough rows for the vocabulary, and the training split a modality that the model reads.
    """
    for modality, processor in processors.items():
        if modality in model.reads:
            model.encoder_of(modality).check(processor)
        vocabulary = getattr(processor, "vocabulary", None)
        if vocabulary is None or modality not in model.reads:
            continue
        encoder = model.encoder_of(modality)
        rows = getattr(encoder, "vocab_size", None)
        if rows is not None and vocabulary > rows:
            raise ConfigError(
                f"the tokenizer of '{modality}' has {vocabulary} tokens and its encoder embeds {rows}; "
                f"raise vocab_size of the encoder or lower it in the processor"
            )
    model.take(processors)
    train = layouts["train"]
    seen: set[str] = set()
    for index in range(min(len(train), 256)):
        seen |= set(train.record(index).sources)
    if len(seen & set(model.reads)) == 0:
        raise ConfigError(
            f"{train.name} gives {sorted(seen)}, the model reads {sorted(model.reads)}: nothing in common"
        )


def check_masks(masks: Sequence[str], layouts: Mapping[str, Layout]) -> None:
    """Refuse dense labels that no training record has; looks at some records from all over the split."""
    train = layouts["train"]
    if not masks:
        return
    there: set[str] = set()
    for index in range(0, len(train), max(1, len(train) // 64)):
        there |= set(train.record(index).masks)
    for name in masks:
        if name not in there:
            raise ConfigError(
                f"objectives: no training record of {train.name} has masks '{name}'{nearest(name, there)}"
            )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
