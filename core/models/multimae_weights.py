"""The encoder of a MultiMAE checkpoint (Bachmann et al. 2022) in a `JointModel`. Weights are CC-BY-NC-4.0, not shipped.

Layout of the public files, read from their names: a dict, weights under "model":
    global_tokens (1, G, D)
    input_adapters.{m}.proj.{weight,bias}, input_adapters.{m}.pos_emb (1, D, h, w), input_adapters.{m}.class_emb.weight
    encoder.{i}.{norm1,norm2,attn.qkv,attn.proj,mlp.fc1,mlp.fc2}.{weight,bias}
    output_adapters.{task}...   decoders: not read here, they belong to the pretraining
The model needs `JointTransformer(plain=True, norm_eps=1e-6)`: no projection, no modality embedding, no last norm. The
order of global tokens among the others differs (last there, first here), which attention without positions ignores.
The fixed position table is checked, not loaded: released tables have rows in their first half, as `SinCosPositions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.encoders.adapters import PatchAdapter
from core.errors import CheckpointError, ConfigError, nearest
from core.fusion.joint import JointTransformer
from core.models.joint import JointModel

INSIDE_BLOCK = {
    "norm1": "attn_norm",
    "attn.qkv": "attn.qkv",
    "attn.proj": "attn.out",
    "norm2": "ffn_norm",
    "mlp.fc1": "ffn.0",
    "mlp.fc2": "ffn.3",
}
INSIDE_ADAPTER = {"proj": "stem.project", "class_emb": "embedding"}
SAME = 1e-4  # position tables are stored as float32


def load_multimae(
    model: JointModel, checkpoint: Mapping[str, Any], *, names: Mapping[str, str] | None = None
) -> list[str]:
    """Copy the encoder into `model`; returns the keys that were not used: decoders, and adapters that nobody asked for.

    names: modality of the model -> name in the file ("rgb", "depth", "semseg"); equal names when None. Modalities that
    the file lacks keep their weights. Raises CheckpointError, before anything is copied, for weights that are missing,
    of another shape or of other positions; ConfigError for a model of another form.
    """
    weights = checkpoint.get("model", checkpoint)
    fusion = model.fusion
    if not isinstance(fusion, JointTransformer) or not fusion.plain:
        raise ConfigError("load_multimae: the model's fusion must be core.fusion.JointTransformer with plain: true")
    names = (
        dict(names)
        if names is not None
        else {m: m for m in model.reads if f"input_adapters.{m}.proj.weight" in weights}
    )
    if not names:
        have = sorted({key.split(".")[1] for key in weights if key.startswith("input_adapters.")})
        raise CheckpointError(
            f"MultiMAE weights: they have adapters {have}, the model reads {list(model.reads)}; give `names`"
        )
    found: dict[str, Tensor] = {}
    used: set[str] = set()

    def take(key: str, target: str, shape: torch.Size) -> None:
        if key not in weights:
            raise CheckpointError(f"MultiMAE weights: '{key}' is missing{nearest(key, weights)}")
        if weights[key].numel() != shape.numel() or (
            weights[key].squeeze(0).shape != shape and weights[key].shape != shape
        ):
            raise CheckpointError(
                f"MultiMAE weights: '{key}' has the shape {tuple(weights[key].shape)}, the model needs {tuple(shape)}"
            )
        found[target] = weights[key].reshape(shape)
        used.add(key)

    own = model.state_dict()
    take("global_tokens", "fusion.global_tokens", own["fusion.global_tokens"].shape)
    for i in range(fusion.depth):
        for theirs, ours in INSIDE_BLOCK.items():
            for kind in ("weight", "bias"):
                target = f"fusion.blocks.{i}.{ours}.{kind}"
                take(f"encoder.{i}.{theirs}.{kind}", target, own[target].shape)
    deeper = [key for key in weights if (m := re.match(r"encoder\.(\d+)\.", key)) and int(m[1]) >= fusion.depth]
    if deeper:
        raise CheckpointError(
            f"MultiMAE weights: '{deeper[0]}' is beyond the model's {fusion.depth} blocks; raise depth"
        )
    for modality, name in names.items():
        if modality not in model.reads:
            raise ConfigError(f"load_multimae: the model reads no '{modality}'{nearest(modality, model.reads)}")
        adapter, front = model.encoders[model.reads[modality]], f"encoders.{model.reads[modality]}"
        if not isinstance(adapter, PatchAdapter):
            raise ConfigError(f"load_multimae: '{modality}' is read by {type(adapter).__name__}; use a PatchAdapter")
        for theirs, ours in INSIDE_ADAPTER.items():
            for kind in ("weight", "bias"):
                target = f"{front}.{ours}.{kind}"
                if target in own:
                    take(f"input_adapters.{name}.{theirs}.{kind}", target, own[target].shape)
        _check_positions(weights, f"input_adapters.{name}.pos_emb", adapter)
        used.add(f"input_adapters.{name}.pos_emb")
    model.load_state_dict({**own, **found})
    return [key for key in weights if key not in used]


def _check_positions(weights: Mapping[str, Tensor], key: str, adapter: PatchAdapter) -> None:
    """Raise CheckpointError when a table of positions in the file is not the model's own."""
    table_1Dhw = weights.get(key)
    if table_1Dhw is None:
        return
    if table_1Dhw.shape[1] != adapter.width:
        raise CheckpointError(
            f"MultiMAE weights: '{key}' has the width {table_1Dhw.shape[1]}, the model {adapter.width}"
        )
    if tuple(table_1Dhw.shape[2:]) != adapter.positions.grid:
        return  # another size of input: the model makes its own table for it
    theirs_ND = table_1Dhw[0].flatten(1).T
    worst = float((theirs_ND - adapter.place(adapter.positions.grid).to(theirs_ND)).abs().max())
    if worst > SAME:
        raise CheckpointError(
            f"MultiMAE weights: the positions in '{key}' differ from the model's by up to {worst:.3g}; the file "
            "may have the axes in another order"
        )
