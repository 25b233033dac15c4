"""How well a probe does with 1, 10 and 100% of the labels: fixed subsets, several seeds, one held-out test set.

Shape legend: N = rows of one split, M = test rows, D = feature width, L = labels, S = seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import Floats, Groups, Interval, bootstrap_interval
from core.evaluation.classification import macro, ranked_labels
from core.evaluation.probe import Array, Probe, one_class_labels


@dataclass(frozen=True, slots=True)
class ProbeSplit:
    """Frozen features of one split. features: (N, D) any float. labels: (N, L) 0, 1 or nan. groups: (N,) what stays
    together in a subset and in a resample (a patient); None means that each row stands alone."""

    features: NDArray[np.floating]
    labels: NDArray[np.floating]
    groups: Groups = None


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """One probe at one label fraction.

    macro_auroc: mean over seeds, with the interval of resampled test groups (the subsets held fixed). std: deviation
    over seeds (ddof 1; 0 for one seed). per_seed: macro AUROC of each. per_label: mean AUROC over seeds. rows, groups:
    training rows and groups of the first subset. one_class: "seed:label" that had one class in its subset and
    counts as 0.5. skipped: labels without both classes in the test set. test_scores: (S, M, L), for paired
    comparisons. protocol: subsets' hashes, chosen settings and the rest.
    """

    fraction: float
    macro_auroc: Interval
    std: float
    per_seed: tuple[float, ...]
    per_label: dict[str, float]
    rows: int
    groups: int
    one_class: tuple[str, ...]
    skipped: tuple[str, ...]
    test_scores: NDArray[np.float64]
    protocol: dict[str, Any]

    def flat(self) -> dict[str, float]:
        """`macro_auroc` (+ _low, _high), `macro_auroc_std`, `rows`, `auroc/<label>`."""
        out = self.macro_auroc.flat("macro_auroc") | {"macro_auroc_std": self.std, "rows": float(self.rows)}
        return out | {f"auroc/{name}": value for name, value in self.per_label.items()}


def subset(groups_N: Groups, rows: int, *, fraction: float, seed: int) -> NDArray[np.int64]:
    """Row numbers of a subset of whole groups, ascending; at least 2 groups.

    A function of the set of groups, the fraction and the seed alone: the same groups in another order give the same
    groups back, and a smaller fraction of one seed lies inside a larger one. Raises ConfigError for a bad fraction.
    """
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"probe: fraction is {fraction}; give a value in (0, 1], for instance 0.1")
    names_N = np.arange(rows) if groups_N is None else np.asarray(groups_N)
    unique_G = np.unique(names_N)
    take = min(len(unique_G), max(2, round(fraction * len(unique_G))))
    chosen = unique_G[np.random.default_rng(seed).permutation(len(unique_G))[:take]]
    return np.flatnonzero(np.isin(names_N, chosen)).astype(np.int64)


def label_efficiency(
    probe: Probe,
    train: ProbeSplit,
    test: ProbeSplit,
    names_L: Sequence[str],
    *,
    valid: ProbeSplit | None = None,
    fractions: Sequence[float] = (0.01, 0.1, 1.0),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[float, ProbeScores]:
    """Fit the probe on each subset and score it on the test rows: fraction -> scores.

    valid: rows on which the probe's settings are chosen, once per subset, always all of them (said in the protocol);
    None uses the probe's own settings. The full set is fitted once, since every seed would give the same subset.
    Raises DataError for nan features, shapes that do not fit, or a test set in which no label has both classes.
    """
    for name, part in (("train", train), ("test", test), ("valid", valid)):
        if part is not None:
            _check(part, name, len(names_L))
    both_L = ~one_class_labels(_f64(test.labels))
    if not both_L.any():
        raise DataError(f"probe: none of {len(names_L)} labels has both classes in the test rows")
    return {
        fraction: _at(probe, train, test, valid, names_L, both_L, fraction, seeds, n_bootstrap, seed)
        for fraction in fractions
    }


def _at(
    probe: Probe,
    train: ProbeSplit,
    test: ProbeSplit,
    valid: ProbeSplit | None,
    names_L: Sequence[str],
    both_L: NDArray[np.bool_],
    fraction: float,
    seeds: Sequence[int],
    n_bootstrap: int,
    bootstrap_seed: int,
) -> ProbeScores:
    x_ND, y_NL = _f64(train.features), _f64(train.labels)
    test_MD, test_ML = _f64(test.features), _f64(test.labels)
    seeds = tuple(seeds)[:1] if fraction == 1.0 else tuple(seeds)
    subsets = [subset(train.groups, len(x_ND), fraction=fraction, seed=s) for s in seeds]
    runs, one_class, settings = [], [], []
    for run_seed, index in zip(seeds, subsets, strict=True):
        x, y = x_ND[index], y_NL[index]
        fitted = probe
        if valid is not None:
            fitted = probe.chosen(x, y, _f64(valid.features), _f64(valid.labels))
        settings.append({k: v for k, v in vars(fitted).items() if isinstance(v, int | float)})
        runs.append(fitted.scores(x, y, test_MD))
        alone_L = one_class_labels(y) & both_L
        one_class += [f"{run_seed}:{name}" for name, alone in zip(names_L, alone_L, strict=True) if alone]
    ranked = [[r for r, both in zip(ranked_labels(run, test_ML), both_L, strict=True) if both] for run in runs]
    one = np.ones((1, len(test_ML)))
    auroc_SL = np.array([[r.auroc(one)[0] for r in side] for side in ranked])

    def mean_over_seeds(w_RN: Floats) -> Floats:
        return np.mean([macro([r.auroc(w_RN) for r in side]) for side in ranked], axis=0)

    interval = bootstrap_interval(
        mean_over_seeds, len(test_ML), groups_N=test.groups, n=n_bootstrap, seed=bootstrap_seed
    )
    scored = [name for name, both in zip(names_L, both_L, strict=True) if both]
    groups_N = np.arange(len(x_ND)) if train.groups is None else np.asarray(train.groups)
    per_seed = auroc_SL.mean(axis=1)
    return ProbeScores(
        fraction=fraction,
        macro_auroc=interval,
        std=float(per_seed.std(ddof=1)) if len(per_seed) > 1 else 0.0,
        per_seed=tuple(float(v) for v in per_seed),
        per_label=dict(zip(scored, auroc_SL.mean(axis=0).tolist(), strict=True)),
        rows=len(subsets[0]),
        groups=len(np.unique(groups_N[subsets[0]])),
        one_class=tuple(one_class),
        skipped=tuple(name for name, both in zip(names_L, both_L, strict=True) if not both),
        test_scores=np.stack(runs),
        protocol={
            "probe": probe.name,
            "fraction": fraction,
            "seeds": list(seeds),
            "settings": settings,
            "settings_chosen_on": "fixed" if valid is None else f"{len(valid.features)} validation rows",
            "subset_sha256": [_digest(groups_N[index]) for index in subsets],
            "one_class_labels_count_as": 0.5,
            "bootstrap": {
                "n": n_bootstrap,
                "seed": bootstrap_seed,
                "unit": "row" if test.groups is None else "group",
            },
        },
    )


def _digest(groups: NDArray[Any]) -> str:
    """Hash of a subset's groups, so that two reports can be seen to have used the same list."""
    return hashlib.sha256("\n".join(sorted({str(g) for g in groups.tolist()})).encode()).hexdigest()[:16]


def _f64(x: NDArray[np.floating]) -> Array:
    return np.asarray(x, dtype=np.float64)


def _check(part: ProbeSplit, name: str, labels: int) -> None:
    x, y = np.asarray(part.features), np.asarray(part.labels)
    if x.ndim != 2 or y.shape != (len(x), labels) or not len(x):
        raise DataError(
            f"probe: {name} features are {x.shape} and labels {y.shape}; expected (rows, width) and (rows, {labels})"
        )
    bad = int((~np.isfinite(x)).any(axis=1).sum())
    if bad:
        raise DataError(f"probe: {bad} of {len(x)} {name} rows have features that are nan or inf; check the encoder")
