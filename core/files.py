"""Files that are whole or absent: atomic writes, atomic folders, and manifests of hashes.

Every file that a later run depends on goes through here: written beside its target, flushed to the disk, then renamed.
A process killed at any instant leaves the old version or the new one, never half of either.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import DataError, HeptadError

MANIFEST = "manifest.json"
TEMPORARY_SUFFIX = ".partial"
_WRITE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
# Serialisers in C++ and Rust report a failed write as text; these are the phrases of torch and safetensors.
_WRITE_PHRASES = (
    "No space left",
    "os error 28",
    "os error 27",
    "File too large",
    "file write failed",
    "unexpected pos",
)


@contextmanager
def atomic_write(path: Path, *, error: type[HeptadError] = DataError) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on a clean exit it becomes `path`, on any failure `path` is untouched.

    Raises `error` naming `path` and the free bytes when the disk refuses the write; other exceptions of the body pass.
    """
    partial = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        fsync(partial)
        os.replace(partial, path)
        fsync(path.parent)
    except BaseException as fault:
        with suppress(OSError):  # there may be nothing to remove; the fault itself is what counts
            partial.unlink()
        if _is_write_fault(fault, partial, path):
            raise error(_write_message(path, fault)) from fault
        raise


def write_atomic(path: Path, content: bytes | str, *, error: type[HeptadError] = DataError) -> None:
    """Replace `path` by `content` (text is UTF-8) as one step. Raises `error` as `atomic_write` does."""
    with atomic_write(path, error=error) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_folder(path: Path, *, error: type[HeptadError] = DataError, about: dict | None = None) -> Iterator[Path]:
    """Yield an empty sibling folder; on a clean exit it gets a manifest, is flushed and becomes `path`.

    `path` must not exist when the body ends. about: facts kept in the manifest beside the files.
    Raises `error` as `atomic_write` does.
    """
    partial = _sibling(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        write_manifest(partial, about=about)
        _fsync_tree(partial)
        os.rename(partial, path)
        fsync(path.parent)
    except BaseException as fault:
        shutil.rmtree(partial, ignore_errors=True)
        if _is_write_fault(fault, partial, path):
            raise error(_write_message(path, fault)) from fault
        raise


def write_manifest(folder: Path, *, about: dict | None = None) -> None:
    """Write `manifest.json`: size and sha256 of every file below `folder`, by relative posix path."""
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in _names(folder)
    }
    text = json.dumps({"about": about or {}, "files": files}, indent=1, sort_keys=True)
    with open(folder / MANIFEST, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def read_manifest(folder: Path, *, error: type[HeptadError] = DataError) -> dict:
    """The manifest of `folder`. Raises `error` when it is absent or not a manifest."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest["files"], dict) or not isinstance(manifest["about"], dict):
            raise TypeError("not a manifest")
    except FileNotFoundError as fault:
        raise error(f"{folder}: no {MANIFEST}, so it is not a finished folder; delete it and start again") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise error(f"{path}: not a readable manifest ({fault}); delete {folder} and build it again") from fault
    return manifest


def verify_manifest(folder: Path, *, full: bool = False, error: type[HeptadError] = DataError) -> list[str]:
    """What differs from the manifest, one line per file; empty means whole. Raises `error` without a manifest.

    full: read every byte and compare sha256; otherwise presence and size only.
    """
    listed = read_manifest(folder, error=error)["files"]
    problems = [f"{name}: not in the manifest" for name in sorted(set(_names(folder)) - set(listed))]
    for name, facts in sorted(listed.items()):
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            problems.append(f"{name}: points outside the folder")
        elif not path.is_file():
            problems.append(f"{name}: missing")
        elif path.stat().st_size != facts["bytes"]:
            problems.append(f"{name}: {path.stat().st_size} bytes, expected {facts['bytes']}")
        elif full and sha256_of(path) != facts["sha256"]:
            problems.append(f"{name}: content differs from its sha256")
    return problems


def sha256_of(path: Path) -> str:
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Flush a file or folder to the disk, so that a following rename cannot overtake its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_partials(path: Path) -> None:
    """Remove what killed writers of `path` left beside it. Only for a caller that holds the lock on `path`."""
    for left in path.parent.glob(f".{path.name}.*{TEMPORARY_SUFFIX}"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _sibling(path: Path) -> Path:
    return path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"


def _names(folder: Path) -> list[str]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return sorted(p.relative_to(folder).as_posix() for p in found if p != folder / MANIFEST)


def _fsync_tree(folder: Path) -> None:
    for here, _, names in os.walk(folder):
        for name in names:
            fsync(Path(here) / name)
        fsync(Path(here))


def _is_write_fault(fault: BaseException, partial: Path, path: Path) -> bool:
    """Whether the disk refused our own write: an unreadable source file in the body is not ours to explain."""
    if isinstance(fault, HeptadError):
        return False
    if isinstance(fault, OSError) and fault.errno is not None:
        name = Path(os.fsdecode(fault.filename)) if isinstance(fault.filename, (str, bytes)) else None
        ours = name is None or name in (path, *path.parents, partial) or partial in name.parents
        return ours and (fault.errno in _WRITE_FAULTS or name is not None)
    return isinstance(fault, Exception) and any(phrase in str(fault) for phrase in _WRITE_PHRASES)


def _write_message(path: Path, fault: BaseException) -> str:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    return (
        f"{path}: cannot be written ({reason}); {free:,} bytes are free there. What stood under this name before is "
        "unchanged; free some space or choose another folder"
    )
