"""Reactants of a product: told by beam search with votes over writings of the product, and picked from candidates.

Shape legend: R = reactions, C = candidates of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.data.datamodule import DataModule
from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import bootstrap_interval, mean_statistic
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome
from domains.molecules.io.parse import read_molecule
from domains.molecules.io.rdkit import chem, silent
from domains.molecules.language.baselines import commonest, fingerprints, nearest_answers, random_answers, tanimoto
from domains.molecules.language.processor import ContextProcessor
from domains.molecules.language.tasks import SHOWN, Row, Telling, language_model
from domains.molecules.language.telling import tell, weigh, with_targets
from domains.molecules.reactions.context import Context
from domains.molecules.reactions.vote import Key, canonical, ranked

KS = (1, 3, 5, 10)


class Retrosynthesis(Telling):
    """Top-1, 3, 5 and 10 accuracy of reactants by canonical SMILES, of their largest fragment, and validity.

    Contexts of one group are writings of one reaction (USPTO-50k's copies) and vote together; writings: where a group
    has one, further random SMILES of its product are asked too. alpha, by_length: of the vote. candidates: size of the
    pools that reactants are picked from by log-probability (the right ones, half of the others those of the likest
    products, the rest at random); 0 = no such figure. stereo: whether it has to be right (ReactXT ignores it).
    """

    def __init__(
        self,
        *,
        beams: int = 10,
        length: int = 120,
        penalty: float = 0.0,
        batch: int = 16,
        most: int | None = None,
        writings: int = 1,
        alpha: float = 1.0,
        by_length: float = 0.2,
        candidates: int = 20,
        stereo: bool = True,
    ) -> None:
        super().__init__(beams=beams, length=length, penalty=penalty, batch=batch, most=most)
        if writings < 1 or candidates < 0 or candidates == 1:
            raise ConfigError(f"task: writings is {writings}, 1 at least; candidates is {candidates}, 2 at least, or 0")
        self.writings, self.alpha, self.by_length = writings, alpha, by_length
        self.candidates, self.stereo = candidates, stereo

    def _key(self, text: str) -> Key | None:
        return canonical(text, stereo=self.stereo)

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        processor = data.processors[model.modality]
        assert isinstance(processor, ContextProcessor)
        encoder = language_model(model)
        reactions = by_group(self.rows(data, "test", model.modality), self.most)
        known = [context for context, _ in self.rows(data, "train", model.modality)]
        first = [written[0] for written in reactions]
        right = [self._key(context.target) for context in first]
        if None in right:
            raise DataError(
                f"{first[right.index(None)].target[:60]!a}: the right reactants are not a possible molecule"
            )
        asked = [written if len(written) > 1 else writings(written[0], self.writings, seed) for written in reactions]
        told = tell(encoder, processor, [context for written in asked for context in written], self.beams, compute)
        lists, place, valid = [], 0, list[float]()
        for written in asked:
            predictions = [[text for text, _ in found] for found in told[place : place + len(written)]]
            place += len(written)
            valid += [float(self._key(text) is not None) for found in predictions for text in found]
            votes = ranked(
                predictions, input_length=len(written[0].members[0].smiles), alpha=self.alpha,
                by_length=self.by_length, key=self._key,
            )  # fmt: skip
            lists.append([vote.key for vote in votes])
        near = nearest_answers(first, known, max(KS))
        others = {
            "nearest neighbour": near,
            "random": [[text] for text in random_answers(first, known, seed=seed)],
            "most frequent": [commonest(known, max(KS))] * len(first),
        }
        numbers, each = self._accuracy(lists, right)
        rows = [["model", *numbers.values()]]
        numbers |= {"validity": float(np.mean(valid))}
        for name, values in each.items():
            numbers |= bootstrap_interval(mean_statistic(np.array(values)), len(values), n=n_bootstrap, seed=seed).flat(
                name
            )
        for who, texts in others.items():
            keys = [[k for k in map(self._key, row) if k is not None] for row in texts]
            figures = self._accuracy(keys, right)[0]
            rows.append([who, *figures.values()])
            numbers |= {f"{who.replace(' ', '_')}/{name}": value for name, value in figures.items()}
        tables: dict[str, tuple[list[str], list[list[Any]]]] = {
            "Reactants told": (
                ["told by", *each],
                [[who, *(f"{value:.3f}" for value in values)] for who, *values in rows],
            )
        }
        if self.candidates:
            picked = self._picked(encoder, processor, first, known, compute, n_bootstrap, seed)
            numbers |= picked
            tables["Reactants picked from candidates"] = (
                ["figure", "value"],
                [[k, f"{v:.3f}"] for k, v in picked.items()],
            )
        tables["Examples"] = (
            ["product", "told", "right"],
            [[c.members[0].smiles, row[0][0] if row else "", c.target] for c, row in list(zip(first, lists))[:SHOWN]],
        )
        return Outcome(
            numbers={f"test/{k}": v for k, v in numbers.items()} | {"test/told": float(len(first))},
            protocol={
                "right": f"equal canonical SMILES, stereo {'counts' if self.stereo else 'does not count'}",
                "beams": f"{self.beams.count}, up to {self.beams.length} tokens; {len(asked[0])} writings of a product",
                "validity": "of all told strings", "candidates": f"{self.candidates} for a product",
                "vote": f"alpha {self.alpha}, by_length {self.by_length}",
            },
            tables=tables,
        )  # fmt: skip

    def _accuracy(
        self, lists: Sequence[Sequence[Key]], right: Sequence[Key | None]
    ) -> tuple[dict[str, float], dict[str, list[float]]]:
        each: dict[str, list[float]] = {}
        for part, name in enumerate(("top", "max_fragment_top")):
            for k in KS:
                each[f"{name}-{k}"] = [
                    float(truth is not None and truth[part] in list(dict.fromkeys(key[part] for key in row))[:k])
                    for row, truth in zip(lists, right, strict=True)
                ]
        return {name: float(np.mean(values)) for name, values in each.items()}, each

    @torch.no_grad()
    def _picked(
        self, encoder: Any, processor: ContextProcessor, asked: Sequence[Context], known: Sequence[Context],
        compute: Compute, n_bootstrap: int, seed: int,
    ) -> dict[str, float]:  # fmt: skip
        pools = candidate_pools(asked, known, self.candidates, seed=seed)
        weighed = [c for context, pool in zip(asked, pools, strict=True) for c in with_targets(context, pool)]
        score = weigh(encoder, processor, weighed, compute)
        out: dict[str, float] = {}
        place = 0
        ranks, alike = [], []
        for context, pool in zip(asked, pools, strict=True):
            ranks.append(_rank(np.array(score[place : place + len(pool)])))
            place += len(pool)
            like_C = tanimoto(fingerprints([context.members[0].smiles]), fingerprints(pool))[0]
            alike.append(_rank(like_C.astype(float)))
        size = np.array([len(pool) for pool in pools])
        for k in KS:
            hit = mean_statistic((np.array(ranks) <= k).astype(float))
            out |= bootstrap_interval(hit, len(ranks), n=n_bootstrap, seed=seed).flat(f"candidates/top-{k}")
            out[f"candidates/chance/top-{k}"] = float(np.mean(np.minimum(k / size, 1)))
            out[f"candidates/fingerprint/top-{k}"] = float(np.mean(np.array(alike) <= k))
        return out


def by_group(rows: Sequence[Row], most: int | None) -> list[list[Context]]:
    """Contexts of each group, groups in the order they come, at most `most`, evenly spaced."""
    groups: dict[str, list[Context]] = {}
    for context, group in rows:
        groups.setdefault(group, []).append(context)
    found = list(groups.values())
    if most is None or most >= len(found):
        return found
    return [found[int(i)] for i in np.linspace(0, len(found), most, endpoint=False)]


def writings(context: Context, count: int, seed: int) -> list[Context]:
    """The context, and others with random SMILES of its first molecule: `count` in all."""
    if count == 1:
        return [context]
    member = context.members[0]
    with silent():
        mol = read_molecule(member.smiles)
        found = chem().MolToRandomSmilesVect(mol, count - 1, randomSeed=seed + 1)
    return [
        context,
        *(replace(context, members=(replace(member, smiles=text), *context.members[1:])) for text in found),
    ]


def candidate_pools(asked: Sequence[Context], known: Sequence[Context], size: int, *, seed: int) -> list[list[str]]:
    """For each product reactants to choose from, the right ones first; the others are of other products: half of the
    likest ones, the rest at random, none twice."""
    rng = np.random.default_rng(seed)
    others = [*asked, *known]
    like_QN = tanimoto(*(fingerprints([c.members[0].smiles for c in cs]) for cs in (asked, others)))
    keys = [canonical(context.target) for context in others]
    pools = []
    for row, context in enumerate(asked):
        taken, pool = {keys[row]}, [context.target]
        near = np.argsort(-like_QN[row], kind="stable")
        for order, room in ((near, 1 + (size - 1) // 2), (rng.permutation(len(others)), size)):
            for i in order.tolist():
                if len(pool) >= room:
                    break
                if keys[i] is not None and keys[i] not in taken:
                    taken.add(keys[i])
                    pool.append(others[i].target)
        pools.append(pool)
    return pools


def _rank(score_C: np.ndarray) -> float:
    """Rank of the first candidate from 1; ties share the mean of their ranks."""
    return 1 + float((score_C[1:] > score_C[0]).sum()) + 0.5 * float((score_C[1:] == score_C[0]).sum())
