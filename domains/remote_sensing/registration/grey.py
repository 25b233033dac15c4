"""Bands of any sensor as one grey picture: the form in which a matcher sees every modality.

Shape legend: V = pictures, C = bands, H, W = rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOW, HIGH = 0.02, 0.98  # shares of the valid pixels that become black and white
FLAT = 1e-6  # a band whose stretch is narrower, relative to its values, shows nothing


def stretch(x_VCHW: Tensor, valid_VHW: Tensor | None = None) -> Tensor:
    """Each band of each picture from its 2nd to its 98th percentile over valid pixels to [0, 1], clipped; float32.

    Invalid pixels, and bands without contrast, become 0. It forgets units: reflectance, dB and counts look alike.
    """
    rows = x_VCHW.detach().float().flatten(2)
    if valid_VHW is not None:
        rows = rows.masked_fill(~valid_VHW.flatten(1)[:, None], torch.nan)
    ends_2VC = torch.nanquantile(rows, torch.tensor([LOW, HIGH], device=rows.device), dim=2)
    low_VC11, high_VC11 = ends_2VC.nan_to_num(0.0)[..., None, None]
    width_VC11 = high_VC11 - low_VC11
    shows_VC11 = width_VC11 > FLAT * torch.maximum(high_VC11.abs(), low_VC11.abs()).clamp_min(1e-12)
    scaled_VCHW = ((x_VCHW.float() - low_VC11) / width_VC11.masked_fill(~shows_VC11, 1)).clamp(0, 1) * shows_VC11
    return scaled_VCHW if valid_VHW is None else scaled_VCHW.masked_fill(~valid_VHW[:, None], 0)


def composite(x_VCHW: Tensor, valid_VHW: Tensor | None = None, weights_VC: Tensor | None = None) -> Tensor:
    """(V, 1, H, W) in [0, 1]: the weighted mean of the stretched bands, stretched again.

    weights_VC: at least 0, with a positive sum per row; None = all bands alike.
    """
    x_VCHW = torch.nan_to_num(x_VCHW.float())
    bands_VCHW = stretch(x_VCHW, valid_VHW)
    if weights_VC is None:
        mean_V1HW = bands_VCHW.mean(dim=1, keepdim=True)
    else:
        share_VC = (weights_VC / weights_VC.sum(dim=1, keepdim=True)).float()
        mean_V1HW = torch.einsum("vchw,vc->vhw", bands_VCHW, share_VC)[:, None]
    return stretch(mean_V1HW, valid_VHW)
