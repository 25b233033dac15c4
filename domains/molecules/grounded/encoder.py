"""GreaseLM-style encoder: the last layers of a text transformer are paired with graph layers, joined at one node.

Shape legend: V = rows, T = tokens, N = nodes (0 = context), P = real nodes of all rows, D = text, G = graph width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.encoders.base import BlockContext, BlockHook, Encoder, SteppableEncoder
from core.errors import ConfigError, DataError
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.grounded.attention import GraphPool, NodeExtra, Norm, TypedGraphAttention, two_layers
from domains.molecules.grounded.messages import NODE_TYPES, edge_types, messages
from domains.molecules.grounded.processor import GroundedTextProcessor


@dataclass(slots=True)
class GroundedEncoded(Encoded):
    """nodes: (V, N, G) states of the graph, the context node first."""

    nodes: Tokens | None = None


class GroundedTextEncoder(Encoder):
    """Text and subgraph -> tokens (V, T, D), nodes (V, N, G), pooled (V, G + D + G) = [graph ; CLS ; context node].

    In each of the last `fusion_layers` layers, after the text block, a graph layer runs over the nodes, and one shared
    map exchanges `[h_CLS ; x_context] <- LayerNorm(z + MLP(z))` (Zhang et al. 2022; Yasunaga et al. 2022, DRAGON).
    Concept vectors are frozen; a learned map brings them to the width. Input with (V, C, T) texts, C statements of a
    row, gives the mean of their pooled vectors; `statements` gives each.
    """

    concept_vectors: Tensor

    def __init__(
        self,
        *,
        text: SteppableEncoder,
        concepts: int,
        features: int,
        relations: int,
        width: int = 200,
        fusion_layers: int = 5,
        heads: int = 4,
        pool_heads: int = 2,
        exchange_hidden: int = 400,
        dropout: float = 0.2,
        norm: Norm = "batch",
    ) -> None:
        """text: begins with a class token. concepts, relations: room for those of the graph. features: width of the
        concept vectors. width: G. exchange_hidden: of the shared map. norm: see `two_layers`."""
        super().__init__()
        if not 0 < fusion_layers <= text.depth:
            raise ConfigError(f"fusion_layers is {fusion_layers}; the text encoder has {text.depth} blocks")
        self.text, self.relations, self.graph_width = text, relations, width
        self.vocab_size = getattr(text, "vocab_size", None)
        self.fusion_layers, self.width = fusion_layers, text.width + 2 * width
        self.register_buffer("concept_vectors", torch.zeros(concepts, features))
        self.cpt_transform = nn.Linear(features, width)
        self.node_extra = NodeExtra(width=width)
        self.edge_encoder = two_layers(edge_types(relations) + 2 * NODE_TYPES, width, norm)
        self.gnn_layers = nn.ModuleList(
            TypedGraphAttention(width=width, heads=heads, norm=norm) for _ in range(fusion_layers)
        )
        joint = text.width + width
        self.ie_layer = nn.Sequential(
            nn.Linear(joint, exchange_hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(exchange_hidden, joint)
        )
        self.ie_norm: nn.Module = nn.LayerNorm(joint)
        self.dropout = nn.Dropout(dropout)
        self.Vh, self.Vx = nn.Linear(width, width), nn.Linear(width, width)
        self.pooler = GraphPool(text_width=text.width, width=width, heads=pool_heads)
        for name, part in self.named_modules():
            if isinstance(part, nn.Linear) and not name.startswith("text."):
                nn.init.xavier_uniform_(part.weight)  # torch's own start loses a factor of 100 on two steps of messages
                nn.init.zeros_(part.bias)

    def take(self, processor: Any) -> None:
        if not isinstance(processor, GroundedTextProcessor):
            raise ConfigError(
                f"GroundedTextEncoder reads texts with graphs; its processor is a {type(processor).__name__}, expected "
                "domains.molecules.grounded.GroundedTextProcessor"
            )
        found = torch.from_numpy(processor.concept_vectors())
        room, width = self.concept_vectors.shape
        if len(found) > room or len(processor.graph.relations) > self.relations:
            raise ConfigError(
                f"the graph has {len(found)} concepts and {len(processor.graph.relations)} relations, the model room "
                f"for {room} and {self.relations}; set `concepts` and `relations` to at least that"
            )
        if len(found) and found.shape[1] != width:
            raise ConfigError(f"concept vectors are {found.shape[1]} wide and the model expects {width} (`features`)")
        self.concept_vectors[: len(found)] = found.to(self.concept_vectors)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        if inp.x.ndim == 3:
            each, choices = self.statements(inp), inp.extra["choice_mask"]
            weight_VC1 = choices[..., None].to(each.pooled.dtype)
            of_row_VCW = each.pooled.unflatten(0, choices.shape)
            return Encoded(pooled=(of_row_VCW * weight_VC1).sum(1) / weight_VC1.sum(1).clamp_min(1))
        return self.read(inp)

    def statements(self, inp: ModalityInput) -> GroundedEncoded:
        """Every one of the (V, C) statements of a batch as a row of its own, V C rows."""
        extra = {name: t.flatten(0, 1) for name, t in inp.extra.items() if name != "answer"}
        return self.read(
            ModalityInput(inp.x.flatten(0, 1), None if inp.mask is None else inp.mask.flatten(0, 1), extra)
        )

    def read(self, inp: ModalityInput) -> GroundedEncoded:
        """Texts (V, T) with their graphs."""
        if "nodes" not in inp.extra:
            raise DataError(
                "GroundedTextEncoder: the batch has texts without graphs; read them by a GroundedTextProcessor"
            )
        sent = messages(inp, self.relations)
        edge_MG = self.edge_encoder(sent.features(self.relations).to(self.cpt_transform.weight.dtype))
        extra_PG = self.node_extra(sent.kind_P)
        first_PG = F.gelu(self.cpt_transform(self.concept_vectors[(sent.node_P - 1).clamp_min(0)]))
        first_PG = self.dropout(first_PG * (sent.node_P > 0)[:, None])
        begin = self.text.depth - self.fusion_layers

        def fuse(h_VTD: Tensor, ctx: BlockContext) -> Tensor:
            layer = self.gnn_layers[ctx.layer - begin]
            x_PG = F.gelu(layer(ctx.others["graph"], extra_PG, edge_MG, sent.source_M, sent.target_M))
            x_PG = self.dropout(x_PG)
            z_VJ = torch.cat([h_VTD[:, 0], x_PG[sent.context_V].to(h_VTD.dtype)], dim=1)
            z_VJ = self.ie_norm(z_VJ + self.ie_layer(z_VJ))
            cls_VD, context_VG = z_VJ.split([h_VTD.shape[-1], x_PG.shape[-1]], dim=1)
            ctx.others["graph"] = x_PG.index_copy(0, sent.context_V, context_VG.to(x_PG.dtype))
            return torch.cat([cls_VD[:, None].to(h_VTD.dtype), h_VTD[:, 1:]], dim=1)

        fused = [BlockHook(layer, "after_ffn", fuse) for layer in range(begin, self.text.depth)]
        h_VTD, ctx = self.text.start(inp)
        ctx.others["graph"] = first_PG
        for layer in range(self.text.depth):
            h_VTD = self.text.step(layer, h_VTD, ctx, fused)
        text = self.text.finish(h_VTD, ctx)
        assert text.tokens is not None  # a steppable encoder has tokens
        node_VNG = sent.unpacked(F.gelu(self.Vh(first_PG) + self.Vx(ctx.others["graph"])))
        cls_VD = text.tokens.x[:, 0]
        concept_VN = sent.real_VN.clone()
        concept_VN[:, 0] = False
        graph_VG = self.pooler(cls_VD, node_VNG, concept_VN)
        pooled = torch.cat([graph_VG, cls_VD, node_VNG[:, 0].to(cls_VD.dtype)], dim=1)
        return GroundedEncoded(pooled=pooled, tokens=text.tokens, nodes=Tokens(node_VNG, mask=sent.real_VN))


def without_messages(inp: ModalityInput, messages_VM: Tensor) -> ModalityInput:
    """The input with only the edges `messages_VM` (V, M) to send messages along."""
    return replace(inp, extra={**inp.extra, "edge_mask": messages_VM})
