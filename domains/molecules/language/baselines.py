"""What is told without a model: an answer of the training split, at random, of the likest molecules, or the commonest.

Shape legend: N = training answers, Q = questions, B = bits of a fingerprint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from domains.molecules.io.parse import read_molecule
from domains.molecules.io.rdkit import silent
from domains.molecules.reactions.context import PRODUCT, Context

BITS, RADIUS = 2048, 2
Bits = NDArray[np.float32]


def fingerprints(texts: Sequence[str]) -> Bits:
    """(N, B) Morgan bits of SMILES; zeros for an unreadable one."""
    from rdkit.Chem import rdFingerprintGenerator

    make = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    out_NB = np.zeros((len(texts), BITS), np.float32)
    with silent():
        for row, text in enumerate(texts):
            try:
                out_NB[row] = make.GetFingerprintAsNumPy(read_molecule(text))
            except DataError:
                continue
    return out_NB


def context_bits(contexts: Sequence[Context]) -> Bits:
    """(N, 2B) bits of the products (or of all molecules, where there is none) beside those of the others."""
    mains = [".".join(m.smiles for m in c.members if m.role == PRODUCT) or _all(c) for c in contexts]
    others = [".".join(m.smiles for m in c.members if m.role != PRODUCT) for c in contexts]
    return np.concatenate([fingerprints(mains), fingerprints(others)], axis=1)


def tanimoto(a_QB: Bits, b_NB: Bits) -> NDArray[np.float32]:
    """(Q, N) shared bits over bits of either; 0 where neither has any."""
    shared_QN = a_QB @ b_NB.T
    either_QN = a_QB.sum(axis=1)[:, None] + b_NB.sum(axis=1)[None] - shared_QN
    return shared_QN / np.maximum(either_QN, 1)


def nearest_answers(asked: Sequence[Context], known: Sequence[Context], count: int = 1) -> list[list[str]]:
    """For each question the targets of the `count` training contexts that are likest by Tanimoto, likest first."""
    like_QN = tanimoto(context_bits(asked), context_bits(known))
    order_QK = np.argsort(-like_QN, axis=1, kind="stable")[:, :count]
    return [[known[i].target for i in row] for row in order_QK]


def random_answers(asked: Sequence[Context], known: Sequence[Context], *, seed: int) -> list[str]:
    """For each question the target of a random training context with as many molecules, of any where none has."""
    rng = np.random.default_rng(seed)
    of_size: dict[int, list[str]] = {}
    for context in known:
        of_size.setdefault(len(context.members), []).append(context.target)
    every = [context.target for context in known]
    pools = (of_size.get(len(context.members), every) for context in asked)
    return [pool[int(rng.integers(len(pool)))] for pool in pools]


def commonest(known: Sequence[Context], count: int = 1) -> list[str]:
    """The `count` most frequent targets."""
    return [text for text, _ in Counter(context.target for context in known).most_common(count)]


def _all(context: Context) -> str:
    return ".".join(member.smiles for member in context.members)
