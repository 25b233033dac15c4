"""Processor: from one source to one sample, and from samples to a model's input.

The same object serves training, evaluation, embedding and deployment, and is saved with the weights: there is no second
preprocessing path. `load` is deterministic and may be cached; only `augment` is random, and its generator is given.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from core.errors import ConfigError, DataError
from core.types import ModalityInput

Sample = dict[str, np.ndarray]
CONTENT_KINDS = ("text", "graph")  # kinds of modality whose source, when it is a str, is the content and not a path


class Processor(ABC):
    """What one modality goes through before the model. Its typed keyword-only `__init__` is its config.

    Every argument of `__init__` is kept as an attribute of the same name. version: raised when `load` changes its
    result. not_in_load: arguments that only `augment` or `collate` use, so that changing them keeps cached samples.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]]
    version: ClassVar[int] = 1
    of: str = ""  # the modality whose source this one reads too (a part of a text, another view); empty: its own
    not_in_load: ClassVar[frozenset[str]] = frozenset()
    slow_texts: ClassVar[bool] = False  # whether to keep on disk what `load` makes of many texts

    @abstractmethod
    def load(self, source: Any) -> Sample:
        """Arrays of one source (a path, content, or what the domain documents); deterministic, so it may be cached.

        Empty where a readable source holds nothing of this modality (a report without the section): the record then
        lacks it. Raises DataError naming the file, the fault and the remedy.
        """

    def load_many(self, sources: Sequence[Any]) -> list[Sample | DataError]:
        """A sample or its error per source, in order; for processors that are quicker with many at once."""
        found: list[Sample | DataError] = []
        for source in sources:
            try:
                found.append(self.load(source))
            except DataError as fault:
                found.append(fault)
        return found

    def augment_jointly(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """A random variation that co-registered modalities share (a flip, a crop), for training only, before `augment`.

        Every modality of a record gets a generator in the same state: processors that draw in the same order and that
        agree on the ground a sample covers vary it in the same way. It never writes into `sample`.
        """
        return dict(sample)

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """A random variation of a loaded sample, for training only. It never writes into `sample`."""
        return dict(sample)

    def drawn(self, source: Any) -> np.ndarray | None:
        """A picture of a source for reports, (H, W, 3) uint8, where samples are no pictures; None where they are."""
        return None

    @abstractmethod
    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        """Model input of V >= 1 samples, loaded or augmented, in their order."""

    def load_mask(self, path: Any, source: Any) -> np.ndarray:
        """Dense labels of `source`, read from `path` and brought onto the grid of its sample; integers, -1 = unknown.

        Raises DataError when the labels do not lie on the grid of `source`.
        """
        raise ConfigError(f"{type(self).__name__} has no dense labels; leave {path} out of the task")

    def shown(self, x: np.ndarray) -> np.ndarray:
        """One row of the model input (C, H, W) for a person to look at: uint8 (H, W) or (H, W, 3). Here grey, the mean
        of the channels, 0 black and 1 white."""
        grey = np.nan_to_num(np.asarray(x, np.float64).mean(axis=0))
        return np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)

    label_suffix: ClassVar[str] = ""  # of the files that `write_labels` makes

    def read_labels(self, path: Any) -> tuple[np.ndarray, tuple[float, ...]]:
        """Labels of a file as they are, on their own grid, and the size of a cell along each axis."""
        raise ConfigError(f"{type(self).__name__} has no dense labels; leave {path} out of the task")

    def labels_to_source(self, labels: np.ndarray, source: Any) -> np.ndarray:
        """Labels on the own grid of `source`, from labels on the model grid or from the scores of classes there.

        labels: class indices with the shape of the model grid, taken by nearest neighbour; or one more axis in front,
        float scores of classes, which are interpolated before the largest is taken (0 beyond the model grid).
        """
        raise ConfigError(f"{type(self).__name__} has no dense labels")

    def write_labels(self, labels: np.ndarray, source: Any, path: Path) -> None:
        """Write labels that lie on the own grid of `source`, with its position in the world."""
        raise ConfigError(f"{type(self).__name__} has no dense labels")

    def config(self) -> dict[str, Any]:
        """The arguments that make an equal processor (before `fit` or `restore`)."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fingerprint(self) -> str:
        """Changes whenever `load` could give another result for the same source: 32 hex digits."""
        config = {name: value for name, value in self.config().items() if name not in self.not_in_load}
        facts = [type(self).__module__, type(self).__qualname__, self.version, config, self._learned()]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def _learned(self) -> str:
        """Digest of what `fit` learned; empty when there is nothing."""
        return ""

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:  # noqa: B027
        """Take what the records of the training split refer to by name (`Layout.tables`); called before `fit`."""

    def fit(self, sources: Iterable[Any]) -> None:  # noqa: B027 - most processors have nothing to fit
        """Learn what `load` needs (a vocabulary) from training sources; called once, before the first `load`."""

    def save(self, folder: Path) -> None:  # noqa: B027 - most processors are their config
        """Write what `fit` learned into `folder`, beside the config."""

    def restore(self, folder: Path) -> None:  # noqa: B027
        """Read back what `save` wrote. Raises CheckpointError naming the file that is missing or unreadable."""
