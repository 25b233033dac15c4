"""What to hide: random grid tokens of an image or a volume, whole words of a text.

Shape legend: V = rows, N = grid tokens, K = visible ones (equal for all rows), T = text tokens, W = words, D = width.
Every draw comes from the CPU generator that is passed in, whatever device the data are on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """keep: (V, K) int64 visible grid positions. hidden: (V, N) bool, True = to be predicted; padding is neither."""

    keep: Tensor
    hidden: Tensor

    def to(self, device: torch.device) -> MaskPlan:
        return MaskPlan(self.keep.to(device), self.hidden.to(device))

    def restore(self, visible_VKD: Tensor, fill_D: Tensor) -> Tensor:
        """(V, N, D): visible tokens back at their grid positions, `fill_D` everywhere else."""
        full_VND = fill_D.to(visible_VKD.dtype).expand(*self.hidden.shape, -1)
        return full_VND.scatter(1, self.keep[..., None].expand_as(visible_VKD), visible_VKD)


def visible_count(tokens: int, ratio: float) -> int:
    """Tokens that stay visible: floor(tokens * (1 - ratio)), at least one (324 tokens at 0.75 leave 81)."""
    return max(1, int(tokens * (1 - ratio) + 1e-9))  # 10 * (1 - 0.9) is 0.9999...


def random_mask(
    rows: int,
    tokens: int,
    *,
    ratio: float,
    generator: torch.Generator,
    real_VN: Tensor | None = None,
    device: torch.device | None = None,
) -> MaskPlan:
    """Hide a uniformly drawn share `ratio` of each row's real tokens.

    real_VN: bool, False = padding; None when everything is real. Padding is never predicted; it fills the places of
    `keep` that a row with fewer real tokens leaves free, where the encoder's mask keeps it out.
    """
    noise_VN = torch.rand(rows, tokens, generator=generator)
    return hide_last(noise_VN, ratio=ratio, real_VN=real_VN, device=device)


def hide_last(
    order_VN: Tensor, *, ratio: float, real_VN: Tensor | None = None, device: torch.device | None = None
) -> MaskPlan:
    """The plan that hides the share `ratio` of each row's real tokens which comes last in `order` (in [0, 2))."""
    kept = visible_count(order_VN.shape[1], ratio)
    if real_VN is None:
        first_VN = order_VN
        real_VN = torch.ones(order_VN.shape, dtype=torch.bool)
    else:
        real_VN = real_VN.cpu()
        own_V = (real_VN.sum(1) * (1 - ratio) + 1e-9).long().clamp(min=1, max=kept)
        rank_VN = (order_VN + 2.0 * ~real_VN).argsort(1).argsort(1)
        visible_VN = real_VN & (rank_VN < own_V[:, None])
        first_VN = order_VN + torch.where(visible_VN, 0.0, torch.where(real_VN, 4.0, 2.0))
    keep_VK = first_VN.argsort(1)[:, :kept]
    hidden_VN = real_VN.scatter(1, keep_VK, torch.zeros_like(keep_VK, dtype=torch.bool))
    return MaskPlan(keep_VK.to(device), hidden_VN.to(device))


def mask_words(word_ids_VT: Tensor, *, ratio: float, generator: torch.Generator) -> Tensor:
    """(V, T) bool: tokens of words drawn without replacement until round(ratio * tokens) tokens are covered.

    At least one word per row that has any; the last word drawn is completed, so that no word is hidden in part.
    word_ids: -1 = special token or padding, never drawn.
    """
    words_VT = word_ids_VT.cpu()
    rows, length = words_VT.shape
    usable_VT = words_VT >= 0
    if not usable_VT.any():
        return torch.zeros_like(word_ids_VT, dtype=torch.bool)
    noise_VW = torch.rand(rows, int(words_VT.max()) + 1, generator=generator)
    noise_VT = noise_VW.gather(1, words_VT.clamp_min(0)).masked_fill(~usable_VT, 2.0)
    budget_V = (usable_VT.sum(1) * ratio).round().clamp_min(1)
    sorted_VT, order_VT = noise_VT.sort(dim=1, stable=True)
    starts_VT = torch.ones(rows, length, dtype=torch.bool)
    starts_VT[:, 1:] = sorted_VT[:, 1:] != sorted_VT[:, :-1]
    covered_before_VT = torch.where(starts_VT, torch.arange(length), 0).cummax(1).values
    chosen_VT = (covered_before_VT < budget_V[:, None]) & (sorted_VT < 2.0)
    return torch.zeros_like(chosen_VT).scatter(1, order_VT, chosen_VT).to(word_ids_VT.device)


def corrupt_tokens(
    ids_VT: Tensor,
    chosen_VT: Tensor,
    *,
    mask_id: int,
    first_ordinary: int,
    vocab_size: int,
    generator: torch.Generator,
    shares: tuple[float, float] = (0.8, 0.1),
) -> Tensor:
    """Ids in which chosen tokens became `mask_id` (share 0.8), a random ordinary token (0.1) or stayed (Devlin 2019).

    Ordinary ids are first_ordinary .. vocab_size - 1.
    """
    draw_VT = torch.rand(ids_VT.shape, generator=generator).to(ids_VT.device)
    random_VT = torch.randint(first_ordinary, vocab_size, ids_VT.shape, generator=generator).to(ids_VT.device)
    out_VT = torch.where(chosen_VT & (draw_VT < shares[0]), mask_id, ids_VT)
    swapped_VT = chosen_VT & (draw_VT >= shares[0]) & (draw_VT < shares[0] + shares[1])
    return torch.where(swapped_VT, random_VT, out_VT)
