"""What a fused model looks at, as pictures of a report: atoms, words, near molecules, and a graph's neighbourhood.

Shape legend: V = rows shown, T = tokens of a text, N = atoms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from core.data.datamodule import DataModule
from core.data.dataset import RecordDataset
from core.data.layout import Record
from core.data.text import TextProcessor
from core.errors import ConfigError
from core.fusion import CrossEncoder
from core.models.dual_encoder import DualEncoder
from core.training.features import extract
from core.training.figures import Figure, Section
from core.training.precision import Compute
from core.types import Tokens
from domains.molecules.io import read_molecule
from domains.molecules.knowledge import draw
from domains.molecules.knowledge.neighbours import NeighbourProcessor, pairs
from domains.molecules.processors.graph import GraphProcessor, string_of

FRAME = "Held-out molecules, evenly chosen."


class MoleculePictures(Figure):
    """No number: drawings of held-out molecules that have a structure and a text.

    Attention is that of the first text token in the fusion's last layer, mean over heads; it shows where the model
    looks, not why it decides.
    """

    def __init__(
        self, *, graph: str = "graph", text: str = "text", neighbours: str = "", cases: int = 3, near: int = 5
    ) -> None:
        """cases: molecules shown. near: structures shown beside each, nearest by cosine of the graph's vectors.
        neighbours: the modality of a knowledge graph; empty: none."""
        if cases < 1 or near < 1:
            raise ConfigError(f"MoleculePictures: cases {cases} and near {near}; give 1 or more of both")
        self.graph, self.text, self.neighbours, self.cases, self.near = graph, text, neighbours, cases, near

    def check(self, model: DualEncoder) -> None:
        for modality in filter(None, (self.graph, self.text, self.neighbours)):
            model.encoder_of(modality)
        if not isinstance(model.fusion, CrossEncoder) or model.fusion.asking != self.text:
            raise ConfigError(f"MoleculePictures: needs a core.fusion.CrossEncoder in which '{self.text}' asks")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        return {}

    def sections(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, count: int
    ) -> list[Section]:
        dataset = data.dataset(split)
        whole = [i for i in range(len(dataset)) if {self.graph, self.text} <= dataset.record(i).sources.keys()]
        if not whole or not count:
            return []
        chosen = [whole[i] for i in np.unique(np.linspace(0, len(whole) - 1, self.cases).astype(int))]
        found = [
            picture(
                "What the text encoder looks at",
                draw.attention_sheet([self._attention(model, data, dataset, row, compute) for row in chosen]),
                alt="drawn molecules with atoms shaded by attention, beside their descriptions with words shaded",
                note=f"{FRAME} Attention of the first token in the last layer, mean over heads: left to atoms, right "
                "to words. White: an equal share or less; darkest: three times that or more.",
            ),
            picture(
                "Nearest structures",
                draw.neighbour_sheet(self._near(model, data, dataset, split, chosen, compute)),
                alt="each row a drawn molecule and the held-out molecules nearest to it",
                note=f"{FRAME} Left the query; beside it the cosine of the structures' vectors.",
            ),
        ]
        return found + self._neighbourhoods(data, dataset)

    def _attention(
        self, model: DualEncoder, data: DataModule, dataset: RecordDataset, row: int, compute: Compute
    ) -> tuple[Any, list[float], list[tuple[str, float]]]:
        """The molecule, a weight per atom, and the words of the text with theirs."""
        assert isinstance(model.fusion, CrossEncoder)
        record = dataset.record(row)
        samples, streams = dataset.load(record), {}
        for modality in model.fusion.inputs:
            if modality in samples:
                inp = data.processors[modality].collate([samples[modality]]).to(compute.device)
                with compute.autocast():
                    tokens = model.encode(modality, inp).tokens
                assert tokens is not None
                streams[modality] = Tokens(x=tokens.x.float(), mask=tokens.mask, grid=tokens.grid, prefix=tokens.prefix)
        seen = model.fusion.attention(streams)
        text = data.processors[self.text]
        assert isinstance(text, TextProcessor)
        return (
            self._molecule(data, record),
            _real(seen[self.graph], streams[self.graph]).tolist(),
            words(text, samples[self.text], _real(seen[self.text], streams[self.text])),
        )

    def _molecule(self, data: DataModule, record: Record) -> Any:
        """The RDKit molecule as the processor reads it, so that its atoms are those of the graph."""
        processor = data.processors[self.graph]
        assert isinstance(processor, GraphProcessor)
        return read_molecule(string_of(record.sources[self.graph]), processor.policy)

    def _near(
        self, model: DualEncoder, data: DataModule, dataset: RecordDataset, split: str, chosen: list[int], c: Compute
    ) -> list[list[tuple[Any, str]]]:
        found = extract(model, data.eval_loader(split), c, modalities=[self.graph])
        vector_VE, rows_V = found.vectors[self.graph], found.rows[self.graph].tolist()
        out = []
        for row in chosen:
            cosine_V = vector_VE @ vector_VE[rows_V.index(row)]
            order = [int(v) for v in np.argsort(-cosine_V, kind="stable") if rows_V[int(v)] != row][: self.near]
            shown = [(row, "query"), *((rows_V[v], f"{cosine_V[v]:.2f}") for v in order)]
            out.append([(self._molecule(data, dataset.record(r)), caption) for r, caption in shown])
        return out

    def _neighbourhoods(self, data: DataModule, dataset: RecordDataset) -> list[Section]:
        processor = data.processors.get(self.neighbours)
        if not isinstance(processor, NeighbourProcessor):
            return []
        for row in range(len(dataset)):
            record = dataset.record(row)
            sample = processor.load(record.sources.get(self.neighbours, ""))
            if sample and self.graph in record.sources:
                drawn = [processor.names.entities[i] for i in sample["drawn"]]
                known = [(r, e) for r, e in pairs(record.sources[self.neighbours]) if e in processor.names.entity_id]
                png = draw.neighbourhood(self._molecule(data, record), known, drawn)
                return [
                    picture(
                        "What the knowledge graph says of a molecule", png,
                        alt="a drawn molecule with the entities linked to it around it",
                        note=f"The first held-out molecule with neighbours, {len(known)} that training knows, at most "
                        f"{draw.MOST_SHOWN} shown. Bold: those that the model saw.",
                    )
                ]  # fmt: skip
        return []


def picture(title: str, png: bytes, *, alt: str, note: str) -> Section:
    """A part of the report that is one picture."""
    return lambda report: report.add_figure(title, png, alt=alt, note=note)


def words(text: TextProcessor, sample: dict[str, Any], weight_T: Tensor) -> list[tuple[str, float]]:
    """The words of a tokenised text, each with the sum of the weights of its tokens; special tokens are left out."""
    out: list[tuple[str, float]] = []
    ids, of_word = sample["ids"].tolist(), sample["word_ids"].tolist()
    last = -1
    for i, (token, word) in enumerate(zip(ids, of_word, strict=True)):
        if word < 0:
            continue
        piece = text.tokenizer.decode([token]).removeprefix("##")
        if word == last:
            out[-1] = (out[-1][0] + piece, out[-1][1] + float(weight_T[i]))
        else:
            out.append((piece, float(weight_T[i])))
        last = word
    return out


def _real(weight_VTN: Tensor, tokens: Tokens) -> Tensor:
    """(N,) weights of the first query of the only row, its real keys."""
    weight_N = weight_VTN[0, 0].cpu()
    return weight_N if tokens.mask is None else weight_N[tokens.mask[0].cpu()]
