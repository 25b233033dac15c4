"""Texts beside a concept graph, and multiple-choice questions about one, as they are distributed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import Layout, Record, refuse_empty, require
from core.errors import DataError
from domains.molecules.grounded.choices import UNKNOWN, question_source
from domains.molecules.grounded.files import read_graph
from domains.molecules.kg.triples import read_lines

FILES = {"train": "train", "val": "valid", "test": "test"}
QA_FILES = {"train": "train", "val": "dev", "test": "test"}


class ConceptTexts(Layout):
    """Passages to pretrain on, modality "grounded", and the graph that their concepts are in.

    root holds `text/{train,valid,test}.txt`, a passage a line, and the graph in `graph_folder`, in the layout `graph`
    (`umls`, `conceptnet`; see `grounded.files`). `cloze/{valid,test}.tsv`, where there are, ask for facts:
    before<TAB>answer<TAB>after<TAB>candidates, these separated by `|`.
    """

    name: ClassVar[str] = "Texts with a concept graph"
    licence: ClassVar[str] = "that of the texts and of the graph; UMLS needs one of your own"
    source: ClassVar[str] = "your own folder"

    def __init__(self, *, root: Path, split: str, graph: str = "umls", graph_folder: str = "") -> None:
        """graph_folder: below root; its name is that of the layout when empty."""
        super().__init__(root=root, split=split)
        path = self.root / "text" / f"{FILES[split]}.txt"
        require(self.root, {f"passages of the {split} split": path}, owner=self.name, source=self.source)
        self.texts = [" ".join(line.split()) for line in read_lines(path) if line.strip()]
        refuse_empty(len(self.texts), owner=self.name, where=path, expected="a passage in each line")
        self.tables = {**read_graph(graph, self.root / (graph_folder or graph)), "cloze": self._cloze()}

    def _cloze(self) -> dict[str, str]:
        path = self.root / "cloze" / f"{FILES[self.split]}.tsv"
        found = {}
        for number, line in enumerate(read_lines(path) if path.is_file() else [], start=1):
            if not line.strip():
                continue
            cells = line.split("\t")
            if len(cells) != 4 or cells[1] not in cells[3].split("|"):
                raise DataError(
                    f"{path}, line {number}: is '{line[:60]}', expected before, answer, after, candidates (separated "
                    "by |, the answer among them)"
                )
            found[str(number)] = line
        return found

    def __len__(self) -> int:
        return len(self.texts)

    def record(self, index: int) -> Record:
        name = f"{self.split}-{index}"
        return Record(id=name, group=name, sources={"grounded": self.texts[index]})


class QAGraph(Layout):
    """Multiple-choice questions in the layout of QA-GNN, GreaseLM and DRAGON; modality "grounded".

    root holds `statement/{train,dev,test}.statement.jsonl` ({id, question: {stem, choices: [{label, text}]},
    answerKey}) and, where concepts are linked already, `grounded/{split}.grounded.jsonl`, one line {sent, ans, qc, ac}
    for each choice in order. Its `graph/*.graph.adj.pk` are pickles and are never opened, since opening a pickle runs
    what it says: subgraphs are built anew from the triples in `graph_folder`. Who has only a pickle writes its
    triples as text, in an environment that may be lost: for each r, i, j of the matrix relation<TAB>i<TAB>j<TAB>1.
    Questions without answerKey have no known answer.
    """

    name: ClassVar[str] = "Questions with a concept graph"
    licence: ClassVar[str] = "that of the questions and of the graph"
    source: ClassVar[str] = "https://github.com/michiyasunaga/dragon (preprocessed data)"

    def __init__(self, *, root: Path, split: str, graph: str = "conceptnet", graph_folder: str = "../cpnet") -> None:
        """graph: layout of the graph, see `grounded.files`. graph_folder: relative to root."""
        super().__init__(root=root, split=split)
        path = self.root / "statement" / f"{QA_FILES[split]}.statement.jsonl"
        require(self.root, {f"questions of the {split} split": path}, owner=self.name, source=self.source)
        grounded = self.root / "grounded" / f"{QA_FILES[split]}.grounded.jsonl"
        linked = _json_lines(grounded) if grounded.is_file() else None
        self.questions = list(_questions(path, linked, grounded))
        refuse_empty(len(self.questions), owner=self.name, where=path, expected="a question in each line")
        self.tables = read_graph(graph, (self.root / graph_folder).resolve())

    def __len__(self) -> int:
        return len(self.questions)

    def record(self, index: int) -> Record:
        name, source = self.questions[index]
        return Record(id=name, group=name, sources={"grounded": source})


def _questions(
    path: Path, linked: Iterator[tuple[str, Mapping[str, Any]]] | None, grounded: Path
) -> Iterator[tuple[str, str]]:
    """(id, source) of each line."""
    for where, line in _json_lines(path):
        try:
            question = line["question"]
            labels = [str(choice["label"]) for choice in question["choices"]]
            texts = [str(choice["text"]) for choice in question["choices"]]
            key, name, stem = line.get("answerKey"), str(line["id"]), str(question["stem"])
            if key not in (None, "") and key not in labels:
                raise DataError(f"{where}: answerKey is '{key}', and the choices are {', '.join(labels)}")
            concepts = None
            if linked is not None:
                concepts = [_linked(linked, grounded) for _ in texts]
            yield name, question_source(stem, texts, answer=labels.index(key) if key else UNKNOWN, concepts=concepts)
        except (KeyError, TypeError, AttributeError) as err:
            raise DataError(f"{where}: not a question ({err!r}); expected id, question.stem, question.choices") from err
    if linked is not None and next(linked, None) is not None:
        raise DataError(f"{grounded}: has more lines than {path} has choices; the two do not belong together")


def _linked(linked: Iterator[tuple[str, Mapping[str, Any]]], grounded: Path) -> tuple[list[str], list[str]]:
    where, found = next(linked, ("", {}))
    if not where:
        raise DataError(f"{grounded}: has fewer lines than there are choices; ground all statements again")
    of_question, of_answer = found.get("qc"), found.get("ac")
    if not isinstance(of_question, list) or not isinstance(of_answer, list):
        raise DataError(f"{where}: qc and ac should be lists of concepts")
    return [str(c) for c in of_question if c not in of_answer], [str(c) for c in of_answer]


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, object) of each line that is not blank."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as err:
            raise DataError(f"{where}: not JSON ({err}); fetch the file again") from err
        if not isinstance(found, dict):
            raise DataError(f"{where}: is a {type(found).__name__}, expected an object")
        yield where, found
