"""One place where the many exceptions of the format libraries become one DataError, and where nothing is printed.

Identifiers: an exception may hold the path, because its caller already has it. Nothing else may: texts of the DICOM
library quote tag values, so they are dropped, together with its warnings and log lines, for as long as a file is read.
Whatever is kept or logged names a file by `ref(path)`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import DataError, HeptadError

MAX_VOXELS = 2**30  # 4 GiB as float32; checked against the header before any allocation
_salt = secrets.token_bytes(16)
_quiet = threading.RLock()  # warning filters are per process: one DICOM file is parsed at a time

_REMEDY = {
    "NotImplementedError": "its compression or colour coding is not supported; convert it to an uncompressed syntax",
    "MemoryError": "it asks for more memory than there is; its header is damaged or the file is hostile",
    "RecursionError": "its sequences are nested without end; its header is damaged or the file is hostile",
    "EOFError": "it ends too early; copy it again",
    "PermissionError": "it may not be read; change its permissions",
    "IsADirectoryError": "it is a folder; give a file",
    "FileNotFoundError": "there is no such file; check the path",
}
_FALLBACK = "it is damaged, or not of the kind its name says; copy it again or leave it out"


def ref(path: Path | str) -> str:
    """`ref:` and 10 hex digits: a name for a file in anything that is kept; the salt changes with each process."""
    return "ref:" + hashlib.blake2b(str(path).encode(), key=_salt, digest_size=5).hexdigest()


@contextmanager
def reading(path: Path | str, kind: str) -> Iterator[None]:
    """Turn any fault inside into one DataError: path, what it should have been (`kind`), the remedy.

    Library texts are dropped (see the module's head), and so is the chain of exceptions that carries them. Errors of
    this suite keep their text and get the path in front where they lack it.
    """
    with _quiet, _silence():
        try:
            yield
        except HeptadError as err:
            if str(path) in str(err):
                raise
            raise DataError(f"{path}: {err}") from None
        except Exception as err:  # the libraries raise at least twelve types; a user needs one
            name = type(err).__name__
            raise DataError(f"{path}: not a readable {kind} ({name}): {_REMEDY.get(name, _FALLBACK)}") from None


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing of the libraries reaches a handler or a warning filter; loggers below these end here too."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "nibabel", "nibabel.global", "PIL")]
    before = [(log, log.handlers, log.propagate) for log in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for log in loggers:
            log.handlers, log.propagate = [logging.NullHandler()], False
        try:
            yield
        finally:
            for log, handlers, propagate in before:
                log.handlers, log.propagate = handlers, propagate


def check_size(*extent: int) -> None:
    """Raises DataError when a header claims no voxel at all, or more than MAX_VOXELS."""
    total = 1
    for n in extent:
        total *= int(n)
    if min(extent) < 1:
        raise DataError(f"its header claims a size of {' x '.join(map(str, extent))}; it is damaged, copy it again")
    if total > MAX_VOXELS:
        raise DataError(
            f"its header claims {' x '.join(map(str, extent))} values, over the limit of {MAX_VOXELS:,}; crop the scan"
        )


def _after_fork() -> None:
    global _quiet
    _quiet = threading.RLock()  # a child must not inherit a lock that a thread of its parent held


os.register_at_fork(after_in_child=_after_fork)
