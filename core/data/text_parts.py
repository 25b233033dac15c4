"""What a processor makes of a split's texts, kept on disk in parts.

For texts that are slow to process and many (structures of molecules, source code): too small for a file each. A part is
one file that appears by rename, so a build that is killed goes on where it stopped, and several processes may help.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from core.data.processor import Processor, Sample
from core.data.store import SampleStore
from core.errors import DataError

PART = 2048  # texts of a part; of molecules about 2 MB
_MESSAGES, _LENGTHS = "messages", "message_lengths"


class TextParts:
    """Samples of `texts` by position, as `processor.load` makes them; the key of a part is the processor's fingerprint
    (settings, version, libraries) and the texts in it, so that a changed text makes one part anew.

    A text that is refused is kept too: asking for it raises the same DataError again. It pickles without its content.
    """

    def __init__(
        self,
        folder: Path,
        processor: Processor,
        texts: Sequence[str],
        *,
        numbers: Sequence[int] | None = None,
        part: int = PART,
    ) -> None:
        """numbers: of the records that the texts belong to, rising; None: 0, 1, 2, ..."""
        self.processor, self.part, self.count = processor, part, len(texts)
        self.numbers = np.arange(len(texts)) if numbers is None else np.asarray(numbers)
        self.store = SampleStore(folder)
        fingerprint = processor.fingerprint()
        self.keys = [_key(fingerprint, texts[i : i + part]) for i in range(0, len(texts), part)]
        self._open: dict[int, Sample] = {}

    def __len__(self) -> int:
        return self.count

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def missing(self) -> list[int]:
        """Numbers of the parts that are not on disk."""
        return [number for number, key in enumerate(self.keys) if key not in self.store]

    def build(self, texts: Sequence[str], *, workers: int = 0, done: Callable[[int], None] | None = None) -> int:
        """Write the parts that are missing, and say how many. texts: all of them. done: called with texts so far."""
        missing = self.missing()
        jobs = [
            (self.store.folder, self.processor, self.keys[n], texts[n * self.part : (n + 1) * self.part])
            for n in missing
        ]
        if workers < 2 or len(jobs) < 2:
            for count, job in enumerate(jobs, 1):
                _write(job)
                _tell(done, count * self.part)
            return len(jobs)
        try:
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
                for count, _ in enumerate(pool.map(_write, jobs), 1):
                    _tell(done, count * self.part)
        except BrokenProcessPool as err:
            raise DataError(
                "a process that reads texts or structures died (out of memory, or a library crashed); what was "
                "finished is kept, start again, or set --data.prepare_workers 0 to see where"
            ) from err
        return len(jobs)

    def sample(self, index: int, text: str) -> Sample:
        """The sample of `text`, of record `index`; arrays are read-only views of the part. A part that is lost
        meanwhile (pruned, damaged) is not made again: then the text is processed, as is that of a record that is not
        listed. Raises DataError for a text that was refused."""
        position = int(np.searchsorted(self.numbers, index))
        if position == self.count or self.numbers[position] != index:
            return self.processor.load(text)
        number, row = divmod(position, self.part)
        arrays = self._open.get(number)
        if arrays is None:
            try:
                arrays = self.store.get(self.keys[number], _absent)
            except _AbsentError:
                warnings.warn(f"text parts: part {number} is gone; its texts are processed again", stacklevel=2)
                arrays = {}
            self._open[number] = arrays
        return _unpacked(arrays, row) if arrays else self.processor.load(text)


def _write(job: tuple[Path, Processor, str, Sequence[str]]) -> None:
    folder, processor, key, texts = job
    SampleStore(folder).get(key, lambda: _packed(processor, texts))


def _tell(done: Callable[[int], None] | None, count: int) -> None:
    if done is not None:
        done(count)


class _AbsentError(Exception):
    """A part is not on disk."""


def _absent() -> Sample:
    raise _AbsentError


def _key(fingerprint: str, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _packed(processor: Processor, texts: Sequence[str]) -> Sample:
    """Arrays of all texts one after another, flat; of each text and array its shape, by name; and the messages."""
    found = processor.load_many(texts)
    messages = ["" if not isinstance(one, DataError) else str(one) or "refused" for one in found]
    good = [one for one in found if not isinstance(one, DataError)]
    encoded = [message.encode("utf-8", "surrogatepass") for message in messages]
    out: Sample = {
        _MESSAGES: np.frombuffer(b"".join(encoded), np.uint8),
        _LENGTHS: np.array([len(message) for message in encoded], np.int64),
    }
    for name in sorted({name for one in good for name in one}):
        having = [None if isinstance(one, DataError) else one.get(name) for one in found]
        first = next(array for array in having if array is not None)
        shapes = np.zeros((len(found), first.ndim), np.int64)
        for row, array in enumerate(having):
            if array is not None:
                shapes[row] = array.shape
        has = np.array([array is not None for array in having])
        sizes = np.where(has, shapes.prod(axis=1), 0)
        out[f"values.{name}"] = np.concatenate([array.reshape(-1) for array in having if array is not None])
        out[f"has.{name}"], out[f"shapes.{name}"] = has, shapes
        out[f"starts.{name}"] = np.concatenate([[0], sizes.cumsum()])
    return out


def _unpacked(arrays: Sample, row: int) -> Sample:
    if arrays[_LENGTHS][row]:
        start = int(arrays[_LENGTHS][:row].sum())
        content = arrays[_MESSAGES][start : start + int(arrays[_LENGTHS][row])]
        raise DataError(content.tobytes().decode("utf-8", "surrogatepass"))
    out: Sample = {}
    for name in (name.partition(".")[2] for name in arrays if name.startswith("values.")):
        if arrays[f"has.{name}"][row]:
            start, end = arrays[f"starts.{name}"][row : row + 2]
            out[name] = arrays[f"values.{name}"][start:end].reshape(arrays[f"shapes.{name}"][row])
            out[name].setflags(write=False)
    return out
