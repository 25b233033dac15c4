"""Layout: what the folders and columns of one dataset mean. Record: one study of it, not yet read.

A layout reads tables, never pixels. Its split names are those of the suite (`train`, `val`, `test`), whatever the
dataset calls them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from core.errors import DataError, nearest

SPLITS = ("train", "val", "test")


@runtime_checkable
class FileWithArguments(Protocol):
    """A file whose reader needs more than its path: a frozen dataclass of a domain with a `path` field."""

    @property
    def path(self) -> Path: ...


Source = Path | str | FileWithArguments  # a file or folder to read, content itself, or a file with reader arguments


@dataclass(frozen=True, slots=True)
class Record:
    """One study of a layout; nothing of it is read yet.

    id: unique in the layout. group: what a split keeps together (patient, scene, scaffold).
    sources: modality -> file to read (Path) or content (str); a missing modality is absent.
    labels: name -> 0/1, or a value for what the layout lists as a quantity; nan = unknown.
    masks: name -> dense label file (a Path, or with reader arguments).
    """

    id: str
    group: str
    sources: Mapping[str, Source]
    labels: Mapping[str, float] = field(default_factory=dict)
    masks: Mapping[str, Source] = field(default_factory=dict)

    def files(self) -> Iterator[Path]:
        """Every file or folder that the record points to, each once."""
        paths = map(source_path, (*self.sources.values(), *self.masks.values()))
        yield from dict.fromkeys(path for path in paths if path is not None)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a run asks of its training data: batches for steps `start` to `total` - 1, of process `rank` of `world`.

    masks: dense labels that the task reads. indices: the records in use; None = all.
    """

    batch_size: int
    total: int
    start: int
    seed: int
    augment: bool
    rank: int = 0
    world: int = 1
    masks: tuple[str, ...] = ()
    indices: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Draws:
    """dataset: item -> sample, as `RecordDataset` gives it. sampler: batches of items, a function of (seed, step).
    collate: what the dataset gives for a batch of items -> Batch; None: as for records."""

    dataset: Any
    sampler: Any
    collate: Any = None


class Layout(ABC):
    """Folders and columns of one public dataset, read exactly as it is distributed.

    A subclass states `name`, `licence`, `source` (where it is obtained) and `simulated`, checks in `__init__` that
    what it needs is there (DataError naming what it looked for, and where), and sets `label_names` and, for labels that
    are measured on a scale (a population, an age), `quantity_names`.
    `record` raises for no fault of the data: a file that is missing or damaged is found when it is read.
    absent: records left out because tables and disk do not agree on them (partial downloads).
    tables: what records refer to by name and share, as table -> row -> content: descriptions of a graph's entities.
    """

    name: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    simulated: ClassVar[bool] = False
    label_names: tuple[str, ...] = ()
    quantity_names: tuple[str, ...] = ()
    absent: int = 0
    tables: Mapping[str, Mapping[str, str]] = MappingProxyType({})

    def __init__(self, *, root: Path, split: str) -> None:
        self.root = Path(root)
        self.split = check_split(split, owner=self.name)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; give the root of the {self.name} dataset ({self.source})")

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def record(self, index: int) -> Record: ...

    def __iter__(self) -> Iterator[Record]:
        return (self.record(i) for i in range(len(self)))

    def draws(self, processors: Mapping[str, Any], plan: TrainingPlan) -> Draws | None:
        """Training samples that are drawn anew in every epoch (parts of something large), or quicker than record by
        record (ids in an array), instead of the records.

        None, the default: training goes through the records.
        """
        return None


def source_path(source: Source) -> Path | None:
    """The file or folder behind a source; None when the source is the content itself."""
    if isinstance(source, str):
        return None
    return source if isinstance(source, Path) else source.path


def check_split(split: str, *, owner: str, valid: Sequence[str] = SPLITS) -> str:
    """`split` if it is valid. Raises DataError with the nearest name."""
    if split not in valid:
        raise DataError(f"{owner}: no split '{split}'{nearest(split, valid)} (splits: {', '.join(valid)})")
    return split


def require(root: Path, wanted: Mapping[str, Path], *, owner: str, source: str) -> None:
    """Check that every path exists. wanted: what it is -> path. Raises one DataError that lists all that is missing."""
    missing = [f"  {path}  ({what})" for what, path in wanted.items() if not path.exists()]
    if missing:
        raise DataError(
            f"{root}: not a complete {owner} dataset, {len(missing)} of {len(wanted)} parts are missing:\n"
            + "\n".join(missing)
            + f"\nPoint the root at the folder that holds them; the dataset comes from {source}"
        )


def refuse_empty(count: int, *, owner: str, where: Path, expected: str) -> None:
    """Raises DataError when a split has no record, saying what would have counted as one."""
    if count == 0:
        raise DataError(f"{where}: the {owner} dataset is empty here; expected {expected}")


def verify(layouts: Layout | Sequence[Layout], *, sample: int | None = None) -> list[str]:
    """Problems of one split, or of several splits of one dataset, as lines of text; empty means none was found.

    Checks that ids are unique, that no group is in two splits, that files exist and are not empty, that labels are
    among `label_names`. sample: look at the files of this many evenly spaced records per split; None = all.
    """
    layouts = [layouts] if isinstance(layouts, Layout) else list(layouts)
    problems: list[str] = []
    split_of_group: dict[str, str] = {}
    first_seen: dict[str, str] = {}
    for layout in layouts:
        stride = 1 if sample is None else max(1, len(layout) // max(sample, 1))
        for i in range(len(layout)):
            record = layout.record(i)
            if record.id in first_seen:
                problems.append(f"{layout.split}: id '{record.id}' was already used in {first_seen[record.id]}")
            first_seen.setdefault(record.id, layout.split)
            known = split_of_group.setdefault(record.group, layout.split)
            if known != layout.split:
                problems.append(f"group '{record.group}' is in both {known} and {layout.split}")
            if i % stride == 0:
                problems += [f"{layout.split}: '{record.id}': {fault}" for fault in _record_faults(layout, record)]
    return list(dict.fromkeys(problems))


def _record_faults(layout: Layout, record: Record) -> Iterator[str]:
    if not record.sources:
        yield "no modality at all"
    for path in record.files():
        if not path.exists():
            yield f"{path} is missing"
        elif path.is_file() and path.stat().st_size == 0:
            yield f"{path} is empty"
    for name in set(record.labels) - {*layout.label_names, *layout.quantity_names}:
        yield f"label '{name}' is not in label_names"
