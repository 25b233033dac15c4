"""A radiology report from facts: every sentence follows from a fact of the study, so it is true of the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domains.medical.phantom import normals, phrases
from domains.medical.phantom.cohort import History
from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.findings.base import pick
from domains.medical.phantom.labels import LABELS

# The order in which a reader goes through the chest: organ systems and their findings
SYSTEMS: tuple[tuple[str, ...], ...] = (
    ("Lung mass", "Lung nodule", "Consolidation", "Lung opacity", "Atelectasis", "Emphysema"),
    ("Pleural effusion", "Pneumothorax"),
    ("Cardiomegaly", "Pericardial effusion", "Coronary artery wall calcification", "Arterial wall calcification"),
    ("Lymphadenopathy", "Hiatal hernia"),
    ("Rib fracture",),
    ("Medical material",),
)
URGENCY = (
    "Lung mass", "Pneumothorax", "Consolidation", "Pleural effusion", "Lymphadenopathy", "Lung opacity", "Rib fracture",
    "Pericardial effusion", "Lung nodule", "Cardiomegaly", "Atelectasis", "Emphysema", "Hiatal hernia",
    "Coronary artery wall calcification", "Arterial wall calcification", "Medical material",
)  # fmt: skip


NEGATION_RATE = 0.25  # how many of the absent findings a report mentions


@dataclass(frozen=True, slots=True)
class Report:
    """The sections of CT-RATE's report table."""

    clinical_information: str
    technique: str
    findings: str
    impressions: str

    @property
    def text(self) -> str:
        return (
            f"Clinical information: {self.clinical_information}\nTechnique: {self.technique}\n"
            f"Findings: {self.findings}\nImpressions: {self.impressions}"
        )


def write_report(
    body: Body, findings: list[Finding], history: History, slice_mm: float, rng: np.random.Generator
) -> Report:
    """Word the facts. `slice_mm` is stated in Technique; all randomness is the choice of words and of what to omit."""
    present = {f.label: [g for g in findings if g.label == f.label] for f in findings}
    sections = []
    for system in SYSTEMS:
        sentences = []
        for label in system:
            if label in present:
                sentences += _positive(label, present[label], rng)
            elif rng.random() < NEGATION_RATE:
                sentences.append(_sentence(pick(rng, normals.NEGATIVE[label]), {"ratio": f"{body.ctr:.2f}"}))
        sections.append(sentences)
    for text, absent in _some_normals(rng):
        if not any(label in present for label in absent):
            sections[int(rng.integers(len(sections)))].append(text)
    for label in history.resolved:
        what = normals.RESOLVED_NAMES[label]
        sections[0].append(_sentence(pick(rng, normals.RESOLVED), {"what": what}))
    if rng.random() < 0.25:  # some readers start with the heart
        sections[0], sections[2] = sections[2], sections[0]
    return Report(
        _clinical(present, rng),
        _sentence(pick(rng, phrases.TECHNIQUE), {"slice": f"{slice_mm:.1f}"}),
        " ".join(sentence for section in sections for sentence in section),
        _impressions(present, rng),
    )


def labels_of(findings: list[Finding]) -> dict[str, int]:
    """0 or 1 for every label."""
    have = {f.label for f in findings}
    return {label: int(label in have) for label in LABELS}


def where(finding: Finding) -> str:
    """The finding's place in words."""
    if finding.side == "bilateral":
        return "both lungs"
    return f"{finding.side} {finding.lobe} lobe" if finding.lobe else f"{finding.side} lung"


def millimetres(value: float, rng: np.random.Generator) -> str:
    """A length in words: millimetres, or for long ones sometimes centimetres."""
    if value >= 30 and rng.random() < 0.4:
        return f"{value / 10:.1f} cm"
    return f"{value:.0f} mm"


def _ordinal(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _slots(finding: Finding, rng: np.random.Generator, with_change: bool = True) -> dict[str, str]:
    degrees = phrases.DEGREES.get(finding.label, phrases.DEGREES[""])
    change = ""
    if with_change and finding.change:
        change = pick(rng, phrases.CHANGES[finding.change]).format(prior=f"{finding.prior_size_mm:.0f} mm")
    last = finding.level + finding.count - 1
    ribs = (
        f"{_ordinal(finding.level)} rib"
        if last == finding.level
        else f"{_ordinal(finding.level)} to {_ordinal(last)} ribs"
    )
    device = phrases.DEVICES.get(finding.detail, "").format(side=finding.side)
    return {
        "where": where(finding),
        "side": finding.side,
        "size": millimetres(finding.size_mm, rng),
        "detail": finding.detail,
        "degree": pick(rng, degrees[finding.severity]) if finding.severity else "",
        "ratio": f"{finding.value:.2f}",
        "rib": ribs,
        "device": device,
        "change": change,
    }


def _sentence(template: str, slots: dict[str, str]) -> str:
    text = template.format(**slots)
    text = " ".join(text.split())
    for vowel in "aeiou":
        text = text.replace(f" a {vowel}", f" an {vowel}")
        if text.startswith(f"A {vowel}"):
            text = "An" + text[1:]
    return text[0].upper() + text[1:]


def _positive(label: str, findings: list[Finding], rng: np.random.Generator) -> list[str]:
    sides = {f.side: f for f in findings}
    if label in phrases.BOTH_SIDES and {"right", "left"} <= set(sides):
        both = {f"size_{side}": f"{f.size_mm:.0f} mm" for side, f in sides.items()}
        same = sides["right"].change == sides["left"].change
        change = _slots(sides["right"], rng, with_change=same)["change"]
        return [_sentence(pick(rng, phrases.BOTH_SIDES[label]), {**both, "change": change})]
    if label == "Lung nodule" and len(findings) > 1:
        first = _sentence(pick(rng, phrases.POSITIVE[label]), _slots(findings[0], rng))
        if len(findings) == 2:
            return [first, _sentence(pick(rng, phrases.ONE_MORE_NODULE), _slots(findings[1], rng))]
        rest = {"count": str(len(findings) - 1)}
        return [first, _sentence(pick(rng, phrases.MORE_NODULES), rest)]
    return [_sentence(pick(rng, phrases.POSITIVE[label]), _slots(f, rng)) for f in findings]


def _some_normals(rng: np.random.Generator) -> list[tuple[str, tuple[str, ...]]]:
    """One sentence from each of a few topics."""
    topics = tuple(normals.NORMAL.values())
    chosen = [topics[i] for i in rng.permutation(len(topics))[: int(rng.integers(2, 6))]]
    return [topic[int(rng.integers(len(topic)))] for topic in chosen]


def _clinical(present: dict[str, list[Finding]], rng: np.random.Generator) -> str:
    """An indication; often unspecific, sometimes one that goes with a finding."""
    groups = [phrases.CLINICAL_GROUP[label] for label in present if label in phrases.CLINICAL_GROUP]
    if groups and rng.random() < 0.35:
        return pick(rng, phrases.CLINICAL[groups[int(rng.integers(len(groups)))]])
    return pick(rng, phrases.CLINICAL[""])


def _impressions(present: dict[str, list[Finding]], rng: np.random.Generator) -> str:
    """The most urgent findings first; minor ones may be left out when there are many."""
    lines: list[str] = []
    for label in URGENCY:
        if label not in present or (len(lines) >= 4 and rng.random() < 0.6):
            continue
        first = max(present[label], key=lambda f: f.size_mm)
        slots = _slots(first, rng, with_change=rng.random() < 0.4)
        if label in phrases.BOTH_SIDES and len(present[label]) == 2:
            slots.update(side="bilateral", degree="", change="")
        lines.append(_sentence(pick(rng, phrases.IMPRESSION[label]), slots))
    return " ".join(lines) if lines else pick(rng, normals.NORMAL_IMPRESSION)
