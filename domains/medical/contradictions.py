"""Reports made wrong in one detail: a side exchanged, a finding denied, a denied finding asserted.

Rules over English sentences, no language model: what they make reads like a report and contradicts one sentence of it.
"""

from __future__ import annotations

import re

from domains.medical import reports

OTHER_SIDE = {"right": "left", "left": "right"}
_SIDE = re.compile(r"\b(right|left)\b", re.IGNORECASE)
_TWO_SIDED = re.compile(r"\b(both|bilateral(?:ly)?|either)\b", re.IGNORECASE)
_DENIAL = re.compile(r"\b(no|not|without|absent|negative for|free of|nor|neither)\b", re.IGNORECASE)
# First rule that fits wins; each takes one denial out of a sentence.
_ASSERT = tuple(
    (re.compile(pattern, re.IGNORECASE), to)
    for pattern, to in (
        (r"\bthere (is|are|was|were) no (?:evidence |signs? )?(?:of )?", r"there \1 "),
        (r"^no (?:evidence |signs? )(?:of )", ""),
        (r"^no\b ?", ""),
        (r"\b(is|are|was|were) not\b", r"\1"),
        (r"\bdoes not (\w+)", r"does \1"),
        (r"\bwithout (?:evidence of )?(?:any )?", "with "),
        (r"\b(is|are|was|were) free of\b", r"\1 affected by"),
        (r"\babsent\b", "present"),
    )
)
_VERBS = "show|contain|involve|demonstrate|suggest|layer|measure|lie|reach"
_DENY = tuple(
    (re.compile(pattern, re.IGNORECASE), to)
    for pattern, to in (
        (r"\bthere (is|are|was|were) (?:an? |some )?", r"there \1 no "),
        (r"\b(is|are|was|were)\b", r"\1 not"),
        (rf"\b({_VERBS})s\b", r"does not \1"),
        (rf"\b({_VERBS})\b", r"do not \1"),
        (r"\boccupies\b", "does not occupy"),
    )
)


def with_other_side(sentence: str) -> str | None:
    """The finding on the other side of the body; None for a denial, and where both sides or none are named."""
    sides = {word.lower() for word in _SIDE.findall(sentence)}
    if len(sides) != 1 or _TWO_SIDED.search(sentence) or _DENIAL.search(sentence):
        return None
    return _SIDE.sub(lambda m: _in_case_of(m[0], OTHER_SIDE[m[0].lower()]), sentence)


def denied(sentence: str) -> str | None:
    """The same sentence with its statement denied; None for one that denies already."""
    if _DENIAL.search(sentence):
        return None
    for pattern, to in _DENY:
        if pattern.search(sentence):
            return _capital(pattern.sub(to, sentence, count=1))
    return f"No {sentence[0].lower()}{sentence[1:]}"


def asserted(sentence: str) -> str | None:
    """The same sentence without its denial; None for one that denies nothing, or more than one thing."""
    if len(_DENIAL.findall(sentence)) != 1:
        return None
    for pattern, to in _ASSERT:
        if pattern.search(sentence):
            return _capital(" ".join(pattern.sub(to, sentence, count=1).split()))
    return None


def contradictions(text: str) -> list[str]:
    """Every report that differs from `text` in one sentence, by one rule: other sides first, then denials, then
    assertions, each in the order of the text. A sentence that the report says as well is no contradiction of it."""
    sentences = reports.sentences(text)
    said = {_plain(sentence) for sentence in sentences}
    made = []
    for rule in (with_other_side, denied, asserted):
        for i, sentence in enumerate(sentences):
            changed = rule(sentence)
            if changed is not None and _plain(changed) not in said:
                made.append(" ".join([*sentences[:i], changed, *sentences[i + 1 :]]))
    return made


def _plain(sentence: str) -> str:
    return " ".join(sentence.casefold().split())


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _in_case_of(old: str, new: str) -> str:
    return new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new
