"""Which concepts a text names: the longest names that match, word by word, without case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

WORD = re.compile(r"\w+", re.UNICODE)
LONGEST = 8  # words of a name; longer ones are not looked for


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a text. concepts: all that bear it. start, end: characters, end exclusive."""

    concepts: tuple[int, ...]
    start: int
    end: int


class NameLinker:
    """Finds names and aliases of concepts in texts; a word belongs to at most one mention."""

    def __init__(self, names: Sequence[Sequence[str]], *, shortest: int = 3) -> None:
        """names[c]: names of concept c. shortest: characters of a name; shorter ones match too much."""
        self._concepts: dict[tuple[str, ...], tuple[int, ...]] = {}
        found: dict[tuple[str, ...], dict[int, None]] = {}
        for concept, own in enumerate(names):
            for name in own:
                words = tuple(word.casefold() for word in WORD.findall(name.replace("_", " ")))
                if words and len(words) <= LONGEST and sum(map(len, words)) >= shortest:
                    found.setdefault(words, {})[concept] = None
        self._concepts = {words: tuple(concepts) for words, concepts in found.items()}
        self._longest = max(map(len, self._concepts), default=0)

    def mentions(self, text: str) -> list[Mention]:
        """Mentions in the order of the text."""
        words = [(found.group().casefold(), found.start(), found.end()) for found in WORD.finditer(text)]
        mentions, at = [], 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                concepts = self._concepts.get(tuple(word for word, _, _ in words[at : at + length]))
                if concepts is not None:
                    mentions.append(Mention(concepts, words[at][1], words[at + length - 1][2]))
                    at += length
                    break
            else:
                at += 1
        return mentions
