"""Circular fingerprints: counts as features of a baseline, bits for the similarity of molecules.

Shape legend: N = molecules, M = molecules compared with, S = size of a fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.molecules.io.rdkit import chem

RADIUS, SIZE = 2, 2048
_CHUNK = 256  # rows compared at a time: a block of bits stays in the processor's cache


@cache
def _generator(radius: int, size: int) -> Any:
    chem()
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=size)


def morgan_counts(mols: Sequence[object], *, radius: int = RADIUS, size: int = SIZE) -> NDArray[np.float32]:
    """(N, S) counts of circular fragments up to `radius` bonds (Rogers and Hahn 2010), folded, log(1 + n)."""
    make = _generator(radius, size).GetCountFingerprintAsNumPy
    counts_NS = [make(mol).astype(np.float32) for mol in mols]
    return np.log1p(np.stack(counts_NS)) if counts_NS else np.zeros((0, size), np.float32)


def morgan_bits(mols: Sequence[object], *, radius: int = RADIUS, size: int = SIZE) -> NDArray[np.uint8]:
    """(N, S / 8) bits of circular fragments, eight to a byte."""
    make = _generator(radius, size).GetFingerprintAsNumPy
    bits_NS = [make(mol) for mol in mols]
    return np.packbits(np.stack(bits_NS), axis=1) if bits_NS else np.zeros((0, size // 8), np.uint8)


def nearest_tanimoto(
    bits_NB: NDArray[np.uint8], known_MB: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(N,) largest Tanimoto coefficient with a known fingerprint, and (N,) which one has it, the first of equals.

    Two fingerprints without a bit have 0. Raises ValueError when nothing is known.
    """
    if len(known_MB) == 0:
        raise ValueError("nearest_tanimoto: no known fingerprint to compare with")
    known_MS = np.unpackbits(known_MB, axis=1).astype(np.float32)
    count_M = known_MS.sum(axis=1)
    near_N, which_N = np.zeros(len(bits_NB), np.float32), np.zeros(len(bits_NB), np.int64)
    for first in range(0, len(bits_NB), _CHUNK):
        bits_CS = np.unpackbits(bits_NB[first : first + _CHUNK], axis=1).astype(np.float32)
        both_CM = bits_CS @ known_MS.T
        tanimoto_CM = both_CM / np.maximum(bits_CS.sum(axis=1)[:, None] + count_M - both_CM, 1)
        chosen_C = tanimoto_CM.argmax(axis=1)
        near_N[first : first + _CHUNK] = np.take_along_axis(tanimoto_CM, chosen_C[:, None], axis=1)[:, 0]
        which_N[first : first + _CHUNK] = chosen_C
    return near_N, which_N
