"""Finished strips of a map on the disk: each whole or absent, so that a run that was stopped continues behind them.

Shape legend: R = rows of a strip, W = columns of the scene.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ConfigError, DataError
from core.files import write_atomic
from domains.remote_sensing.predict.result import ClassArea

SETTINGS = "settings.json"


class StripStore:
    """The folder of strips of one map, and what it was begun with.

    Raises ConfigError when the folder was begun with other settings, naming each with both values.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], count: int) -> None:
        self.folder, self.count = folder, count
        now = json.loads(json.dumps(settings))
        path = folder / SETTINGS
        if path.is_file():
            require_same(_read(path), now, where=folder)
        else:
            write_atomic(path, json.dumps(now, indent=1))
        self.found = sum(1 for i in range(count) if self._path(i).is_file())

    @property
    def first_missing(self) -> int:
        """The strip to go on with; `count` when all are there."""
        return next((i for i in range(self.count) if not self._path(i).is_file()), self.count)

    def write(self, index: int, classes_RW: np.ndarray, percent_RW: np.ndarray) -> None:
        content = io.BytesIO()
        np.savez_compressed(content, classes=classes_RW, percent=percent_RW)
        write_atomic(self._path(index), content.getvalue())

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(R, W) uint8 of classes, and of confidences in percent. Raises DataError for a damaged file."""
        path = self._path(index)
        try:
            with np.load(path, allow_pickle=False) as content:
                return content["classes"], content["percent"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
            raise DataError(f"{path}: not a readable strip ({err}); delete it and start again") from err

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _path(self, index: int) -> Path:
        return self.folder / f"strip-{index:05d}.npz"


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], *, where: Path) -> None:
    """Raises ConfigError that lists every setting of a map that is not what it was."""
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        lines = "\n".join(f"  - {key}: was {before.get(key)}, is {now.get(key)}" for key in changed)
        raise ConfigError(
            f"out: {where} was begun with other settings, so its strips do not fit:\n{lines}\n"
            "Give the settings it was begun with, choose another folder, or delete it"
        )


def finished_areas(path: Path, settings: Mapping[str, Any]) -> tuple[ClassArea, ...]:
    """The areas of a finished map. Raises ConfigError when it was made with other settings."""
    content = _read(path)
    require_same(content["settings"], json.loads(json.dumps(settings)), where=path.parent)
    return tuple(ClassArea(**area) for area in content["areas"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise DataError(f"{path}: cannot be read ({err}); delete its folder and start again") from err
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no settings; delete its folder and start again")
    return content
