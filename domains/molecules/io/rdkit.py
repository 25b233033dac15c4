"""RDKit, when it is installed, and what it says about a failure.

RDKit writes its reasons to a log of the process and returns None. Here the log is silent while a molecule is read, and
a failure is read a second time with the log caught, so that the error can say why.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from core.errors import missing_extra

_STAMP = re.compile(r"^\[\d\d:\d\d:\d\d\] ")


def chem() -> ModuleType:
    """`rdkit.Chem`. Raises ConfigError naming the extra when RDKit is not installed."""
    try:
        from rdkit import Chem
    except ImportError as err:
        raise missing_extra("rdkit", "molecules") from err
    return Chem


@contextmanager
def silent() -> Iterator[None]:
    """RDKit's log says nothing inside; afterwards it is as it was."""
    chem()
    from rdkit import rdBase

    with rdBase.BlockLogs():
        yield


def logged(read: Callable[[], Any]) -> str:
    """What RDKit's log says while `read` runs: the first line of substance, or "" when it says nothing.

    To be called inside `silent`: the log stays off behind it, until that block ends.
    """
    from rdkit import rdBase

    caught, before = io.StringIO(), sys.stderr
    rdBase.LogToPythonStderr()
    sys.stderr = caught
    try:
        read()
    finally:
        sys.stderr = before
        rdBase.LogToCppStreams()  # switches it on
        rdBase.DisableLog("rdApp.*")
    lines = (_STAMP.sub("", line).strip() for line in caught.getvalue().splitlines())
    return next((line for line in lines if line), "")
