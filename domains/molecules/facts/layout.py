"""XAlign (Abhishek et al. 2022), versions 1 and 2: sentences of Wikipedia in twelve languages and their facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, refuse_empty, require
from core.data.text import read_text
from core.errors import ConfigError, nearest
from domains.molecules.facts.fact import LANGUAGES


class XAlign(Layout):
    """`<language>/{train,val,test}.jsonl`; modality "facts", whose source is a line of the file.

    Train and val were aligned automatically: a sentence may say more than its facts, or less (coverage noise, which
    bounds what a system can score on val); test was annotated by people, in native sentences. Facts are in English.
    """

    name: ClassVar[str] = "XAlign"
    licence: ClassVar[str] = "CC BY-NC-SA (data, on request)"
    source: ClassVar[str] = "github.com/tushar117/XAlign"

    def __init__(self, *, root: Path, split: str, languages: Sequence[str] | None = None) -> None:
        """languages: codes; those whose folders are there when None."""
        super().__init__(root=root, split=split)
        for code in languages or ():
            if code not in LANGUAGES:
                raise ConfigError(f"languages: there is no '{code}'{nearest(code, LANGUAGES)}")
        found = [code for code in LANGUAGES if (self.root / code).is_dir()] if languages is None else list(languages)
        refuse_empty(len(found), owner=self.name, where=self.root, expected="folders of languages such as en, hi")
        paths = {f"{split} split in {LANGUAGES[code]}": self.root / code / f"{split}.jsonl" for code in found}
        require(self.root, paths, owner=self.name, source=self.source)
        self.languages = tuple(found)
        self._lines = [
            (f"{code}-{split}-{number}", text)
            for code, path in zip(found, paths.values(), strict=True)
            for number, text in enumerate(read_text(path).split("\n"))
            if text.strip()
        ]
        refuse_empty(len(self), owner=f"'{split}' split of {self.name}", where=self.root, expected="lines of JSON")

    def __len__(self) -> int:
        return len(self._lines)

    def record(self, index: int) -> Record:
        name, text = self._lines[index]
        return Record(name, name, {"facts": text})
