"""Span corruption with sentinels (Raffel et al. 2020, T5), all rows at once, and its inverse.

Of a sequence "a b c d e" with b and d, e hidden: input "a <1> c <2>", target "<1> b <2> d e <3>". The k-th
sentinel has the id first_sentinel + k - 1.
Shape legend: V = rows, T = tokens of a sequence, I, J = tokens of the longest input and target.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.errors import DataError


class Spans(NamedTuple):
    """input: (V, I) ids, target: (V, J) ids, with masks, True = real; filler ids are 0. runs: (V,) hidden spans."""

    input: Tensor
    input_mask: Tensor
    target: Tensor
    target_mask: Tensor
    runs: Tensor


def corrupt_spans(ids_VT: Tensor, keep_VT: Tensor, real_VT: Tensor, *, first_sentinel: int, sentinels: int) -> Spans:
    """Every run of tokens that are not kept becomes one sentinel; the target ends with a sentinel of its own.

    Nothing hidden gives a target of the first sentinel alone. Rows without a real token have neither input nor target.
    Raises DataError when a row needs more than `sentinels`.
    """
    keep_VT = keep_VT & real_VT
    gone_VT, starts_VT = _runs(keep_VT, real_VT)
    span_VT = starts_VT.long().cumsum(1)  # from 1 on
    count_V = starts_VT.sum(1)
    some_V = real_VT.any(1)
    if len(ids_VT) and int(count_V.max()) + 1 > sentinels:
        raise DataError(
            f"a sequence was cut into {int(count_V.max())} spans and there are {sentinels} sentinels; give the "
            "tokenizer more, or keep longer runs"
        )
    sentinel_VT = first_sentinel + span_VT - 1
    input_, input_mask = _pack(torch.where(keep_VT, ids_VT, sentinel_VT), keep_VT | starts_VT)
    # each hidden token, with its sentinel in front where it starts a span, then the last sentinel
    two_VTT = torch.stack([sentinel_VT, ids_VT], dim=2).flatten(1)
    here_VTT = torch.stack([starts_VT, gone_VT], dim=2).flatten(1)
    end_V1 = (first_sentinel + count_V)[:, None]
    target, target_mask = _pack(torch.cat([two_VTT, end_V1], dim=1), torch.cat([here_VTT, some_V[:, None]], dim=1))
    return Spans(input_, input_mask, target, target_mask, count_V)


def join_spans(spans: Spans, *, first_sentinel: int, sentinels: int) -> tuple[Tensor, Tensor]:
    """The original ids (V, T) and their mask, from input and target."""
    last = first_sentinel + sentinels

    def is_sentinel(ids: Tensor, mask: Tensor) -> Tensor:
        return mask & (ids >= first_sentinel) & (ids < last)

    in_sentinel, out_sentinel = is_sentinel(spans.input, spans.input_mask), is_sentinel(spans.target, spans.target_mask)
    # sort key: which sentinel a token belongs to, and whether it is hidden (inside) or kept (after it)
    in_key, out_key = in_sentinel.long().cumsum(1) * 2, out_sentinel.long().cumsum(1) * 2 - 1
    key = torch.cat([in_key, out_key], dim=1)
    ids = torch.cat([spans.input, spans.target], dim=1)
    own = torch.cat([spans.input_mask & ~in_sentinel, spans.target_mask & ~out_sentinel], dim=1)
    order = key.masked_fill(~own, torch.iinfo(torch.int64).max).argsort(dim=1, stable=True)
    return _pack(ids.gather(1, order), own.gather(1, order))


def keep_within(noise_VT: Tensor, real_VT: Tensor, share_V: Tensor, budget_V: Tensor, *, shrink: float = 0.9) -> Tensor:
    """(V, T) bool: tokens with noise below the share; where the input is longer than the row's budget, the share is
    multiplied by `shrink` until it fits. A budget of 0 keeps none."""
    share_V = share_V.double().clone()
    keep_VT = real_VT & (noise_VT < share_V[:, None])
    for _ in range(200):  # 0.9 ** 200 is 1e-9
        _, starts_VT = _runs(keep_VT, real_VT)
        over_V = keep_VT.sum(1) + starts_VT.sum(1) > budget_V
        if not (over_V & (keep_VT.any(1))).any():
            break
        share_V = torch.where(over_V, share_V * shrink, share_V)
        keep_VT = real_VT & (noise_VT < share_V[:, None])
    return keep_VT & (budget_V > 0)[:, None]


def at_most_spans(keep_VT: Tensor, real_VT: Tensor, most: int) -> Tensor:
    """(V, T) `keep`, with everything hidden from the start of the `most`-th run of hidden tokens on."""
    _, starts_VT = _runs(keep_VT, real_VT)
    return keep_VT & (starts_VT.long().cumsum(1) < most)


def crop_target(spans: Spans, budget_V: Tensor, *, first_sentinel: int, sentinels: int, draw_V: Tensor) -> Spans:
    """Targets longer than the budget start at a random one of their sentinels and end with the budget.

    draw: (V,) in [0, 1), which sentinel; not the last, which nothing follows.
    """
    length_V = spans.target_mask.sum(1)
    too_long_V = length_V > budget_V
    sentinel_VJ = spans.target_mask & (spans.target >= first_sentinel) & (spans.target < first_sentinel + sentinels)
    number_VJ = sentinel_VJ.long().cumsum(1) - 1
    which_V = (draw_V * spans.runs.clamp_min(1)).long()
    place_J = torch.arange(spans.target.shape[1])
    start_V = (sentinel_VJ & (number_VJ == which_V[:, None])).long().argmax(1)
    start_V = torch.where(too_long_V, start_V, 0)
    stop_V = start_V + budget_V
    inside_VJ = spans.target_mask & (place_J >= start_V[:, None]) & (place_J < stop_V[:, None])
    target, mask = _pack(spans.target, inside_VJ)
    return spans._replace(target=target, target_mask=mask)


def _runs(keep_VT: Tensor, real_VT: Tensor) -> tuple[Tensor, Tensor]:
    """(V, T) bool each: tokens that are hidden, and those that start a run of them."""
    gone_VT = real_VT & ~keep_VT
    starts_VT = gone_VT.clone()
    starts_VT[:, 1:] &= ~gone_VT[:, :-1]
    return gone_VT, starts_VT


def _pack(ids_VT: Tensor, here_VT: Tensor) -> tuple[Tensor, Tensor]:
    """The ids that are here, moved to the front, as long as the longest row needs; 0 behind."""
    count_V = here_VT.sum(1)
    most = int(count_V.max()) if len(count_V) else 0
    order_VT = (~here_VT).long().argsort(dim=1, stable=True)[:, :most]
    mask_VT = torch.arange(most, device=ids_VT.device) < count_V[:, None]
    return ids_VT.gather(1, order_VT).masked_fill(~mask_VT, 0), mask_VT
