"""Decoded blocks of rasters in memory, the least recently used given up first.

Shape legend: C = bands, H, W = rows and columns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

from domains.remote_sensing.raster import Window

MIB = 2**20


class BlockCache:
    """Blocks by key, at most `limit` bytes of them (but always the one just read). decoded, asked: how often a block
    was read from its file, and wanted."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes, self.decoded, self.asked = limit, 0, 0, 0
        self._blocks: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], np.ndarray]) -> np.ndarray:
        self.asked += 1
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
            return block
        block = read()
        self.decoded += 1
        self._blocks[key] = block
        self.bytes += block.nbytes
        while self.bytes > self.limit and len(self._blocks) > 1:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes
        return block


def assemble(window: Window, side: int, shape: tuple[int, int], block_at: Callable[[Window], np.ndarray]) -> np.ndarray:
    """(C, height, width) of a window that lies inside a raster of `shape`, from blocks of `side` pixels."""
    out: np.ndarray | None = None
    bottom, right = window.top + window.height, window.left + window.width
    for top in range(window.top // side * side, bottom, side):
        for left in range(window.left // side * side, right, side):
            whole = Window(top, left, min(side, shape[0] - top), min(side, shape[1] - left))
            block_CHW = block_at(whole)
            if out is None:
                out = np.empty((len(block_CHW), window.height, window.width), block_CHW.dtype)
            first, start = max(top, window.top), max(left, window.left)
            last, end = min(top + side, bottom), min(left + side, right)
            part_CHW = block_CHW[:, first - top : last - top, start - left : end - left]
            out[:, first - window.top : last - window.top, start - window.left : end - window.left] = part_CHW
    assert out is not None  # a window has a row and a column at least
    return out
