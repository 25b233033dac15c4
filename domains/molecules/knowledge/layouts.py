"""Layouts with the modalities "graph", "text" and "neighbours": MolFM's bundle, and any molecules beside one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import SPLITS, Layout, Record, Source, check_split, refuse_empty
from core.data.tables import read_table
from core.errors import ConfigError, DataError
from domains.molecules.data.split import group_of, split_of
from domains.molecules.knowledge.bundle import SOURCE, read_bundle
from domains.molecules.knowledge.joined import Knowledge, key_of

TRIPLES = "triples"  # the table of training triples


class MolFMBundle(Layout):
    """MolFM's molecules, texts and graph (Luo et al. 2023): drug.json, protein.json, links.csv; see `bundle`.

    Every drug with a structure is a record. No split is published: `splits.csv` (id, group, split) where there is one,
    else scaffolds are dealt by hash, 80 / 10 / 10. Table `triples`: those that name no held-out drug. absent: drugs
    with neither structure nor text; loose_links: links to ids that no file names.
    """

    name: ClassVar[str] = "MolFM bundle"
    licence: ClassVar[str] = "that of its sources, DrugBank (CC BY-NC 4.0) among them"
    source: ClassVar[str] = SOURCE

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        self.knowledge = Knowledge(read_bundle(self.root))
        drugs = self.knowledge.bundle.drugs
        named = {name: pair for name, pair in drugs.items() if any(pair)}
        self.absent, self.loose_links = len(drugs) - len(named), len(self.knowledge.bundle.loose)
        self._groups, parts = self._dealt(named)
        held_out = {name for name, part in parts.items() if part != "train"}
        # an entry that is another spelling of a held-out molecule is held out as well
        twins = (ids for ids in self.knowledge.ids.values() if held_out & set(ids))
        self.hidden = held_out.union(*twins)
        self._ids = [
            name for name, part in parts.items() if part == split and (split != "train" or name not in self.hidden)
        ]
        refuse_empty(len(self._ids), owner=f"'{split}' split of {self.name}", where=self.root, expected="drugs")
        self._of = {name: ids for ids in self.knowledge.ids.values() for name in ids}
        self.tables = {TRIPLES: self.knowledge.triples(hidden=self.hidden)}

    def _dealt(self, drugs: dict[str, tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
        given = self.root / "splits.csv"
        if given.exists():
            rows = read_table(given, ["id", "group", "split"])
            groups = dict(zip(rows["id"], rows["group"], strict=True))
            parts = dict(zip(rows["id"], rows["split"], strict=True))
            unknown = sorted(set(parts.values()) - set(SPLITS))
            missing = next((name for name in drugs if name not in parts), None)
            if unknown or missing is not None:
                what = f"split '{unknown[0]}'" if unknown else f"no line for '{missing}'"
                raise DataError(f"{given}: {what}; every drug needs one of {', '.join(SPLITS)}")
        else:
            groups = {name: group_of(smiles) if smiles else f"text:{name}" for name, (smiles, _) in drugs.items()}
            parts = {name: split_of(group) for name, group in groups.items()}
        return groups, {name: parts[name] for name in drugs}

    def __len__(self) -> int:
        return len(self._ids)

    def record(self, index: int) -> Record:
        name = self._ids[index]
        smiles, text = self.knowledge.bundle.drugs[name]
        known = self.knowledge.about(self._of.get(name, [name]), hidden=self.hidden)
        found: dict[str, Source] = {"graph": smiles, "text": text, "neighbours": known}
        return Record(name, self._groups[name], {m: source for m, source in found.items() if source})


class KnownMolecules(Layout):
    """The molecules of another layout, joined with a bundle by isomeric canonical SMILES; unmatched ones lack the
    modality "neighbours". No molecule of its held-out splits is trained on through the graph.

    root: of the other layout. layout: its name, with arguments. graph: folder of the bundle. matched: how many joined.
    """

    name: ClassVar[str] = "Molecules with a knowledge graph"
    licence: ClassVar[str] = "those of the molecules and of the graph"
    source: ClassVar[str] = "a layout of molecules, and a MolFM bundle"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        graph: Path,
        layout: str = "smiles_csv",
        arguments: dict[str, Any] | None = None,
    ) -> None:
        from domains.molecules.data import layout_class

        super().__init__(root=root, split=split)
        if layout in ("known_molecules", "molfm_bundle"):
            raise ConfigError(f"layout: '{layout}' already has neighbours; name a layout of molecules, such as pcdes")
        parts = {p: layout_class(layout)(root=self.root, split=p, **(arguments or {})) for p in SPLITS}
        self.molecules = parts[check_split(split, owner=self.name)]
        self.name = f"{self.molecules.name} with a knowledge graph"  # type: ignore[misc]
        self.label_names, self.quantity_names = self.molecules.label_names, self.molecules.quantity_names
        self.knowledge = Knowledge(read_bundle(Path(graph)))
        held_out = {key for p in ("val", "test") for key in map(_key, parts[p])}
        self.hidden = {name for key in held_out for name in self.knowledge.ids.get(key, ())}
        self._keys = [_key(record) for record in self.molecules]
        self.matched = sum(key in self.knowledge.ids for key in self._keys)
        self.tables = {**self.molecules.tables, TRIPLES: self.knowledge.triples(hidden=self.hidden)}

    def __len__(self) -> int:
        return len(self.molecules)

    def record(self, index: int) -> Record:
        record = self.molecules.record(index)
        known = self.knowledge.about(self.knowledge.ids.get(self._keys[index], ()), hidden=self.hidden)
        if not known:
            return record
        return Record(record.id, record.group, {**record.sources, "neighbours": known}, record.labels, record.masks)


def _key(record: Record) -> str:
    source = record.sources.get("graph")
    return key_of(source) if isinstance(source, str) else ""
