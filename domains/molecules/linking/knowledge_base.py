"""Entities of a knowledge base as the entity linking sets distribute them: `kb_entity.json` and `qid2id.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from core.errors import DataError
from domains.molecules.linking.sources import Pictures, titled

PICTURES = "kb_image"


@dataclass(frozen=True, slots=True)
class Entity:
    """qid: its public name, unique. pictures: names of files below `kb_image/`, first = the one evaluation shows."""

    qid: str
    name: str
    description: str
    pictures: tuple[str, ...]

    @property
    def text(self) -> str:
        """The source that `TitledText` reads."""
        return titled(self.name, self.description, identity=self.qid)


class KnowledgeBase:
    """All entities, in the order of their ids. `number[qid]`: position in `entities`, also of further names (qid2id).

    Pictures that are not on disk are left out of an entity's list, and counted: an entity without any lacks the
    modality.
    """

    def __init__(self, root: Path) -> None:
        """Raises DataError naming the file, the entry and the field at fault."""
        self.folder = root / PICTURES
        on_disk = file_names(self.folder)
        rows = read_json_list(root / "kb_entity.json")
        path = root / "kb_entity.json"
        self.entities: list[Entity] = []
        self.missing_pictures = 0
        position: dict[Any, int] = {}
        self.number: dict[str, int] = {}
        order = sorted(range(len(rows)), key=lambda i: _sort_key(field(rows[i], "id", path, i)))
        for i in order:
            row = rows[i]
            qid = text_field(row, "qid", path, i)
            listed = [str(name) for name in row.get("image_list") or ()]
            kept = tuple(name for name in listed if name in on_disk)
            self.missing_pictures += len(listed) - len(kept)
            if qid in self.number:
                raise DataError(f"{path}: entry {i}: qid '{qid}' was already used; every entity needs its own")
            self.number[qid] = position[row["id"]] = len(self.entities)
            name, description = unquote(text_field(row, "entity_name", path, i)), str(row.get("desc") or "")
            self.entities.append(Entity(qid, name, description, kept))
        if not self.entities:
            raise DataError(
                f"{path}: no entity; expected a list of objects with id, qid, entity_name, desc, image_list"
            )
        for qid, number in _read_json(root / "qid2id.json", dict).items():
            if number in position:  # further names of an entity lead to it too
                self.number.setdefault(qid, position[number])

    def __len__(self) -> int:
        return len(self.entities)

    def sources(self, number: int, *, first_only: bool = False) -> dict[str, str | Pictures]:
        """Modality -> source of an entity: its text, and its pictures, or the first of them, where it has some."""
        entity = self.entities[number]
        found: dict[str, str | Pictures] = {"entity": entity.text}
        if entity.pictures:
            others = () if first_only else entity.pictures[1:]
            found["entity_image"] = Pictures(self.folder / entity.pictures[0], others)
        return found


def file_names(folder: Path) -> frozenset[str]:
    """Names of the files in a folder, none where there is no folder: one listing instead of a look per picture."""
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def read_json_list(path: Path) -> list[dict[str, Any]]:
    """A JSON list of objects. Raises DataError naming the file and the entry."""
    rows = _read_json(path, list)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}: entry {i} is {type(row).__name__}, expected an object; fetch the file again")
    return rows


def field(row: dict[str, Any], name: str, path: Path, entry: int) -> Any:
    """Raises DataError where the entry lacks it."""
    if row.get(name) is None:
        raise DataError(f"{path}: entry {entry} has no '{name}' (fields found: {', '.join(map(str, row))})")
    return row[name]


def text_field(row: dict[str, Any], name: str, path: Path, entry: int) -> str:
    """Raises DataError where the field is missing or no text."""
    value = field(row, name, path, entry)
    if not isinstance(value, str):
        raise DataError(f"{path}: entry {entry}: '{name}' is {type(value).__name__}, expected text")
    return value


def _sort_key(value: Any) -> tuple[int, int, str]:
    """Numbers by value, texts after them."""
    return (0, int(value), "") if isinstance(value, int) else (1, 0, str(value))


def _read_json(path: Path, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror}); an entity linking set needs it") from err
    except (ValueError, RecursionError) as err:
        raise DataError(f"{path}: not JSON ({err}); fetch it again") from err
    if not isinstance(found, kind):
        raise DataError(f"{path}: holds {type(found).__name__}, expected {kind.__name__}; fetch it again")
    return found
