"""One simulated patient visit: chest CT, radiograph, report, masks and the facts behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from domains.medical.phantom.anatomy import Anatomy
from domains.medical.phantom.cohort import History, sample_findings, sample_history
from domains.medical.phantom.facts import Body, Finding, sample_body
from domains.medical.phantom.findings import MODELS
from domains.medical.phantom.grid import Grid
from domains.medical.phantom.labels import LABELS
from domains.medical.phantom.radiograph import radiograph
from domains.medical.phantom.render import add_noise, render
from domains.medical.phantom.report import Report, labels_of, write_report

SHAPE = (128, 128, 64)
SPACING = (2.8, 2.8, 4.7)
SeedLike = int | np.random.SeedSequence


@dataclass(frozen=True, slots=True)
class Study:
    """Everything about one visit. Simulated: it shows no real person.

    ct: int16 HU, x to the patient's right, y forward, z up. affine: (4, 4) to RAS mm. radiograph: uint8, bone
    white, patient right on the image's left. organs, lesions: uint8 of `ORGANS` and `LESIONS` on the CT's grid.
    labels: 0 or 1 for each of `LABELS`. findings: the facts that volume and report share.
    """

    ct: NDArray[np.int16]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    radiograph: NDArray[np.uint8]
    organs: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    report: Report
    labels: dict[str, int]
    findings: tuple[Finding, ...]
    history: History
    body: Body


def simulate(
    seed: SeedLike,
    *,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
    findings: tuple[str, ...] | None = None,
    radiograph_pixels: int = 256,
) -> Study:
    """Simulate the visit that `seed` stands for; equal arguments give equal bytes.

    shape, spacing: voxels and mm along x, y, z (the default covers 358 x 358 x 301 mm). findings: force exactly these
    labels (empty tuple = a healthy patient); None = draw them. Raises ConfigError for an unknown label or a bad grid.
    """
    _check(shape, spacing, findings)
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    subject, drawing, wording, quanta = (np.random.default_rng(s) for s in sequence.spawn(4))
    body = sample_body(subject)
    history, facts = sample_history(subject, sample_findings(subject, body, findings))
    models = {model.label: model for model in MODELS}
    for fact in facts:
        body = models[fact.label].adjust(fact, body)
    anatomy = Anatomy(body)
    scene = render(anatomy, Grid(shape, spacing, body.rotation, body.shift_mm), drawing)
    drawn = [models[fact.label].draw(fact, scene, drawing) for fact in facts]
    facts = [fact for fact in drawn if fact is not None]
    ct = np.clip(np.rint(add_noise(scene, quanta)), -1024, 3071).astype(np.int16)
    return Study(
        ct=ct.T,
        affine=scene.grid.affine,
        spacing=spacing,
        radiograph=radiograph(scene.hu, spacing, quanta, pixels=radiograph_pixels),
        organs=scene.organs.T,
        lesions=scene.lesions.T,
        report=write_report(body, facts, history, spacing[2], wording),
        labels=labels_of(facts),
        findings=tuple(facts),
        history=history,
        body=body,
    )


def _check(shape: tuple[int, int, int], spacing: tuple[float, float, float], findings: tuple[str, ...] | None) -> None:
    if len(shape) != 3 or len(spacing) != 3 or min(shape) < 8 or min(spacing) <= 0:
        raise ConfigError(
            f"simulate: shape {tuple(shape)} and spacing {tuple(spacing)} do not make a grid; "
            "give three sizes of at least 8 voxels and three positive millimetres, for instance (128, 128, 64)"
        )
    unknown = [label for label in findings or () if label not in LABELS]
    if unknown:
        raise ConfigError(f"simulate: unknown findings {unknown}; valid: {', '.join(LABELS)}")
