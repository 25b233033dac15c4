"""PNG and JPEG radiographs to a Radiograph. Only these two formats are opened, whatever the file's name says.

Grey values keep their absolute scale: 8-bit values are divided by 255, 16-bit values by the smallest 2**b - 1 of b = 8,
10, 12, 14, 16 that holds the largest of them (12-bit detectors are stored in 16-bit files). Colour becomes luma
(ITU-R 601), transparency is ignored, an EXIF rotation is applied. Exports of this kind are already display-like:
MONOCHROME1 has been inverted by whoever wrote the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from domains.medical.geometry import Radiograph
from domains.medical.io.content import require_signal
from domains.medical.io.guard import check_size, reading

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
BITS = (8, 10, 12, 14, 16)


def read_picture(path: Path | str) -> Radiograph:
    """Read one PNG or JPEG. Pixel spacing, view and laterality are not in these files and stay unknown.

    Raises DataError naming the file for other formats, damage, blank pictures and sizes over MAX_VOXELS.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    with reading(path, "PNG or JPEG picture"), Image.open(path, formats=FORMATS) as image:
        check_size(*image.size)
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            values = np.asarray(upright, np.float32)
            full_scale = next((2.0**b - 1 for b in BITS if values.max() <= 2**b - 1), float(values.max()))
        else:
            values, full_scale = np.asarray(upright.convert("RGB").convert("L"), np.float32), 255.0
        require_signal(values)
        return Radiograph(values / np.float32(full_scale), provenance=(str(image.format).lower(),))
