"""What is true of one simulated patient, before anything is drawn. The volume and the report both follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """One abnormality. Empty strings and zeros mean "does not apply".

    size_mm: the quantity that a radiologist would measure for this label (longest diameter of a nodule, short axis of
    a node, depth of an effusion or a pneumothorax, ...); severity is mild, moderate or severe. value: a dimensionless
    measure (the cardiothoracic ratio). level: rib number. center_mm: where it is, in RAS millimetres of the volume.
    change: against the prior, one of new, unchanged, increased, decreased; prior_size_mm: the size it had then.
    """

    label: str
    side: str = ""
    lobe: str = ""
    size_mm: float = 0.0
    severity: str = ""
    count: int = 1
    detail: str = ""
    value: float = 0.0
    level: int = 0
    center_mm: Point | None = None
    change: str = ""
    prior_size_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Fracture:
    """A break in one rib: `angle` runs along the rib from the spine (0) to the sternum (pi)."""

    side: str
    rib: int
    angle: float
    step_mm: float
    gap_mm: float
    callus_mm: float


@dataclass(frozen=True, slots=True)
class Body:
    """Parameters of one subject. Lengths in mm, angles in radians, HU offsets in HU."""

    sex: str
    age: int
    scale_x: float
    scale_y: float
    scale_z: float
    fat_mm: float
    muscle_mm: float
    rotation: float
    shift_mm: Point
    ctr: float  # cardiothoracic ratio: widest heart over widest inner chest
    heart_axis: float  # in-plane direction of the long axis: 0 = straight forward, pi/2 = straight left
    dome_mm: tuple[float, float]  # height of the right and left diaphragm dome; the carina is at 0
    aorta_mm: float
    lung_hu: float
    lung_gradient: float  # HU between the front and the back of the lung
    noise_hu: float
    epicardial_fat_mm: float
    pericardial_mm: float = 0.0
    fractures: tuple[Fracture, ...] = ()


def sample_body(rng: np.random.Generator) -> Body:
    """Draw a subject: sex, age, stature, fat, depth of inspiration, position on the table."""
    male = rng.random() < 0.54
    bmi = float(np.clip(rng.gamma(14.0, 1.9), 17.0, 43.0))
    inspiration = rng.normal(0.0, 9.0)
    stature = (1.0 if male else 0.94) * rng.normal(1.0, 0.035)
    dome_right = -104.0 * stature - inspiration + 0.5 * max(bmi - 28.0, 0.0)
    fat = float(np.interp(bmi, [17, 22, 30, 43], [5, 11, 23, 44]))
    fat *= 0.9 if male else 1.15
    return Body(
        sex="male" if male else "female",
        age=int(np.clip(rng.normal(58, 15), 22, 90)),
        scale_x=(1.0 if male else 0.92) * rng.normal(1.0, 0.035),
        scale_y=(1.0 if male else 0.95) * rng.normal(1.0, 0.045),
        scale_z=stature,
        fat_mm=fat,
        muscle_mm=(15.0 if male else 11.0) * rng.uniform(0.8, 1.2),
        rotation=float(np.clip(rng.normal(0.0, 0.035), -0.09, 0.09)),
        shift_mm=(rng.normal(0, 4), rng.normal(0, 4), rng.normal(0, 4)),
        ctr=float(np.clip(rng.normal(0.44, 0.028), 0.37, 0.49)),
        heart_axis=rng.normal(0.95, 0.12),
        dome_mm=(dome_right, dome_right - rng.uniform(6, 18)),
        aorta_mm=rng.normal(15.0, 1.2),
        lung_hu=-835.0 + 0.9 * -inspiration + rng.normal(0, 14),
        lung_gradient=rng.uniform(30, 80),
        noise_hu=float(np.interp(bmi, [17, 25, 43], [9, 14, 30]) * rng.uniform(0.85, 1.2)),
        epicardial_fat_mm=float(np.interp(bmi, [17, 30, 43], [2.0, 4.5, 8.0])),
    )
