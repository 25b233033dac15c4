"""A fine-tuned language model at work: captions of molecules, reactants of products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from core.data.text import read_text
from core.errors import ConfigError, DataError
from core.training.finetuned import load_finetuned
from core.training.precision import Compute
from domains.molecules.language.processor import ContextProcessor
from domains.molecules.language.prompted import GraphPromptedLM
from domains.molecules.language.telling import Beams, tell, weigh, with_targets
from domains.molecules.reactions.context import PRODUCT, Context, Member
from domains.molecules.reactions.vote import canonical

Scored = list[tuple[str, float]]  # (text, log-probability), likeliest first


@dataclass(frozen=True, slots=True)
class Teller:
    """A language model and the processor it was trained with."""

    encoder: GraphPromptedLM
    processor: ContextProcessor

    @classmethod
    def of(cls, run: Path) -> Teller:
        """The model of a fine-tuning run. Raises CheckpointError, or ConfigError for a run that tells nothing."""
        found = load_finetuned(run)
        encoder = found.model.encoders["encoder"]
        processor = found.processors[found.model.modality]
        if not isinstance(encoder, GraphPromptedLM) or not isinstance(processor, ContextProcessor):
            raise ConfigError(f"{run}: holds a {type(encoder).__name__}, which tells nothing; give a run of caption, "
                              "procedure or retrosynthesis")  # fmt: skip
        return cls(encoder, processor)

    def captions(
        self, smiles: Sequence[str], *, ask: str, beams: int, length: int
    ) -> Iterator[tuple[str, str | DataError]]:
        """(SMILES, text or the reason why there is none) for every molecule, in order."""
        for text, found in self._told([Context((Member(s),), ask=ask) for s in smiles], beams, length):
            yield text, found if isinstance(found, DataError) else found[0][0]

    def reactants(
        self, products: Sequence[str], *, ask: str, graphs: bool, beams: int, length: int
    ) -> Iterator[tuple[str, Scored | DataError]]:
        """(product, its reactants told by beam search or the reason why not), in order. Reactants are canonical SMILES,
        each once; what no molecule can be is left out, so fewer than `beams` may come back."""
        asked = [Context((Member(s, PRODUCT, graph=graphs),), ask=ask, smiles=True) for s in products]
        for product, found in self._told(asked, beams, length):
            yield product, found if isinstance(found, DataError) else possible(found)

    def ordered(
        self, pools: Mapping[str, Sequence[str]], *, ask: str, graphs: bool
    ) -> Iterator[tuple[str, Scored | DataError]]:
        """(product, its candidates by log-probability or the reason why not). pools: product -> candidates."""
        for product, pool in pools.items():
            context = Context((Member(product, PRODUCT, graph=graphs),), ask=ask, smiles=True)
            try:
                scores = weigh(self.encoder, self.processor, with_targets(context, pool), _compute())
            except DataError as fault:
                yield product, fault
                continue
            yield product, sorted(zip(pool, scores, strict=True), key=lambda pair: -pair[1])

    def _told(self, contexts: Sequence[Context], beams: int, length: int) -> Iterator[tuple[str, Scored | DataError]]:
        for context in contexts:
            smiles = context.members[0].smiles
            try:
                yield smiles, tell(self.encoder, self.processor, [context], Beams(beams, length), _compute())[0]
            except DataError as fault:
                yield smiles, fault


def possible(found: Scored) -> Scored:
    """The readable ones of what was told, in order, by canonical SMILES."""
    best: dict[str, float] = {}
    for text, score in found:
        key = canonical(text)
        if key is not None:
            best.setdefault(key[0], score)
    return list(best.items())


def read_candidates(path: Path) -> dict[str, list[str]]:
    """Product -> candidates of a file of `product<TAB>reactants` lines. Raises DataError naming file and line."""
    pools: dict[str, list[str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip():
            continue
        if len(cells) != 2 or not all(cells):
            raise DataError(f"{path}, line {number}: has {len(cells)} columns; expected product<TAB>reactants")
        pools.setdefault(cells[0], []).append(cells[1])
    if not pools:
        raise DataError(f"{path}: holds no candidate; expected lines product<TAB>reactants")
    return pools


def _compute() -> Compute:
    return Compute(torch.device("cpu"), "32", torch.get_num_threads())
