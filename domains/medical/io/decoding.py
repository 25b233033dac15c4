"""Decode compressed DICOM pixel data in a helper process.

The decoders are native libraries. On damaged data some of them end the process they run in, print to its stderr, or
never return; in a helper of its own that is one DataError. The helper starts with the first compressed image (half a
second), serves all further ones, and is replaced when it dies.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from core.errors import DataError

WORKER = Path(__file__).with_name("decoder_worker.py")
TIMEOUT_S = 60.0
_CHUNK = 1 << 20


class Helper:
    """One helper process and the pipe to it. Not shared between processes: a forked child starts its own."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        # -P: the folder of the script must not become an import path
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        atexit.register(self.close)

    def decode(self, path: Path, frame: int | None, max_bytes: int) -> np.ndarray:
        """The decoded array. Raises DataError when the helper reports a fault, dies, or takes too long."""
        assert self.process.stdin is not None
        request = json.dumps({"path": str(path.absolute()), "frame": frame}).encode() + b"\n"
        deadline = time.monotonic() + TIMEOUT_S
        try:
            self.process.stdin.write(request)
            head, rest = self._line(deadline)
            facts = json.loads(head)
            if "error" in facts:
                raise DataError(str(facts["error"]))
            dtype, shape = np.dtype(facts["dtype"]), tuple(int(n) for n in facts["shape"])
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if size > max_bytes or dtype.kind not in "iuf":
                raise DataError("more values than its header says")
            return np.frombuffer(self._bytes(rest, size, deadline), dtype).reshape(shape)
        except (OSError, ValueError, EOFError, TimeoutError) as err:
            self.close()
            raise DataError(
                "the decoder took too long" if isinstance(err, TimeoutError) else "the decoder died"
            ) from None

    def close(self) -> None:
        """End the helper; only the process that started it may."""
        atexit.unregister(self.close)
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()

    @property
    def usable(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    def _line(self, deadline: float) -> tuple[bytes, bytearray]:
        held = bytearray()
        while b"\n" not in held:
            held += self._more(deadline)
        head, _, rest = bytes(held).partition(b"\n")
        return head, bytearray(rest)

    def _bytes(self, held: bytearray, size: int, deadline: float) -> bytearray:
        while len(held) < size:
            held += self._more(deadline)
        return held

    def _more(self, deadline: float) -> bytes:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        chunk = os.read(self.process.stdout.fileno(), _CHUNK)
        if not chunk:
            raise EOFError
        return chunk


_helper: Helper | None = None


def decode_in_helper(path: Path, *, frame: int | None, max_bytes: int) -> np.ndarray:
    """Decoded values of `path` (one frame, or all), at most `max_bytes` of them. Raises DataError with a short reason.

    Expects to run inside `guard.reading`, which admits one thread at a time.
    """
    global _helper
    if _helper is None or not _helper.usable:
        _helper = Helper()
    return _helper.decode(path, frame, max_bytes)
