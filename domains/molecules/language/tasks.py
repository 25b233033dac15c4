"""Downstream tasks that are told: captions of molecules, procedures of reactions, reactants of products."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import bootstrap_interval, mean_statistic
from core.evaluation.captions import RULE, caption_scores
from core.evaluation.edit_distance import edit_similarity
from core.objectives.base import Term
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.types import ModalityInput
from domains.molecules.language.baselines import commonest, nearest_answers, random_answers
from domains.molecules.language.processor import ContextProcessor, context_of
from domains.molecules.language.prompted import GraphPromptedLM
from domains.molecules.language.telling import Beams, tell
from domains.molecules.language.terms import NextToken, token_errors, told
from domains.molecules.reactions.actions import PLACEHOLDER, is_valid
from domains.molecules.reactions.context import Context

SHOWN = 8  # examples in the report
Row = tuple[Context, str]  # a context and its group


class TellingHead(nn.Module):
    """The language model itself: nothing is added to it."""

    def __init__(self, encoder: GraphPromptedLM) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inp: ModalityInput) -> Tensor:
        return self.encoder(inp).pooled


class Telling(Task):
    """Targets of contexts, told by beam search. Only targets are trained on.

    beams, length, penalty: see `Beams`. most: test contexts that are told, evenly spaced; None = all.
    """

    watch = "accuracy"

    def __init__(
        self, *, beams: int = 5, length: int = 160, penalty: float = 0.0, batch: int = 16, most: int | None = None
    ) -> None:
        self.beams = Beams(beams, length, penalty, batch)
        if most is not None and most < 1:
            raise ConfigError(f"task.most: is {most}; give at least 1, or null for all")
        self.most = most

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        return self.head_from(encoder, {})

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        if not isinstance(encoder, GraphPromptedLM):
            raise ConfigError(
                f"task: {type(self).__name__} tells with a GraphPromptedLM; the run's modality is read by a "
                f"{type(encoder).__name__}. Pretrain one with --config reactxt, and give --modality context"
            )
        return TellingHead(encoder)

    def terms(self) -> list[Term]:
        return [NextToken()]

    @torch.no_grad()
    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        """Loss per told token, and the share that is told right given the right ones before it."""
        total, hits, count = 0.0, 0, 0
        encoder = language_model(model)
        was_training = encoder.training
        encoder.eval()
        for batch in data.eval_loader("val"):
            if model.modality not in batch.inputs:
                continue
            inp = batch.inputs[model.modality].to(compute.device)
            told_VT = told(inp)
            if not told_VT.any():
                continue
            with compute.autocast():
                encoded = encoder(inp)
            errors = token_errors(encoder, inp, encoded, told_VT)
            total, hits, count = total + float(errors.loss.sum()), hits + int(errors.hit.sum()), count + len(errors.hit)
        encoder.train(was_training)
        return {"nats": total / count, "accuracy": hits / count} if count else {}

    def rows(self, data: DataModule, split: str, modality: str, most: int | None = None) -> list[Row]:
        """Contexts of a split and their groups. Raises DataError when there is none with a target."""
        dataset = data.dataset(split)
        records = [dataset.record(i) for i in range(len(dataset))]
        found = [(context_of(r.sources[modality]), r.group) for r in records if modality in r.sources]
        found = [row for row in found if row[0].target]
        if not found:
            raise DataError(f"the {split} split has no context with a target; give a layout of told contexts")
        if most is None or most >= len(found):
            return found
        return [found[int(i)] for i in np.linspace(0, len(found), most, endpoint=False)]


class ToldTexts(Telling):
    """Told texts against the right ones, beside what is told without a model."""

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        rows = self.rows(data, "test", model.modality, self.most)
        known = [context for context, _ in self.rows(data, "train", model.modality)]
        asked = [context for context, _ in rows]
        processor = data.processors[model.modality]
        assert isinstance(processor, ContextProcessor)
        found = tell(language_model(model), processor, asked, self.beams, compute)
        answers = {
            "model": [texts[0][0] if texts else "" for texts in found],
            "nearest neighbour": [near[0] for near in nearest_answers(asked, known)],
            "random": random_answers(asked, known, seed=seed),
            "most frequent": commonest(known) * len(asked),
        }
        groups = [group for _, group in rows]
        numbers: dict[str, float] = {}
        figures = {}
        for who, texts in answers.items():
            scores, each = self.scores(texts, asked)
            prefix = "test/" if who == "model" else f"test/{who.replace(' ', '_')}/"
            numbers |= {f"{prefix}{name}": value for name, value in scores.items()}
            if who == "model":
                for name, values in each.items():
                    numbers |= bootstrap_interval(
                        mean_statistic(np.array(values, np.float64)), len(values), groups_N=groups, n=n_bootstrap,
                        seed=seed,
                    ).flat(f"test/{name}")  # fmt: skip
            figures[who] = scores
        columns = ["told by", *figures["model"]]
        table = [[who, *(f"{value:.3f}" for value in scores.values())] for who, scores in figures.items()]
        shown = [int(i) for i in np.linspace(0, len(asked), min(SHOWN, len(asked)), endpoint=False)]
        examples = [
            [" ".join(member.smiles for member in asked[i].members), answers["model"][i], asked[i].target]
            for i in shown
        ]
        return Outcome(
            numbers=numbers | {"test/told": float(len(asked))},
            protocol={
                "words": RULE, "METEOR": "exact matches alone: no stems, no synonyms",
                "beams": f"{self.beams.count}, up to {self.beams.length} tokens", **self.rules(),
                "baselines": "answers of the training split: of the likest molecules (Tanimoto of Morgan bits), at "
                "random with as many molecules, the most frequent one",
            },
            tables={
                "Told of held-out contexts": (columns, table),
                "Examples": (["molecules", "told", "right"], examples),
            },
        )  # fmt: skip

    @abstractmethod
    def scores(self, texts: Sequence[str], asked: Sequence[Context]) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Figures of told texts, and those of them that are means, with the value of each context."""

    def rules(self) -> dict[str, str]:
        """Rules of the figures that are the task's own."""
        return {}


class Captioning(ToldTexts):
    """What is said about a molecule: BLEU-2 and 4, ROUGE-1, 2 and L, METEOR by exact words, share of exact texts."""

    def scores(self, texts: Sequence[str], asked: Sequence[Context]) -> tuple[dict[str, float], dict[str, list[float]]]:
        right = [context.target for context in asked]
        exact = [float(a.strip() == b.strip()) for a, b in zip(texts, right, strict=True)]
        return {**caption_scores(texts, right), "exact": float(np.mean(exact))}, {"exact": exact}


class Procedures(ToldTexts):
    """How a reaction is carried out: validity, shares of texts with an edit similarity of 100, 90, 75 and 50%, and the
    figures of captions."""

    SHARES = (100, 90, 75, 50)

    def scores(self, texts: Sequence[str], asked: Sequence[Context]) -> tuple[dict[str, float], dict[str, list[float]]]:
        right = [context.target for context in asked]
        valid = [
            float(is_valid(text, set(PLACEHOLDER.findall(" ".join(m.mark for m in context.members) + context.ask))))
            for text, context in zip(texts, asked, strict=True)
        ]
        like_N = edit_similarity(texts, right)
        each = {"validity": valid} | {
            f"similarity>={share}": (like_N >= share / 100 - 1e-9).astype(float).tolist() for share in self.SHARES
        }
        return {name: float(np.mean(v)) for name, v in each.items()} | caption_scores(texts, right), each

    def rules(self) -> dict[str, str]:
        return {
            "validity": "every step begins with a known action, every placeholder is one of the prompt's",
            "similarity": "1 - edit distance / length of the longer, in characters",
        }


def language_model(model: Downstream) -> GraphPromptedLM:
    """The language model under a task's head."""
    encoder = model.encoders["encoder"]
    assert isinstance(encoder, GraphPromptedLM)  # `head_from` refuses any other
    return encoder
