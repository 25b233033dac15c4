"""The three errors a user can meet. A message says what is wrong, where, what was expected and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HeptadError(Exception):
    """Base of every error that is the input's fault, not the suite's: shown as one message, without a traceback."""


class ConfigError(HeptadError):
    """A setting that cannot be used. The message names the key, the value and the nearest valid name."""


class DataError(HeptadError):
    """A file, table or record that cannot be used. The message names the file, the fault and the remedy."""


class CheckpointError(HeptadError):
    """A checkpoint or saved model that cannot be written, read or resumed from."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of `valid`, or the list of valid names when none is close."""
    options = sorted(valid)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    shown = ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
    return f"; valid: {shown}" if options else ""


def missing_extra(package: str, extra: str) -> HeptadError:
    """The error for an optional dependency that is not installed."""
    return ConfigError(f"'{package}' is not installed; its extra is '{extra}': pip install 'heptad[{extra}]'")
