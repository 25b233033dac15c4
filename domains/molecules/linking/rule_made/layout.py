"""The rule-made set, built on first use and read back by the layout of the public sets."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.data.built import build_once, cache_root
from core.errors import ConfigError
from domains.molecules.linking.layouts import EntityLinkingFolder

VERSION = "1"


class RuleMadeLinking(EntityLinkingFolder):
    """RULE-MADE, in the folders of WikiMEL. Real: the structures (NCI, shipped by RDKit). Made by rule: the names, of
    which `write.SHARED` molecules each share one, the descriptions (true of the structures), the sentences, and both
    pictures, two drawings of the same structure.

    A sentence names a molecule by its shared name and, half the time, one group that it has; so text narrows the answer
    to a few and the drawing decides. Held out: whole names with all their molecules. No test or validation entity is
    the answer of a training mention; all entities are candidates.
    """

    name: ClassVar[str] = "RuleMadeLinking (structures real; names, texts and drawings made by rule)"
    licence: ClassVar[str] = "CC0-1.0; structures: NCI, public domain"
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True
    prefix: ClassVar[str] = "WIKIMEL"

    def __init__(self, *, root: Path | None = None, split: str, names: int = 200, seed: int = 0) -> None:
        """names: shared names, in all splits. seed: of everything that is drawn."""
        if names < 10:
            raise ConfigError(f"names: is {names}; give at least 10, a fifth of them is the test split")
        super().__init__(root=build(names=names, seed=seed) if root is None else root, split=split)

    def group(self, index: int) -> str:
        """The shared name: what the split keeps together."""
        return self.kb.entities[self.answers[index]].name


def build(*, names: int, seed: int) -> Path:
    """The folder of the set; built if it is not there yet."""
    from rdkit import rdBase

    from domains.molecules.linking.rule_made.write import write

    version = f"{VERSION}-rdkit{rdBase.rdkitVersion}-{names}-{seed}"
    about = {"name": RuleMadeLinking.name, "simulated": True, "version": version}
    target = cache_root() / "rule_made_linking" / version
    return build_once(target, lambda folder: write(folder, names=names, seed=seed), version=version, about=about)
