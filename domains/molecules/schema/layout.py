"""MatSci-NLP (Song et al. 2023): eight annotation files of materials science, seven tasks, one form of question."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from core.data.dataset import RecordDataset
from core.data.layout import Draws, Layout, Record, TrainingPlan, refuse_empty, require
from core.data.processor import Processor
from core.data.sampler import PowerSampler
from core.data.tables import hash_share, hash_split
from core.data.text import read_text
from core.errors import ConfigError, DataError, nearest
from domains.molecules.schema.annotated import READERS, questions_of
from domains.molecules.schema.files import documents
from domains.molecules.schema.processors import LABELS
from domains.molecules.schema.question import TASKS, Question, read_question, refused

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SPLITS_FILE = "splits.json"  # collection -> split of each document, in their order; not part of the public dataset


class MatSci(Layout):
    """`<name>.json` files in `root` or `root/dataset`; modality "prompt", whose source is one question.

    A document (sentence, abstract, procedure) is a group. The benchmark draws its splits at run time; here they follow
    from `seed` and the number of the document, 70 / 10 / 20, unless `splits.json` says otherwise, and `train_share` (0
    to 1) takes documents of the training part alone, at least one of each file, more of them including fewer. The
    paper trains on 1 % and tests on the rest: its scores and ours are of different test sets.
    """

    name: ClassVar[str] = "MatSci-NLP"
    licence: ClassVar[str] = "none stated; each file keeps the terms of its own dataset"
    source: ClassVar[str] = "github.com/BangLab-UdeM-Mila/NLP4MatSci-ACL23, folder dataset"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        collections: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        train_share: float = 1.0,
        balance: float = 1.0,
        seed: int = 0,
    ) -> None:
        """collections: files to read; those that are there when None. tasks: codes to keep; all when None. balance: a
        task is drawn in training in proportion to its number of questions to this power; 1 goes through all questions
        in turn, 0 draws all tasks equally often. Drawn questions ignore `data.limit`."""
        super().__init__(root=root, split=split)
        for kind, given, valid in (("collections", collections, READERS), ("tasks", tasks, TASKS)):
            for name in given or ():
                if name not in valid:
                    raise ConfigError(f"{kind}: there is no '{name}'{nearest(name, valid)}")
        if not 0 < train_share <= 1:
            raise ConfigError(f"train_share: is {train_share}; give a share in (0, 1]")
        if not 0 <= balance <= 1:
            raise ConfigError(f"balance: is {balance}; give a power from 0 to 1")
        self.balance = balance
        folder = self.root / "dataset" if (self.root / "dataset").is_dir() else self.root
        paths = {name: folder / f"{name}.json" for name in (collections or READERS)}
        if collections is None:
            paths = {name: path for name, path in paths.items() if path.exists()}
            refuse_empty(len(paths), owner=self.name, where=folder, expected=f"{', '.join(READERS)} (.json)")
        require(self.root, paths, owner=self.name, source=self.source)
        self._given, self._seed, self._share = _given_splits(folder / SPLITS_FILE), seed, train_share
        self._records: list[Record] = []
        labels: dict[str, set[str]] = {}
        for name, path in paths.items():
            rows = documents(path, name)
            chosen = self._chosen(name, len(rows))
            for number, row in enumerate(rows):
                try:
                    found = questions_of(name, row)
                except DataError as fault:
                    found = [fault]
                for i, item in enumerate(found):
                    if isinstance(item, Question):
                        if tasks is not None and item.task not in tasks:
                            continue
                        labels.setdefault(item.inventory, set()).add(item.answer)
                        source = item.source()
                    else:
                        source = refused(f"{path.name}, document {number + 1}: {item}")
                    if number in chosen:
                        self._records.append(Record(f"{name}-{number}-{i}", f"{name}-{number}", {"prompt": source}))
        self.tables = {LABELS: {inventory: ",".join(sorted(found)) for inventory, found in labels.items()}}
        refuse_empty(len(self), owner=f"'{split}' split of {self.name}", where=folder, expected="annotated documents")

    def _chosen(self, collection: str, count: int) -> set[int]:
        """Numbers of the documents of a file that the split uses."""
        given = self._given.get(collection)
        if given is not None and len(given) != count:
            raise DataError(f"{SPLITS_FILE}: {len(given)} splits of '{collection}', which has {count} documents")
        groups = [f"{collection}-{i}" for i in range(count)]
        salt = f"matsci-{self._seed}"
        splits = given or [hash_split(group, SHARES, salt=salt) for group in groups]
        own = [i for i in range(count) if splits[i] == self.split]
        if self.split != "train":
            return set(own)
        own.sort(key=lambda i: hash_share(groups[i], salt=f"{salt}-share"))
        return set(own[: math.ceil(self._share * len(own))])

    def draws(self, processors: Mapping[str, Processor], plan: TrainingPlan) -> Draws | None:
        if self.balance == 1:
            return None
        every = RecordDataset(self, processors, seed=plan.seed, augment=plan.augment)
        good = [i for i in range(len(self)) if _readable(every, i)]
        dataset = RecordDataset(self, processors, indices=good, seed=plan.seed, augment=plan.augment)
        tasks = [read_question(self._records[i].sources["prompt"]).task for i in good]
        sampler = PowerSampler(
            tasks, power=self.balance, batch_size=plan.batch_size, total=plan.total, seed=plan.seed, start=plan.start,
            rank=plan.rank,
        )  # fmt: skip
        return Draws(dataset, sampler)

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        return self._records[index]


def _readable(dataset: RecordDataset, position: int) -> bool:
    try:
        dataset[position]
    except DataError:
        return False
    return True


def _given_splits(path: Path) -> dict[str, list[str]]:
    if not path.exists():
        return {}
    try:
        found = json.loads(read_text(path))
        return {str(name): [str(split) for split in splits] for name, splits in found.items()}
    except (ValueError, AttributeError, TypeError) as err:
        raise DataError(f"{path}: expected an object file -> list of splits ({err}); mend or remove it") from err
