"""Vectors of an archive of files, kept beside what a search tells of them, so that only new files are read again.

Shape legend: N = files, E = width of the shared space.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.files import atomic_write

VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. stamp: changes when its content may have. about: facts to filter by and to show, plain JSON types."""

    file: str
    modality: str
    stamp: str
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Archive:
    """Entries and their unit vectors (N, E). model: fingerprint of the weights that made them."""

    model: str
    entries: tuple[Entry, ...]
    vectors_NE: NDArray[np.float32]  # noqa: N815

    def write(self, path: Path) -> None:
        """As a Parquet table: file, modality, stamp, about (JSON), vector."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        width = self.vectors_NE.shape[1]
        columns = {name: pa.array([getattr(e, name) for e in self.entries]) for name in ("file", "modality", "stamp")}
        columns["about"] = pa.array([json.dumps(e.about) for e in self.entries])
        columns["vector"] = pa.FixedSizeListArray.from_arrays(self.vectors_NE.astype(np.float32).ravel(), width)
        meta = {"heptad_archive": json.dumps({"version": VERSION, "model": self.model})}
        with atomic_write(path) as partial:
            pq.write_table(pa.table(columns).replace_schema_metadata(meta), partial)

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Raises DataError for a file that is no index of this version."""
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            facts = json.loads((table.schema.metadata or {})[b"heptad_archive"])
            if facts["version"] != VERSION:
                raise ValueError(f"version {facts['version']}")
            names = ("file", "modality", "stamp", "about")
            rows = zip(*(table[name].to_pylist() for name in names), strict=True)
            entries = tuple(Entry(file, modality, stamp, json.loads(about)) for file, modality, stamp, about in rows)
            flat = table["vector"].combine_chunks().flatten().to_numpy()
            return cls(str(facts["model"]), entries, flat.reshape(len(entries), -1).astype(np.float32))
        except Exception as err:  # pyarrow raises its own types
            raise DataError(f"{path}: not a readable index ({err}); delete it, and it is made again") from err


def updated(
    old: Archive | None,
    files: Iterable[tuple[Path, str]],
    *,
    model: str,
    encode: Callable[[str, Sequence[Path]], Iterator[tuple[Path, NDArray[np.float32], dict[str, Any]]]],
    batch_size: int = 32,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Archive:
    """The archive of `files`, (path, modality) each; those that `old` has unchanged, by the same weights, keep their
    vectors, and files that are gone drop out.

    encode: modality and up to `batch_size` paths -> (path, vector, about) of those that could be read.
    Raises DataError when nothing can be read.
    """
    known = {} if old is None or old.model != model else {
        (e.file, e.modality, e.stamp): i for i, e in enumerate(old.entries)
    }  # fmt: skip
    entries: list[Entry] = []
    vectors: list[NDArray[np.float32]] = []
    new: dict[str, list[tuple[Path, str]]] = {}
    for path, modality in files:
        stamp = stamp_of(path)
        at = known.get((str(path), modality, stamp))
        if at is None:
            new.setdefault(modality, []).append((path, stamp))
        else:
            assert old is not None
            entries.append(old.entries[at])
            vectors.append(old.vectors_NE[at])
    total, done = sum(map(len, new.values())), 0
    for modality, waiting in new.items():
        for first in range(0, len(waiting), batch_size):
            stamps = dict(waiting[first : first + batch_size])
            for path, vector, about in encode(modality, list(stamps)):
                entries.append(Entry(str(path), modality, stamps[path], about))
                vectors.append(vector)
            done += len(stamps)
            tell(done, total)
    if not entries:
        raise DataError(f"the archive holds no file that could be read ({total} were tried)")
    order = sorted(range(len(entries)), key=lambda i: (entries[i].file, entries[i].modality))
    return Archive(model, tuple(entries[i] for i in order), np.stack([vectors[i] for i in order]).astype(np.float32))


def stamp_of(path: Path) -> str:
    """Size and time of change of a file, or of all files of a folder; "" for none."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [file.stat() for file in files if file.is_file()]
    return f"{sum(s.st_size for s in stats)} {max(s.st_mtime_ns for s in stats)}" if stats else ""
