"""Contexts to token ids, labels and graphs: what a graph-prompted language model reads.

Shape legend: T = tokens of a context, P = its molecules that have a graph, Q = placeholders of one graph, N, E = atoms
and directed edges, V = contexts of a batch, M = most graphs of one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Sample
from core.data.text import SPECIAL_TOKENS, TOKENIZER_FILE, TextProcessor, read_tokenizer
from core.errors import CheckpointError, ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.graphs.featurise import graph_of
from domains.molecules.graphs.vocabulary import Graph
from domains.molecules.graphs.vocabulary import vocabulary as vocabulary_called
from domains.molecules.language.tokenizer import (
    END_SMILES,
    GRAPH,
    MARKS,
    START_SMILES,
    characters,
    train_cased_tokenizer,
)
from domains.molecules.processors.graph import GraphProcessor, string_of
from domains.molecules.reactions.context import PRODUCT, Context, Member

NOT_TOLD = -100  # label of a token that is no target
TEXT, SMILES, PRODUCT_SMILES = range(3)  # kinds of tokens
NO_SLOT = -1


class ContextProcessor(TextProcessor):
    """A context (JSON of `Context`, or the SMILES of one molecule) as [CLS] text [SEP], with the graphs in it.

    A molecule: `Role: mark: [START_SMILES]...[END_SMILES]`, `queries` placeholders, `. `, `[Abstract] ...`,
    `[Properties] name: value; ...` with 2 decimals; a role is told when it changes. smiles_length: characters of a
    SMILES that are kept. budget: tokens of abstracts and properties in a context, shared equally by its molecules.
    queries: placeholders of a graph, 0 for a model without graphs. graphs: their vocabulary. tokenizer_file: the
    tokenizer.json of a local language model (byte-level, as GPT-2's or Galactica's), whose ids are kept and behind
    which the marks are added, instead of a vocabulary that is learned.

    load: `ids` (T,), `labels` (T,) (-100 for placeholders, and for all before a target), `kinds` (T,) (0 text, 1
    SMILES, 2 SMILES of a product), `slots` (T,) (which of the P * Q graph vectors stands here, -1 none), `atoms`,
    `edges`, `bonds` of all graphs behind each other and the counts `atom_counts`, `edge_counts` (P,).
    collate: x (V, T), mask (V, T), extra `labels`, `kinds`, `slots` (V, T), and, where any context has a graph,
    `graph_x` (V, M, N, F), `graph_mask` (V, M, N), `graph_edges` (V, M, E, 2), `graph_bonds` (V, M, E, G),
    `graph_edge_mask` (V, M, E).
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"
    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        vocab_size: int = 1024,
        max_length: int = 512,
        min_frequency: int = 2,
        smiles_length: int = 128,
        budget: int = 320,
        queries: int = 8,
        graphs: str = "hu2",
        tokenizer_file: Path | None = None,
        of: str = "",
    ) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        if smiles_length < 1 or budget < 0 or queries < 0:
            raise ConfigError(
                f"smiles_length {smiles_length} must be positive, budget {budget} and queries {queries} 0 or more"
            )
        self.smiles_length, self.budget, self.queries, self.graphs = smiles_length, budget, queries, graphs
        self.tokenizer_file = None if tokenizer_file is None else Path(tokenizer_file)
        self._graph_batch = GraphProcessor(vocabulary=graphs)
        self._corpus: list[str] = []

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        self._corpus = [text for table in tables.values() for text in table.values()]

    def fit(self, sources: Iterable[Any]) -> None:
        """Learn the words of the contexts, and of the texts that tables of the layout hold."""
        if self.tokenizer_file is not None:
            self._tokenizer = read_tokenizer(self.tokenizer_file)
            self._tokenizer.add_special_tokens([*SPECIAL_TOKENS, *MARKS])
            return
        texts = (text for source in sources for text in self._words_of(context_of(source)))
        self._tokenizer = train_cased_tokenizer(
            [*texts, *self._corpus], vocab_size=self.vocab_size, min_frequency=self.min_frequency
        )
        self._corpus = []

    def _words_of(self, context: Context) -> Iterator[str]:
        for member in context.members:
            yield f"[Abstract] {member.abstract} {_values_of(member)}{member.role}: "
        yield context.ask
        if context.target and not context.smiles:
            yield context.target

    def load(self, source: Any) -> Sample:
        return self.encode_context(context_of(source))

    def encode_context(self, context: Context) -> Sample:
        """The sample of a context. Raises DataError for a molecule that RDKit refuses."""
        ids, kinds, slots, graphs = self._prompt(context)
        labels = ids.copy() if not context.target else np.full_like(ids, NOT_TOLD)
        labels[(slots != NO_SLOT) | (ids == self._id(GRAPH))] = NOT_TOLD
        if context.target:
            told = self._target(context)
            ids = np.concatenate([ids, told])
            labels = np.concatenate([labels, told])
            kinds = np.concatenate([kinds, np.full_like(told, SMILES if context.smiles else TEXT)])
            slots = np.concatenate([slots, np.full_like(told, NO_SLOT)])
        elif not context.ask:  # a whole context ends; a prompt goes on
            ids, labels = np.append(ids, self.end_id), np.append(labels, self.end_id)
            kinds, slots = np.append(kinds, TEXT), np.append(slots, NO_SLOT)
        kept = self.max_length
        return {
            "ids": ids[:kept].astype(np.int32), "labels": labels[:kept].astype(np.int32),
            "kinds": kinds[:kept].astype(np.int8), "slots": slots[:kept].astype(np.int16),
            "dropped": np.array(max(0, len(ids) - kept), np.int32), **_packed(graphs, self._graph_batch),
        }  # fmt: skip

    def _prompt(self, context: Context) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Graph]]:
        ids, kinds, slots = [np.array([self._id("[CLS]")])], [np.array([TEXT])], [np.array([NO_SLOT])]
        graphs: list[Graph] = []

        def add(found: np.ndarray, kind: int, slot: np.ndarray | None = None) -> None:
            ids.append(found)
            kinds.append(np.full(len(found), kind))
            slots.append(np.full(len(found), NO_SLOT) if slot is None else slot)

        room = self.budget // max(1, len(context.members))
        role = ""
        for member in context.members:
            ahead = f"{member.role}: " if member.role != role else ""
            role = member.role
            add(self._text(ahead + (f"{member.mark}: " if member.mark else "")), TEXT)
            add(self.smiles_ids(member.smiles), PRODUCT_SMILES if role == PRODUCT else SMILES)
            if member.graph and self.queries:
                graphs.append(_graph(member.smiles, self.graphs))
                first = (len(graphs) - 1) * self.queries
                add(np.full(self.queries, self._id(GRAPH)), TEXT, np.arange(first, first + self.queries))
            add(self._text(". "), TEXT)
            add(self._told(member, room), TEXT)
        add(self._text(context.ask), TEXT)
        return np.concatenate(ids), np.concatenate(kinds), np.concatenate(slots), graphs

    def _told(self, member: Member, room: int) -> np.ndarray:
        """Abstract and properties in up to `room` tokens; the abstract is cut first, so that properties stay."""
        values = self._text(_values_of(member))[:room]
        abstract = self._text(f"[Abstract] {member.abstract} " if member.abstract else "")
        return np.concatenate([abstract[: room - len(values)], values])

    def _target(self, context: Context) -> np.ndarray:
        told = self.smiles_ids(context.target, whole=True) if context.smiles else self._text(context.target)
        return np.append(told, self.end_id)

    def smiles_ids(self, smiles: str, *, whole: bool = False) -> np.ndarray:
        """Characters of a SMILES between its marks, `smiles_length` of them at most unless the `whole` is wanted."""
        signs = characters(self.tokenizer, smiles if whole else smiles[: self.smiles_length])
        return np.concatenate([[self._id(START_SMILES)], signs, [self._id(END_SMILES)]])

    def _text(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        assert found is not None  # `restore` and training make sure
        return int(found)

    @property
    def never_told(self) -> tuple[int, ...]:
        """Ids that a continuation does not hold: padding, placeholders, and special tokens but the end."""
        return (*(self._id(token) for token in SPECIAL_TOKENS if token != "[SEP]"), self._id(GRAPH))

    @property
    def end_id(self) -> int:
        """Id of the token that ends a context."""
        return self._id("[SEP]")

    def told_text(self, ids: Sequence[int]) -> str:
        """The text of told ids, up to the end token; of a SMILES, what stands between its marks."""
        kept = []
        for i in map(int, ids):
            if i == self.end_id:
                break
            kept.append(i)
        return self.tokenizer.decode(kept, skip_special_tokens=True).strip()

    def restore(self, folder: Any) -> None:
        path = Path(folder) / TOKENIZER_FILE
        tokenizer = read_tokenizer(path)
        missing = [mark for mark in (*SPECIAL_TOKENS, *MARKS) if tokenizer.token_to_id(mark) is None]
        if missing:
            raise CheckpointError(f"{path}: has no {', '.join(missing)}; it is not a tokenizer of contexts")
        self._tokenizer = tokenizer

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        shape = len(samples), max(len(sample["ids"]) for sample in samples)
        filled = {"ids": self._id("[PAD]"), "labels": NOT_TOLD, "kinds": TEXT, "slots": NO_SLOT}
        made = {name: torch.full(shape, value, dtype=torch.int64) for name, value in filled.items()}
        mask_VT = torch.zeros(shape, dtype=torch.bool)
        for row, sample in enumerate(samples):
            length = len(sample["ids"])
            mask_VT[row, :length] = True
            for name, rows in made.items():
                rows[row, :length] = torch.from_numpy(np.array(sample[name], np.int64))
        x_VT = made.pop("ids")
        return ModalityInput(x=x_VT, mask=mask_VT, extra={**made, **self._graphs(samples)})

    def _graphs(self, samples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        counts = [len(sample["atom_counts"]) for sample in samples]
        if not any(counts):
            return {}
        flat = [graph for sample in samples for graph in _unpacked(sample)]
        batch = self._graph_batch.collate(flat)
        assert batch.mask is not None
        place = torch.tensor([row * max(counts) + i for row, count in enumerate(counts) for i in range(count)])
        found = {"x": batch.x, "mask": batch.mask, **batch.extra}
        out = {}
        for name, rows in found.items():
            whole = rows.new_zeros((len(samples) * max(counts), *rows.shape[1:]))
            whole[place] = rows
            out[f"graph_{name}"] = whole.unflatten(0, (len(samples), max(counts)))
        return out


def context_of(source: Any) -> Context:
    """The context of a source: JSON that `Context.to_json` wrote, or one molecule by itself."""
    if isinstance(source, Context):
        return source
    text = string_of(source)
    return Context.from_json(text) if text.lstrip().startswith("{") else Context((Member(text),))


def _values_of(member: Member) -> str:
    """Properties as text, with two decimals."""
    values = "; ".join(f"{name}: {value:.2f}" for name, value in member.properties.items())
    return f" [Properties] {values}. " if values else ""


@lru_cache(maxsize=20_000)
def _graph(smiles: str, names: str) -> Graph:
    return graph_of(smiles, vocabulary_called(names))


def _packed(graphs: list[Graph], empty: GraphProcessor) -> Sample:
    atoms, bonds = len(empty.names.atom_columns), len(empty.names.bond_columns)
    return {
        "atoms": np.concatenate([np.zeros((0, atoms), np.int16), *(g.atoms for g in graphs)]),
        "edges": np.concatenate([np.zeros((2, 0), np.int32), *(g.edges for g in graphs)], axis=1),
        "bonds": np.concatenate([np.zeros((0, bonds), np.int16), *(g.bonds for g in graphs)]),
        "atom_counts": np.array([len(g.atoms) for g in graphs], np.int32),
        "edge_counts": np.array([len(g.bonds) for g in graphs], np.int32),
    }


def _unpacked(sample: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    atom_ends, edge_ends = np.cumsum(sample["atom_counts"])[:-1], np.cumsum(sample["edge_counts"])[:-1]
    parts = zip(
        np.split(sample["atoms"], atom_ends), np.split(sample["edges"], edge_ends, axis=1),
        np.split(sample["bonds"], edge_ends), strict=True,
    )  # fmt: skip
    if len(sample["atom_counts"]):
        yield from ({"atoms": atoms, "edges": edges, "bonds": bonds} for atoms, edges, bonds in parts)


def prompt_of(source: Any) -> Context:
    """The context of a source without its target. Raises DataError for one that asks for nothing."""
    context = context_of(source)
    if not context.ask:
        raise DataError("the context asks for nothing; give one with `ask`, such as 'Description: '")
    return context.prompt()
