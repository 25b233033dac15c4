"""How far a map is, and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[int, int], None]  # called with (strips done, of), first with those that were there already
EVERY_S = 30.0  # between lines where there is no terminal


class Told:
    """Progress for a person: in place on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream or sys.stderr, clock
        self._start: tuple[float, int] | None = None
        self._said = float("-inf")

    def __call__(self, done: int, of: int) -> None:
        now = self.clock()
        if self._start is None:
            self._start = now, done
        terminal = self.stream.isatty()
        if not terminal and done < of and now - self._said < EVERY_S:
            return
        self._said = now
        text = f"mapping: strip {done} of {of}{self._left(now, done, of)}"
        end = "\n" if done == of or not terminal else ""
        print(f"\r{text:<60}" if terminal else text, end=end, file=self.stream, flush=True)

    def _left(self, now: float, done: int, of: int) -> str:
        assert self._start is not None
        began, had = self._start
        if done in (had, of):
            return ""
        seconds = (now - began) / (done - had) * (of - done)
        return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"
