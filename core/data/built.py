"""Datasets that are built once, on first use, into a cache folder."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from core.errors import DataError
from core.files import atomic_folder, read_manifest, remove_partials, verify_manifest

log = logging.getLogger(__name__)


def cache_root() -> Path:
    """Where built datasets and processed samples live: `HEPTAD_CACHE`, else the platform's user cache folder."""
    import platformdirs

    chosen = os.environ.get("HEPTAD_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("heptad", appauthor=False))


def build_once(folder: Path, build: Callable[[Path], None], *, version: str, about: dict | None = None) -> Path:
    """`folder`, built by `build(empty_folder)` if it is not there yet in this `version`; returned when it is whole.

    One process builds and the others wait. A build that dies leaves nothing under the name `folder`. A folder of
    another version, or with files missing or cut short, is built again with a warning. about: kept in the manifest.
    Raises DataError when `folder` exists but was not made here, or cannot be written.
    """
    folder = Path(folder)
    if _is_current(folder, version):
        return folder
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks it
        raise DataError(
            f"{folder}: a process that helps to build it ran your script from the start; put the script's own calls "
            "below `if __name__ == '__main__':`"
        )
    with _locked(folder):
        if _is_current(folder, version):  # built while we waited
            return folder
        remove_partials(folder)
        _set_aside(folder)
        with atomic_folder(folder, about={**(about or {}), "version": version}) as partial:
            build(partial)
    return folder


@contextmanager
def simulating(what: str, total: int, folder: Path) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while something is simulated into `folder`, with the time left; called with (done, total).

    Raises DataError when a process that helps dies.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"simulating {what} (once)", total=total)
        try:
            yield lambda done, of: bar.update(task, completed=done, total=of)
        except BrokenProcessPool as err:
            raise DataError(
                f"{folder}: a process that simulates {what} died (out of memory, or a script without "
                "`if __name__ == '__main__':`); nothing was written, start again"
            ) from err


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock is the system's, so a killed holder frees it."""
    import filelock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.parent / f".{folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            log.warning("%s is being built by another process; waiting for it", folder)
            lock.acquire()
    except OSError as fault:
        raise DataError(
            f"{folder}: cannot be built here ({fault.strerror}); set HEPTAD_CACHE to a writable folder"
        ) from fault
    try:
        yield
    finally:
        lock.release()


def _is_current(folder: Path, version: str) -> bool:
    try:
        return read_manifest(folder)["about"].get("version") == version and not verify_manifest(folder)
    except DataError:
        return False


def _set_aside(folder: Path) -> None:
    """Delete an outdated or damaged build; refuse to delete what is not ours."""
    if not folder.exists():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        return
    try:
        found = read_manifest(folder)["about"].get("version")
    except DataError as fault:
        raise DataError(f"{folder}: exists, but was not built by this program ({fault})") from fault
    problems = verify_manifest(folder)
    log.warning("%s: %s; building it again", folder, problems[0] if problems else f"is version '{found}'")
    shutil.rmtree(folder)
