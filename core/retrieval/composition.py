"""Composition of an image from its parts before it is compared with a sentence (ComCLIP-style, Jiang et al. 2024).

Shape legend: V = image-sentence pairs, P = parts of a pair (subject, object, relation, ...), E = embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.alignment.rows import unit


def part_weights(words_VPE: Tensor, parts_VPE: Tensor, mask_VP: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
    """softmax over the parts of scale * cos(word, part), (V, P); 0 where masked, and for a pair without parts.

    A pair's only part has weight 1 whatever its score. The published weights divide raw scores by their sum, which can
    be zero or negative and then turn signs around; a softmax cannot. scale: 1 keeps the weights about as even as the
    published ones.
    """
    if words_VPE.ndim != 3 or words_VPE.shape != parts_VPE.shape:
        raise DataError(
            f"composition: words are {tuple(words_VPE.shape)} and parts {tuple(parts_VPE.shape)}; give two (V, P, E)"
        )
    if scale <= 0:
        raise ConfigError(f"composition: scale is {scale}; give a value above 0")
    if words_VPE.shape[1] == 0:
        return words_VPE.new_zeros(words_VPE.shape[:2])
    score_VP = scale * (_unit(words_VPE) * _unit(parts_VPE)).sum(dim=2)
    if mask_VP is None:
        return score_VP.softmax(dim=1)
    if mask_VP.shape != score_VP.shape or mask_VP.dtype != torch.bool:
        raise DataError(f"composition: mask is {tuple(mask_VP.shape)} {mask_VP.dtype}; give (V, P) bool, True = real")
    return score_VP.masked_fill(~mask_VP, torch.finfo(score_VP.dtype).min).softmax(dim=1) * mask_VP


def compose(
    images_VE: Tensor,
    words_VPE: Tensor,
    parts_VPE: Tensor,
    mask_VP: Tensor | None = None,
    *,
    scale: float = 1.0,
) -> Tensor:
    """norm(image + sum_p weight_p part_p), (V, E) unit rows; the image itself where a pair has no parts.

    images: of the whole picture. parts: of its sub-images (all but one region blacked out). words: text embeddings of
    the phrase that each sub-image belongs to. mask: True = a real part. All are compared and added as unit vectors.
    """
    weight_VP = part_weights(words_VPE, parts_VPE, mask_VP, scale=scale)
    if images_VE.shape != (len(parts_VPE), parts_VPE.shape[2]):
        raise DataError(
            f"composition: images are {tuple(images_VE.shape)}, parts {tuple(parts_VPE.shape)}; rows must match"
        )
    parts_VPE = _unit(parts_VPE)
    if mask_VP is not None:
        parts_VPE = parts_VPE.masked_fill(~mask_VP[..., None], 0.0)  # what is masked may hold anything
    image_VE = unit(images_VE)
    composed_VE = unit(image_VE + torch.einsum("vp,vpe->ve", weight_VP, parts_VPE))
    return torch.where(weight_VP.any(dim=1, keepdim=True), composed_VE, image_VE)


def composed_similarity(
    images_VE: Tensor,
    sentences_VE: Tensor,
    words_VPE: Tensor,
    parts_VPE: Tensor,
    mask_VP: Tensor | None = None,
    *,
    scale: float = 1.0,
) -> Tensor:
    """Cosine of each composed image with its sentence, (V,); the plain cosine where there are no parts."""
    return (compose(images_VE, words_VPE, parts_VPE, mask_VP, scale=scale) * unit(sentences_VE)).sum(dim=1)


def _unit(x_VPE: Tensor) -> Tensor:
    return unit(x_VPE.flatten(0, 1)).view(x_VPE.shape)
