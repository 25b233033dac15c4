"""The likeliest continuations of a prompt by beam search, with a cache of what was read.

Shape legend: V = prompts, K = beams of each, T = tokens of a prompt, L = tokens told, D = width, W = vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.models.causal_lm import CausalLM


class Continuations(NamedTuple):
    """ids: (V, K, L) told tokens, best beam first, `end_id` behind the end of each. score: (V, K) log-probability
    divided by length ** length_penalty, -inf for a beam that there is none of. length: (V, K), the end included."""

    ids: Tensor
    score: Tensor
    length: Tensor


@torch.no_grad()
def beam_search(
    lm: CausalLM,
    x_VTD: Tensor,
    mask_VT: Tensor,
    *,
    beams: int,
    length: int,
    end_id: int,
    never: Sequence[int] = (),
    length_penalty: float = 0.0,
) -> Continuations:
    """`beams` continuations of each prompt, up to `length` tokens. A beam that has ended competes with its sum of
    log-probabilities until the search is over; only the final order is by the penalised score.

    x: word vectors, mask: True = real, padding behind. never: ids that are not told. One beam: greedy.
    """
    if beams < 1 or length < 1:
        raise ConfigError(f"beam_search: beams is {beams} and length {length}; both must be positive")
    rows, device = len(x_VTD), x_VTD.device
    state_VD, cache = lm.begin(x_VTD, mask_VT)
    cache.select(torch.arange(rows, device=device).repeat_interleave(beams))
    state_SD = state_VD.repeat_interleave(beams, dim=0)  # S = V * K
    total_VK = torch.full((rows, beams), -torch.inf, device=device)
    total_VK[:, 0] = 0.0  # all beams begin alike: one of them is enough
    ended_VK = torch.zeros((rows, beams), dtype=torch.bool, device=device)
    length_VK = torch.zeros((rows, beams), dtype=torch.int64, device=device)
    ids_VKL = torch.zeros((rows, beams, 0), dtype=torch.int64, device=device)
    first_V1 = torch.arange(rows, device=device)[:, None] * beams
    for position in range(length):
        log_p_SW = log_probabilities(state_SD, *lm.output)
        if never:
            log_p_SW[:, list(never)] = -torch.inf
        words = log_p_SW.shape[1]
        log_p_VKW = log_p_SW.unflatten(0, (rows, beams))
        only_end_W = torch.full((words,), -torch.inf, device=device)
        only_end_W[end_id] = 0.0
        log_p_VKW = torch.where(ended_VK[..., None], only_end_W, log_p_VKW)
        total_VK, choice_VK = (total_VK[..., None] + log_p_VKW).flatten(1).topk(beams, dim=1)
        beam_VK, word_VK = choice_VK // words, choice_VK % words
        ended_VK, length_VK = ended_VK.gather(1, beam_VK), length_VK.gather(1, beam_VK)
        ids_VKL = torch.cat([ids_VKL.gather(1, beam_VK[..., None].expand(-1, -1, position)), word_VK[..., None]], dim=2)
        length_VK = length_VK + ~ended_VK
        ended_VK = ended_VK | (word_VK == end_id)
        if bool(ended_VK.all()) or position == length - 1:
            break
        cache.select((first_V1 + beam_VK).flatten())
        state_SD = lm.go_on(lm.words(word_VK.flatten()[:, None])[:, 0], cache)
    score_VK = total_VK / length_VK.clamp_min(1).float() ** length_penalty
    score_VK, order_VK = score_VK.sort(dim=1, descending=True, stable=True)
    return Continuations(
        ids_VKL.gather(1, order_VK[..., None].expand_as(ids_VKL)), score_VK, length_VK.gather(1, order_VK)
    )


def log_probabilities(state_SD: Tensor, weight_WD: Tensor, bias_W: Tensor | None = None) -> Tensor:
    """(S, W) of the next word, in float32 or finer, under autocast too."""
    dtype = torch.promote_types(state_SD.dtype, torch.float32)
    with torch.autocast(state_SD.device.type, enabled=False):
        bias_W = None if bias_W is None else bias_W.to(dtype)
        return F.linear(state_SD.to(dtype), weight_WD.to(dtype), bias_W).log_softmax(dim=1)
