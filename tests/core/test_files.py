"""Atomic writes: the old file or the new one, never a part of either, whichever system call fails."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import files
from core.errors import CheckpointError, DataError
from core.files import (
    MANIFEST,
    atomic_folder,
    atomic_write,
    read_manifest,
    remove_partials,
    verify_manifest,
    write_atomic,
)


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "a.bin"
    write_atomic(path, b"old")
    write_atomic(path, "neu")
    assert path.read_text() == "neu"
    assert os.listdir(path.parent) == ["a.bin"]


def test_an_exception_in_the_body_passes_unchanged_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_half():
        with atomic_write(path) as partial:
            partial.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_unreadable_source_in_the_body_is_not_called_a_write_fault(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.bin"):
        Path("/nonexistent/source").read_bytes()


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("k", [1, 2])
def test_the_kth_failing_call_leaves_a_whole_file_and_names_path_and_free_bytes(tmp_path, monkeypatch, call, k):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"old")
    real, count = getattr(os, call), 0

    def failing(*args):
        nonlocal count
        count += 1
        if count == k:
            full_disk()
        return real(*args)

    monkeypatch.setattr(files.os, call, failing)
    if call == "replace" and k == 2:  # there is only one rename
        write_atomic(path, b"new")
        return
    with pytest.raises(CheckpointError, match=r"last.ckpt: cannot be written \(No space left.*[\d,]+ bytes are free"):
        write_atomic(path, b"new", error=CheckpointError)
    assert path.read_bytes() in (b"old", b"new")
    assert path.read_bytes() == (b"new" if (call, k) == ("fsync", 2) else b"old")
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_size_limit_of_the_system_is_a_clear_error_also_from_safetensors(tmp_path):
    """RLIMIT_FSIZE stands for the full disk; safetensors reports it from Rust, as text."""
    script = f"""
import resource, signal, numpy as np
from pathlib import Path
from safetensors.numpy import save_file
from core.errors import CheckpointError
from core.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({str(tmp_path)!r}) / "model.safetensors"
def save(value):
    with atomic_write(path, error=CheckpointError) as partial:
        save_file({{"w": np.full(100_000, value)}}, partial)
save(1.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
try:
    save(2.0)
except CheckpointError as error:
    print(error)
from safetensors.numpy import load_file
assert (load_file(path)["w"] == 1.0).all()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors: cannot be written" in done.stdout
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_folder_is_complete_or_absent(tmp_path):
    target = tmp_path / "built"

    def write_half():
        with atomic_folder(target) as partial:
            (partial / "a.txt").write_text("a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert os.listdir(tmp_path) == []
    with atomic_folder(target, about={"seed": 1}) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "a.txt").write_text("a")
        assert not target.exists()
    assert verify_manifest(target, full=True) == []
    assert read_manifest(target)["about"] == {"seed": 1}
    assert set(read_manifest(target)["files"]) == {"sub/a.txt"}


def test_a_manifest_finds_missing_cut_changed_and_foreign_files(tmp_path):
    target = tmp_path / "built"
    with atomic_folder(target) as partial:
        for name in "abc":
            (partial / name).write_text("12345")
    (target / "a").unlink()
    (target / "b").write_text("123")
    (target / "c").write_text("1234X")
    (target / "d").write_text("")
    assert verify_manifest(target) == ["d: not in the manifest", "a: missing", "b: 3 bytes, expected 5"]
    assert verify_manifest(target, full=True)[-1] == "c: content differs from its sha256"


def test_a_manifest_that_points_outside_is_a_problem_and_none_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no manifest\.json, so it is not a finished folder"):
        verify_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"about": {}, "files": {"../x": {"bytes": 0, "sha256": ""}}}))
    assert verify_manifest(tmp_path, full=True) == ["../x: points outside the folder"]
    (tmp_path / MANIFEST).write_text('{"files": [')
    with pytest.raises(CheckpointError, match="not a readable manifest"):
        read_manifest(tmp_path, error=CheckpointError)


def test_partials_of_killed_writers_can_be_removed(tmp_path):
    (tmp_path / ".a.bin.12-abcd.partial").write_bytes(b"half")
    (tmp_path / ".built.12-abcd.partial").mkdir()
    remove_partials(tmp_path / "a.bin")
    remove_partials(tmp_path / "built")
    assert os.listdir(tmp_path) == []
