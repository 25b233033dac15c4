"""Visible tokens of several modalities as one sequence for `core.fusion.JointTransformer`, and back.

Rows may show different numbers of tokens of a modality; what counts is that all of them together fit.
Shape legend: V = rows in which a modality is present, B = rows of the batch, K = visible tokens of a modality,
T = visible tokens of all modalities, D = width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.encoders.base import BlockContext, SteppableEncoder, keep_tokens, require_steps
from core.errors import ConfigError
from core.fusion.joint import JointTransformer
from core.objectives.base import Step
from core.types import Tokens


@dataclass(frozen=True, slots=True)
class Part:
    """One modality's visible tokens, for all B rows. x: (B, K, D). place: (B, K) int64 position in its own grid or
    sequence. real: (B, K) bool, False = filler."""

    x: Tensor
    place: Tensor
    real: Tensor


@dataclass(frozen=True, slots=True)
class Joint:
    """x: (B, T, D) tokens after the transformer, global_: (B, G, D). real: (B, T) bool. kind, place: (B, T) int64,
    number of the modality in the order of the parts, and position in it. parts[m]: the same tokens by modality."""

    x: Tensor
    global_: Tensor
    real: Tensor
    kind: Tensor
    place: Tensor
    parts: dict[str, Part]


def joint_transformer(step: Step, who: str) -> JointTransformer:
    """The model's fusion. Raises ConfigError when it is not a `JointTransformer`; `who` is what needs it."""
    if not isinstance(step.model.fusion, JointTransformer):
        found = type(step.model.fusion).__name__ if step.model.fusion is not None else "not set"
        raise ConfigError(f"{who} needs core.fusion.JointTransformer as model.fusion, which is {found}")
    return step.model.fusion


def steppable(step: Step, modality: str, who: str) -> SteppableEncoder:
    """The encoder that reads `modality`. Raises ConfigError when it has no steps."""
    encoder = step.model.encoders[step.model.reads[modality]]
    return require_steps(encoder, who)  # type: ignore[arg-type]


def encode_visible(encoder: SteppableEncoder, tokens: Tokens, keep_VK: Tensor, real_VK: Tensor) -> Tensor:
    """(V, K, D) last-layer states of the grid tokens `keep`; fillers (real False) are seen by no other token.

    tokens: what `encoder.embed` gave. The prefix takes part and is left out of the result.
    """
    prefix = tokens.prefix
    h = keep_tokens(tokens.x, keep_VK, prefix)
    seen = real_VK if tokens.mask is None else real_VK & tokens.mask[:, prefix:].gather(1, keep_VK)
    mask = torch.cat([seen.new_ones(len(seen), prefix), seen], dim=1)
    ctx = BlockContext(mask=mask, grid=tokens.grid, prefix=prefix, keep=keep_VK)
    for i in range(encoder.depth):
        h = encoder.step(i, h, ctx)
    done = encoder.finish(h, ctx).tokens
    assert done is not None  # a steppable encoder has a token sequence
    return done.x[:, prefix:]


def to_batch(x_V: Tensor, present_B: Tensor) -> Tensor:
    """Rows of V at their places among B; zeros (False) elsewhere."""
    present_B = present_B.to(x_V.device)
    out = x_V.new_zeros(len(present_B), *x_V.shape[1:])
    return out.index_put((present_B.nonzero(as_tuple=True)[0],), x_V)


def run_joint(fusion: JointTransformer, parts: Mapping[str, Part]) -> Joint:
    """Enter every part, pack what is real, and run the shared blocks over T = most real tokens of any row."""
    names = list(parts)
    x_BKD = torch.cat([fusion.enter(name, parts[name].x) for name in names], dim=1)
    real_BK = torch.cat([parts[name].real for name in names], dim=1)
    place_BK = torch.cat([parts[name].place for name in names], dim=1)
    sizes = [parts[name].real.shape[1] for name in names]
    kind_K = torch.repeat_interleave(torch.arange(len(names)), torch.tensor(sizes)).to(x_BKD.device)
    count_B = real_BK.sum(1)
    most = int(count_B.max()) if len(count_B) else 0
    order_BT = (~real_BK).long().argsort(dim=1, stable=True)[:, :most]
    real_BT = real_BK.gather(1, order_BT)
    packed_BTD = x_BKD.gather(1, order_BT[..., None].expand(-1, -1, x_BKD.shape[2]))
    out_BTD, global_BGD = fusion.run(packed_BTD, None if bool(real_BT.all()) else real_BT)
    back_BKD = out_BTD.new_zeros(*real_BK.shape, out_BTD.shape[2])
    back_BKD = back_BKD.scatter(1, order_BT[..., None].expand_as(out_BTD), out_BTD)
    split = dict(zip(names, back_BKD.split(sizes, dim=1), strict=True))
    return Joint(
        x=out_BTD,
        global_=global_BGD,
        real=real_BT,
        kind=kind_K[order_BT],
        place=place_BK.gather(1, order_BT),
        parts={name: Part(split[name], parts[name].place, parts[name].real) for name in names},
    )
