"""Records as samples: cached, and augmented by (seed, epoch, record) alone."""

from __future__ import annotations

import numpy as np
import pytest
from toy_domain import PictureProcessor, ToyLayout, write_dataset

from core.data.dataset import RecordDataset
from core.data.store import SampleStore
from core.data.text import TextProcessor
from core.errors import DataError


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", {"train": 10})


@pytest.fixture
def processors(root):
    words = TextProcessor(vocab_size=300, max_length=16)
    words.fit(r.sources["words"] for r in ToyLayout(root=root, split="train") if "words" in r.sources)
    return {"picture": PictureProcessor(noise=0.5), "words": words}


def dataset(root, processors, **how):
    return RecordDataset(ToyLayout(root=root, split="train"), processors, **how)


def test_a_sample_says_what_the_record_says(root, processors):
    data = dataset(root, processors, indices=[7, 8])
    first, second = data[0], data[1]
    assert len(data) == 2
    assert (first["id"], first["group"], first["index"]) == ("train-7", "train-3", 7)
    assert set(first["inputs"]) == {"picture"}  # record 7 has no words
    assert set(second["inputs"]) == {"picture", "words"}
    assert first["labels"] == {"bright": 1.0, "striped": 1.0}


def test_augmentation_depends_on_seed_epoch_and_record_alone(root, processors):
    def x(item, indices=None, seed=0):
        return dataset(root, processors, augment=True, seed=seed, indices=indices)[item]["inputs"]["picture"]["x"]

    np.testing.assert_array_equal(x((1, 3)), x((1, 3)))
    np.testing.assert_array_equal(x((1, 3)), x((1, 0), indices=[3]))  # the record counts, not its place
    assert (x((1, 3)) != x((2, 3))).any()
    assert (x((1, 3)) != x((1, 3), seed=1)).any()
    still = dataset(root, processors)[3]["inputs"]["picture"]["x"]
    np.testing.assert_array_equal(still, np.load(root / "train-3.npy"))


def test_the_store_is_filled_once_and_the_cache_is_not_augmented(root, processors, tmp_path, monkeypatch):
    store = SampleStore(tmp_path / "store")
    data = dataset(root, processors, store=store, augment=True)
    assert not data.is_stored(0)
    before = data[0]["inputs"]["picture"]["x"].copy()
    assert data.is_stored(0)
    assert len(store) == 1  # words are quicker made than read
    monkeypatch.setattr(PictureProcessor, "load", lambda *_: pytest.fail("read again"))
    np.testing.assert_array_equal(data[0]["inputs"]["picture"]["x"], before)
    plain = dataset(root, processors, store=store)[0]["inputs"]["picture"]["x"]
    np.testing.assert_array_equal(plain, np.load(root / "train-0.npy"))


def test_another_setting_of_the_processor_is_another_sample(root, processors, tmp_path):
    store = SampleStore(tmp_path / "store")
    one = dataset(root, processors, store=store)[1]["inputs"]["picture"]["x"]
    louder = dataset(root, {"picture": PictureProcessor(gain=2.0)}, store=store)[1]["inputs"]["picture"]["x"]
    np.testing.assert_allclose(louder, 2 * one)
    quieter = dataset(root, {"picture": PictureProcessor(noise=0.0)}, store=store)
    assert quieter.is_stored(1)  # noise is not in what is stored


def test_a_file_that_is_missing_is_not_stored_and_reading_it_names_it(root, processors, tmp_path):
    (root / "train-2.npy").unlink()
    data = RecordDataset(ToyLayout(root=root, split="train", lost=1), processors, store=SampleStore(tmp_path / "s"))
    lost = len(data) - 1
    assert not data.is_stored(lost)
    with pytest.raises(DataError, match=r"train-1000\.npy: no such file"):
        data[lost]
