"""Losses and confidences of pixels, with a weight per pixel.

Shape legend: V = rows, K = classes, H, W = pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-7  # of a class that neither side holds


def weighted_ce(logits_VKHW: Tensor, target_VKHW: Tensor, weight_VHW: Tensor) -> Tensor:
    """sum_i w_i CE(z_i, t_i) / sum_i w_i with soft targets; an exact 0 with a graph when all weights are 0.

    From log_softmax: the logarithm of a softmax that underflowed would give 0 * -inf.
    """
    ce_VHW = -(target_VKHW * F.log_softmax(logits_VKHW, dim=1)).sum(1)
    return (weight_VHW * ce_VHW).sum() / weight_VHW.sum().clamp_min(EPS)


def weighted_dice(logits_VKHW: Tensor, target_VKHW: Tensor, weight_VHW: Tensor, there_K: Tensor) -> Tensor:
    """Mean over classes of 1 - 2 sum_i w_i p_i t_i / sum_i w_i (p_i + t_i), over rows and pixels together.

    there_K: bool, classes that the labels hold; the others cost nothing, and count in the mean (Liu et al. 2025). They
    come from the labels, since a smoothed target holds every class.
    """
    prob_VKHW, weight_V1HW = logits_VKHW.softmax(1), weight_VHW[:, None]
    over = (0, 2, 3)
    both_K = (weight_V1HW * prob_VKHW * target_VKHW).sum(over)
    size_K = (weight_V1HW * (prob_VKHW + target_VKHW)).sum(over)
    return ((1 - 2 * both_K / size_K.clamp_min(EPS)) * there_K).mean()


def one_hot(labels_VHW: Tensor, classes: int) -> Tensor:
    """(V, K, H, W) float32; zeros where the label is -1."""
    hot_VKHW = F.one_hot(labels_VHW.clamp_min(0), classes).movedim(-1, 1)
    return (hot_VKHW * (labels_VHW >= 0)[:, None]).float()


def label_confidence(logits_VKHW: Tensor, labels_VHW: Tensor) -> Tensor:
    """(V, H, W) probability of the label; 0 where there is none. Without gradient."""
    prob_VKHW = logits_VKHW.detach().softmax(1)
    return prob_VKHW.gather(1, labels_VHW.clamp_min(0)[:, None])[:, 0] * (labels_VHW >= 0)


def certainty(logits_VKHW: Tensor) -> Tensor:
    """(V, H, W) 1 - entropy / ln K, in [0, 1]: 0 for uniform probabilities, 1 for a sure answer. Without gradient."""
    log_VKHW = F.log_softmax(logits_VKHW.detach(), dim=1)
    entropy_VHW = -(log_VKHW.exp() * log_VKHW).sum(1)
    return (1 - entropy_VHW / math.log(logits_VKHW.shape[1])).clamp(0, 1)


def entangled(own: Tensor, other: Tensor) -> Tensor:
    """(c + c c') / 2: high where both modalities are confident, and never above the own (Liu et al. 2025)."""
    return (own + own * other) / 2


def balanced_weights(confidence_VHW: Tensor, labels_VHW: Tensor, share: float, classes: int) -> Tensor:
    """(V, H, W) weights in [0, 1]. Of each class the `share` with the highest confidence have weight 1, the others
    their confidence relative to the last of those (Liu et al. 2025).

    A class of which the share is less than one pixel is left out (0), as are pixels labelled -1. A selection by rank,
    not a sort, so that memory stays that of one class.
    """
    weight_VHW = torch.zeros_like(confidence_VHW)
    for label in range(classes):
        of_class_VHW = labels_VHW == label
        own_n = confidence_VHW[of_class_VHW]
        kept = int(len(own_n) * share)
        if kept == 0:
            continue
        threshold = own_n.kthvalue(len(own_n) - kept + 1).values
        weight_VHW[of_class_VHW] = (own_n / threshold).clamp(0, 1) if float(threshold) > 0 else torch.ones_like(own_n)
    return weight_VHW
