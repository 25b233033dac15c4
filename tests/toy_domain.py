"""A domain for the tests of the core: small pictures of patterns (.npy) and a few words about each.

It is used as any domain is: a layout, a processor, configs, and the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.layout import Layout, Record, refuse_empty
from core.data.processor import Processor, Sample
from core.errors import ConfigError, DataError, nearest
from core.types import ModalityInput

SIDE = 16
COUNTS = {"train": 24, "val": 8, "test": 12}
SYSTEM = """\
# Toy: pictures and words.
model:
  class_path: core.models.DualEncoder
  init_args:
    dim: 8
    encoders:
      eye:
        class_path: core.encoders.ConvNet
        init_args:
          {name: resnet18, channels: 1, options: {layers: [1, 1, 1, 1], channels: [16, 16, 16, 32]}}
      reader:
        class_path: core.encoders.TextTransformer
        init_args: {vocab_size: 300, max_length: 16, width: 16, depth: 1, heads: 2, prefix: 1, dropout: 0.1}
    modalities: {picture: eye, words: reader}
objectives:
  - class_path: core.objectives.Pair
    init_args: {rows: picture, keys: words, scale: {class_path: core.objectives.LogScale, init_args: {maximum: 14.29}}}
  - class_path: core.objectives.MaskedText
    weight: 0.5
    init_args: {modality: words, width: 16, vocab_size: 300, ratio: 0.3}
data:
  batch_size: 8
  prepare_workers: 0
  processors:
    picture: {class_path: toy_domain.PictureProcessor, init_args: {noise: 0.1}}
    words: {class_path: core.data.text.TextProcessor, init_args: {vocab_size: 300, max_length: 16}}
trainer: {max_steps: 12, checkpoint_every: 4, validate_every: 6, log_every: 1, threads: 1, precision: "32"}
optim: {lr: 1e-2}
evaluation: {bootstrap: 10, gallery: 2, untrained_baseline: false, probe: {fractions: [1.0], seeds: 1, neighbours: 3}}
"""
CLASSIFICATION = """\
# Toy labels.
task: {class_path: core.training.tasks.Classification}
modality: picture
data: {batch_size: 8, prepare_workers: 0}
trainer: {max_steps: 6, checkpoint_every: 3, validate_every: 3, log_every: 1, threads: 1, precision: "32"}
bootstrap: 10
"""


class ToyLayout(Layout):
    """`root/<split>-<n>.npy`, words and labels by number. lost: names without a file count as records all the same."""

    name: ClassVar[str] = "Toy patterns"
    licence: ClassVar[str] = "CC0-1.0"
    source: ClassVar[str] = "made by the tests"
    simulated: ClassVar[bool] = True
    label_names = ("bright", "striped")

    def __init__(self, *, root: Path, split: str, lost: int = 0) -> None:
        super().__init__(root=root, split=split)
        self.numbers = sorted(int(p.stem.split("-")[1]) for p in self.root.glob(f"{split}-*.npy"))
        refuse_empty(len(self.numbers), owner=self.name, where=self.root, expected=f"{split}-0.npy and so on")
        if split == "train":
            self.numbers += [1000 + i for i in range(lost)]

    def __len__(self) -> int:
        return len(self.numbers)

    def record(self, index: int) -> Record:
        number = self.numbers[index]
        bright, striped = number % 2, number // 2 % 2
        sources: dict[str, Path | str] = {"picture": self.root / f"{self.split}-{number}.npy"}
        if number % 8 != 7:  # some have no words
            kind = ("dark", "bright")[bright], ("plain", "striped")[striped]
            sources["words"] = f"a {kind[0]} and {kind[1]} pattern number {number % 5}"
        labels = {"bright": float(bright), "striped": float("nan") if number % 9 == 8 else float(striped)}
        return Record(f"{self.split}-{number}", f"{self.split}-{number // 2}", sources, labels)


class PictureProcessor(Processor):
    """A .npy array (SIDE, SIDE) as one channel; noise is added while training."""

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "image"
    not_in_load: ClassVar[frozenset[str]] = frozenset({"noise"})

    def __init__(self, *, noise: float = 0.0, gain: float = 1.0) -> None:
        self.noise, self.gain = noise, gain

    def load(self, source: Any) -> Sample:
        try:
            x = np.load(source, allow_pickle=False) if isinstance(source, Path) else np.asarray(source)
        except (OSError, ValueError, EOFError) as err:
            raise DataError(f"{source}: not a readable picture ({type(err).__name__}); copy it again") from err
        return {"x": (x * self.gain).astype(np.float32)}

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        noise = rng.standard_normal(sample["x"].shape).astype(np.float32)
        return {**sample, "x": sample["x"] + self.noise * noise}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        return ModalityInput(torch.from_numpy(np.stack([s["x"] for s in samples]))[:, None])


def layout_class(name: str) -> type[Layout]:
    if name != "toy":
        raise ConfigError(f"there is no layout '{name}'{nearest(name, ['toy'])}")
    return ToyLayout


def find_inputs(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        for file in sorted(path.rglob("*.npy")) if path.is_dir() else [path]:
            yield file, "picture"


def write_dataset(root: Path, counts: Mapping[str, int] = COUNTS) -> Path:
    """Bright or dark, striped or plain, with noise of its own."""
    root.mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        for number in range(count):
            rng = np.random.default_rng([sum(map(ord, split)), number])
            x = rng.normal(0, 0.1, (SIDE, SIDE)) + number % 2
            x[:: 2 if number // 2 % 2 else 1] += 0.5
            np.save(root / f"{split}-{number}.npy", x.astype(np.float32))
    return root


def write_configs(folder: Path, root: Path) -> Path:
    """The folder that `configs/` is for real domains."""
    toy = folder / "toy"
    for verb, systems in {"pretrain": {"pair": SYSTEM}, "finetune": {"labels": CLASSIFICATION}}.items():
        (toy / verb).mkdir(parents=True)
        for name, text in systems.items():
            here = text.replace("data:\n", f"data:\n  root: {root}\n").replace("data: {", f"data: {{root: {root}, ")
            (toy / verb / f"{name}.yaml").write_text(here)
    (toy / "domain.yaml").write_text(
        "summary: Patterns and words.\nsamples: none\nsamples_layout: toy\nlayouts: toy_domain\ninputs: toy_domain\n"
        'default: {pretrain: pair, finetune: labels, evaluate: "", embed: ""}\n'
    )
    return folder
