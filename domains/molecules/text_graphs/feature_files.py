"""Arrays of node features, labels and masks from files that cannot run code: .npy, .safetensors, .pt (weights only)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

SUFFIXES = (".npy", ".safetensors", ".pt")


def read_array(path: Path) -> NDArray[Any]:
    """The one array of a file; floats as float32. Raises DataError for anything that is not one array."""
    try:
        found = _READERS[path.suffix](path)
    except KeyError:
        raise DataError(f"{path}: arrays are read from {', '.join(SUFFIXES)}; convert it") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as err:  # what the three readers raise for damage has no common class
        raise DataError(
            f"{path}: not one array in a form that cannot run code ({type(err).__name__}: {str(err)[:200]}); save it "
            "with numpy.save, safetensors, or torch.save of a tensor"
        ) from err
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def find_array(folder: Path, stem: str) -> Path | None:
    """`stem` with one of the readable suffixes; None when there is none."""
    return next((folder / f"{stem}{suffix}" for suffix in SUFFIXES if (folder / f"{stem}{suffix}").is_file()), None)


def _npy(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, allow_pickle=False)
    return found


def _safetensors(path: Path) -> NDArray[Any]:
    from safetensors.numpy import load_file

    arrays = load_file(path)
    if len(arrays) != 1:
        raise ValueError(f"holds {len(arrays)} arrays, expected one")
    found: NDArray[Any] = next(iter(arrays.values()))
    return found


def _pt(path: Path) -> NDArray[Any]:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, torch.Tensor):
        raise ValueError(f"holds a {type(found).__name__}, expected a tensor")
    return np.asarray(found.float() if found.is_floating_point() else found)


_READERS = {".npy": _npy, ".safetensors": _safetensors, ".pt": _pt}
