"""A text encoder, and graph attention over what it says of each node (UniGraph, He et al. 2025).

Shape legend: V = subgraphs, N = padded nodes, A = real nodes of all, U = different ones among them, T = tokens, D =
width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.encoders.packed import Packed, pack
from domains.molecules.geometric import layer
from domains.molecules.text_graphs.tower import centre_of


class NeighbourAttention(nn.Module):
    """Graph attention layers (Velickovic et al. 2018), (A, D) -> (A, D): x + PReLU(norm(GAT(x))).

    Heads are concatenated; every node attends to itself too, so that without edges each node is on its own.
    concat: False takes the mean of heads that are D wide each (UniGraph2).
    """

    def __init__(
        self, *, width: int, depth: int = 2, heads: int = 4, negative_slope: float = 0.1, concat: bool = True
    ) -> None:
        super().__init__()
        if depth < 0 or width % heads:
            raise ConfigError(f"NeighbourAttention: depth {depth}; width {width} has to be a multiple of {heads} heads")
        attention = layer("GATConv")
        self.width = width
        self.layers = nn.ModuleList(
            attention(width, width // heads if concat else width, heads=heads, concat=concat,
                      negative_slope=negative_slope)
            for _ in range(depth)
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.acts = nn.ModuleList(nn.PReLU() for _ in range(depth))

    def forward(self, x_AD: Tensor, graph: Packed) -> Tensor:
        ends_2E = torch.stack([graph.source, graph.target])
        with torch.autocast(x_AD.device.type, enabled=False):  # its softmax is over neighbours
            x_AD = x_AD.float()
            for attend, norm, act in zip(self.layers, self.norms, self.acts, strict=True):
                x_AD = x_AD + act(norm(attend(x_AD, ends_2E)))
        return x_AD


@dataclass(frozen=True, slots=True)
class NodeTexts:
    """The different texts of a batch of subgraphs. inp: (U, T) ids with their mask. of_A: which text a node has.
    graph: the packed subgraphs."""

    inp: ModalityInput
    of_A: Tensor  # noqa: N815
    graph: Packed


class TextCascade(Encoder):
    """Node tokens -> text encoder -> graph attention. Pooled (V, D): the target; tokens (V, N, D): all nodes.

    A node that several subgraphs of a batch share is read once. Not made of steps.
    """

    def __init__(self, *, text: Encoder, graph: NeighbourAttention) -> None:
        super().__init__()
        if text.width != graph.width:
            raise ConfigError(f"TextCascade: the text encoder is {text.width} wide and the graph layers {graph.width}")
        self.text, self.graph, self.width = text, graph, text.width

    @property
    def vocab_size(self) -> int | None:
        """Of the text encoder, so that a tokenizer that is too large is found before training."""
        return getattr(self.text, "vocab_size", None)

    def texts(self, inp: ModalityInput) -> NodeTexts:
        """What the text encoder is to read. Raises ConfigError for another kind of input."""
        if inp.x.is_floating_point() or "token_mask" not in inp.extra or inp.mask is None:
            raise ConfigError("TextCascade reads node tokens; its modality needs text_graphs.NodeTokenProcessor")
        graph = pack(inp)
        real_AT, key_A = inp.extra["token_mask"][inp.mask], inp.extra["key"][inp.mask]
        first_U, of_A = first_of_each(key_A)
        return NodeTexts(ModalityInput(graph.x[first_U], real_AT[first_U]), of_A, graph)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        texts = self.texts(inp)
        x_VND = texts.graph.padded(self.graph(self.text(texts.inp).pooled[texts.of_A], texts.graph))
        return Encoded(pooled=centre_of(x_VND, inp.extra["centre"]), tokens=Tokens(x=x_VND, mask=inp.mask))


def first_of_each(key_A: Tensor) -> tuple[Tensor, Tensor]:
    """((U,) position of the first of each value, (A,) which value each is)."""
    values, of_A = torch.unique(key_A, return_inverse=True)
    positions = torch.arange(len(key_A), device=key_A.device)
    first_U = torch.full_like(values, len(key_A)).scatter_reduce(0, of_A, positions, "amin")
    return first_U, of_A


def scaled_cosine_error(x_MD: Tensor, target_MD: Tensor, power: float = 1.0) -> Tensor:
    """(M,) of (1 - cosine)^power: 0 for equal directions, 1 for orthogonal, 2^power for opposite ones.

    The loss of GraphMAE (Hou et al. 2022). Rounding below zero is cut off before the power, whose
    slope there is finite only for power >= 1.
    """
    cosine_M = F.cosine_similarity(x_MD.float(), target_MD.float(), dim=-1)
    return (1.0 - cosine_M).clamp_min(0.0) ** power
