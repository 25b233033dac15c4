"""Modalities of one record that vary together, carry each other's labels, or turn out to be empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from toy_domain import SIDE, PictureProcessor

from core.data.collate import Collate
from core.data.dataset import RecordDataset
from core.data.layout import Layout, Record, source_path
from core.data.processor import Sample


@dataclass(frozen=True, slots=True)
class Half:
    """A label file, read from one half of its values on."""

    path: Path
    above: float


class Turned(PictureProcessor):
    """Mirrors with its partners; adds noise of its own. Sources that end with -empty hold nothing of it."""

    def load(self, source: object) -> Sample:
        return {} if str(source).endswith("-empty.npy") else super().load(source)

    def augment_jointly(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        flipped = rng.random() < 0.5
        return {name: array[..., ::-1].copy() if flipped else array for name, array in sample.items()}

    def load_mask(self, path: Half, source: object) -> np.ndarray:
        return (np.load(path.path) > path.above).astype(np.int16)


class Pairs(Layout):
    """Picture n.npy twice, as "left" and "right"; every third record has no "left"."""

    name = licence = source = "made by the tests"

    def __len__(self) -> int:
        return 6

    def record(self, index: int) -> Record:
        path = self.root / f"{index}.npy"
        sources = {"right": path} if index % 3 == 2 else {"left": path, "right": path}
        return Record(str(index), str(index), sources, masks={"bright": Half(path, 0.5)})


def dataset(tmp_path: Path, **how: object) -> RecordDataset:
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", np.random.default_rng(i).random((SIDE, SIDE)).astype(np.float32))
    processors = {"left": Turned(), "right": Turned()}
    return RecordDataset(
        Pairs(root=tmp_path, split="train"), processors, masks=("bright",), mask_of=("left", "right"), **how
    )  # type: ignore[arg-type]


def test_partners_are_mirrored_together_and_their_labels_with_them(tmp_path):
    data, mirrored = dataset(tmp_path, augment=True), []
    for epoch in range(8):
        for position in range(6):
            inputs = data[epoch, position]["inputs"]
            if "left" in inputs:
                np.testing.assert_array_equal(inputs["left"]["x"], inputs["right"]["x"])
            carrier = inputs.get("left", inputs["right"])
            np.testing.assert_array_equal(carrier["mask_bright"], carrier["x"] > 0.5)
            plain = np.load(tmp_path / f"{position}.npy")
            mirrored.append(bool((inputs["right"]["x"] != plain).any()))
    assert 12 < sum(mirrored) < 36
    again = data[3, 1]["inputs"]["right"]["x"]
    np.testing.assert_array_equal(data[3, 1]["inputs"]["right"]["x"], again)


def test_labels_lie_on_the_first_modality_that_a_record_has(tmp_path):
    data = dataset(tmp_path)
    assert "mask_bright" in data[0]["inputs"]["left"]
    assert "mask_bright" not in data[0]["inputs"]["right"]
    assert "mask_bright" in data[2]["inputs"]["right"]
    batch = Collate(data.processors, (), ("bright",), ("left", "right"))([data[0], data[2]])
    assert batch.masks["bright"].shape == (2, SIDE, SIDE)
    assert (batch.masks["bright"] >= 0).all()
    assert batch.present["left"].tolist() == [True, False]
    one = Collate(data.processors, (), ("bright",), "left")([data[0], data[2]])
    assert (one.masks["bright"][1] == -1).all()
    assert torch.equal(one.masks["bright"][0], batch.masks["bright"][0])


def test_a_source_that_holds_nothing_of_a_modality_is_a_missing_modality(tmp_path):
    data = dataset(tmp_path)
    np.save(tmp_path / "0-empty.npy", np.zeros((SIDE, SIDE), np.float32))
    record = Record("0", "0", {"left": tmp_path / "0-empty.npy", "right": tmp_path / "0.npy"})
    assert set(data.load(record)) == {"right"}


def test_label_files_with_arguments_count_among_the_files_of_a_record(tmp_path):
    left, labels = tmp_path / "0.npy", tmp_path / "labels.npy"
    record = Record("0", "0", {"left": left, "right": left}, masks={"bright": Half(labels, 0.5)})
    assert list(record.files()) == [left, labels]
    assert source_path(record.masks["bright"]) == labels
