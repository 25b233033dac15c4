"""Processed samples on disk, keyed by what they were made from. (Datasets built on first use: `core.data.built`.)"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import mmap
import os
import stat
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from core.data.built import build_once, cache_root
from core.data.layout import Source
from core.errors import DataError
from core.files import TEMPORARY_SUFFIX, atomic_write, verify_manifest

__all__ = ["SampleStore", "build_once", "cache_root", "sample_key", "source_identity", "verify_manifest"]

_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_MAX_HEADER = 1 << 20  # a sample has a handful of arrays; a longer header is damage
_STALE_SECONDS = 24 * 3600


def source_identity(source: Source, *, root: Path | None = None) -> str:
    """Text that changes when the content behind `source` may have changed.

    A file: path (relative to `root` when below it), size and mtime. A folder: that of each file in it. Text: its
    sha256. A frozen dataclass: the identity of every field. Raises DataError for a file that is not there.
    """
    if isinstance(source, str):
        return "text:" + hashlib.sha256(source.encode()).hexdigest()
    if isinstance(source, Path):
        return _path_identity(source, root)
    if dataclasses.is_dataclass(source):
        parts = {f.name: getattr(source, f.name) for f in dataclasses.fields(source)}
        shown = {k: source_identity(v, root=root) if isinstance(v, Path) else repr(v) for k, v in parts.items()}
        return f"{type(source).__name__}:{json.dumps(shown, sort_keys=True)}"
    raise TypeError(f"a source is a Path, a str or a dataclass with a path, not {type(source).__name__}")


def sample_key(fingerprint: str, source: Source, *, root: Path | None = None) -> str:
    """Key of what the processor with this `fingerprint` makes of `source`: 64 hex digits."""
    return hashlib.sha256(f"{fingerprint}\0{source_identity(source, root=root)}".encode()).hexdigest()


class SampleStore:
    """Processed samples on disk, one safetensors file each, shared by any number of processes.

    Files appear by rename, so a reader sees a whole file or none, and two writers of one key write the same content.
    Arrays come back memory-mapped, copy-on-write: writable, and never written through. A damaged file is recomputed,
    and a full disk stops the storing (not the run), each with one warning per store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._checked: set[str] = set()
        self._warned: set[str] = set()
        self._full = False

    def get(self, key: str, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The sample of `key`, computed and stored if it is not there. Exceptions of `compute` pass unchanged."""
        path = self.path(key)
        try:
            arrays = _read(path, check=key not in self._checked)
        except (FileNotFoundError, NotADirectoryError):
            arrays = None
        except (OSError, _DamagedError) as fault:
            self._warn("damaged", f"{path}: {fault}; computed again (further ones are mended without a message)")
            arrays = None
        if arrays is not None:
            self._checked.add(key)
            return arrays
        made = {name: np.asarray(array, order="C") for name, array in compute().items()}
        if not self._full:
            try:
                _write(path, made)
            except DataError as fault:
                self._full = True
                self._warn("full", f"processed samples are no longer stored, the run goes on without: {fault}")
        return made

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def __len__(self) -> int:
        return sum(1 for _ in self._entries())

    def size_bytes(self) -> int:
        """Bytes of all stored samples."""
        return sum(size for _, size, _ in self._entries())

    def prune(self, max_bytes: int) -> int:
        """Delete the oldest samples, and what killed writers left, until at most `max_bytes` remain; bytes freed."""
        for left in self.folder.glob(f"*/.*{TEMPORARY_SUFFIX}"):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink(missing_ok=True)
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total, freed = sum(size for _, size, _ in entries), 0
        for path, size, _ in entries:
            if total - freed <= max_bytes:
                break
            path.unlink(missing_ok=True)
            freed += size
        return freed

    def _entries(self) -> Iterator[tuple[Path, int, int]]:
        for path in self.folder.glob("??/*.safetensors"):
            try:
                facts = path.stat()
            except FileNotFoundError:  # pruned by another process meanwhile
                continue
            yield path, facts.st_size, facts.st_mtime_ns

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"sample store: {text}", RuntimeWarning, stacklevel=3)


class _DamagedError(Exception):
    """A stored sample whose bytes are not what was written."""


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    with atomic_write(path) as partial:
        save_file(dict(arrays), partial, metadata={"crc32": str(_crc(arrays))})


def _read(path: Path, *, check: bool) -> dict[str, np.ndarray]:
    """Map `path` and view its arrays. check: compare the stored checksum, which touches every byte."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 10:
            raise _DamagedError(f"{size} bytes long")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    header_bytes = int.from_bytes(mapped[:8], "little")
    if header_bytes > min(_MAX_HEADER, size - 8):
        raise _DamagedError("its header does not fit the file")
    try:
        header = json.loads(mapped[8 : 8 + header_bytes])
        crc = int(header.pop("__metadata__")["crc32"])
        base, arrays, end = 8 + header_bytes, {}, 0
        for name, facts in header.items():
            start, stop = facts["data_offsets"]
            dtype, shape = np.dtype(_DTYPES[facts["dtype"]]), tuple(facts["shape"])
            count = int(np.prod(shape, dtype=np.int64))
            if not 0 <= start <= stop <= size - base or stop - start != count * dtype.itemsize:
                raise _DamagedError(f"array '{name}' does not fit the file")
            arrays[name] = np.frombuffer(mapped, dtype, count, base + start).reshape(shape)
            end = max(end, stop)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise _DamagedError(f"unreadable header ({type(fault).__name__})") from fault
    if base + end != size:
        raise _DamagedError(f"{size} bytes, expected {base + end}")
    if check and _crc(arrays) != crc:
        raise _DamagedError("its checksum differs")
    return arrays


def _crc(arrays: Mapping[str, np.ndarray]) -> int:
    crc = 0
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name}{array.dtype.str}{array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc) if array.size else crc
    return crc


def _files_below(folder: str, prefix: str) -> Iterator[tuple[str, int, int]]:
    """(path relative to the first folder, size, time) of every file below it; a loader asks this for each sample."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield _facts(prefix + entry.name, entry.stat())


def _facts(name: str, found: os.stat_result) -> tuple[str, int, int]:
    return name, found.st_size, found.st_mtime_ns


def _path_identity(path: Path, root: Path | None) -> str:
    shown = path.relative_to(root) if root is not None and path.is_relative_to(root) else path
    try:
        found = path.stat()
        facts = sorted(_files_below(str(path), "")) if stat.S_ISDIR(found.st_mode) else [_facts("", found)]
    except FileNotFoundError as fault:
        raise DataError(f"{path}: no such file; the table that names it and the folder do not agree") from fault
    return f"file:{shown.as_posix()}:{json.dumps(facts)}"
