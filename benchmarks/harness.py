"""Small experiments on the suite's own parts: pairs in memory, its training module, its feature extraction.

Shape legend: N = rows of a set, B = rows of a batch, C, H, W = channels, rows and columns of an image.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from core.config.schema import OptimSettings, TrainerSettings
from core.data.sampler import StepSampler
from core.data.text import TextProcessor
from core.evaluation import LinearProbe, ProbeSplit, label_efficiency
from core.models.dual_encoder import DualEncoder
from core.objectives.base import Objective
from core.training.features import Features, extract
from core.training.module import TrainingModule
from core.training.precision import Compute
from core.types import Batch, ModalityInput

PROBE_SUBSETS = tuple(range(5))  # label subsets per seed, as many as the suite's own probes draw


@dataclass(frozen=True, slots=True)
class Rows(Dataset[Batch]):
    """A whole set in memory. labels, keys: name -> (N,)."""

    inputs: dict[str, ModalityInput]
    labels: dict[str, Tensor]
    keys: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batch(self, rows: Sequence[int] | NDArray[np.integer]) -> Batch:
        """The given rows, in that order; every modality is present."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Batch(
            ids=[str(i) for i in index.tolist()],
            inputs={name: inp.rows(index) for name, inp in self.inputs.items()},
            present={name: torch.ones(len(index), dtype=torch.bool) for name in self.inputs},
            labels={name: values[index] for name, values in self.labels.items()},
            keys={"sample": index, "group": index, **{name: values[index] for name, values in self.keys.items()}},
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows in order."""
        for first in range(0, len(self), size):
            yield self.batch(np.arange(first, min(first + size, len(self))))

    def __getitems__(self, rows: list[tuple[int, int]]) -> Batch:
        return self.batch([row for _, row in rows])  # an item of the sampler is (epoch, row)


def image_input(images_NHW: NDArray[np.float32]) -> ModalityInput:
    """Grey images as one channel."""
    return ModalityInput(torch.from_numpy(images_NHW)[:, None])


def text_input(texts: Sequence[str], processor: TextProcessor) -> ModalityInput:
    """Texts through a fitted processor."""
    known = {text: processor.load(text) for text in dict.fromkeys(texts)}
    return processor.collate([known[text] for text in texts])


def one_hot_labels(names: Sequence[str], values_N: NDArray[np.integer]) -> dict[str, Tensor]:
    """Class numbers as one 0/1 label per class."""
    return {name: torch.from_numpy((values_N == i).astype(np.float32)) for i, name in enumerate(names)}


def train(
    model: DualEncoder,
    objective: Objective,
    rows: Rows,
    *,
    steps: int,
    batch_size: int,
    optim: OptimSettings,
    seed: int,
    callbacks: Sequence[L.Callback] = (),
) -> None:
    """Train in place with the training module of every run; global random state is left as it was."""

    def make_loader(*, total: int, start: int, rank: int, world: int) -> DataLoader[Batch]:
        sampler = StepSampler(
            len(rows), batch_size=batch_size, total=total, seed=seed, start=start, rank=rank, world=world
        )
        return DataLoader(rows, batch_sampler=sampler, collate_fn=_as_it_is)

    train_on(model, objective, make_loader, steps=steps, optim=optim, seed=seed, callbacks=callbacks)


def train_on(
    model: DualEncoder,
    objective: Objective,
    make_loader: Callable[..., DataLoader[Batch]],
    *,
    steps: int,
    optim: OptimSettings,
    seed: int,
    callbacks: Sequence[L.Callback] = (),
) -> None:
    """`train` on batches from elsewhere: make_loader(total=, start=, rank=, world=), as a `DataModule` has it."""
    module = TrainingModule(
        model, objective, optim=optim, trainer=TrainerSettings(max_steps=steps), seed=seed, make_loader=make_loader
    )
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # teachers, on purpose
        L.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=steps,
            max_epochs=-1,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=False,
        ).fit(module)


def features(model: DualEncoder, rows: Rows, modalities: Sequence[str], *, batch_size: int = 256) -> Features:
    """Vectors and pooled features of every row, in evaluation mode."""
    compute = Compute(torch.device("cpu"), "32", torch.get_num_threads())
    return extract(model, rows.batches(batch_size), compute, modalities=modalities)


def probe_auroc(model: DualEncoder, fit: Rows, test: Rows, modality: str, *, fraction: float) -> dict[str, float]:
    """AUROC of a linear probe on frozen features with `fraction` of the labels, mean over label subsets.

    One value per label, and "macro_auroc".
    """
    known, asked = (features(model, rows, [modality]) for rows in (fit, test))
    scores = label_efficiency(
        LinearProbe(),
        ProbeSplit(known.pooled[modality], known.labels),
        ProbeSplit(asked.pooled[modality], asked.labels),
        known.label_names,
        fractions=(fraction,),
        seeds=PROBE_SUBSETS,
        n_bootstrap=1,
    )[fraction]
    return {"macro_auroc": scores.macro_auroc.value, **scores.per_label}


def _as_it_is(batch: Any) -> Any:
    return batch
