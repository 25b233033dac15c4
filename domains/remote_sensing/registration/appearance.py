"""Pseudo modalities: how another sensor might show the same ground, made of one picture and aligned with it exactly.

MatchAnything's training pairs have one side replaced by a synthetic depth, thermal or night picture that a generative
model draws. These are rules instead, and called so: what they share with it is that geometry stays and values do not.

Shape legend: V = pictures, H, W = rows and columns. Pictures are grey, (V, 1, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError, nearest
from domains.remote_sensing.registration.grey import stretch

LEVELS = 12  # of the tone curve that stands for another wavelength


def tone(x_V1HW: Tensor, generator: torch.Generator) -> Tensor:
    """A random tone curve, not monotone: classes of ground change order, as between wavelengths."""
    curve_VL = torch.rand(len(x_V1HW), LEVELS, generator=generator).to(x_V1HW)
    place_VN = x_V1HW.flatten(1) * (LEVELS - 1)
    low_VN = place_VN.floor().clamp_max(LEVELS - 2).long()
    part_VN = place_VN - low_VN
    mixed_VN = curve_VL.gather(1, low_VN) * (1 - part_VN) + curve_VL.gather(1, low_VN + 1) * part_VN
    return mixed_VN.view_as(x_V1HW)


def invert(x_V1HW: Tensor, generator: torch.Generator) -> Tensor:
    """Bright is dark, with a random gamma."""
    gamma_V111 = torch.exp(torch.rand(len(x_V1HW), 1, 1, 1, generator=generator).to(x_V1HW) * 1.4 - 0.7)
    return (1 - x_V1HW).clamp_min(1e-6) ** gamma_V111


def radar(x_V1HW: Tensor, generator: torch.Generator) -> Tensor:
    """A tone curve and speckle of 1 to 4 looks, in decibels: multiplicative gamma noise of mean 1."""
    looks = int(torch.randint(1, 5, (), generator=generator))
    u = torch.rand(looks, *x_V1HW.shape, generator=generator).to(x_V1HW)
    speckle_V1HW = -u.clamp_min(1e-6).log().mean(0)
    return 25 * tone(x_V1HW, generator) + 10 * torch.log10(speckle_V1HW.clamp_min(1e-3))


def thermal(x_V1HW: Tensor, generator: torch.Generator) -> Tensor:
    """Smooth and of few tones: a blurred tone curve."""
    return blur(tone(x_V1HW, generator), 2)


def night(x_V1HW: Tensor, generator: torch.Generator) -> Tensor:
    """Dark and noisy."""
    noise_V1HW = torch.randn(x_V1HW.shape, generator=generator).to(x_V1HW)
    return (x_V1HW**2.5 + 0.08 * noise_V1HW).clamp(0, 1)


def edges(x_V1HW: Tensor, generator: torch.Generator) -> Tensor:
    """The size of the gradient: borders remain, what lies between them does not."""
    return gradient(blur(x_V1HW, 1))


PSEUDO: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "tone": tone, "invert": invert, "radar": radar, "thermal": thermal, "night": night, "edges": edges
}  # fmt: skip


def pseudo_modality(x_V1HW: Tensor, kinds: Sequence[str], generator: torch.Generator) -> Tensor:
    """Each picture as one of the `kinds`, drawn at random; (V, 1, H, W) in [0, 1]."""
    check_kinds(kinds)
    chosen_V = torch.randint(len(kinds), (len(x_V1HW),), generator=generator)
    out_V1HW = torch.empty_like(x_V1HW)
    for number in sorted(set(chosen_V.tolist())):
        here = (chosen_V == number).to(x_V1HW.device)
        out_V1HW[here] = stretch(PSEUDO[kinds[number]](x_V1HW[here], generator))
    return out_V1HW


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises ConfigError for a kind that there is not, with the nearest."""
    for name in kinds:
        if name not in PSEUDO:
            raise ConfigError(f"kinds: there is no pseudo modality '{name}'{nearest(name, PSEUDO)}")
    if not kinds:
        raise ConfigError(f"kinds: is empty; give some of {', '.join(PSEUDO)}")


def blur(x_V1HW: Tensor, times: int) -> Tensor:
    """A 3 x 3 mean, several times."""
    for _ in range(times):
        x_V1HW = F.avg_pool2d(F.pad(x_V1HW, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return x_V1HW


def gradient(x_V1HW: Tensor) -> Tensor:
    """Size of the central differences."""
    padded = F.pad(x_V1HW, (1, 1, 1, 1), mode="replicate")
    dx, dy = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.sqrt(dx**2 + dy**2 + 1e-12)
