"""The phantom's vocabularies: organ labels, finding labels, sides and lobes."""

from __future__ import annotations

VERSION = "1.2"  # raise it when the same seed gives other bytes: caches are named after it

ORGANS: dict[str, int] = {
    "background": 0,
    "right lung": 1,
    "left lung": 2,
    "heart": 3,
    "aorta": 4,
    "airways": 5,
    "liver": 6,
    "spleen": 7,
    "stomach": 8,
    "spine": 9,
    "ribs": 10,
    "other bone": 11,
    "esophagus": 12,
}

# The names of CT-RATE's label columns where the column exists; the last three are ours.
LABELS: tuple[str, ...] = (
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pleural effusion",
    "Consolidation",
    "Pneumothorax",
    "Rib fracture",
    "Lung mass",
)

# Lesion label map: 0 is background, label i of LABELS is i + 1. Cardiomegaly has no lesion voxels (see the heart).
LESIONS: dict[str, int] = {"background": 0, **{name: i + 1 for i, name in enumerate(LABELS)}}

SIDES: tuple[str, ...] = ("right", "left")
LOBES: dict[str, tuple[str, ...]] = {"right": ("upper", "middle", "lower"), "left": ("upper", "lower")}
