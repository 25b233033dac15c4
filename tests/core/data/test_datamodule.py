"""Splits ready for training: bad records, limits, loaders with and without processes, and what changes a run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from toy_domain import PictureProcessor, ToyLayout, write_dataset

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.data.text import TextProcessor
from core.errors import DataError


class DeadlyProcessor(PictureProcessor):
    """Kills the process that augments number 5 in a loader's process."""

    def augment(self, sample, rng):
        if torch.utils.data.get_worker_info() is not None and float(sample["x"].mean()) > 1.2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().augment(sample, rng)


class StuckProcessor(PictureProcessor):
    def augment(self, sample, rng):
        if torch.utils.data.get_worker_info() is not None:
            time.sleep(60)
        return super().augment(sample, rng)


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", {"train": 20, "val": 4, "test": 4})


def module(root, *, picture=None, lost=0, **settings):
    layouts = {s: ToyLayout(root=root, split=s, lost=lost) for s in ("train", "val", "test")}
    words = TextProcessor(vocab_size=300, max_length=16)
    processors = {"picture": picture or PictureProcessor(noise=0.3), "words": words}
    data = DataModule(layouts, processors, DataSettings(**{"batch_size": 4, "prepare_workers": 0, **settings}), seed=3)
    data.fit_processors()
    return data


def prepared(root, tmp_path, **how):
    data = module(root, **how)
    data.prepare(("train", "val", "test"), bad_csv=tmp_path / "bad.csv")
    return data


def test_evaluation_sees_every_row_once_in_order(root, tmp_path):
    data = prepared(root, tmp_path)
    batches = list(data.eval_loader("test", batch_size=3))
    assert [i for b in batches for i in b.ids] == [f"test-{n}" for n in range(4)]
    assert [len(b) for b in batches] == [3, 1]


def assert_same(a, b):
    assert a.ids == b.ids
    assert a.inputs.keys() == b.inputs.keys()
    for name in a.inputs:
        assert torch.equal(a.inputs[name].x, b.inputs[name].x)
    for name in a.keys:
        assert torch.equal(a.keys[name], b.keys[name])


def test_processes_load_the_same_batches_and_a_late_start_the_same_rest(root, tmp_path):
    data = prepared(root, tmp_path)
    alone = list(data.train_loader(total=8))
    data.settings.workers = 2
    for here, there in zip(alone[3:], data.train_loader(total=8, start=3), strict=True):
        assert_same(here, there)


def test_a_killed_process_is_an_error_within_seconds(root, tmp_path):
    data = prepared(root, tmp_path, picture=DeadlyProcessor(noise=0.1), workers=1)
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader worker .* exited unexpectedly|killed by signal"):
        list(data.train_loader(total=8))
    assert time.monotonic() - begun < 60


def test_a_stuck_process_is_an_error_after_the_timeout(root, tmp_path):
    data = prepared(root, tmp_path, picture=StuckProcessor(), workers=1, worker_timeout=6)
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 6 seconds"):
        next(iter(data.train_loader(total=2)))
    assert time.monotonic() - begun < 30


def test_unreadable_records_are_set_aside_counted_and_written_down_without_their_names(root, tmp_path):
    (root / "train-3.npy").write_bytes(b"junk")
    data = prepared(root, tmp_path, lost=1, max_bad_share=0.5)
    assert data.skipped == {"train": 2, "val": 0, "test": 0}
    assert len(data.indices["train"]) == 19
    rows = (tmp_path / "bad.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "train-3" not in rows[1]
    assert "not a readable picture" in rows[1]
    assert all("train-3" not in batch.ids for batch in data.train_loader(total=10))


def test_the_policy_raise_names_the_file(root, tmp_path):
    (root / "val-1.npy").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"val-1\.npy: not a readable picture"):
        prepared(root, tmp_path, on_bad_record="raise")


def test_too_many_bad_records_stop_the_run(root, tmp_path):
    for number in range(8):
        (root / f"train-{number}.npy").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"more than the share 0\.05.*They are listed in"):
        prepared(root, tmp_path)


def test_a_split_without_a_readable_record_is_an_error(root, tmp_path):
    for path in root.glob("val-*.npy"):
        path.write_bytes(b"junk")
    with pytest.raises(DataError, match="split 'val' of Toy patterns has no readable record"):
        prepared(root, tmp_path, max_bad_share=1.0)


@pytest.mark.parametrize("how", ["skip", "raise"])
def test_processes_that_read_records_set_the_same_ones_aside(root, tmp_path, how):
    for number in (1, 15):
        (root / f"train-{number}.npy").write_bytes(b"junk")
    if how == "raise":
        with pytest.raises(DataError, match=r"train-1\.npy: not a readable picture"):
            prepared(root, tmp_path, on_bad_record="raise", prepare_workers=2)
        return
    data = prepared(root, tmp_path, max_bad_share=0.5, prepare_workers=2)
    assert data.indices["train"] == [n for n in range(20) if n not in (1, 15)]


def test_a_limit_takes_evenly_spaced_records(root, tmp_path):
    data = prepared(root, tmp_path, limit={"train": 5})
    assert data.indices["train"] == [0, 4, 8, 12, 16]
    assert len(data.indices["val"]) == 4


def test_the_fingerprint_tells_records_labels_texts_files_and_processing_apart(root, tmp_path, monkeypatch):
    def fingerprint(where=root, **how):
        return prepared(where, tmp_path, **how).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(picture=PictureProcessor(noise=0.9)) == first  # noise is the config's matter
    others = [fingerprint(picture=PictureProcessor(gain=2.0)), fingerprint(limit={"train": 19})]
    real = ToyLayout.record

    def changed(**fields):
        def record(self, index):
            found = real(self, index)
            return type(found)(found.id, found.group, found.sources | fields.get("sources", {}),
                               dict(found.labels) | fields.get("labels", {}))  # fmt: skip

        monkeypatch.setattr(ToyLayout, "record", record)
        return fingerprint()

    others += [changed(labels={"bright": 0.5}), changed(sources={"words": "another text"})]
    monkeypatch.setattr(ToyLayout, "record", real)
    Path(root / "train-0.npy").write_bytes((root / "train-0.npy").read_bytes() + b" ")
    others.append(fingerprint())
    assert len({first, *others}) == 6


def test_a_text_split_without_texts_says_so(root):
    data = module(root)
    monkey = [r for r in data.layouts["train"] if "words" not in r.sources]
    assert monkey
    data.layouts["train"].numbers = [7, 15]
    with pytest.raises(DataError, match="no text to learn from"):
        data.fit_processors()
