"""Records as samples: cached, and augmented by (seed, epoch, record) alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from toy_domain import PictureProcessor, ToyLayout, write_dataset

from core.data import dataset as module
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


def count_loads(monkeypatch) -> list[str]:
    loaded: list[str] = []
    load = TextProcessor.load
    monkeypatch.setattr(TextProcessor, "load", lambda self, text: loaded.append(text) or load(self, text))
    return loaded


def test_a_text_is_processed_once_and_is_the_same_ever_after(root, processors, monkeypatch):
    expected = {p: processors["words"].load(dataset(root, processors).record(p).sources["words"]) for p in (0, 1)}
    loaded = count_loads(monkeypatch)
    data = dataset(root, processors, augment=True)
    for epoch in range(3):
        for position in (0, 1):
            found = data[(epoch, position)]["inputs"]["words"]
            assert found.keys() == expected[position].keys()
            for name, array in expected[position].items():
                np.testing.assert_array_equal(found[name], array)
                assert found[name].dtype == array.dtype
    assert len(loaded) == 2


def test_kept_texts_cannot_be_written_to(root, processors):
    data = dataset(root, processors)
    with pytest.raises(ValueError, match="read-only"):
        data[0]["inputs"]["words"]["ids"][:] = 0
    data[0]["inputs"]["words"].clear()  # the dict is the caller's own
    assert "ids" in data[0]["inputs"]["words"]


def test_modalities_that_share_a_source_keep_their_own_samples(root, processors):
    short = TextProcessor(vocab_size=300, max_length=4, of="words")
    short.adopt(processors["words"])
    data = dataset(root, {**processors, "short": short})
    for _ in range(2):
        inputs = data[0]["inputs"]
        assert len(inputs["short"]["ids"]) == 4 < len(inputs["words"]["ids"])


def test_no_more_texts_are_kept_than_the_bound(root, processors, monkeypatch):
    monkeypatch.setattr(module, "KEPT_TEXTS", 2)
    loaded = count_loads(monkeypatch)
    data = dataset(root, processors)
    for _ in range(2):
        for position in range(4):
            assert "words" in data[position]["inputs"]
    assert len(data._texts) == 2
    assert len(loaded) == 4 + 2  # the two kept ones are not processed again


def test_a_loader_process_starts_without_kept_texts(root, processors):
    bare = len(pickle.dumps(dataset(root, processors)))
    data = dataset(root, processors)
    before = [data[p]["inputs"]["words"]["ids"] for p in range(4)]
    assert len(data._texts) == 4
    packed = pickle.dumps(data)
    assert len(packed) == bare
    other = pickle.loads(packed)
    assert len(other._texts) == 0
    for position, ids in enumerate(before):
        np.testing.assert_array_equal(other[position]["inputs"]["words"]["ids"], ids)
    assert len(data._texts) == 4


class OddOnly(PictureProcessor):
    """Holds nothing of records with an even number."""

    def load(self, source):
        return super().load(source) if int(source.stem.split("-")[1]) % 2 else {}


@pytest.mark.parametrize("stored", [False, True])
def test_a_source_that_holds_nothing_of_a_modality_leaves_it_out(root, processors, tmp_path, stored):
    store = SampleStore(tmp_path / "store") if stored else None
    data = dataset(root, {**processors, "picture": OddOnly()}, store=store)
    for _ in range(2):  # as it is made, and as the store gives it back
        assert [("picture" in data[i]["inputs"]) for i in range(4)] == [False, True, False, True]
        assert "words" in data[0]["inputs"]
