"""Which findings a patient has, and how they compare with a prior examination.

Findings are thresholds on correlated normal variables (a Gaussian copula): prevalence is exact for each label while
hidden causes such as heart failure or infection make their findings come together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings import MODELS

CAUSES = ("age", "smoking", "cardiac", "infection", "malignancy", "trauma")
HEALTHY = 0.03  # patients without any finding, in addition to those whom chance leaves without
RESOLVABLE = ("Pleural effusion", "Consolidation", "Lung opacity", "Pneumothorax", "Atelectasis")
CHANGES_IN_SIZE = ("Lung nodule", "Lung mass", "Lymphadenopathy")


@dataclass(frozen=True, slots=True)
class History:
    """has_prior: an earlier examination exists. resolved: labels it showed that are gone now."""

    has_prior: bool
    resolved: tuple[str, ...] = ()


def sample_findings(rng: np.random.Generator, body: Body, only: tuple[str, ...] | None = None) -> list[Finding]:
    """The facts of a new patient; `only` forces exactly these labels instead."""
    if only is None:
        causes = dict(zip(CAUSES, rng.standard_normal(len(CAUSES)), strict=True))
        causes["age"] = (body.age - 58) / 15
        own = rng.standard_normal(len(MODELS))
        healthy = rng.random() < HEALTHY
        present = []
        for model, noise in zip(MODELS, own, strict=True):
            shared = sum(weight * causes[name] for name, weight in model.loading.items())
            left = np.sqrt(1 - sum(w * w for w in model.loading.values()))
            present.append(not healthy and shared + left * noise > -ndtri(model.prevalence / (1 - HEALTHY)))
    else:
        present = [model.label in only for model in MODELS]
    return [f for model, yes in zip(MODELS, present, strict=True) if yes for f in model.sample(rng, body)]


def sample_history(rng: np.random.Generator, findings: list[Finding]) -> tuple[History, list[Finding]]:
    """Whether there is a prior, what changed since, and what has gone."""
    if rng.random() > 0.45:
        return History(False), findings
    stable = {model.label: model.stable for model in MODELS}
    out = []
    for finding in findings:
        if rng.random() < stable[finding.label]:
            out.append(replace(finding, change="unchanged", prior_size_mm=finding.size_mm))
        elif finding.label in CHANGES_IN_SIZE and rng.random() < 0.6 and finding.size_mm >= 8:
            grown = rng.random() < 0.6
            prior = np.round(finding.size_mm * (rng.uniform(0.55, 0.82) if grown else rng.uniform(1.25, 1.6)))
            out.append(replace(finding, change="increased" if grown else "decreased", prior_size_mm=float(prior)))
        elif stable[finding.label] < 0.6:
            out.append(replace(finding, change="new"))
        else:
            out.append(replace(finding, change="unchanged", prior_size_mm=finding.size_mm))
    have = {f.label for f in findings}
    gone = [label for label in RESOLVABLE if label not in have and rng.random() < 0.07]
    return History(True, tuple(gone[:1])), out
