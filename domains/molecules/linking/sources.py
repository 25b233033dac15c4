"""What records of entity linking point to: a titled text, and one or several pictures of the same thing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SEPARATOR = "\t"


@dataclass(frozen=True, slots=True)
class Pictures:
    """The first picture, and the names of further ones in the same folder, of which training may draw any."""

    path: Path
    others: tuple[str, ...] = ()

    def paths(self) -> list[Path]:
        return [self.path, *(self.path.parent / name for name in self.others)]


def titled(title: str, text: str, *, identity: str = "") -> str:
    """identity<TAB>title<TAB>text, white space within each made single. identity: equal = the same thing."""
    return SEPARATOR.join(" ".join(part.split()) for part in (identity, title, text))


def parts_of(source: str) -> tuple[str, str, str]:
    """(identity, title, text) of what `titled` made; a source without tabs is all text."""
    parts = source.split(SEPARATOR, 2)
    if len(parts) < 3:
        return "", "", " ".join(source.split())
    return parts[0], parts[1], parts[2]
