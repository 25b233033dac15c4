"""Subgraphs to arrays: node features or node tokens, edges, positions, which node is the target.

A source is a `GraphNode`, or, for graphs of one's own, JSON {"texts": [...], "graph": [[sources], [targets]],
"centre": 0}. Shape legend: V = subgraphs, N = nodes of the largest, E = directed edges of the one with most, F =
features, T = tokens of a node's text, K = steps of the positions.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.processor import Processor, Sample
from core.data.text import TextProcessor, text_id
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.text_graphs.graph import GraphNode, TextGraph, text_graph
from domains.molecules.text_graphs.hashing import hashed_words
from domains.molecules.text_graphs.positions import return_probabilities
from domains.molecules.text_graphs.sampling import RestartWalk, Sampler


class SubgraphProcessor(Processor):
    """What all of them share: the target first, its subgraph by `sampler`, return probabilities of `positions` steps.

    A target without a text is a DataError (a bad record); a neighbour without one stays, as an empty text.
    load: `edges` (2, E) int32, `positions` (N, K), `key` (N,) int64 identity of each node's content, and the content.
    collate: mask (V, N), extra `edges` (V, E, 2), `edge_mask` (V, E), `bonds` (V, E, 0) as `pack` reads them,
    `positions` (V, N, K), `key` (V, N), `centre` (V,).
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"

    def __init__(self, *, sampler: Sampler | None = None, positions: int = 0, of: str = "") -> None:
        if positions < 0:
            raise ConfigError(f"positions: is {positions}; a number of steps from 0 on")
        self.sampler = RestartWalk() if sampler is None else sampler
        self.positions, self.of = positions, of

    def load(self, source: Any) -> Sample:
        graph, target = as_node(source)
        rows = self.sampler.rows(graph, np.array([target]))[0]
        edges_2e = graph.induced(rows)
        texts = [graph.texts[int(row)] for row in rows]
        self.refuse(graph, target)
        return {
            **self.content(graph, rows, texts),
            "edges": edges_2e.astype(np.int32),
            "positions": return_probabilities(edges_2e, len(rows), self.positions),
            "key": np.array([text_id(f"{graph.ids[int(r)]}\0{t}") for r, t in zip(rows, texts, strict=True)], np.int64),
        }

    def refuse(self, graph: TextGraph, target: int) -> None:
        """Raise DataError for a target that cannot be read."""
        if not graph.texts[target].strip():
            raise DataError(f"node '{graph.ids[target]}' has no text; give it one, or leave it out of the split")

    @abstractmethod
    def content(self, graph: TextGraph, rows: NDArray[np.int64], texts: list[str]) -> Sample:
        """What nodes hold."""

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        nodes, most = max(len(s["key"]) for s in samples), max(s["edges"].shape[1] for s in samples)
        rows = len(samples)
        mask_VN, key_VN = np.zeros((rows, nodes), bool), np.zeros((rows, nodes), np.int64)
        edges_VE2, edge_mask_VE = np.zeros((rows, most, 2), np.int64), np.zeros((rows, most), bool)
        positions_VNK = np.zeros((rows, nodes, self.positions), np.float32)
        for i, sample in enumerate(samples):
            n, e = len(sample["key"]), sample["edges"].shape[1]
            mask_VN[i, :n], edge_mask_VE[i, :e] = True, True
            key_VN[i, :n], edges_VE2[i, :e], positions_VNK[i, :n] = (
                sample["key"],
                sample["edges"].T,
                sample["positions"],
            )
        extra = {
            "edges": edges_VE2, "edge_mask": edge_mask_VE, "bonds": np.zeros((rows, most, 0), np.int64),
            "positions": positions_VNK, "key": key_VN, "centre": np.zeros(rows, np.int64),
        }  # fmt: skip
        x, further = self.stacked(samples, nodes)
        tensors = {name: torch.from_numpy(array) for name, array in (extra | further).items()}
        return ModalityInput(x=torch.from_numpy(x), mask=torch.from_numpy(mask_VN), extra=tensors)

    @abstractmethod
    def stacked(self, samples: Sequence[Mapping[str, np.ndarray]], nodes: int) -> tuple[NDArray[Any], Sample]:
        """(x, further extras), padded to `nodes`."""


class NodeFeatureProcessor(SubgraphProcessor):
    """Nodes as vectors, one modality after the other. x: (V, N, F); extra `there` (V, N, M) bool, M modalities.

    modalities: name -> width. "text" is hashed words of the node's text; any other is an array of the graph (rows of
    nan: the node lacks it, x is 0 there and `there` False).
    """

    def __init__(
        self,
        *,
        modalities: dict[str, int] | None = None,
        sampler: Sampler | None = None,
        positions: int = 0,
        of: str = "",
    ) -> None:
        super().__init__(sampler=sampler, positions=positions, of=of)
        self.modalities = {"text": 384} if modalities is None else dict(modalities)
        if not self.modalities or min(self.modalities.values()) < 1:
            raise ConfigError(f"modalities: are {self.modalities}; give at least one, of positive width")

    def refuse(self, graph: TextGraph, target: int) -> None:
        if "text" in self.modalities and len(self.modalities) == 1:
            super().refuse(graph, target)

    def content(self, graph: TextGraph, rows: NDArray[np.int64], texts: list[str]) -> Sample:
        parts, there = [], []
        for name, width in self.modalities.items():
            if name == "text":
                part_nF = hashed_words(texts, width)
                has_n = np.array([bool(text.strip()) for text in texts])
            else:
                if name not in graph.features or graph.features[name].shape[1] != width:
                    has = {k: v.shape[1] for k, v in graph.features.items()}
                    raise ConfigError(f"modalities.{name}: {width} wide; the graph has {has or 'no features'}")
                part_nF = graph.features[name][rows]
                has_n = np.asarray(np.isfinite(part_nF).all(axis=1))
            parts.append(np.where(has_n[:, None], part_nF, 0.0).astype(np.float32))
            there.append(has_n)
        return {"x": np.concatenate(parts, axis=1), "there": np.stack(there, axis=1)}

    def stacked(self, samples: Sequence[Mapping[str, np.ndarray]], nodes: int) -> tuple[NDArray[Any], Sample]:
        x_VNF = np.zeros((len(samples), nodes, sum(self.modalities.values())), np.float32)
        there_VNM = np.zeros((len(samples), nodes, len(self.modalities)), bool)
        for i, sample in enumerate(samples):
            x_VNF[i, : len(sample["x"])], there_VNM[i, : len(sample["x"])] = sample["x"], sample["there"]
        return x_VNF, {"there": there_VNM}


class NodeTokenProcessor(SubgraphProcessor):
    """Nodes as token ids. x: (V, N, T) int64; extra `token_mask` (V, N, T) bool. An empty text is [CLS] [SEP].

    vocab_size, min_frequency, max_length: of the tokenizer (`core.data.text.TextProcessor`), which is learned from the
    texts of the training targets.
    """

    not_in_load: ClassVar[frozenset[str]] = frozenset({"vocab_size", "min_frequency"})

    def __init__(
        self,
        *,
        vocab_size: int = 2048,
        max_length: int = 128,
        min_frequency: int = 2,
        sampler: Sampler | None = None,
        positions: int = 0,
        of: str = "",
    ) -> None:
        super().__init__(sampler=sampler, positions=positions, of=of)
        self.vocab_size, self.max_length, self.min_frequency = vocab_size, max_length, min_frequency
        self.reader = TextProcessor(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency)

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.reader.vocabulary

    def fit(self, sources: Iterable[Any]) -> None:
        self.reader.fit(graph.texts[target] for graph, target in map(as_node, sources))

    def _learned(self) -> str:
        return self.reader._learned()

    def save(self, folder: Path) -> None:
        self.reader.save(folder)

    def restore(self, folder: Path) -> None:
        self.reader.restore(folder)

    def content(self, graph: TextGraph, rows: NDArray[np.int64], texts: list[str]) -> Sample:
        found = [self.reader.encode(text)["ids"] for text in texts]
        ids_nT = np.zeros((len(found), max(map(len, found))), np.int32)
        for i, ids in enumerate(found):
            ids_nT[i, : len(ids)] = ids
        return {"ids": ids_nT, "length": np.array([len(ids) for ids in found], np.int32)}

    def stacked(self, samples: Sequence[Mapping[str, np.ndarray]], nodes: int) -> tuple[NDArray[Any], Sample]:
        longest = max(sample["ids"].shape[1] for sample in samples)
        x_VNT = np.zeros((len(samples), nodes, longest), np.int64)
        length_VN = np.zeros((len(samples), nodes), np.int64)
        for i, sample in enumerate(samples):
            n, t = sample["ids"].shape
            x_VNT[i, :n, :t], length_VN[i, :n] = sample["ids"], sample["length"]
        return x_VNT, {"token_mask": np.arange(longest) < length_VN[..., None]}


def as_node(source: Any) -> tuple[TextGraph, int]:
    """The graph and the target row of a source. Raises DataError for JSON that is no graph."""
    if isinstance(source, GraphNode):
        return source.graph, source.row
    try:
        found = json.loads(source.read_text(encoding="utf-8") if isinstance(source, Path) else source)
        texts = [str(text) for text in found["texts"]]
        pairs_2E = np.array(found["graph"], np.int64).reshape(2, -1)
        centre = int(found.get("centre", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise DataError(
            f"{str(source)[:60]}: no subgraph ({err}); expected JSON with texts, graph [[sources], [targets]], centre"
        ) from err
    if not 0 <= centre < len(texts):
        raise DataError(f"centre is {centre}; the subgraph has {len(texts)} nodes, counted from 0")
    ids = [str(i) for i in range(len(texts))]
    return text_graph(ids, texts, [-1] * len(texts), (), pairs_2E), centre


class HashedTextProcessor(Processor):
    """A text as a vector of hashed words, (V, F): what a frozen sentence encoder is to a run without one.

    Equal to the vectors that `NodeFeatureProcessor` gives node texts of the same width.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "text"

    def __init__(self, *, width: int = 384, of: str = "") -> None:
        self.width, self.of = width, of

    def load(self, source: Any) -> Sample:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else str(source)
        if not text.strip():
            raise DataError("the text is empty; leave the modality out of records that have no text")
        return {"x": hashed_words([text], self.width)[0], "text_id": np.array(text_id(text), np.int64)}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        x_VF = torch.from_numpy(np.stack([sample["x"] for sample in samples]))
        ids_V = torch.tensor([int(sample["text_id"]) for sample in samples])
        return ModalityInput(x=x_VF, extra={"text_id": ids_V})
