"""PCdes (Zeng et al. 2022, KV-PLM): 15,000 PubChem molecules and a paragraph about each, in aligned lines."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from core.data.layout import SPLITS, Layout, Record, refuse_empty, require
from core.data.text import read_text
from core.errors import ConfigError, DataError
from domains.molecules.data.split import group_of
from domains.molecules.graphs.fragments import scaffold_split

SEQUENTIAL = (0.7, 0.1, 0.2)
LEAST_WORDS = 5  # of a sentence that may stand for its paragraph
_FIRST, _FACTOR, _MODULUS = 42, 16807, 2**31 - 1  # the "minimal standard" generator of Park and Miller (1988)


class PCdes(Layout):
    """Modalities "graph" and "text" (one paragraph, or its sentences).

    unit: "paragraph"; or "sentence", in which a held-out molecule has one sentence of at least 5 words, the same in
    every run, and a training molecule all of those, a line each, of which `WordingProcessor` draws one per step. Texts
    without such a sentence stay whole. The generator is the published one; how a number becomes a choice is not public.

    protocol: "sequential" cuts the lines 70 / 10 / 20 in their order (KV-PLM, MolCA: 10,500 / 1,500 / 3,000);
    "scaffold" keeps Bemis-Murcko scaffolds without chirality together, in the same shares (MolFM, which also removes
    its pretraining molecules first). Scores of the two must not be compared.
    """

    name: ClassVar[str] = "PCdes"
    licence: ClassVar[str] = "PubChem text, none stated"
    source: ClassVar[str] = "github.com/thunlp/KV-PLM, Ret/align_smiles.txt and Ret/align_des_filt3.txt"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        protocol: Literal["sequential", "scaffold"] = "sequential",
        unit: Literal["paragraph", "sentence"] = "paragraph",
    ) -> None:
        super().__init__(root=root, split=split)
        if unit not in ("paragraph", "sentence"):
            raise ConfigError(f"unit: is '{unit}'; valid: paragraph, sentence")
        if protocol not in ("sequential", "scaffold"):
            raise ConfigError(f"protocol: is '{protocol}'; valid: sequential, scaffold")
        folder = self.root / "Ret" if (self.root / "Ret").is_dir() else self.root
        smiles, texts = folder / "align_smiles.txt", folder / "align_des_filt3.txt"
        require(self.root, {"SMILES": smiles, "paragraphs": texts}, owner=self.name, source=self.source)
        lines = [read_text(path).removesuffix("\n").split("\n") for path in (smiles, texts)]
        if len(lines[0]) != len(lines[1]):
            raise DataError(
                f"{smiles}: {len(lines[0])} lines, {texts.name} has {len(lines[1])}; line i of both is one molecule"
            )
        self._smiles, self._texts = ([line.strip() for line in side] for side in lines)
        self.protocol = protocol
        if protocol == "sequential":
            ends = [0, *(round(sum(SEQUENTIAL[: i + 1]) * len(self._smiles)) for i in range(3))]
            at = SPLITS.index(split)
            self._rows = list(range(ends[at], ends[at + 1]))
        else:
            groups = [group_of(text) for text in self._smiles]
            self._rows = sorted(scaffold_split(groups, SEQUENTIAL)[SPLITS.index(split)])
        if unit == "sentence":
            self._texts = by_sentence(self._texts, whole=split == "train")
        refuse_empty(len(self._rows), owner=f"'{split}' split of {self.name}", where=smiles, expected="aligned lines")

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> Record:
        row = self._rows[index]
        sources = {"graph": self._smiles[row]} | ({"text": self._texts[row]} if self._texts[row] else {})
        return Record(f"pcdes-{row}", group_of(self._smiles[row]), sources)


def by_sentence(texts: list[str], *, whole: bool) -> list[str]:
    """The sentences of each paragraph that are long enough, a line each; without `whole` one of them, drawn by the
    paragraph's place in the file."""
    state, found = _FIRST, []
    for text in texts:
        parts = [part.strip() for part in text.split(".") if len(part.split()) >= LEAST_WORDS]
        state = state * _FACTOR % _MODULUS
        if not parts:
            found.append(text)
        else:
            found.append("\n".join(parts) if whole else parts[state % len(parts)])
    return found
