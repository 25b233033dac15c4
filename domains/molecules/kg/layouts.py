"""Knowledge graphs as they are distributed: folders of TSV triples.

Entity descriptions are read where a folder has them: `entity2textlong.txt` or `entity2text.txt` (name<TAB>text).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import Draws, Layout, Record, TrainingPlan, check_split, refuse_empty, require
from core.errors import DataError, missing_extra
from domains.molecules.kg.batches import triple_draws
from domains.molecules.kg.processor import TripleProcessor
from domains.molecules.kg.triples import Triple, read_descriptions, read_dictionary, read_triples

FILES = {"train": "train", "val": "valid", "test": "test"}
SUFFIXES = (".txt", ".tsv")
DESCRIPTIONS = ("entity2textlong.txt", "entity2text.txt")


class TripleFolder(Layout):
    """`train`, `valid`, `test` (.txt or .tsv), each line head<TAB>relation<TAB>tail; what FB15k-237, WN18RR, CoDEx,
    Nations, Kinships and UMLS share.

    `entities.dict` and `relations.dict` (index<TAB>name), where present, must name all that the triples name; ids come
    from sorted names all the same, so that a graph with and without them trains alike.
    """

    name: ClassVar[str] = "Knowledge graph of TSV triples"
    licence: ClassVar[str] = "that of the graph"
    source: ClassVar[str] = "your own folder"

    def __init__(self, *, root: Path, split: str, order: str = "hrt") -> None:
        """order: columns of the files, a permutation of "hrt"."""
        super().__init__(root=root, split=split)
        self.triples = read_triples(self._file(split), order=order)
        refuse_empty(len(self.triples), owner=self.name, where=self.root, expected="lines head<TAB>relation<TAB>tail")
        self.texts_of = [triple.text() for triple in self.triples]
        self._check_dictionaries()
        self.tables = {"descriptions": self._descriptions()}

    def _file(self, split: str) -> Path:
        tried = [self.root / f"{FILES[split]}{suffix}" for suffix in SUFFIXES]
        found = next((path for path in tried if path.is_file()), None)
        if found is None:
            require(self.root, {f"triples of the {split} split": tried[0]}, owner=self.name, source=self.source)
        assert found is not None
        return found

    def _check_dictionaries(self) -> None:
        for kind, members in (
            ("entities", {t.head for t in self.triples} | {t.tail for t in self.triples}),
            ("relations", {t.relation for t in self.triples}),
        ):
            path = self.root / f"{kind}.dict"
            if path.is_file():
                unnamed = sorted(members - set(read_dictionary(path)))
                if unnamed:
                    raise DataError(
                        f"{path}: does not name {len(unnamed)} {kind} of the {self.split} split, '{unnamed[0]}' among "
                        "them; complete it, or remove it (it is not needed)"
                    )

    def _descriptions(self) -> dict[str, str]:
        path = next((self.root / name for name in DESCRIPTIONS if (self.root / name).is_file()), None)
        return {} if path is None else read_descriptions(path)

    def __len__(self) -> int:
        return len(self.triples)

    def record(self, index: int) -> Record:
        name = f"{self.split}-{index}"
        return Record(id=name, group=name, sources={"triple": self.texts_of[index]})

    def draws(self, processors: Mapping[str, Any], plan: TrainingPlan) -> Draws | None:
        """The same batches as from the records, from ids in an array, where triples are all that is read."""
        processor = processors.get("triple")
        if set(processors) != {"triple"} or type(processor) is not TripleProcessor or processor.of:
            return None
        return triple_draws(self.triples, f"{self.split}-", processor, plan)


class FB15k237(TripleFolder):
    """Freebase, 14,541 entities, 237 relations; some held-out triples name entities that training does not hold."""

    name: ClassVar[str] = "FB15k-237"
    licence: ClassVar[str] = "CC-BY 2.5 (Freebase)"
    source: ClassVar[str] = "Toutanova and Chen 2015"


class WN18RR(TripleFolder):
    """WordNet, 40,943 entities, 11 relations; 7% of the held-out triples name entities that training does not hold."""

    name: ClassVar[str] = "WN18RR"
    licence: ClassVar[str] = "WordNet licence"
    source: ClassVar[str] = "Dettmers et al. 2018"


class CoDEx(TripleFolder):
    """Wikidata. root: the repository's `data`; size: s, m or l. Descriptions: `entities/<language>/entities.json`."""

    name: ClassVar[str] = "CoDEx"
    licence: ClassVar[str] = "MIT; Wikidata CC0, Wikipedia extracts CC-BY-SA"
    source: ClassVar[str] = "https://github.com/tsafavi/codex"

    def __init__(self, *, root: Path, split: str, size: str = "s", language: str = "en") -> None:
        if size not in ("s", "m", "l"):
            raise DataError(f"CoDEx: size is '{size}'; valid: s, m, l")
        self.texts = Path(root) / "entities" / language / "entities.json"
        super().__init__(root=Path(root) / "triples" / f"codex-{size}", split=split)

    def _descriptions(self) -> dict[str, str]:
        import json

        if not self.texts.is_file():
            return {}
        try:
            found = json.loads(self.texts.read_text(encoding="utf-8"))
            return {
                q: " ".join(f"{e.get('label') or ''}. {e.get('description') or ''}".split()) for q, e in found.items()
            }
        except (OSError, ValueError, AttributeError) as err:
            raise DataError(f"{self.texts}: not the JSON of CoDEx ({err}); fetch it again") from err


class ShippedTriples(TripleFolder):
    """A small real graph that the package pykeen ships; `root` may name a folder with the same files instead."""

    package_folder: ClassVar[str]
    licence: ClassVar[str] = "none stated; redistributed in pykeen (MIT)"

    def __init__(self, *, root: Path | None = None, split: str) -> None:
        super().__init__(root=shipped_folder(self.package_folder) if root is None else root, split=split)


class UMLS(ShippedTriples):
    """The UMLS semantic network as a toy: 135 entities, 46 relations; not the Metathesaurus. Names are words."""

    name: ClassVar[str] = "UMLS semantic network"
    source: ClassVar[str] = "McCray 2003, as split by Dettmers et al. 2018; shipped by pykeen"
    package_folder: ClassVar[str] = "umls"


class Kinships(ShippedTriples):
    """Kinship of the Alyawarra: 104 people, 25 terms. Names are numbers."""

    name: ClassVar[str] = "Kinships"
    source: ClassVar[str] = "Denham 1973, Kemp et al. 2006; shipped by pykeen"
    package_folder: ClassVar[str] = "kinships"


class Nations(ShippedTriples):
    """Relations of 14 countries of the 1960s."""

    name: ClassVar[str] = "Nations"
    source: ClassVar[str] = "Rummel 1976, Kemp et al. 2006; shipped by pykeen"
    package_folder: ClassVar[str] = "nations"


def shipped_folder(name: str) -> Path:
    """The folder of a graph inside the installed package pykeen, which is not imported.

    Raises ConfigError when the package is not installed.
    """
    found = importlib.util.find_spec("pykeen")
    if found is None or not found.submodule_search_locations:
        raise missing_extra("pykeen", "knowledge-graphs")
    return Path(next(iter(found.submodule_search_locations))) / "datasets" / name


class InductiveTriples(Layout):
    """A graph to train on, and another of new entities to be tested on (Teru et al. 2020, GraIL).

    root holds two folders, `NAME` and `NAME_ind`, each with train, valid and test. Training and validation are those
    of `NAME`; the test ranks `NAME_ind/test`, knowing `NAME_ind/train` (table `facts`).
    """

    name: ClassVar[str] = "Inductive knowledge graph"
    licence: ClassVar[str] = "that of the graph"
    source: ClassVar[str] = "https://github.com/kkteru/grail"

    def __init__(self, *, root: Path, split: str, graph: str) -> None:
        """graph: NAME, such as fb237_v1."""
        super().__init__(root=root, split=split)
        check_split(split, owner=self.name)
        seen, unseen = self.root / graph, self.root / f"{graph}_ind"
        require(self.root, {"training graph": seen, "test graph": unseen}, owner=self.name, source=self.source)
        own = TripleFolder(root=unseen if split == "test" else seen, split=split)
        facts = TripleFolder(root=unseen, split="train")
        self.triples: list[Triple] = own.triples
        self.tables = {
            "descriptions": {**own.tables["descriptions"], **facts.tables["descriptions"]},
            "facts": {str(i): t.text() for i, t in enumerate(facts.triples)},
        }

    def __len__(self) -> int:
        return len(self.triples)

    def record(self, index: int) -> Record:
        name = f"{self.split}-{index}"
        return Record(id=name, group=name, sources={"triple": self.triples[index].text()})
