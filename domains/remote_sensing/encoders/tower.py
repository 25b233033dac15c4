"""What encoders with published weights know of their input: which bands of which sensor, and the files of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError, ConfigError, DataError, nearest
from domains.remote_sensing.bands import BandSpec

RADAR_UM = 1000.0  # a longer wavelength is that of a radar
SPEED_OF_LIGHT = 299_792.458  # um GHz


def check_bands(spec: BandSpec, processor: Any, who: str) -> None:
    """Raise DataError, with both orders, unless the processor makes the bands of `spec`, in its order and unit."""
    made = getattr(processor, "spec", None)
    if not isinstance(made, BandSpec):
        raise ConfigError(f"{who} reads rasters, {type(processor).__name__} makes none; use a RasterProcessor")
    made.require_order(spec, where=who)


def check_channels(spec: BandSpec, x_VCHW: Tensor, who: str) -> None:
    """Raise DataError for another number of channels than `spec` has bands."""
    if x_VCHW.ndim != 4 or x_VCHW.shape[1] != len(spec):
        raise DataError(
            f"{who} got shape {tuple(x_VCHW.shape)}; expected (V, {len(spec)}, H, W): {', '.join(spec.names)}"
        )


def dofa_wavelengths(spec: BandSpec) -> list[float]:
    """What DOFA is told of each band: micrometres of light; of a radar the frequency in GHz (5.405 for C band), since
    that is the number its weights were trained with. Raises ConfigError for a band that has no wavelength."""
    out = []
    for band in spec.bands:
        if band.wavelength_um is None:
            raise ConfigError(
                f"DOFA: band {band.name} of {spec.describe()} has no wavelength; choose other bands, or state it"
            )
        radar = band.wavelength_um > RADAR_UM
        out.append(round(SPEED_OF_LIGHT / band.wavelength_um, 3) if radar else band.wavelength_um)
    return out


def read_torch(path: Path | str) -> Mapping[str, Any]:
    """A local file of published weights, .safetensors or .pth, without running anything in it.

    Raises CheckpointError for what cannot be read so.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; download the weights, and give their path")
    if path.suffix == ".safetensors":
        from core.hub import read_weights

        return read_weights(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # the unpickler has a family of errors for one fact
        raise CheckpointError(f"{path}: cannot be read as weights alone ({type(err).__name__}: {err})") from err
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path}: holds a {type(found).__name__}; expected names and tensors")
    return found


def take(
    own: Mapping[str, Tensor], found: Mapping[str, Any], *, who: str, optional: Sequence[str] = (), where: str = ""
) -> dict[str, Tensor]:
    """`own` with every entry from `found`, those of `optional` only where they are there.

    where: in front of the names in messages. Raises CheckpointError for a tensor that is missing, unknown, of another
    shape, or not finite.
    """
    for name in found:
        if name not in own:
            raise CheckpointError(f"{who} weights: '{where}{name}' is unknown{nearest(name, own)}")
    out = {}
    for name, tensor in own.items():
        value = found.get(name)
        if value is None:
            if name not in optional:
                raise CheckpointError(f"{who} weights: '{where}{name}' is missing{nearest(name, found)}")
            value = tensor
        if not isinstance(value, Tensor) or value.shape != tensor.shape:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(
                f"{who} weights: '{where}{name}' is {shape}, the model's is {tuple(tensor.shape)}; is it another size?"
            )
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{who} weights: '{where}{name}' holds values that are not finite")
        out[name] = value
    return out
