"""An index of vectors: written and read back, and only what changed is encoded again."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.retrieval.archive import Archive, Entry, updated


class Reader:
    """Encodes a file as (its size, 1); remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, modality, paths):
        self.asked += [path.name for path in paths]
        for path in paths:
            if path.name != "bad":
                yield path, np.array([path.stat().st_size, 1], np.float32), {"name": path.name}


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for i, name in enumerate(("a", "b", "bad", "c")):
        (folder / name).write_bytes(b"x" * (i + 1))
    return folder


def scan(folder):
    return [(path, "m") for path in sorted(folder.iterdir())]


def test_an_archive_is_what_was_written(tmp_path):
    entries = (Entry("a", "s1", "3 4", {"date": "2020-01-01", "bounds": None}), Entry("b", "s2", "", {}))
    one = Archive("model", entries, np.arange(6, dtype=np.float32).reshape(2, 3))
    one.write(tmp_path / "i.parquet")
    two = Archive.read(tmp_path / "i.parquet")
    assert (two.model, two.entries) == (one.model, one.entries)
    assert np.array_equal(two.vectors_NE, one.vectors_NE)
    assert two.vectors_NE.dtype == np.float32


def test_only_new_and_changed_files_are_encoded(files):
    first, again = Reader(), Reader()
    old = updated(None, scan(files), model="m", encode=first, batch_size=2)
    assert first.asked == ["a", "b", "bad", "c"]
    assert [entry.about["name"] for entry in old.entries] == ["a", "b", "c"]
    np.testing.assert_array_equal(old.vectors_NE[:, 0], [1, 2, 4])
    (files / "b").write_bytes(b"x" * 9)
    (files / "c").unlink()
    new = updated(old, scan(files), model="m", encode=again)
    assert again.asked == ["b", "bad"]
    np.testing.assert_array_equal(new.vectors_NE[:, 0], [1, 9])


def test_other_weights_make_other_vectors(files):
    old, other = updated(None, scan(files), model="m", encode=Reader()), Reader()
    updated(old, scan(files), model="n", encode=other)
    assert other.asked == ["a", "b", "bad", "c"]


def test_progress_counts_files(files):
    told = []
    updated(None, scan(files), model="m", encode=Reader(), batch_size=3, tell=lambda done, of: told.append((done, of)))
    assert told == [(3, 4), (4, 4)]


def test_an_index_that_is_none_and_an_archive_without_files_are_told(tmp_path, files):
    (tmp_path / "i.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"i.parquet: not a readable index .*delete it"):
        Archive.read(tmp_path / "i.parquet")
    with pytest.raises(DataError, match=r"no file that could be read \(1 were tried\)"):
        updated(None, [(files / "bad", "m")], model="m", encode=Reader())
