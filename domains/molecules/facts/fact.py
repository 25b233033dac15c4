"""Facts with qualifiers, as XAlign's JSON lines hold them, and what is done to names before a model reads them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import DataError

LANGUAGES = {
    "en": "english", "hi": "hindi", "bn": "bengali", "ta": "tamil", "te": "telugu", "ml": "malayalam", "kn": "kannada",
    "mr": "marathi", "gu": "gujarati", "pa": "punjabi", "or": "odia", "as": "assamese",
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """qualifiers: (relation, object) pairs that say more about the fact, such as a point in time."""

    subject: str
    relation: str
    object: str
    qualifiers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence and the facts it tells. language: a code of `LANGUAGES`. section: heading it stood under, or ""."""

    facts: tuple[Fact, ...]
    language: str
    sentence: str
    section: str = ""

    def source(self) -> str:
        """The record as a line of XAlign."""
        facts = [
            {
                "subject": f.subject,
                "predicate": f.relation,
                "object": f.object,
                "qualifiers": [{"qualifier_predicate": r, "qualifier_object": o} for r, o in f.qualifiers],
            }
            for f in self.facts
        ]
        further = {"section": self.section} if self.section else {}
        row = {"sentence": self.sentence, "facts": facts, "language": self.language, **further}
        return json.dumps(row, ensure_ascii=False)


def read_statement(source: Any) -> Statement:
    """The record of one line. Raises DataError naming the field at fault."""
    where = f"facts '{str(source)[:60]}'"
    try:
        row = json.loads(source)
    except (TypeError, ValueError, RecursionError) as err:
        raise DataError(f"{where}: not a line of JSON ({err}); copy the file again") from err
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with sentence, facts and language")
    sentence, language = _text(row, "sentence", where), _text(row, "language", where)
    if language not in LANGUAGES:
        raise DataError(f"{where}: language is '{language}'; expected one of {', '.join(LANGUAGES)}")
    listed = row.get("facts")
    if not isinstance(listed, list) or not listed:
        raise DataError(f"{where}: 'facts' must be a list of at least one fact")
    section = row.get("section", "")
    if not isinstance(section, str):
        raise DataError(f"{where}: 'section' is {section!r}; expected a text")
    return Statement(tuple(_fact(fact, where) for fact in listed), language, sentence, section)


def _fact(fact: Any, where: str) -> Fact:
    if not isinstance(fact, dict):
        raise DataError(f"{where}: a fact is {str(fact)[:40]!r}; expected subject, predicate, object and qualifiers")
    qualifiers = fact.get("qualifiers") or []
    if not isinstance(qualifiers, list) or not all(isinstance(q, dict) for q in qualifiers):
        raise DataError(f"{where}: 'qualifiers' must be a list of objects")
    return Fact(
        _text(fact, "subject", where),
        _text(fact, "predicate", where),
        _text(fact, "object", where),
        tuple((_text(q, "qualifier_predicate", where), _text(q, "qualifier_object", where)) for q in qualifiers),
    )


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: '{name}' is {value!r}; expected a text that is not empty")
    return value


def plain_name(name: str, *, ascii_only: bool = False) -> str:
    """Lower case, without punctuation and symbols, single spaces. ascii_only: accents off and all other non-ASCII
    characters dropped, as the published code does; a name in another script is then lost whole."""
    if ascii_only:
        name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = (c if unicodedata.category(c)[0] not in "PSC" or c in "\u200c\u200d" else " " for c in name.lower())
    return " ".join("".join(kept).split())


def plain_relation(name: str) -> str:
    """Lower case, spaces as underscores, no other punctuation."""
    return plain_name(name.replace("_", " ")).replace(" ", "_")


def plain_fact(fact: Fact, *, ascii_only: bool = False) -> Fact:
    """Raises DataError for a fact of which a name is nothing but punctuation (or non-ASCII, where that is dropped)."""
    found = Fact(
        plain_name(fact.subject, ascii_only=ascii_only),
        plain_relation(fact.relation),
        plain_name(fact.object, ascii_only=ascii_only),
        tuple(sorted((plain_relation(r), plain_name(o, ascii_only=ascii_only)) for r, o in fact.qualifiers)),
    )
    if not all((found.subject, found.relation, found.object, *(part for pair in found.qualifiers for part in pair))):
        raise DataError(f"fact '{fact.subject} | {fact.relation} | {fact.object}': a name has no letter or digit left")
    return found
