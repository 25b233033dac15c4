"""Where lesions lie in the frontal view of a scan.

Shape legend: X, Y, Z = axes of the canonical scan, to the patient's left, to the back and to the head.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.data.position_prompts import Box
from domains.medical.geometry import Volume
from domains.medical.processors.grid import canonical


class Lesion(NamedTuple):
    """label: number in the label map. box: in shares of the frontal view, x to the right, y down."""

    label: int
    box: Box


def frontal_boxes(labels: Volume, *, most: int = 2) -> list[Lesion]:
    """Boxes of the connected shadows that each label throws onto the frontal plane, the `most` largest of each, by
    label and size.

    The view is the square in the middle of the scan's field that is as wide as the field is high, or as it is wide if
    that is less: the square detector of a radiograph made from the scan. The patient's right is on its left. Boxes may
    reach beyond it.
    """
    from scipy import ndimage

    turned = canonical(labels)
    array_XYZ = np.asarray(turned.array_XYZ).round().astype(np.int64)
    (nx, _, nz), (sx, _, sz) = array_XYZ.shape, turned.spacing
    side = min(nx * sx, nz * sz)
    found = []
    for label in np.unique(array_XYZ[array_XYZ > 0]).tolist():
        parts, _ = ndimage.label((array_XYZ == label).any(axis=1))
        boxes = ndimage.find_objects(parts)
        sizes = np.bincount(parts.ravel())[1:]
        for i in np.argsort(-sizes, kind="stable")[:most]:
            x, z = boxes[i]
            left, right = ((edge - nx / 2) * sx / side + 0.5 for edge in (x.start, x.stop))
            bottom, top = (0.5 - (edge - nz / 2) * sz / side for edge in (z.start, z.stop))
            found.append(Lesion(label, (left, top, right, bottom)))
    return found
