"""A text and the part of a concept graph that it is about, as one modality.

Shape legend: V = rows, T = tokens, N = nodes (0 is the context node), M = edges, K = mentions.
Node types as in QA-GNN: 0 concept of the text (of the question), 1 of the answer, 2 other, 3 context node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Sample
from core.data.text import CLS, MASK, NO_WORD, SEP, TextProcessor, text_id
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.grounded.concepts import ConceptGraph, part_around
from domains.molecules.grounded.linking import Mention, NameLinker
from domains.molecules.kg.texts import read_vectors, text_features

QUESTION, ANSWER, OTHER, CONTEXT = range(4)
PADDED = {"nodes": 0, "node_type": OTHER, "edges": 0, "mentions": 0}  # array -> what fills it up
MASKS = {"nodes": "node_mask", "edges": "edge_mask", "mentions": "mention_mask"}


class GroundedTextProcessor(TextProcessor):
    """Text -> tokens, linked concepts, the graph between them.

    load(source): a str is the text itself. Beside what a text gives, the sample holds `nodes` (N,) int64, 0 for the
    context node and 1 + concept; `node_type` (N,); `edges` (M, 3) head, relation, tail as node positions, one
    direction only; `mentions` (K, 3) node, first and last token of a mention.
    collate: x, mask, and `extra` with these, padded, and `node_mask`, `edge_mask`, `mention_mask`.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"

    def __init__(
        self,
        *,
        vocab_size: int = 8192,
        max_length: int = 128,
        min_frequency: int = 2,
        of: str = "",
        nodes: int = 200,
        neighbours: int = 0,
        features: int = 128,
        vectors: Path | None = None,
        shortest: int = 3,
    ) -> None:
        """nodes: of a subgraph, the context node among them; 1 leaves the text alone. neighbours: see `part_around`.
        features: width of hashed letter features of concept names; vectors: .npy of given vectors instead, see
        `kg.texts.read_vectors`. shortest: characters of a name that is looked for."""
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        if nodes < 1 or neighbours < 0:
            raise ConfigError(f"nodes is {nodes} and neighbours {neighbours}; give at least 1 and at least 0")
        self.nodes, self.neighbours, self.features, self.shortest = nodes, neighbours, features, shortest
        self.vectors = None if vectors is None else Path(vectors)
        self._set(ConceptGraph((), (), (), np.zeros((0, 3), np.int64)))

    def _set(self, graph: ConceptGraph) -> None:
        self.graph, self.linker = graph, NameLinker(graph.names, shortest=self.shortest)

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        """Tables `names`, `relations` and `triples`; see `ConceptGraph.of_tables`."""
        self._set(ConceptGraph.of_tables(tables))

    def concept_vectors(self) -> np.ndarray:
        """(C, F) float32 of the concepts' names: the frozen features that a model reads.

        Rows have length sqrt(F), so that numbers are about 1, as the states they are mixed with are; a concept without
        a vector has zeros.
        """
        if self.vectors is not None:
            found = read_vectors(self.vectors, self.graph.ids)
        elif self.graph.ids:
            texts = [names[0].replace("_", " ") for names in self.graph.names]
            found = text_features(texts, kind="characters", size=self.features)
        else:
            found = np.zeros((0, self.features), np.float32)
        return found * np.float32(found.shape[1] ** 0.5)

    def encode(self, text: str) -> Sample:
        return self.statement(text)

    def statement(
        self,
        context: str,
        answer: str = "",
        *,
        context_concepts: Iterable[int] | None = None,
        answer_concepts: Iterable[int] | None = None,
    ) -> Sample:
        """[CLS] context [SEP], and answer [SEP] where there is one; the context is cut so that all fits.

        Concepts are found by name unless they are given.
        """
        parts = [self._tokens(context)] + ([self._tokens(answer)] if answer else [])
        room = self.max_length - 1 - len(parts)
        lengths = [len(ids) for ids, _, _ in parts]
        kept = [max(0, room - sum(lengths[1:])), *(min(length, room) for length in lengths[1:])]
        ids, words, mentions, dropped, at, word = [CLS], [NO_WORD], [], 0, 1, 0
        linked: list[dict[int, None]] = []
        given = (context_concepts, answer_concepts)
        for (own, own_words, spans), most, concepts, text in zip(parts, kept, given, (context, answer)):
            found = [] if concepts is not None else self._placed(self.linker.mentions(text), spans[:most], at)
            linked.append(dict.fromkeys(concepts if concepts is not None else (c for c, _, _ in found)))
            mentions += found
            ids += [*own[:most], SEP]
            words += [*(w + word for w in own_words[:most]), NO_WORD]
            dropped += max(0, len(own) - most)
            at, word = len(ids), word + (max(own_words) + 1 if own_words else 0)
        graph = self._graph(linked[0], linked[1] if len(linked) > 1 else {}, mentions)
        tokens: Sample = {
            "ids": np.array(ids, np.int32),
            "word_ids": np.array(words, np.int32),
            "dropped": np.array(dropped, np.int32),
            "text_id": np.array(text_id(f"{context}\t{answer}" if answer else context), np.int64),
        }
        return {**tokens, **graph}

    def gap(self, before: str, filler: str, after: str) -> Sample:
        """A text in which the tokens of `filler` are mask tokens; concepts are linked in what is left. The mask tokens
        stand where the filler's stood, so that a text is cut into tokens as it is when nothing is masked."""
        text = " ".join([before, filler, after]).strip()
        start = len(before) + 1 if before else 0
        left = [m for part in (before, after) for m in self.linker.mentions(part)]
        sample = self.statement(text, context_concepts=dict.fromkeys(c for m in left for c in m.concepts))
        ids, spans = sample["ids"], self._tokens(text)[2][: len(sample["ids"]) - 2]
        own = [i + 1 for i, (s, e) in enumerate(spans) if s < start + len(filler) and e > start]
        ids[own] = MASK
        return sample

    def _tokens(self, text: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return found.ids, [NO_WORD if word is None else word for word in found.word_ids], found.offsets

    @staticmethod
    def _placed(mentions: Sequence[Mention], spans: Sequence[tuple[int, int]], at: int) -> list[tuple[int, int, int]]:
        """(concept, first token, last token) of the mentions whose tokens are all there."""
        starts, ends = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
        found = []
        for mention in mentions:
            own = np.flatnonzero((starts < mention.end) & (ends > mention.start))
            if len(own) and ends[own[-1]] >= mention.end:
                found += [(concept, at + int(own[0]), at + int(own[-1])) for concept in mention.concepts]
        return found

    def _graph(
        self, question: Iterable[int], answer: Mapping[int, None], mentions: Sequence[tuple[int, int, int]]
    ) -> Sample:
        linked = [*answer, *(concept for concept in question if concept not in answer)]
        part = part_around(self.graph, linked, most=self.nodes - 1, neighbours=self.neighbours)
        count, of_answer = len(part.concepts), min(len(answer), len(part.concepts))
        types = np.full(count + 1, OTHER, np.int64)
        types[0], types[1 : 1 + len(linked)], types[1 : 1 + of_answer] = CONTEXT, QUESTION, ANSWER
        place = {int(concept): i + 1 for i, concept in enumerate(part.concepts)}
        placed = [(place[concept], first, last) for concept, first, last in mentions if concept in place]
        return {
            "nodes": np.concatenate([[0], part.concepts + 1]).astype(np.int64),
            "node_type": types,
            "edges": part.edges + np.array([1, 0, 1]),
            "mentions": np.array(placed, np.int64).reshape(-1, 3),
        }

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        out = super().collate(samples)
        for name, fill in PADDED.items():
            longest = max(len(sample[name]) for sample in samples)
            shape = (len(samples), longest, *samples[0][name].shape[1:])
            padded = torch.full(shape, fill, dtype=torch.int64)
            real = torch.zeros(shape[:2], dtype=torch.bool)
            for row, sample in enumerate(samples):
                padded[row, : len(sample[name])] = torch.from_numpy(np.array(sample[name]))
                real[row, : len(sample[name])] = True
            out.extra[name] = padded
            if name in MASKS:
                out.extra[MASKS[name]] = real
        return out

    def _learned(self) -> str:
        digest = hashlib.sha256(super()._learned().encode())
        digest.update(repr((self.graph.ids, self.graph.names, self.graph.relations)).encode())
        digest.update(self.graph.triples_T3.tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.graph.save(folder)

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        self._set(ConceptGraph.restored(folder))


def concepts_named(graph: ConceptGraph, names: Iterable[str], *, where: str) -> list[int]:
    """Ids of concepts given by name; unknown ones are left out. Raises DataError for what is no list of names."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: concepts should be a list of names")
    return [graph.index[name] for name in names if name in graph.index]
