"""What happens to a record that cannot be read: raise, or skip it, count it and write it down.

Paths, file names and ids are identifiers. The exception raised to the caller names the file; what is *kept* holds a
salted hash (`ref:` and 10 hex digits) and the file's suffix. The salt stays on this machine, so that its owner can
find the file again (`reference(record.id)`), and nobody else can.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Literal

from core.data.built import cache_root
from core.data.layout import Record
from core.errors import DataError
from core.files import atomic_write

log = logging.getLogger(__name__)
COLUMNS = ("ref", "suffix", "reason")
_ANY_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/:,;'\"()]+){2,}")


def reference(text: str, *, salt: str | None = None) -> str:
    """`ref:` and 10 hex digits of the salted hash of an identifier. salt: None = this machine's, made on first use."""
    salt = _machine_salt() if salt is None else salt
    return "ref:" + hashlib.sha256(f"{salt}\0{text}".encode()).hexdigest()[:10]


class BadRecords:
    """Policy for records that raise a DataError; safe to use in several worker processes with one `out_csv`.

    policy: "raise" passes the first error on; "skip" counts it, appends a row (ref, suffix, reason) to `out_csv` and
    goes on. max_share: in (0, 1]; more bad records than this share of those seen aborts, once `patience` bad ones
    were met. keep_paths: a fourth column `path`, for a table that never leaves the machine.
    """

    def __init__(
        self,
        *,
        policy: Literal["raise", "skip"] = "skip",
        out_csv: Path | None = None,
        max_share: float = 0.05,
        patience: int = 5,
        keep_paths: bool = False,
        salt: str | None = None,
    ) -> None:
        if policy not in ("raise", "skip"):
            raise DataError(f"bad records: policy is '{policy}'; valid: raise, skip")
        if not 0 < max_share <= 1:
            raise DataError(f"bad records: max_share is {max_share}; give a share in (0, 1]")
        self.policy, self.out_csv, self.max_share, self.patience = policy, out_csv, max_share, patience
        self.keep_paths, self.salt = keep_paths, salt
        self.seen = self.bad = 0

    def good(self) -> None:
        """Count a record that could be read."""
        self.seen += 1

    def report(self, record: Record, error: DataError) -> None:
        """Count `record` as unreadable and write it down. Raises `error` under "raise", DataError past `max_share`."""
        if self.policy == "raise":
            raise error
        self.seen += 1
        self.bad += 1
        ref = reference(record.id, salt=self.salt)
        if self.bad == 1:
            where = f"; see {self.out_csv.name} in the run folder" if self.out_csv is not None else ""
            log.warning("record %s cannot be used and is skipped (further ones without a message)%s", ref, where)
        if self.out_csv is not None:
            self._append(record, ref, error)
        if self.bad >= self.patience and self.bad > self.max_share * self.seen:
            written = f" They are listed in {self.out_csv}." if self.out_csv is not None else ""
            raise DataError(
                f"{self.bad} of the {self.seen} records seen cannot be used, more than the share {self.max_share:g} "
                f"that is allowed.{written} The last one: {error}. Mend the dataset, or raise max_share"
            ) from error

    def _append(self, record: Record, ref: str, error: DataError) -> None:
        assert self.out_csv is not None
        suffixes = sorted({"".join(path.suffixes[-2:]) for path in record.files()})
        row = [ref, " ".join(suffixes), scrub(str(error), record, salt=self.salt)]
        columns = [*COLUMNS]
        if self.keep_paths:
            columns.append("path")
            row.append(" ".join(str(path) for path in record.files()))
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        try:
            if not self.out_csv.exists():
                self._start(columns)
            if ref in self._known():  # once, however many epochs and workers meet it
                return
            # One write to a file opened for appending: rows of several workers do not mix.
            handle = os.open(self.out_csv, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(handle, line.getvalue().encode())
            finally:
                os.close(handle)
        except OSError as fault:
            raise DataError(f"{self.out_csv}: cannot be written ({fault.strerror}); free some space there") from fault

    def _start(self, columns: list[str]) -> None:
        assert self.out_csv is not None
        self.out_csv.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.out_csv, "x", encoding="utf-8") as out:
                out.write(",".join(columns) + "\n")
        except FileExistsError:  # another worker was first
            pass

    def _known(self) -> set[str]:
        assert self.out_csv is not None
        with open(self.out_csv, newline="", encoding="utf-8") as rows:
            return {row[0] for row in csv.reader(rows) if row}


def scrub(text: str, record: Record, *, salt: str | None = None) -> str:
    """`text` on one line, with the record's id, group, paths, and anything that looks like a path, replaced by refs."""
    names = {record.id, record.group}
    for path in record.files():
        names |= {str(path), path.name, path.name.split(".")[0]}
    for name in sorted(names, key=len, reverse=True):
        if len(name) > 1:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", reference(name, salt=salt), text)
    return " ".join(_ANY_PATH.sub("<path>", text).split())


def _machine_salt() -> str:
    """A random salt kept in the cache folder: the same for all runs of this machine, in none of their outputs."""
    path = cache_root() / "reference_salt"
    if not path.exists():
        with atomic_write(path) as partial:
            partial.write_text(secrets.token_hex(16), encoding="ascii")
    return path.read_text(encoding="ascii")
