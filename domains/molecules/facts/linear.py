"""Facts as one line, `generate <language> : <H> entity <R> relation <T> object <QR> relation <QT> object <S> section`.

The line is made of segments, each with the role of its words and the number of its fact, so that what a model is told
about roles cannot come apart from the words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from core.errors import DataError
from domains.molecules.facts.fact import LANGUAGES, Fact, Statement, plain_fact, plain_name

HEAD, RELATION, OBJECT, QUALIFIER_RELATION, QUALIFIER_OBJECT, SECTION = range(1, 7)
ROLES = 7  # 0: the instruction in front
MARKERS = {
    "<H>": HEAD,
    "<R>": RELATION,
    "<T>": OBJECT,
    "<QR>": QUALIFIER_RELATION,
    "<QT>": QUALIFIER_OBJECT,
    "<S>": SECTION,
}
_MARKER_OF = {role: marker for marker, role in MARKERS.items()}
Structure = Literal["grouped", "flat"]


class Segment(NamedTuple):
    """marker: "" for the instruction. fact: 1 for the first fact of the line, 0 outside facts and for their entity."""

    marker: str
    text: str
    role: int
    fact: int


def segments(
    statement: Statement, *, structure: Structure = "grouped", sort: bool = True, ascii_only: bool = False
) -> list[Segment]:
    """structure: "grouped" names an entity once, before all its facts; "flat" before each. sort: by entity, relation,
    object, so that the order of the file is not seen; without it facts keep it (and one entity may be named again)."""
    facts = [plain_fact(fact, ascii_only=ascii_only) for fact in statement.facts]
    if sort:
        facts = sorted(set(facts))
    out = [Segment("", f"generate {LANGUAGES[statement.language]} :", 0, 0)]
    number = 0
    for subject, group in groupby(facts, key=lambda fact: fact.subject):
        for i, fact in enumerate(group):
            number += 1
            if i == 0 or structure == "flat":
                out.append(_of(HEAD, subject, 0))
            out += [_of(RELATION, fact.relation, number), _of(OBJECT, fact.object, number)]
            for relation, other in fact.qualifiers:
                out += [_of(QUALIFIER_RELATION, relation, number), _of(QUALIFIER_OBJECT, other, number)]
    section = plain_name(statement.section, ascii_only=ascii_only)
    return [*out, _of(SECTION, section, 0)] if section else out


def _of(role: int, text: str, fact: int) -> Segment:
    return Segment(_MARKER_OF[role], text, role, fact)


def line(parts: Sequence[Segment]) -> str:
    """The segments as a text."""
    return " ".join(f"{part.marker} {part.text}".strip() for part in parts)


def parse(text: str) -> tuple[str, tuple[Fact, ...], str]:
    """(language, facts, section) of a line, names as `plain_fact` makes them.

    Raises DataError for a line that does not begin with the instruction, or whose markers are out of order.
    """
    cut = re.split(r"(<(?:H|R|T|QR|QT|S)>)", text)
    words = cut[0].split()
    language = next((code for code, name in LANGUAGES.items() if words == ["generate", name, ":"]), None)
    if language is None:
        raise DataError(f"facts line '{text[:60]}': expected 'generate <language> :' in front")
    subject, section, facts, relation, qualifier = "", "", list[Fact](), "", ""
    for marker, found in zip(cut[1::2], cut[2::2], strict=True):
        role, name = MARKERS[marker], " ".join(found.split())
        if role == HEAD:
            subject = name
        elif role == SECTION:
            section = name
        elif role == RELATION:
            relation = name
        elif role == OBJECT and subject and relation:
            facts.append(Fact(subject, relation, name))
            relation = ""
        elif role == QUALIFIER_RELATION and facts:
            qualifier = name
        elif role == QUALIFIER_OBJECT and facts and qualifier:
            last = facts[-1]
            facts[-1] = Fact(last.subject, last.relation, last.object, (*last.qualifiers, (qualifier, name)))
            qualifier = ""
        else:
            raise DataError(f"facts line '{text[:60]}': {marker} is not where it may stand")
    return language, tuple(facts), section
