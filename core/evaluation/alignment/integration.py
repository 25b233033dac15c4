"""Modality integration rate: how far image tokens stay from text tokens inside a language model (Huang et al. 2024).

Shape legend: N = image tokens, T = text tokens of all samples together, D = width of the model, K = layers.
Lower is better. Two ways to compute it, because the released fast mode (its default, and that of published values) does
not compute the distance it names; say which one a number comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import DataError

OUTLIER_DEVIATIONS = 3.0


@dataclass(frozen=True, slots=True)
class IntegrationRate:
    """rate: log10 of the sum of `layers`, the distance at each layer; nan when that sum is negative (released_fast may
    be), -inf when it is 0. mode: how the distances were computed."""

    rate: float
    layers: tuple[float, ...]
    mode: str


def integration_rate(image_layers: Sequence[Tensor], text_layers: Sequence[Tensor]) -> IntegrationRate:
    """MIR with the exact Frechet distance.

    image_layers, text_layers: hidden states after block 1, 2, ... K, (N, D) and (T, D), the tokens of all samples
    concatenated (100 image-text pairs in the paper; the states before the first block do not count).
    At each layer both are divided by the mean length of the text tokens, so the scale of the states does not matter,
    and outliers are replaced (`replace_outliers`), each modality by itself.
    """
    return _rate(image_layers, text_layers, frechet_distance, "exact")


def integration_rate_released_fast(image_layers: Sequence[Tensor], text_layers: Sequence[Tensor]) -> IntegrationRate:
    """MIR as the released fast mode gives it, for comparison with published values only.

    Its iteration for a matrix square root starts at a fixed point, so tr(C_v C_t) stands where tr((C_v C_t)^(1/2))
    should.
    """
    return _rate(image_layers, text_layers, frechet_distance_released_fast, "released_fast")


def frechet_distance(x_ND: Tensor, y_TD: Tensor) -> float:
    """|mean difference|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)), covariances with N - 1; float64, at least 0.

    tr((C_x C_y)^(1/2)) is the nuclear norm of A B^T for any A^T A = C_x and B^T B = C_y, which holds for singular
    covariances (fewer tokens than dimensions) too, where a general matrix square root loses digits.
    """
    mean_x_D, a_RD = _mean_and_root(x_ND)
    mean_y_D, b_SD = _mean_and_root(y_TD)
    cross = torch.linalg.svdvals(a_RD @ b_SD.T).sum()
    distance = (mean_x_D - mean_y_D).square().sum() + a_RD.square().sum() + b_SD.square().sum() - 2 * cross
    return max(float(distance), 0.0)


def frechet_distance_released_fast(x_ND: Tensor, y_TD: Tensor) -> float:
    """The same with tr(C_x C_y) instead of the trace of its square root; may be negative."""
    mean_x_D, a_RD = _mean_and_root(x_ND)
    mean_y_D, b_SD = _mean_and_root(y_TD)
    cross = (a_RD @ b_SD.T).square().sum()
    return float((mean_x_D - mean_y_D).square().sum() + a_RD.square().sum() + b_SD.square().sum() - 2 * cross)


def replace_outliers(x_ND: Tensor) -> Tensor:
    """Tokens whose length is more than 3 standard deviations (N - 1) from the median length become the median of all
    tokens, coordinate by coordinate. A copy; both medians are the lower middle value for an even count, and all limits
    are those of the tokens as they came."""
    length_N = x_ND.norm(dim=1)
    outlier_N = (length_N - length_N.median()).abs() > OUTLIER_DEVIATIONS * length_N.std()
    return torch.where(outlier_N[:, None], x_ND.median(dim=0).values, x_ND)


def _mean_and_root(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and a matrix (R, D) whose transpose times itself is the covariance, R = min(N, D)."""
    x_ND = x_ND.detach().double()
    mean_D = x_ND.mean(dim=0)
    centred_ND = (x_ND - mean_D) / math.sqrt(len(x_ND) - 1)
    if centred_ND.shape[0] <= centred_ND.shape[1]:
        return mean_D, centred_ND
    return mean_D, torch.linalg.qr(centred_ND, mode="r").R


def _rate(
    image_layers: Sequence[Tensor],
    text_layers: Sequence[Tensor],
    distance: Callable[[Tensor, Tensor], float],
    mode: str,
) -> IntegrationRate:
    if len(image_layers) != len(text_layers) or not image_layers:
        raise DataError(
            f"MIR: {len(image_layers)} layers of image tokens, {len(text_layers)} of text; give both of each"
        )
    layers = []
    for i, (image_ND, text_TD) in enumerate(zip(image_layers, text_layers, strict=True)):
        for name, x in (("image", image_ND), ("text", text_TD)):
            if x.ndim != 2 or len(x) < 2 or x.shape[1] != text_TD.shape[1]:
                raise DataError(
                    f"MIR: {name} tokens of layer {i} are {tuple(x.shape)}; give (tokens, width), 2 or more"
                )
        scale = text_TD.detach().double().norm(dim=1).mean()
        if float(scale) == 0:
            raise DataError(f"MIR: all text tokens of layer {i} are zero")
        image_ND, text_TD = (replace_outliers(x.detach().double() / scale) for x in (image_ND, text_TD))
        layers.append(distance(image_ND, text_TD))
    total = sum(layers)
    rate = math.log10(total) if total > 0 else (-math.inf if total == 0 else math.nan)
    return IntegrationRate(rate, tuple(layers), mode)
