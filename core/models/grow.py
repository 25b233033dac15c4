"""Larger models that begin where a smaller one ended (GrowCLIP-style, Deng et al. 2023; the code is not public).

Shape legend: D = width before, r = factor of width growth, D' = r D, H = heads, K = width of a head, F = hidden width.

Depth: new blocks on top whose two residual branches end in zeros are the identity (Net2Net, Chen et al. 2016).
Width: every channel of the residual stream is repeated r times. Layer norm over channels that all occur equally often
has the same mean and variance, so this is exact for whole factors and for no other. Heads are repeated whole (H' = r H,
K stays), hidden units likewise; what reads a repeated input splits its weight into r shares that sum to one. The shares
are unequal, so that the copies get different gradients and grow apart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError, nearest
from core.models.dual_encoder import DualEncoder
from core.models.widen import widen_encoder, widen_projection
from core.nn import TransformerBlock


@dataclass(frozen=True, slots=True)
class Growth:
    """encoder: name of a transformer of the model. blocks: how many are added on top. factor: of its width."""

    encoder: str
    blocks: int = 0
    factor: int = 1

    def __post_init__(self) -> None:
        if self.blocks < 0 or self.factor < 1 or self.blocks + self.factor == 1:
            raise ConfigError(
                f"growth of '{self.encoder}': blocks {self.blocks}, factor {self.factor}; give blocks >= 0 and a whole "
                "factor >= 1, one of them larger than that"
            )


def grow(model: DualEncoder, growth: Growth, *, generator: torch.Generator | None = None) -> DualEncoder:
    """A larger copy with the same output (to rounding): width first, then depth.

    generator: draws the shares of repeated inputs and the weights of new blocks; a fixed one when None.
    Raises ConfigError where growth cannot keep the function: no transformer, fixed sines as positions, a convolutional
    stem, a pooling with weights per position, further heads or a fusion of the old width.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    if growth.encoder not in model.encoders:
        raise ConfigError(f"grow: no encoder '{growth.encoder}'{nearest(growth.encoder, model.encoders)}")
    if growth.factor > 1 and (model.fusion is not None or len(model.heads) > 0):
        raise ConfigError(
            "grow: the model has a fusion or further heads, of the old width; grow depth only, or leave them out"
        )
    larger = copy.deepcopy(model)
    encoder = larger.encoders[growth.encoder]
    if not isinstance(encoder, TransformerEncoder):
        raise ConfigError(
            f"grow: encoder '{growth.encoder}' is a {type(encoder).__name__}; only transformers "
            "(TextTransformer, ImageTransformer, VolumeTransformer) keep their function when they grow"
        )
    if growth.factor > 1:
        widen_encoder(encoder, growth.factor, generator)
        for modality, name in larger.reads.items():
            if name == growth.encoder:
                widen_projection(larger.projections[modality], growth.factor, generator)
    if growth.blocks > 0:
        deepen(encoder, growth.blocks, generator)
    return larger


@torch.no_grad()
def deepen(encoder: TransformerEncoder, blocks: int, generator: torch.Generator) -> None:
    """Add blocks that do nothing yet on top: the last Linear of each residual branch is zero."""
    last = encoder.blocks[-1]
    assert isinstance(last, TransformerBlock)
    for _ in range(blocks):
        new = copy.deepcopy(last)
        for part in new.modules():
            if isinstance(part, nn.Linear):
                part.weight.copy_(_normal(part.weight, generator))
                part.bias.zero_()
            elif isinstance(part, nn.LayerNorm):
                part.weight.fill_(1)
                part.bias.zero_()
        for out in (new.attn.out, new.ffn[3]):
            assert isinstance(out, nn.Linear)
            out.weight.zero_()
        encoder.blocks.append(new)
    encoder.depth = len(encoder.blocks)
    rate = last.drop_path.rate
    for i, block in enumerate(encoder.blocks):  # as `core.nn.blocks` gives them for this depth
        block.drop_path.rate = rate * i / max(encoder.depth - 1, 1)  # type: ignore[union-attr]


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return nn.init.trunc_normal_(torch.empty_like(like, device="cpu"), std=0.02, a=-0.04, b=0.04, generator=generator)


def grown_node(node: Mapping[str, Any], growth: Growth) -> dict[str, Any]:
    """The configuration node of what `grow` returns, so that it can be saved, loaded and trained on.

    Raises ConfigError when the node of the encoder leaves the sizes that change to defaults.
    """
    changed = copy.deepcopy(dict(node))
    given = changed["init_args"]
    encoders = given["encoders"]
    if growth.encoder not in encoders:
        raise ConfigError(f"grow: no encoder '{growth.encoder}'{nearest(growth.encoder, encoders)}")
    sizes = encoders[growth.encoder]["init_args"]
    needed = {"depth"} if growth.factor == 1 else {"depth", "width", "heads"}
    if needed - set(sizes):
        missing = ", ".join(sorted(needed - set(sizes)))
        raise ConfigError(f"grow: the node of encoder '{growth.encoder}' leaves out {missing}; write it down")
    sizes["depth"] += growth.blocks
    if growth.factor > 1:
        width, ratio = sizes["width"], sizes.get("mlp_ratio", 4.0)
        if int(width * growth.factor * ratio) != growth.factor * int(width * ratio):
            raise ConfigError(f"grow: mlp_ratio {ratio} of width {width} is no whole number of hidden units; change it")
        sizes["width"], sizes["heads"] = width * growth.factor, sizes["heads"] * growth.factor
        parts = [sizes[name] for name in ("pool", "positions", "stem") if isinstance(sizes.get(name), dict)]
        parts += [p for m, p in (given.get("projections") or {}).items() if given["modalities"][m] == growth.encoder]
        for part in parts:
            arguments = part.get("init_args") or {}
            if "width" in arguments:
                if part["class_path"].endswith("MLPProjection"):
                    arguments.setdefault("hidden", arguments["width"])  # whose default is the width
                arguments["width"] *= growth.factor
    return changed


@torch.no_grad()
def inherit(inherited: nn.Module, fresh: nn.Module, share: float) -> nn.Module:
    """Parameter inheriting with momentum: theta = share * inherited + (1 - share) * fresh, a new model.

    inherited: what `grow` returned. fresh: the same architecture, newly initialised. Buffers are the inherited ones.
    share 1 keeps the function, share 0 starts anew. Raises ConfigError when the two are not of one architecture.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"inherit: share is {share}; give a value in [0, 1], for instance 0.5")
    mixed = copy.deepcopy(inherited)
    own, new = dict(mixed.named_parameters()), dict(fresh.named_parameters())
    differ = [n for n in {*own, *new} if n not in own or n not in new or own[n].shape != new[n].shape]
    if differ:
        raise ConfigError(f"inherit: the models differ in {', '.join(sorted(differ)[:4])}; build the fresh one grown")
    for name, parameter in own.items():
        parameter.mul_(share).add_(new[name].to(parameter), alpha=1 - share)
    return mixed


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate after one round: its position in the list, the steps it was trained for, its score."""

    candidate: int
    steps: int
    score: float


def choose(
    candidates: Sequence[Growth],
    score: Callable[[Growth, int, int], float],
    *,
    steps: Sequence[int] = (50, 200),
    keep: float = 0.5,
    seed: int = 0,
) -> tuple[Growth, list[Trial]]:
    """The best candidate by short training, and every trial: successive halving (Jamieson and Talwalkar 2016).

    score(candidate, steps, seed): trains for so many steps and returns a figure, larger is better; every candidate of a
    round gets the same seed. steps: of each round. keep: share that goes on to the next round, at least one; equal
    scores keep the earlier candidate. Raises ConfigError for an empty list, or settings that leave nothing.
    """
    if not candidates or not steps or not 0 < keep <= 1:
        raise ConfigError(
            f"choose: {len(candidates)} candidates, steps {list(steps)}, keep {keep}; give at least one of each and a "
            "share in (0, 1]"
        )
    left, trials = list(range(len(candidates))), []
    for turn, count in enumerate(steps):
        results = [Trial(i, count, float(score(candidates[i], count, seed + turn))) for i in left]
        trials += results
        ranked = sorted(results, key=lambda t: (-t.score if t.score == t.score else float("inf"), t.candidate))
        left = sorted(t.candidate for t in ranked[: max(1, round(keep * len(ranked)))])
        best = ranked[0].candidate
    return candidates[best], trials
