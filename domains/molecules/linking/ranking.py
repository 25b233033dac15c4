"""Entity linking as a figure: where each held-out mention ranks its entity among all of the knowledge base.

Shape legend: Q = mentions, G = entities, S = scores of all levels, q, g = those of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.data.dataset import RecordDataset
from core.data.layout import Record
from core.errors import ConfigError, DataError, nearest
from core.evaluation.answers import answer_ranks, answer_scores
from core.models.dual_encoder import DualEncoder
from core.objectives.base import StepModel
from core.training.figures import Figure, Section
from core.training.precision import Compute
from domains.molecules.linking.baselines import Rows, baselines
from domains.molecules.linking.card import Seen
from domains.molecules.linking.layouts import EntityLinkingFolder
from domains.molecules.linking.matcher import LevelMatcher, Side, joined, overall
from domains.molecules.linking.score_table import Linked, linked, score_table
from domains.molecules.linking.terms import matcher_of


class EntityRanking(Figure):
    """MRR, hits@1, 3, 5 and mean rank over the whole knowledge base, ties by the realistic rank (`answer_ranks`).

    At the end also by each level's score alone ("linking/LEVEL/..."), and by baselines without a model. Intervals draw
    the mentions of an entity together. Entities are encoded `batch` at a time and never all at once: what stays is one
    float32 per mention and entity (and level), in a temporary file beyond 1 GiB. A picture of an entity that cannot be
    read counts as absent (`entities_unreadable`).
    """

    headline: ClassVar[Mapping[str, str]] = {
        "entity linking, hits@1": "linking/hits@1",
        "  MRR": "linking/mrr",
        "  text level alone, hits@1": "linking/text/hits@1",
        "  names alike, MRR": "linking/by_name_and_prior/mrr",
        "  words alike (TF-IDF), MRR": "linking/by_words/mrr",
        "    the same, hits@1": "linking/by_words/hits@1",
    }

    def __init__(
        self,
        *,
        mention: str = "mention",
        mention_picture: str = "mention_image",
        entity: str = "entity",
        entity_picture: str = "entity_image",
        head: str = "linking",
        batch: int = 256,
    ) -> None:
        if batch < 1:
            raise ConfigError(f"EntityRanking: batch is {batch}; give the number of entities to encode at once")
        self.mention, self.mention_picture = mention, mention_picture
        self.entity, self.entity_picture = entity, entity_picture
        self.head, self.batch = head, batch
        self.last: Linked | None = None

    def check(self, model: DualEncoder) -> None:
        self._matcher(model)
        for modality in (self.mention, self.entity, self.mention_picture, self.entity_picture):
            model.encoder_of(modality)

    def _matcher(self, model: DualEncoder) -> LevelMatcher:
        if self.head not in model.heads:
            raise ConfigError(f"EntityRanking: model.heads has no '{self.head}'{nearest(self.head, model.heads)}")
        return matcher_of(model.heads[self.head], self.head)

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        layout = data.layouts[split]
        if not isinstance(layout, EntityLinkingFolder):
            raise ConfigError(f"EntityRanking: '{layout.name}' has no knowledge base; use an entity linking layout")
        index, mentions = self._mentions(model, data, split, compute)
        answers_Q = np.array([layout.answers[i] for i in index])
        whole_only = n_bootstrap == 1  # during training
        kinds = [""] if whole_only else ["", *self._matcher(model).names]
        figures: dict[str, float] = {}
        with score_table(len(kinds), len(index), len(layout.kb)) as table_KQG:
            unreadable = self._fill(model, data, split, compute, mentions, table_KQG)
            for name, of_kind_QG in zip(kinds, table_KQG, strict=True):

                def scores(rows: slice, of_kind_QG: NDArray[np.float32] = of_kind_QG) -> torch.Tensor:
                    return torch.from_numpy(np.array(of_kind_QG[rows]))

                found = self._ranked(scores, answers_Q, len(layout.kb), n_bootstrap if not name else 1, seed)
                figures |= _named(name, found)
            self.last = linked(table_KQG[0], index, answers_Q)
        figures |= {"linking/candidates": float(len(layout.kb)), "linking/entities_unreadable": float(unreadable)}
        if whole_only:
            return figures
        train = data.layouts.get("train")
        counted = train if isinstance(train, EntityLinkingFolder) else None
        for name, by_rule in baselines(layout, index, counted).items():
            figures |= _named(name, self._ranked(by_rule, answers_Q, len(layout.kb), 1, seed))
        return figures | {
            "linking/chance_hits@1": 1 / len(layout.kb),
            "linking/mentions_of_no_entity": float(layout.nil),
            "linking/mentions_of_unknown_entities": float(layout.unknown),
        }

    def _ranked(
        self, scores: Rows, answers_Q: NDArray[np.int64], candidates: int, n_bootstrap: int, seed: int
    ) -> dict[str, float]:
        question_Q = np.arange(len(answers_Q))
        ranks = answer_ranks(scores, question_Q, answers_Q, candidates=candidates)
        found = answer_scores(ranks, ks=(1, 3, 5), groups_Q=answers_Q, n_bootstrap=n_bootstrap, seed=seed)
        return {k: v for k, v in found.flat().items() if n_bootstrap > 1 or not k.endswith(("_low", "_high"))}

    def _mentions(self, model: DualEncoder, data: DataModule, split: str, compute: Compute) -> tuple[list[int], Side]:
        """Records of the split, and their sides."""
        matcher, index, parts = self._matcher(model), [], []
        for batch in data.eval_loader(split):
            index += batch.keys["sample"].tolist()
            batch = batch.to(compute.device)
            with compute.autocast():
                seen = Seen.by(
                    cast(StepModel, model), self.mention, self.mention_picture, batch.inputs[self.mention],
                    batch.inputs.get(self.mention_picture), batch.present[self.mention_picture],
                )  # fmt: skip
                parts.append(matcher.mentions(matcher.card(seen)))
        return index, joined(parts)

    def _fill(
        self, model: DualEncoder, data: DataModule, split: str, compute: Compute, mentions: Side,
        table_KQG: NDArray[np.float32],
    ) -> int:  # fmt: skip
        """Write the overall scores, and those of all levels where the table has room; pictures that cannot be read."""
        matcher, layout = self._matcher(model), data.layouts[split]
        assert isinstance(layout, EntityLinkingFolder)
        readers = {name: data.processors[name] for name in (self.entity, self.entity_picture)}
        dataset = RecordDataset(layout, readers)  # without the store: it would hold pictures of the whole base
        unreadable = 0
        for first in range(0, len(layout.kb), self.batch):
            numbers = range(first, min(first + self.batch, len(layout.kb)))
            found = [self._entity(dataset, layout, number) for number in numbers]
            unreadable += sum(bad for _, bad in found)
            shown = [sample[self.entity_picture] for sample, _ in found if self.entity_picture in sample]
            has_V = torch.tensor([self.entity_picture in sample for sample, _ in found], device=compute.device)
            text = data.processors[self.entity].collate([sample[self.entity] for sample, _ in found])
            picture = data.processors[self.entity_picture].collate(shown).to(compute.device) if shown else None
            with compute.autocast():
                seen = Seen.by(
                    cast(StepModel, model), self.entity, self.entity_picture, text.to(compute.device), picture, has_V
                )
                side = matcher.entities(matcher.card(seen))
            score_SQg = matcher(mentions, side)
            cols = slice(first, numbers.stop)
            table_KQG[0, :, cols] = overall(score_SQg).float().cpu().numpy()
            if len(table_KQG) > 1:
                table_KQG[1:, :, cols] = score_SQg.float().cpu().numpy()
        return unreadable

    def _entity(
        self, dataset: RecordDataset, layout: EntityLinkingFolder, number: int
    ) -> tuple[dict[str, dict[str, NDArray[np.generic]]], bool]:
        """Samples of an entity, and whether its picture could not be read."""
        sources = layout.kb.sources(number, first_only=True)
        name = layout.kb.entities[number].qid
        try:
            return dataset.load(Record(id=name, group=name, sources=sources)), False
        except DataError:
            texts = {kind: source for kind, source in sources.items() if isinstance(source, str)}
            return dataset.load(Record(id=name, group=name, sources=texts)), True

    def sections(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, count: int
    ) -> list[Section]:
        """Mentions with their best entities, as last measured."""
        from domains.molecules.linking.examples import linking_examples

        layout = data.layouts[split]
        if self.last is None or not count or not isinstance(layout, EntityLinkingFolder):
            return []
        shows = {"mention": (self.mention, self.mention_picture), "entity": (self.entity, self.entity_picture)}
        examples = linking_examples(self.last, layout, data, shows, count)
        return [
            lambda report: report.add_retrieval(
                "mention → entity: held-out mentions, evenly chosen",
                examples,
                note="Among all entities of the knowledge base. Where no picture is shown there is none.",
            )
        ]


def _named(name: str, found: Mapping[str, float]) -> dict[str, float]:
    return {f"linking/{name}/{k}" if name else f"linking/{k}": v for k, v in found.items()}
