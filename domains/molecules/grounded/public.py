"""The graph half of public DRAGON and GreaseLM checkpoints into our encoder, with a strict report.

Names are those of `lmgnn.` in the public code, with one hidden layer in the exchange and `residual_ie` 2. The text half
(`embeddings`, `encoder.layer`) is a BERT or RoBERTa with norms behind the blocks, which `core.encoders.TextTransformer`
is not: its names are returned as not used, and so are those of answer head and link decoder. Tested on made state dicts
alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from core.errors import CheckpointError
from domains.molecules.grounded.encoder import GroundedTextEncoder

PREFIXES = re.compile(r"^(module\.|model\.|lmgnn\.|bert\.|roberta\.)+")
NAMES = (  # public name -> ours
    (re.compile(r"^concept_emb\.emb(\.weight)?$"), "concept_vectors"),
    (re.compile(r"^concept_emb\.cpt_transform\."), "cpt_transform."),
    (re.compile(r"^(emb_node_type|emb_score)\."), r"node_extra.\1."),
    (re.compile(r"^encoder\.(edge_encoder|gnn_layers)\."), r"\1."),
    (re.compile(r"^encoder\.ie_layer\.layers\.0-Linear\."), "ie_layer.0."),
    (re.compile(r"^encoder\.ie_layer\.layers\.1-Linear\."), "ie_layer.3."),
    (re.compile(r"^encoder\.ie_LayerNorm\."), "ie_norm."),
    (re.compile(r"^(Vh|Vx)\."), r"\1."),
    (re.compile(r"^pooler\.(w_qs|w_ks|w_vs)\."), r"pooler.\1."),
)


def our_name(public: str) -> str | None:
    """Our name of a public weight; None for one that is not of the graph half."""
    plain = PREFIXES.sub("", public)
    for pattern, ours in NAMES:
        if pattern.match(plain):
            return pattern.sub(ours, plain)
    return None


def load_public(encoder: GroundedTextEncoder, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copy the graph half of a checkpoint; returns the names that were not used. Read files by `encoders.read_public`.

    Concept vectors fill the first rows. Raises CheckpointError that lists every weight that is missing or has another
    shape; then nothing is copied.
    """
    own = {name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith("text.")}
    named = {ours: tensor for name, tensor in tensors.items() if (ours := our_name(name)) is not None}
    missing = [n for n in own if n not in named and not n.endswith("num_batches_tracked")]
    shapes = []
    for name, tensor in named.items():
        wanted = tuple(own[name].shape) if name in own else None
        fits = wanted == tuple(tensor.shape)
        if name == "concept_vectors" and wanted is not None and tensor.ndim == 2:
            fits = len(tensor) <= wanted[0] and tensor.shape[1] == wanted[1]
        if not fits:
            shapes.append(f"{name}: {tuple(tensor.shape)} instead of {wanted or 'nothing'}")
    if missing or shapes:
        raise CheckpointError(
            f"the checkpoint does not fit a GroundedTextEncoder of graph width {encoder.graph_width} with "
            f"{encoder.fusion_layers} fusion layers and {encoder.relations} relations (norm: batch is the public one); "
            f"missing: {', '.join(missing) or 'none'}; other shapes: {'; '.join(shapes) or 'none'}"
        )
    vectors = own["concept_vectors"].clone()
    vectors[: len(named["concept_vectors"])] = named["concept_vectors"]
    encoder.load_state_dict({**named, "concept_vectors": vectors}, strict=False)
    return sorted(name for name in tensors if our_name(name) is None)
