"""Molecules as vectors that a frozen encoder made elsewhere, with their captions: the layout of SEMI's molecule data.

root/{train,val,test}_embs_<encoder>.npz       (also valid_ for val)   one per encoder
  ids      (N,) str or int       of the molecule, equal between encoders
  emb      (N, D) float          vectors
  caption  (N,) str              optional
  smiles   (N,) str              optional
or .safetensors with a tensor `emb` and the metadata `rows`, a JSON list of {id, caption, smiles} in its order.
The release has `.pkl` files {id: {emb, caption, smiles}}. They are never read here: unpickling runs what is in them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.layout import Layout, Record, Source, refuse_empty
from core.data.processor import Processor, Sample
from core.errors import DataError
from core.types import ModalityInput

FILE_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
CONVERT = (
    "convert it once, on a machine that may run what the file holds: d = pickle.load(open(F, 'rb')); "
    "numpy.savez(G, ids=list(map(str, d)), emb=numpy.stack([r['emb'] for r in d.values()]), "
    "caption=[r['caption'] for r in d.values()], smiles=[r['smiles'] for r in d.values()])"
)


@dataclass(frozen=True, slots=True)
class EmbeddingRow:
    """One vector of a file."""

    path: Path
    row: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """ids: N names. emb: (N, D) float32. captions, smiles: N texts, "" where there is none."""

    ids: list[str]
    emb: np.ndarray
    captions: list[str]
    smiles: list[str]


class EmbeddedMolecules(Layout):
    """One modality per encoder, named as it is, with "text" (captions) and "graph" (SMILES) where the files have them.

    encoders: names in the files. A molecule has a record when any of them has it; what others lack is absent.
    """

    name: ClassVar[str] = "molecule vectors of frozen encoders"
    licence: ClassVar[str] = "the data's own; ChEBI-20: CC BY 4.0"
    source: ClassVar[str] = "files of SEMI (ospanbatyr/sample-efficient-multimodality), converted from pickle"

    def __init__(self, *, root: Path, split: str, encoders: Sequence[str]) -> None:
        super().__init__(root=root, split=split)
        sources: dict[str, dict[str, Source]] = {}
        for encoder in encoders:
            path = find(self.root, split, encoder)
            found = read_embedded(path)
            for row, name in enumerate(found.ids):
                own = sources.setdefault(name, {})
                own[encoder] = EmbeddingRow(path, row)
                if found.captions[row]:
                    own.setdefault("text", found.captions[row])
                if found.smiles[row]:
                    own.setdefault("graph", found.smiles[row])
        refuse_empty(len(sources), owner=f"'{split}' split", where=self.root, expected="vectors of one encoder or more")
        self._records = [Record(id=name, group=name, sources=own) for name, own in sources.items()]

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        return self._records[index]


class EmbeddingProcessor(Processor):
    """A stored vector as it is. width: its length; shorter ones are padded with zeros, as the release does.

    collate: x (V, width) float32.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"

    def __init__(self, *, width: int) -> None:
        self.width = width
        self._file: tuple[Path, Embedded] | None = None

    def load(self, source: Any) -> Sample:
        if not isinstance(source, EmbeddingRow):
            raise DataError(
                f"{str(source)[:60]}: is no stored vector; its modality comes from layout embedded_molecules"
            )
        if self._file is None or self._file[0] != source.path:
            self._file = source.path, read_embedded(source.path)
        vector = self._file[1].emb[source.row]
        if len(vector) > self.width:
            raise DataError(f"{source.path}: vectors of {len(vector)} numbers, the processor's width is {self.width}")
        return {"vector": np.pad(vector, (0, self.width - len(vector)))}

    def collate(self, samples: Sequence[Any]) -> ModalityInput:
        return ModalityInput(torch.from_numpy(np.stack([sample["vector"] for sample in samples])))


def find(root: Path, split: str, encoder: str) -> Path:
    """The file of a split. Raises DataError that says how a pickle beside it is converted."""
    stems = [root / f"{name}_embs_{encoder}" for name in FILE_NAMES[split]]
    for stem in stems:
        for kind in (".npz", ".safetensors"):
            if (path := stem.with_name(stem.name + kind)).is_file():
                return path
    pickles = [path for stem in stems if (path := stem.with_name(stem.name + ".pkl")).is_file()]
    if pickles:
        raise DataError(f"{pickles[0]}: a pickle is not read, since reading it runs what is in it; {CONVERT}")
    raise DataError(f"{stems[0]}.npz: no such file, nor .safetensors; expected vectors of encoder '{encoder}'")


def read_embedded(path: Path) -> Embedded:
    """A converted file. Raises DataError naming what is missing, of another size, or not finite."""
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else _npz(path)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as err:
        raise DataError(f"{path}: cannot be read ({err}); expected ids, emb and, if there, caption and smiles") from err
    emb = content.emb
    if emb.ndim != 2 or not (len(content.ids) == len(emb) == len(content.captions) == len(content.smiles)):
        raise DataError(f"{path}: emb is {emb.shape} for {len(content.ids)} ids; expected one vector for each")
    if len(set(content.ids)) < len(content.ids):
        raise DataError(f"{path}: an id stands there twice")
    bad = np.flatnonzero(~np.isfinite(emb).all(axis=1))
    if len(bad):
        raise DataError(f"{path}: the vector of '{content.ids[int(bad[0])]}' is not finite")
    return content


def _npz(path: Path) -> Embedded:
    with np.load(path, allow_pickle=False) as found:
        ids = [str(name) for name in found["ids"].tolist()]
        texts = [
            [str(text) for text in found[key].tolist()] if key in found else [""] * len(ids)
            for key in ("caption", "smiles")
        ]
        return Embedded(ids, found["emb"].astype(np.float32), *texts)


def _safetensors(path: Path) -> Embedded:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as found:
            rows = json.loads((found.metadata() or {}).get("rows", "null"))
            emb = found.get_tensor("emb").astype(np.float32)
    except SafetensorError as err:
        raise ValueError(str(err)) from err
    if not isinstance(rows, list):
        raise ValueError("no metadata 'rows'")
    return Embedded(
        [str(row["id"]) for row in rows], emb, *([str(row.get(k, "")) for row in rows] for k in ("caption", "smiles"))
    )
