"""What an encoder is, and what a steppable one adds: embed, halves of blocks, finish.

Shape legend: V = rows in which the modality is present, N = tokens, K = kept grid tokens, D = width, C = channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.types import Encoded, ModalityInput, Tokens

if TYPE_CHECKING:
    from core.data.processor import Processor

Where = Literal["pre", "after_attn", "after_ffn"]
WHERES = ("pre", "after_attn", "after_ffn")


@dataclass(slots=True)
class BlockContext:
    """What travels beside the hidden state h (V, N, D) through the blocks.

    mask: (V, N) bool, True = real, or None. grid: spatial shape behind the tokens after the prefix, or None once a
    hook has broken it. prefix: tokens in front that belong to no grid position. keep: (V, K) which grid positions are
    in h, None when all are. layer: the block at work, 0-based. others: hidden states of other modalities, by name, for
    hooks that let modalities meet inside the backbone. layers: states after the wanted blocks.
    """

    mask: Tensor | None = None
    grid: tuple[int, ...] | None = None
    prefix: int = 0
    keep: Tensor | None = None
    layer: int = 0
    others: dict[str, Tensor] = field(default_factory=dict)
    layers: dict[int, Tensor] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether h still holds every position of the grid, in order."""
        return self.grid is not None and self.keep is None


@dataclass(frozen=True, slots=True)
class BlockHook:
    """A function that acts on the hidden state around the halves of block `layer` (0-based).

    fn(h, ctx) returns h (V, N', D), or (h, mask (V, N')) when it adds or drops tokens of a masked sequence. Tokens may
    be added behind without further ado; then the grid counts as lost. A hook that adds n tokens in front and keeps
    the grid says so by `ctx.prefix += n`; one that drops grid tokens may set `ctx.keep` to what is left.
    """

    layer: int
    where: Where
    fn: Callable[[Tensor, BlockContext], Tensor | tuple[Tensor, Tensor | None]]

    def __post_init__(self) -> None:
        if self.where not in WHERES:
            raise ConfigError(f"BlockHook: where is {self.where!r}; valid: {', '.join(WHERES)}")


class Encoder(nn.Module, ABC):
    """Input of one modality -> Encoded.

    width: D of Encoded.pooled and Encoded.tokens. pyramid_channels: channels of the maps in Encoded.pyramid, fine to
    coarse, empty when the encoder gives none.
    """

    width: int
    pyramid_channels: tuple[int, ...] = ()

    @abstractmethod
    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        """Encode the V rows of `inp`.

        keep: (V, K) int64, the visible grid tokens of each row (the prefix always stays); the others are never
        computed. want: blocks whose output goes to Encoded.layers. hooks: see BlockHook. Only a `SteppableEncoder`
        takes these three; any other raises ConfigError.
        """

    def take(self, processor: Processor) -> None:
        """Learn from the fitted processor of a modality that this encoder reads what is data and not a weight (the
        edges of a graph, features of its entities). Called before training and after loading; it may be called again.
        Raises ConfigError when the two do not fit."""

    def check(self, processor: Any) -> None:
        """Raise ConfigError or DataError where this encoder would misread what `processor` makes; before training. What
        has no facts of its own about its input, such as the bands of pretrained weights, accepts any."""

    def refuse_steps(self, keep: Tensor | None, want: Collection[int], hooks: Sequence[BlockHook]) -> None:
        """Raise ConfigError if any of the three was asked for: for encoders without a token sequence."""
        if keep is not None or len(want) > 0 or len(hooks) > 0:
            require_steps(self, "a caller that passes keep, want or hooks")


class SteppableEncoder(Encoder):
    """An encoder whose forward is exactly `finish(fold of steps)`, so that others may act between the steps.

    layers of the result are residual-stream states; `norm` is what `finish` applies before pooling, and what a reader
    of intermediate layers usually wants to apply to them too.
    """

    depth: int
    norm: nn.Module

    @abstractmethod
    def embed(self, inp: ModalityInput) -> Tokens:
        """Input -> tokens with positions, before the first block."""

    def place(self, grid: Sequence[int]) -> Tensor:
        """(N, D) position vectors that `embed` adds to the tokens of `grid`: for parts that put tokens of their own in
        place of hidden ones. Raises ConfigError where tokens have none that depend on the grid alone."""
        raise ConfigError(
            f"{type(self).__name__} does not tell the positions of its tokens, which a term that replaces some needs; "
            "use core.encoders.ImageTransformer or VolumeTransformer"
        )

    @abstractmethod
    def attn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        """Attention half of block i, residual included: (V, N, D) -> (V, N, D)."""

    @abstractmethod
    def ffn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        """Feed-forward half of block i, residual included: (V, N, D) -> (V, N, D)."""

    @abstractmethod
    def finish(self, h: Tensor, ctx: BlockContext) -> Encoded:
        """Final norm and pooling."""

    def start(self, inp: ModalityInput, keep: Tensor | None = None) -> tuple[Tensor, BlockContext]:
        """Embed `inp` and drop the grid tokens that `keep` does not name."""
        tokens = self.embed(inp)
        h, mask = tokens.x, tokens.mask
        if keep is not None:
            if keep.ndim != 2 or len(keep) != len(h) or keep.is_floating_point():
                raise ConfigError(
                    f"keep has shape {tuple(keep.shape)} and type {keep.dtype}; expected ({len(h)}, K) int64 indices "
                    "of grid tokens, the same K for every row"
                )
            h = keep_tokens(h, keep, tokens.prefix)
            mask = None if mask is None else keep_tokens(mask, keep, tokens.prefix)
        return h, BlockContext(mask=mask, grid=tokens.grid, prefix=tokens.prefix, keep=keep)

    def step(self, i: int, h: Tensor, ctx: BlockContext, hooks: Sequence[BlockHook] = ()) -> Tensor:
        """Block i with the hooks around its halves."""
        ctx.layer = i
        h = apply_hooks(hooks, "pre", h, ctx)
        h = apply_hooks(hooks, "after_attn", self.attn_part(i, h, ctx), ctx)
        return apply_hooks(hooks, "after_ffn", self.ffn_part(i, h, ctx), ctx)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        for layer in (*want, *(hook.layer for hook in hooks)):
            if not 0 <= layer < self.depth:
                raise ConfigError(
                    f"{type(self).__name__} has blocks 0 to {self.depth - 1}; block {layer} was asked for"
                )
        h, ctx = self.start(inp, keep)
        for i in range(self.depth):
            h = self.step(i, h, ctx, hooks)
            if i in want:
                ctx.layers[i] = h
        return self.finish(h, ctx)


def keep_tokens(x: Tensor, keep_VK: Tensor, prefix: int) -> Tensor:
    """x (V, prefix + N, ...) -> (V, prefix + K, ...): the prefix, then the grid tokens that `keep_VK` names."""
    index = (keep_VK + prefix).reshape(*keep_VK.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x[:, :prefix], x.gather(1, index)], dim=1)


def apply_hooks(hooks: Sequence[BlockHook], where: Where, h: Tensor, ctx: BlockContext) -> Tensor:
    """h after every hook of this place and of block `ctx.layer`, in the order given; keeps `ctx` true."""
    for hook in hooks:
        if hook.layer != ctx.layer or hook.where != where:
            continue
        result = hook.fn(h, ctx)
        h, mask = result if isinstance(result, tuple) else (result, ctx.mask)
        if mask is not None and mask.shape != h.shape[:2]:
            raise ConfigError(
                f"the hook at block {hook.layer}, {where} returned tokens {tuple(h.shape)} with a mask "
                f"{tuple(mask.shape)}; a hook that adds or drops tokens returns (tokens, mask) of equal rows and length"
            )
        ctx.mask = mask
        if ctx.grid is not None:
            positions = math.prod(ctx.grid) if ctx.keep is None else ctx.keep.shape[1]
            if h.shape[1] != ctx.prefix + positions:
                ctx.grid = ctx.keep = None
    return h


def require_steps(encoder: Encoder, who: str) -> SteppableEncoder:
    """`encoder`, known to be steppable. Raises ConfigError otherwise; `who` names the part that needs the steps."""
    if not isinstance(encoder, SteppableEncoder):
        raise ConfigError(
            f"{who} needs an encoder made of steps (token masking, intermediate layers or hooks), and "
            f"{type(encoder).__name__} has none; use a transformer encoder such as core.encoders.ImageTransformer"
        )
    return encoder
