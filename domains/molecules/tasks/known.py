"""The molecules that a model was trained on, as they lie in its run: what a prediction is near to, or far from."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import CheckpointError
from core.files import write_atomic
from domains.molecules.fingerprints import SIZE

FILE = "training_molecules.npz"


@dataclass(frozen=True, slots=True)
class KnownMolecules:
    """ids: (M,) names in the dataset. bits: (M, S / 8) Morgan fingerprints, eight bits to a byte."""

    ids: NDArray[np.str_]
    bits: NDArray[np.uint8]

    def save(self, run: Path) -> Path:
        """Write `training_molecules.npz` into the run, whole or not at all."""
        import io

        out = io.BytesIO()
        np.savez_compressed(out, ids=self.ids, bits=self.bits)
        write_atomic(run / FILE, out.getvalue(), error=CheckpointError)
        return run / FILE

    @classmethod
    def load(cls, run: Path) -> KnownMolecules:
        """Raises CheckpointError naming the file when it is missing or damaged; nothing in it is unpickled."""
        path = run / FILE
        try:
            with np.load(path, allow_pickle=False) as found:
                ids, bits = found["ids"], found["bits"]
        except FileNotFoundError as err:
            raise CheckpointError(f"{path}: no such file; give a run of `finetune` with the task Properties") from err
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
            raise CheckpointError(f"{path}: cannot be read ({err}); copy the run again") from err
        if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] * 8 != SIZE or len(ids) != len(bits):
            raise CheckpointError(
                f"{path}: holds ids {ids.shape} and bits {bits.shape}; expected (M,), (M, {SIZE // 8})"
            )
        return cls(ids, bits)
