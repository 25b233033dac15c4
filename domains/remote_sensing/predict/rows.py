"""A rolling part of a scene: the rows that windows still need, each block of the file read and decoded once.

Shape legend: C = bands, R = rows that are held, W = columns of the scene.
"""

from __future__ import annotations

import numpy as np

from domains.remote_sensing.predict.inputs import SceneInput
from domains.remote_sensing.processors.raster import MISSING
from domains.remote_sensing.raster import Window

READ_ROWS = 512  # the side of a block of most tiled files; other files decode some blocks twice
READ_COLUMNS = 1024  # of one read: its copies as floats are what a read costs in memory


class RowBuffer:
    """Rows of a raster as the processor's int16 steps, at most `window` + 2 READ_ROWS of them.

    Rows are asked for from top to bottom; those above the last `top` are forgotten.
    """

    def __init__(self, source: SceneInput, window: int, first: int = 0) -> None:
        """first: the row that is needed first."""
        self.source, (self.height, self.width) = source, source.grid.shape
        self.first = self.end = first // READ_ROWS * READ_ROWS  # rows first to end of the scene are held
        self._capacity = min(window + 2 * READ_ROWS, self.height - self.first)
        self._x_CRW = np.empty((source.processor.channels, self._capacity, self.width), np.int16)
        self._known_RW = np.empty((self._capacity, self.width), bool)
        self.day = np.array(np.nan, np.float32)

    def need(self, top: int, bottom: int) -> None:
        """Hold the rows from `top` to `bottom`, which may lie below the scene."""
        bottom = min(bottom, self.height)
        while self.end < bottom:
            count = min(READ_ROWS, self.height - self.end)
            if self.end - self.first + count > self._capacity:
                self._forget(top)
            self._read(self.end, count)

    def window(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """(C, height, width) int16 and (height, width) bool of a window; MISSING and False beyond the scene."""
        bottom, right = min(window.top + window.height, self.height), min(window.left + window.width, self.width)
        rows = slice(window.top - self.first, bottom - self.first)
        x_CHW = self._x_CRW[:, rows, window.left : right]
        known_HW = self._known_RW[rows, window.left : right]
        if known_HW.shape == (window.height, window.width):
            return x_CHW, known_HW
        below, beside = window.height - known_HW.shape[0], window.width - known_HW.shape[1]
        padding = ((0, below), (0, beside))
        return np.pad(x_CHW, ((0, 0), *padding), constant_values=MISSING), np.pad(known_HW, padding)

    def known(self, top: int, bottom: int) -> np.ndarray:
        """(rows, W) bool of rows that are held."""
        return self._known_RW[top - self.first : bottom - self.first]

    def _forget(self, top: int) -> None:
        shift, kept = top - self.first, self.end - top
        for array_RW in (*self._x_CRW, self._known_RW):  # band by band: a copy of all would double the memory
            array_RW[:kept] = array_RW[shift : shift + kept].copy()
        self.first = top

    def _read(self, top: int, count: int) -> None:
        rows = slice(top - self.first, top - self.first + count)
        for left in range(0, self.width, READ_COLUMNS):
            part = Window(top, left, count, min(READ_COLUMNS, self.width - left))
            sample = self.source.read(part)
            self._x_CRW[:, rows, left : left + part.width] = sample["x"]
            self._known_RW[rows, left : left + part.width] = sample["known"]
            self.day = sample["day"]
        self.end = top + count
