"""Sources that are more than a file: what goes with it, so that one processor can read both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ScanSource:
    """A volume file with values from a table that its own header lacks.

    slope, intercept: HU = stored value * slope + intercept, to be applied once, on the stored (not header-scaled)
    values. spacing: millimetres along the array's axes 0, 1, 2 in file order, in place of the header's.
    """

    path: Path
    slope: float
    intercept: float
    spacing: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class LocatedReport:
    """A report, and where its findings lie: `path` is a label map of lesions on the scan that the report is about."""

    path: Path
    report: str
