"""One ranked list from the predictions for several augmentations of one input (ReactXT, Liu et al. 2024).

score = sum over the augmentations a that hold it of 1 / (alpha * rank_a + 1), less the best rank, less `by_length`
times how much longer or shorter it is than the input, less `by_length` times its length. Ranks count from 0, after
invalid strings are taken out; strings that are the same molecules count together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import ConfigError, DataError
from domains.molecules.io.parse import read_molecule
from domains.molecules.io.rdkit import silent
from domains.molecules.standardise import isomeric_key, skeleton_key

Key = tuple[str, str]  # canonical SMILES of all, and of the largest fragment


@dataclass(frozen=True, slots=True)
class Vote:
    """A ranked prediction. key: canonical SMILES of all and of the largest fragment."""

    key: Key
    score: float
    best_rank: int
    votes: int


def canonical(text: str, *, stereo: bool = True) -> Key | None:
    """Canonical SMILES of a string of dot-separated molecules and of its largest fragment; None for an invalid one."""
    with silent():
        try:
            mol = read_molecule(text)
        except DataError:
            return None
    whole = isomeric_key(mol) if stereo else skeleton_key(mol)
    return whole, max(whole.split("."), key=lambda part: (len(part), part))


def ranked(
    predictions: Sequence[Sequence[str]],
    *,
    input_length: int,
    alpha: float = 1.0,
    by_length: float = 0.2,
    key: Callable[[str], Key | None] = canonical,
) -> list[Vote]:
    """The predictions of A augmentations (each a list, best first) as one list, best first; equal scores by the order
    in which they came.

    One augmentation: the score is 1 / (alpha * rank + 1) alone, which keeps the order of its list.
    """
    if alpha <= 0:
        raise ConfigError(f"alpha: is {alpha}; a vote falls with the rank, give a positive number")
    score: dict[Key, float] = {}
    best: dict[Key, int] = {}
    votes: dict[Key, int] = {}
    for predicted in predictions:
        for rank, found in enumerate(valid_once(predicted, key)):
            score[found] = score.get(found, 0.0) + 1 / (alpha * rank + 1)
            best[found] = min(best.get(found, rank), rank)
            votes[found] = votes.get(found, 0) + 1
    if len(predictions) > 1:
        for found in score:
            length = len(found[0])
            score[found] -= best[found] + by_length * abs(length - input_length) + by_length * length
    order = sorted(score, key=lambda found: -score[found])
    return [Vote(found, score[found], best[found], votes[found]) for found in order]


def valid_once(predicted: Sequence[str], key: Callable[[str], Key | None] = canonical) -> list[Key]:
    """Keys of the valid strings of one list, each once, in order."""
    return list(dict.fromkeys(found for found in map(key, predicted) if found is not None))
