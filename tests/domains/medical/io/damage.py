"""Child process of `test_damaged_files`: reads mutants of the test images that pydicom and nibabel ship.

Prints one line per fault (anything but an image with signal or a DataError that names the file), then a summary.
Run as a script, so that a crash or hang of native code ends this process and not the test run.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.errors import DataError
from domains.medical.geometry import Radiograph
from domains.medical.io import read

PER_KIND = 4
SECONDS = 5.0
ADDRESS_SPACE = 3 << 30


def shipped() -> list[Path]:
    """Image-like files of both libraries, one of each kind of content."""
    import nibabel
    import pydicom

    dicom = Path(pydicom.data.__file__).parent / "test_files"
    nifti = Path(nibabel.__file__).parent / "tests" / "data"
    found = [*dicom.glob("*.dcm"), *dicom.glob("dicomdirtests/77654033/C*/*"), *nifti.glob("*.nii*")]
    return sorted(p for p in found if p.is_file() and p.stat().st_size < 400_000)


def pictures(folder: Path, rng: np.random.Generator) -> list[Path]:
    """PNG of 8 and 16 bits and JPEG, in a folder of their own."""
    from PIL import Image

    (folder / "whole").mkdir()
    values = rng.integers(0, 255, (60, 70)).astype(np.uint8)
    paths = [folder / "whole" / name for name in ("grey.png", "deep.png", "photo.jpg")]
    for path, array in zip(paths, (values, values.astype(np.uint16) * 200, values), strict=True):
        Image.fromarray(array).save(path)
    return paths


def mutants(data: bytes, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    size = len(data)
    for share in (0.02, 0.3, 0.6, 0.9, 0.999):
        yield f"cut at {share}", data[: int(size * share)]
    yield "zeroed", bytes(size)
    yield "tail zeroed", data[: min(size // 2, 4000)] + bytes(size - min(size // 2, 4000))
    yield "random", rng.bytes(size)
    yield "random tail", data[: size // 2] + rng.bytes(size - size // 2)
    for _ in range(PER_KIND):
        flipped = np.frombuffer(data, np.uint8).copy()
        where = rng.integers(0, size, 8)
        flipped[where] ^= np.uint8(1) << rng.integers(0, 8, 8).astype(np.uint8)
        yield "bits flipped", flipped.tobytes()
        flipped = np.frombuffer(data, np.uint8).copy()
        where = rng.integers(0, min(size, 2000), 4)
        flipped[where] = rng.integers(0, 256, 4)
        yield "header bytes changed", flipped.tobytes()
        a, b = sorted(rng.integers(0, size, 2))
        yield "piece repeated", data[:b] + data[a:]


def main(seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("error")  # a warning that escapes the reader is a fault
    rng, counts, slowest = np.random.default_rng(seed), {"image": 0, "DataError": 0}, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for source in [*shipped(), *pictures(Path(folder), rng)]:
            data = source.read_bytes()
            for kind, mutant in mutants(data, rng):
                path = Path(folder) / (source.name if source.suffix else f"{source.name}.dcm")
                path.write_bytes(mutant)
                started = time.monotonic()
                fault = attempt(path, counts)
                slowest = max(slowest, time.monotonic() - started)
                if time.monotonic() - started > SECONDS:
                    fault = f"took {time.monotonic() - started:.1f} s"
                if fault:
                    print(f"FAULT {source.name}, {kind}: {fault}", flush=True)
    print(f"{counts['image']} images, {counts['DataError']} errors, slowest {slowest:.2f} s")


def attempt(path: Path, counts: dict[str, int]) -> str:
    try:
        found = read(path)
    except DataError as err:
        counts["DataError"] += 1
        return "" if str(path) in str(err) else f"the error does not name the file: {err}"
    except BaseException as err:
        return f"{type(err).__name__}: {err}"
    counts["image"] += 1
    array = found.array_HW if isinstance(found, Radiograph) else found.array_XYZ
    if not np.isfinite(array).all():
        return "nan or infinite values"
    return "" if array.size == 1 or array.min() < array.max() else "an image without signal"


if __name__ == "__main__":
    main(int(sys.argv[1]))
