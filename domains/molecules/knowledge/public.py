"""Weights of MolFM's release (`molfm.pth`, a state dict under the key `model`) into a model of ours, strictly.

Written from the names of the released code and tested on made state dicts; the file itself (on a share that needs an
account) was not at hand. Its pretraining code was never released.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.encoders import PostNormText
from core.errors import CheckpointError, ConfigError
from core.fusion import CrossEncoder
from core.models.dual_encoder import DualEncoder
from core.objectives import WordHead
from domains.molecules.encoders.gin import GIN
from domains.molecules.knowledge.encoder import KnowledgeEncoder

Named = Mapping[str, Tensor]
# Later releases call the structure encoder's parts by another name than the first one
RENAMED = (("graph_encoder.", "structure_encoder."), ("graph_linear.", "structure_linear."),
           ("graph_proj_head.", "structure_proj_head."))  # fmt: skip
BERT = "text_encoder.bert."
# What later releases comment out, and what is no weight
OPTIONAL = ("kg_encoder.", "kg_linear.", "text_encoder.cls.")
IGNORED = re.compile(r"position_ids$|num_batches_tracked$|bert\.pooler\.")


@dataclass(frozen=True, slots=True)
class Loaded:
    """taken: names of ours that were filled. left: names of the checkpoint that have no place here. own: names of ours
    that this release has nothing for (the graph's table in later ones), which keep their values."""

    taken: list[str]
    left: list[str]
    own: list[str]


def renamed(tensors: Named) -> dict[str, Tensor]:
    """The names of later releases. Raises CheckpointError when a tensor is there under both names."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix("module.")
        new = next((to + plain.removeprefix(old) for old, to in RENAMED if plain.startswith(old)), plain)
        if new in out:
            raise CheckpointError(f"the checkpoint holds '{new}' under two names; remove one")
        out[new] = tensor
    return out


def load_molfm(
    model: DualEncoder, tensors: Named, *, graph: str = "graph", text: str = "text", neighbours: str = "neighbours"
) -> Loaded:
    """Copy released weights into a model of GIN, PostNormText, KnowledgeEncoder and CrossEncoder.

    Raises ConfigError for a model of other parts; CheckpointError that lists every weight that is missing or has
    another shape. Then nothing is copied.
    """
    found, own = renamed(tensors), model.state_dict()
    taken: dict[str, Tensor] = {}
    used: set[str] = set()
    absent: list[str] = []
    faults: list[str] = []
    for target, names, join in _places(model, graph, text, neighbours):
        missing = [name for name in names if name not in found]
        if missing:
            if all(name.startswith(OPTIONAL) for name in names):
                absent.append(target)
            else:
                faults.append(f"{', '.join(missing)} (for {target})")
            continue
        value = join([found[name] for name in names])
        if value.shape != own[target].shape:
            faults.append(f"{' + '.join(names)}: {tuple(value.shape)} instead of {tuple(own[target].shape)}")
        taken[target] = value
        used |= set(names)
    if faults:
        raise CheckpointError(
            f"the checkpoint does not fit the model; missing or of another shape: {'; '.join(faults)}"
        )
    model.load_state_dict({**own, **taken})
    left = sorted(name for name in found if name not in used and not IGNORED.search(name))
    return Loaded(sorted(taken), left, absent)


Join = Callable[[list[Tensor]], Tensor]
Place = tuple[str, list[str], Join]


def _one(parts: list[Tensor]) -> Tensor:
    return parts[0]


def _places(model: DualEncoder, graph: str, text: str, neighbours: str) -> Iterator[Place]:
    """(name of ours, names of the release, how they become ours) of every weight that the release has."""
    reader, gin, fusion = model.encoder_of(text), model.encoder_of(graph), model.fusion
    if not isinstance(reader, PostNormText) or not isinstance(gin, GIN) or not isinstance(fusion, CrossEncoder):
        raise ConfigError(
            "MolFM's weights need a GIN, a core.encoders.PostNormText and a core.fusion.CrossEncoder; the model has "
            f"{type(gin).__name__}, {type(reader).__name__} and {type(fusion).__name__}"
        )
    gin_at, text_at = f"encoders.{model.reads[graph]}.", f"encoders.{model.reads[text]}."
    for name in gin.state_dict():
        if not name.startswith("pool.") and not name.endswith("num_batches_tracked"):
            yield gin_at + name, [f"structure_encoder.{name}"], _one
    yield from _linear(f"projections.{graph}", "structure_proj_head")
    yield from _linear(f"projections.{text}", "text_proj_head")
    yield from _linear("heads.match", "mtm_head")
    yield from _linear(f"fusion.projections.{graph}", "structure_linear")
    for ours, theirs in (("token", "word"), ("position", "position"), ("type", "token_type")):
        yield f"{text_at}{ours}_embedding.weight", [f"{BERT}embeddings.{theirs}_embeddings.weight"], _one
    yield from _linear(f"{text_at}embedding_norm", f"{BERT}embeddings.LayerNorm")
    for i in range(reader.depth):
        at, their = f"{text_at}blocks.{i}.", f"{BERT}encoder.layer.{i}."
        yield from _attention(f"{at}attn", f"{their}attention", ("query", "key", "value"), "qkv")
        yield from _linear(f"{at}attn_norm", f"{their}attention.output.LayerNorm")
        yield from _feed_forward(at, their)
    for i in range(fusion.depth):
        at, their = f"fusion.layers.{i}.", f"{BERT}encoder.layer.{reader.depth + i}."
        yield from _attention(f"{at}self_attn", f"{their}attention", ("query", "key", "value"), "qkv")
        yield from _linear(f"{at}self_norm", f"{their}attention.output.LayerNorm")
        yield from _linear(f"{at}cross_attn.query", f"{their}crossattention.self.query")
        yield from _attention(f"{at}cross_attn", f"{their}crossattention", ("key", "value"), "key_value")
        yield from _linear(f"{at}cross_norm", f"{their}crossattention.output.LayerNorm")
        yield from _feed_forward(at, their)
    if neighbours in model.reads:
        knowledge = model.encoder_of(neighbours)
        if not isinstance(knowledge, KnowledgeEncoder):
            raise ConfigError(f"'{neighbours}' is read by a {type(knowledge).__name__}, not a KnowledgeEncoder")
        at = f"encoders.{model.reads[neighbours]}."
        yield f"{at}entities.vector", ["kg_encoder.ent_emb.weight"], _zero_last
        yield f"{at}links.relation", ["kg_encoder.rel_emb.weight"], lambda parts: parts[0][:-1]
        yield from _linear(f"fusion.projections.{neighbours}", "kg_linear")
    for name, head in model.heads.items():
        if isinstance(head, WordHead):
            cls = "text_encoder.cls.predictions."
            yield from _linear(f"heads.{name}.dense", f"{cls}transform.dense")
            yield from _linear(f"heads.{name}.norm", f"{cls}transform.LayerNorm")
            yield from _linear(f"heads.{name}.decoder", f"{cls}decoder")


def _linear(ours: str, theirs: str) -> Iterator[Place]:
    for kind in ("weight", "bias"):
        yield f"{ours}.{kind}", [f"{theirs}.{kind}"], _one


def _attention(ours: str, theirs: str, parts: tuple[str, ...], joined: str) -> Iterator[Place]:
    for kind in ("weight", "bias"):
        yield f"{ours}.{joined}.{kind}", [f"{theirs}.self.{part}.{kind}" for part in parts], torch.cat
        yield f"{ours}.out.{kind}", [f"{theirs}.output.dense.{kind}"], _one


def _feed_forward(ours: str, theirs: str) -> Iterator[Place]:
    yield from _linear(f"{ours}ffn.0", f"{theirs}intermediate.dense")
    yield from _linear(f"{ours}ffn.3", f"{theirs}output.dense")
    yield from _linear(f"{ours}ffn_norm", f"{theirs}output.LayerNorm")


def _zero_last(parts: list[Tensor]) -> Tensor:
    """The released last row, of no entity, holds random values; ours is zero."""
    table = parts[0].clone()
    table[-1] = 0.0
    return table
