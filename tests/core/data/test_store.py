"""The sample store and datasets built once: whole, shared, mended."""

import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from core.data.built import simulating
from core.data.store import SampleStore, build_once, cache_root, sample_key, source_identity
from core.errors import DataError

KEY = "ab" + "0" * 62


def sample():
    rng = np.random.default_rng(3)
    return {
        "x": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "ids": np.arange(5),
        "mask": np.array([True, False]),
        "half": np.ones((2, 2), dtype=np.float16),
        "scalar": np.float64(1.5),
        "empty": np.zeros((0, 3), dtype=np.float32),
    }


def never():
    raise AssertionError("should have been read from the store")


def test_a_sample_comes_back_equal_and_is_computed_once(tmp_path):
    store, made = SampleStore(tmp_path), sample()
    first = store.get(KEY, lambda: made)
    again = SampleStore(tmp_path).get(KEY, never)
    for got in (first, again):
        assert set(got) == set(made)
        for name, array in made.items():
            assert got[name].dtype == np.asarray(array).dtype
            np.testing.assert_array_equal(got[name], array)
    assert KEY in store
    assert len(store) == 1
    assert store.size_bytes() == store.path(KEY).stat().st_size


def test_writing_into_a_sample_does_not_reach_the_file(tmp_path):
    SampleStore(tmp_path).get(KEY, sample)
    got = SampleStore(tmp_path).get(KEY, never)
    got["x"][:] = 7
    np.testing.assert_array_equal(SampleStore(tmp_path).get(KEY, never)["x"], sample()["x"])


def test_a_non_contiguous_array_is_stored_in_its_logical_order(tmp_path):
    array = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)
    SampleStore(tmp_path).get(KEY, lambda: {"x": array})
    np.testing.assert_array_equal(SampleStore(tmp_path).get(KEY, never)["x"], array)


def damage(kind, content):
    rng = np.random.default_rng(1)
    if kind == "cut":
        return content[:-8]
    if kind == "grown":
        return content + b"x"
    if kind == "flipped":
        return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    if kind == "header":
        return b"\xff" * 8 + content[8:]
    return {"empty": b"", "zeros": bytes(len(content)), "noise": rng.bytes(len(content))}[kind]


@pytest.mark.parametrize("kind", ["cut", "grown", "flipped", "header", "empty", "zeros", "noise"])
def test_a_damaged_file_is_computed_again_with_one_warning(tmp_path, kind):
    path = SampleStore(tmp_path).path(KEY)
    SampleStore(tmp_path).get(KEY, sample)
    content = path.read_bytes()
    path.write_bytes(damage(kind, content))
    store = SampleStore(tmp_path)
    with pytest.warns(RuntimeWarning, match="computed again"):
        got = store.get(KEY, sample)
    np.testing.assert_array_equal(got["x"], sample()["x"])
    os.unlink(path)
    path.write_bytes(damage("cut", content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the second one is mended without a message
        store.get(KEY, sample)
    SampleStore(tmp_path).get(KEY, never)


def test_every_truncation_is_noticed(tmp_path):
    store = SampleStore(tmp_path)
    store.get(KEY, sample)
    content = store.path(KEY).read_bytes()
    for size in range(0, len(content), 7):
        store.path(KEY).write_bytes(content[:size])
        fresh = SampleStore(tmp_path)
        with pytest.warns(RuntimeWarning, match="sample store"):
            fresh.get(KEY, sample)


def test_a_failing_computation_passes_unchanged_and_stores_nothing(tmp_path):
    store = SampleStore(tmp_path)
    with pytest.raises(DataError, match=r"scan\.nii: cut short"):
        store.get(KEY, lambda: (_ for _ in ()).throw(DataError("scan.nii: cut short")))
    assert len(store) == 0


def test_a_folder_that_cannot_be_written_stops_the_storing_and_not_the_run(tmp_path):
    store = SampleStore(tmp_path / "store")
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="no longer stored"):
        np.testing.assert_array_equal(store.get(KEY, sample)["x"], sample()["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(store.get(KEY, sample)["x"], sample()["x"])


def test_concurrent_writers_of_one_key_leave_one_whole_file(tmp_path):
    store, barrier, out = SampleStore(tmp_path), threading.Barrier(6), []

    def slow():
        barrier.wait()
        return sample()

    threads = [threading.Thread(target=lambda: out.append(store.get(KEY, slow))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(out) == 6
    assert [p.name for p in store.path(KEY).parent.iterdir()] == [store.path(KEY).name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SampleStore(tmp_path).get(KEY, never)


def test_prune_removes_the_oldest_first(tmp_path):
    store = SampleStore(tmp_path)
    keys = [f"{i:02x}" + "0" * 62 for i in range(3)]
    for i, key in enumerate(keys):
        store.get(key, sample)
        os.utime(store.path(key), (i, i))
    one = store.path(keys[0]).stat().st_size
    assert store.prune(2 * one) == one
    assert [key in store for key in keys] == [False, True, True]


def test_a_key_changes_with_processor_content_and_reader_arguments(tmp_path):
    @dataclass(frozen=True)
    class Scan:
        path: Path
        slope: float

    path = tmp_path / "a.nii"
    path.write_bytes(b"123")
    keys = [sample_key("p1", path, root=tmp_path), sample_key("p2", path, root=tmp_path), sample_key("p1", "a text")]
    keys += [sample_key("p1", Scan(path, 1.0)), sample_key("p1", Scan(path, 2.0))]
    os.utime(path, ns=(1, 1))
    keys.append(sample_key("p1", path, root=tmp_path))
    assert len(set(keys)) == len(keys)


def test_a_moved_dataset_keeps_its_keys_and_a_changed_slice_of_a_series_does_not(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name / "series").mkdir(parents=True)
        for i in range(3):
            (tmp_path / name / "series" / f"{i}.dcm").write_bytes(bytes(i))
            os.utime(tmp_path / name / "series" / f"{i}.dcm", ns=(5, 5))
    old, new = (source_identity(tmp_path / n / "series", root=tmp_path / n) for n in ("old", "new"))
    assert old == new
    (tmp_path / "new" / "series" / "2.dcm").write_bytes(b"changed")
    assert source_identity(tmp_path / "new" / "series", root=tmp_path / "new") != old


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.nii: no such file"):
        sample_key("p", tmp_path / "gone.nii")


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path / "cache"))
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("HEPTAD_CACHE")
    assert cache_root().name == "heptad"


def make(folder):
    (folder / "a.txt").write_text("content")


def test_a_dataset_is_built_once_and_again_for_another_version_or_after_damage(tmp_path, caplog):
    calls = []

    def build(folder):
        calls.append(folder)
        make(folder)

    target = tmp_path / "cache" / "phantom"
    for _ in range(2):
        assert build_once(target, build, version="1") == target
    assert len(calls) == 1
    build_once(target, build, version="2")
    assert len(calls) == 2
    assert "is version '1'" in caplog.text
    (target / "a.txt").write_text("cut")
    build_once(target, build, version="2")
    assert len(calls) == 3
    assert (target / "a.txt").read_text() == "content"


def test_an_interrupted_build_leaves_nothing_that_looks_complete(tmp_path):
    def interrupted(folder):
        make(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "phantom", interrupted, version="1")
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".lock")] == []
    build_once(tmp_path / "phantom", make, version="1")


def test_what_was_not_built_here_is_not_deleted(tmp_path):
    mine = tmp_path / "phantom" / "precious.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(DataError, match="exists, but was not built by this program"):
        build_once(tmp_path / "phantom", make, version="1")
    assert mine.read_text() == "mine"


def test_a_second_process_waits_and_a_killed_one_leaves_the_way_free(tmp_path):
    script = """
import sys, time
from pathlib import Path
from core.data.store import build_once
root = Path(sys.argv[1])
def build(folder):
    with open(root / "builds", "a") as out:
        out.write("x")
    (folder / "a.txt").write_text("content")
    time.sleep(float(sys.argv[2]))
build_once(root / "phantom", build, version="1")
"""

    def start(seconds):
        return subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(seconds)])

    killed = start(60)
    while not (tmp_path / "builds").exists() or not (tmp_path / "builds").read_text():
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    assert not (tmp_path / "phantom").exists()
    both = [start(0.3), start(0.3)]
    assert [p.wait(timeout=30) for p in both] == [0, 0]
    assert (tmp_path / "builds").read_text() == "xx"  # the killed one, and one of the two
    assert sorted(p for p in os.listdir(tmp_path) if p.endswith(".partial")) == []


def test_a_script_without_a_main_guard_is_told_so_and_waits_for_nobody(tmp_path):
    """Building starts processes that import the script anew; without a guard each would wait for the lock for ever."""
    script = tmp_path / "naive.py"
    script.write_text(
        "from concurrent.futures import ProcessPoolExecutor\nfrom multiprocessing import get_context\n"
        "from pathlib import Path\nfrom core.data.built import simulating, build_once\n"
        "def build(folder):\n"
        "    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
        "        list(pool.map(abs, [1]))\n"
        f"build_once(Path({str(tmp_path / 'built')!r}), build, version='1')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "put the script's own calls below `if __name__ == '__main__':`" in done.stderr
    assert not (tmp_path / "built").exists()


def test_a_simulation_whose_helper_dies_says_so(tmp_path):
    def simulate():
        with simulating("small things", 3, tmp_path / "set") as tick:
            tick(1, 3)
            raise BrokenProcessPool

    with pytest.raises(DataError, match=r"a process that simulates small things died .* start again"):
        simulate()
