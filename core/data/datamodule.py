"""The data of a run: layouts of the three splits, fitted processors, a filled sample cache and the loaders."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset

from core.config.schema import DataSettings
from core.data.bad_records import BadRecords
from core.data.built import cache_root
from core.data.collate import Collate
from core.data.dataset import RecordDataset, named
from core.data.layout import SPLITS, Layout, TrainingPlan
from core.data.processor import Processor
from core.data.sampler import StepSampler
from core.data.store import SampleStore
from core.data.text import TextProcessor
from core.data.text_parts import TextParts
from core.errors import ConfigError, DataError, nearest
from core.types import Batch

Progress = Callable[[str, int, int], None]  # (what, done, of)


class DataModule:
    """Splits of one dataset, ready for training and evaluation.

    `prepare` reads every record once: processors that learn (tokenizers) are fitted on the training split, samples go
    to the cache, unreadable records are set aside by policy. After it, loaders only read the cache.
    """

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        processors: Mapping[str, Processor],
        settings: DataSettings,
        *,
        seed: int,
        masks: Sequence[str] = (),
        mask_of: str | Sequence[str] = "",
    ) -> None:
        self.layouts = dict(layouts)
        self.processors = dict(processors)
        self.settings = settings
        self.seed = seed
        self.masks, self.mask_of = tuple(masks), named(mask_of)
        first = next(iter(layouts.values()))
        self.label_names, self.quantity_names = first.label_names, first.quantity_names
        self.store = SampleStore(cache_root() / "samples")
        self.kept: dict[str, dict[str, TextParts]] = {}  # split -> modality -> texts on disk
        self.indices: dict[str, list[int]] = {}
        self.skipped: dict[str, int] = {}

    def fit_processors(self, fitted: Collection[str] = ()) -> None:
        """Fit what learns from data (tokenizers) on the training split, except the modalities that are `fitted`."""
        train = self.layouts["train"]
        for modality, processor in self.processors.items():
            if not processor.of and modality not in fitted:
                processor.read_tables(train.tables)
                processor.fit(r.sources[modality] for r in train if modality in r.sources)
        for modality, processor in self.processors.items():
            if processor.of not in {"", *self.processors}:
                raise ConfigError(
                    f"data.processors.{modality}: `of` is '{processor.of}'{nearest(processor.of, self.processors)}"
                )
            if processor.of and modality not in fitted and isinstance(processor, TextProcessor):
                owner = self.processors[processor.of]
                if not isinstance(owner, TextProcessor):
                    raise ConfigError(f"data.processors.{modality}: '{processor.of}' has no vocabulary to share")
                processor.adopt(owner)

    def prepare(self, splits: Iterable[str], *, bad_csv: Path, progress: Progress | None = None) -> None:
        """Fill the cache for `splits` and set unreadable records aside. Raises DataError by the bad-record policy."""
        for split in splits:
            layout = self.layouts[split]
            limits = {str(name): most for name, most in self.settings.limit.items()}
            count = min(len(layout), limits.get(split, len(layout)))
            chosen = _spread(len(layout), count)
            bad = BadRecords(
                policy=self.settings.on_bad_record,
                out_csv=bad_csv,
                max_share=self.settings.max_bad_share,
            )
            self.kept[split] = self._keep_texts(split, chosen, progress)
            dataset = self._dataset(split, chosen)
            kept = []
            for position, fault in self._load_all(dataset, _Ticker(split, count, progress)):
                if fault is None:
                    bad.good()
                    kept.append(chosen[position])
                else:
                    bad.report(layout.record(chosen[position]), fault)
            self.skipped[split] = bad.bad
            if not kept:
                raise DataError(f"{layout.root}: split '{split}' of {layout.name} has no readable record")
            self.indices[split] = kept

    def _keep_texts(self, split: str, chosen: Sequence[int], progress: Progress | None) -> dict[str, TextParts]:
        least = self.settings.keep_texts_from
        if least is None or len(chosen) < least:
            return {}
        kept = {}
        for modality, processor in self.processors.items():
            if not processor.slow_texts:
                continue
            sources = [self.layouts[split].record(index).sources.get(processor.of or modality, "") for index in chosen]
            texts = [source for source in sources if isinstance(source, str)]
            if len(texts) == len(sources):
                kept[modality] = TextParts(cache_root() / "texts", processor, texts, numbers=chosen)
                tick = _Ticker(split, len(texts), progress)
                kept[modality].build(
                    texts,
                    workers=self.settings.prepare_workers,
                    done=lambda n: tick(min(n, len(texts))),  # noqa: B023
                )
        return kept

    def _load_all(self, dataset: RecordDataset, tick: Callable[[int], None]) -> Iterable[tuple[int, DataError | None]]:
        workers = self.settings.prepare_workers
        positions = range(len(dataset))
        if workers < 2 or len(dataset) < 16 or self._is_cached(dataset):
            for position in positions:
                yield position, _try(dataset, position)
                tick(position + 1)
            return
        context = multiprocessing.get_context("spawn")
        chunks = [positions[i : i + 8] for i in range(0, len(positions), 8)]
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_adopt, initargs=(dataset,)) as pool:
            done = 0
            try:
                for chunk, faults in zip(chunks, pool.map(_try_chunk, chunks)):
                    for position, fault in zip(chunk, faults):
                        yield position, DataError(fault) if fault is not None else None
                    done += len(chunk)
                    tick(done)
            except BrokenProcessPool as err:
                raise DataError(
                    "a process that reads records died (out of memory, or a library crashed); "
                    "set --data.prepare_workers 0 to see where"
                ) from err
            finally:  # after a fault nobody waits for what has not begun
                pool.shutdown(wait=False, cancel_futures=True)

    def _is_cached(self, dataset: RecordDataset) -> bool:
        """Whether a look at a few records says that nothing is left to compute."""
        return all(dataset.is_stored(position) for position in _spread(len(dataset), min(4, len(dataset))))

    def fingerprint(self) -> str:
        """Changes when the records in use, their order, labels, texts or file sizes, or the processing change."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for index in self.indices.get(split, ()):
                record = self.layouts[split].record(index)
                digest.update(f"{split}\0{record.id}\0{sorted(record.labels.items())}\n".encode())
                texts = (f"{m}\0{source}\n" for m, source in record.sources.items() if isinstance(source, str))
                sizes = (f"{path.stat().st_size}\n" for path in record.files() if path.is_file())
                digest.update("".join((*texts, *sizes)).encode())
        for modality, processor in sorted(self.processors.items()):
            digest.update(f"{modality}\0{processor.fingerprint()}\n".encode())
        return digest.hexdigest()[:16]

    def split_hash(self) -> str:
        """Changes when a record comes, goes or moves to another split; 16 hex digits."""
        lines = sorted(f"{split}\0{self.layouts[split].record(i).id}" for split in SPLITS for i in self.indices[split])
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def train_loader(self, *, total: int, start: int = 0, rank: int = 0, world: int = 1) -> DataLoader[Batch]:
        """Batches of steps `start` to `total`, augmented if the settings say so."""
        plan = TrainingPlan(
            self.settings.batch_size,
            total,
            start,
            self.seed,
            self.settings.augment,
            rank,
            world,
            self.masks,
            self.indices["train"],
        )
        drawn = self.layouts["train"].draws(self.processors, plan)
        if drawn is not None:
            return self._loader(
                drawn.dataset, workers=self.settings.workers, collate=drawn.collate, batch_sampler=drawn.sampler
            )
        dataset = self._dataset("train", self.indices["train"], augment=self.settings.augment)
        sampler = StepSampler(
            len(dataset),
            batch_size=self.settings.batch_size,
            total=total,
            seed=self.seed,
            start=start,
            rank=rank,
            world=world,
        )
        return self._loader(dataset, workers=self.settings.workers, batch_sampler=sampler)

    def eval_loader(self, split: str, *, batch_size: int | None = None) -> DataLoader[Batch]:
        """All rows of a split once, in order, not augmented; read in this process, since they are in the cache."""
        size = batch_size or self.settings.batch_size
        return self._loader(self._dataset(split, self.indices[split]), workers=0, batch_size=size)

    def dataset(self, split: str) -> RecordDataset:
        """The split's samples, not augmented."""
        return self._dataset(split, self.indices[split])

    def _dataset(self, split: str, indices: Sequence[int], augment: bool = False) -> RecordDataset:
        return RecordDataset(
            self.layouts[split],
            self.processors,
            store=self.store,
            indices=indices,
            seed=self.seed,
            augment=augment,
            masks=self.masks,
            mask_of=self.mask_of,
            kept=self.kept.get(split),
        )

    def _loader(
        self, dataset: Dataset[Any], *, workers: int, collate: Callable[[Any], Batch] | None = None, **how: Any
    ) -> DataLoader[Batch]:
        return DataLoader(  # it yields what collate_fn returns, which its type parameter does not say
            cast(Dataset[Batch], dataset),
            collate_fn=collate
            or Collate(self.processors, self.label_names, self.masks, self.mask_of, self.quantity_names),
            num_workers=workers,
            timeout=self.settings.worker_timeout if workers else 0,
            persistent_workers=workers > 0,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_one_thread if workers else None,
            **how,
        )


class _Ticker:
    """Reports how many of a split's records are done."""

    def __init__(self, split: str, count: int, progress: Progress | None) -> None:
        self.split, self.count, self.progress = split, count, progress

    def __call__(self, done: int) -> None:
        if self.progress is not None:
            self.progress(self.split, done, self.count)


def _spread(size: int, count: int) -> list[int]:
    """`count` positions out of `size`, evenly spaced and in order."""
    return [int(i) for i in np.linspace(0, size, count, endpoint=False)]


_adopted: RecordDataset | None = None


def _adopt(dataset: RecordDataset) -> None:
    """In a worker process: take the data set that the chunks refer to, and leave the cores to the other workers."""
    global _adopted
    _one_thread()
    _adopted = dataset


def _one_thread(worker: int = 0) -> None:
    import threadpoolctl
    import torch

    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


def _try(dataset: RecordDataset, position: int) -> DataError | None:
    try:
        dataset[position]
    except DataError as fault:
        return fault
    return None


def _try_chunk(positions: Sequence[int]) -> list[str | None]:
    assert _adopted is not None
    faults = [_try(_adopted, position) for position in positions]
    return [None if fault is None else str(fault) for fault in faults]
