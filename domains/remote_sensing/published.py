"""Published weights in a local file -> a saved model that `embed`, `finetune --from_run` and `load_encoder` take.

python -m domains.remote_sensing.published dofa --weights dofa_base_patch16_224.pth --out models/dofa
python -m domains.remote_sensing.published croma --weights CROMA_base.pt --out models/croma
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import ConfigError, HeptadError

# Sizes told by the width of the files' tokens: depth, heads
DOFA_SIZES = {384: (12, 6), 768: (12, 12), 1024: (24, 16), 1280: (32, 16)}
CROMA_DEPTHS = {768: 12, 1024: 24}
SIZE = 120  # rows and columns that CROMA saw; DOFA saw 224
_RASTER = "domains.remote_sensing.processors."


def model_node(system: str, checkpoint: Mapping[str, Any], *, size: int) -> dict[str, Any]:
    """The node of a model whose shapes are those of the checkpoint. Raises ConfigError for one that is not known."""
    if system == "dofa":
        table = dict(checkpoint.get("model", checkpoint)).get("pos_embed")
        bias = dict(checkpoint.get("model", checkpoint)).get("patch_embed.weight_generator.fc_weight.bias")
        if table is None or bias is None:
            raise ConfigError("weights: these are not DOFA's (no pos_embed, patch_embed.weight_generator.fc_weight)")
        width = int(table.shape[-1])
        patch = round((len(bias) / width) ** 0.5)
        depth = 1 + max(int(k.split(".")[1]) for k in checkpoint.get("model", checkpoint) if k.startswith("blocks."))
        heads = DOFA_SIZES.get(width, (depth, max(1, width // 64)))[1]
        encoder = {
            "class_path": "domains.remote_sensing.encoders.DOFA",
            "init_args": {
                "sensors": ["sentinel1_db", "sentinel2_l2a"], "image_size": size - size % patch, "patch": patch,
                "width": width, "depth": depth, "heads": heads,
            },
        }  # fmt: skip
        return {
            "class_path": "core.models.DualEncoder",
            "init_args": {"dim": width, "modalities": {"s1": "any", "s2": "any"}, "encoders": {"any": encoder}},
        }
    first = checkpoint.get("s2_encoder")
    weight = checkpoint.get("s2_encoder.linear_input.weight") if first is None else first.get("linear_input.weight")
    if weight is None:
        raise ConfigError("weights: these are not CROMA's (no s2_encoder)")
    names = first if first is not None else {k.removeprefix("s2_encoder."): v for k, v in checkpoint.items()}
    depth = 1 + max(int(k.split(".")[2]) for k in names if k.startswith("transformer.layers."))
    width = int(weight.shape[0])
    return {
        "class_path": "domains.remote_sensing.encoders.CROMAModel",
        "init_args": {"dim": width, "width": width, "depth": CROMA_DEPTHS.get(width, depth)},
    }


def processor_nodes(system: str, *, size: int) -> dict[str, Any]:
    """Processors that scale as the weights expect. DOFA's release standardises by each data set's own statistics: those
    of SSL4EO-S12 stand in."""
    scaled = "two_deviations" if system == "croma" else "zscore"
    shared = {"size": [size, size], "normalise": scaled}
    return {
        "s1": {"class_path": _RASTER + "RadarProcessor", "init_args": {**shared, "statistics": "ssl4eo_s1"}},
        "s2": {"class_path": _RASTER + "OpticalProcessor", "init_args": {**shared, "statistics": "ssl4eo_s2a"}},
    }


def save_published(system: str, weights: Path, out: Path, *, size: int = SIZE) -> Path:
    """Read the file, write the folder. size: rows and columns of a picture. Projections into the shared space are the
    identity: a vector is the encoder's own. Raises CheckpointError for weights that do not fit."""
    from torch import nn

    from core.config.build import build
    from core.hub import SavedModel
    from core.models.dual_encoder import DualEncoder
    from domains.remote_sensing.encoders import DOFA, CROMAModel, load_croma, load_dofa, read_torch

    checkpoint = read_torch(weights)
    node = model_node(system, checkpoint, size=size)
    identity = {"class_path": "torch.nn.Identity"}
    node["init_args"]["projections"] = {"s1": identity, "s2": identity}
    model = build(node)
    assert isinstance(model, DualEncoder)
    if isinstance(model, CROMAModel):
        load_croma(model, checkpoint)
    else:
        encoder: nn.Module = model.encoders["any"]
        assert isinstance(encoder, DOFA)
        load_dofa(encoder, checkpoint)
    nodes = processor_nodes(system, size=size)
    about = {
        "domain": "remote_sensing", "system": system, "data": "see the publication", "simulated": False,
        "licence": "as the weights say", "logit_scale": 1.0, "prompts": {}, "prompts_as": "",
    }  # fmt: skip
    saved = SavedModel(
        model=model, model_node=node, processors={name: build(n) for name, n in nodes.items()}, processor_nodes=nodes,
        about=about,
    )  # fmt: skip
    card = f"# {system}\n\nPublished weights of {weights.name}, converted; nothing was trained here.\n"
    return saved.save_pretrained(out, card=card)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m domains.remote_sensing.published", description=__doc__)
    parser.add_argument("system", choices=("dofa", "croma"))
    parser.add_argument(
        "--weights", type=Path, required=True, help="local file, .pth or .safetensors, in torchgeo's layout"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns of a picture (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        print(save_published(options.system, options.weights, options.out, size=options.size))
    except HeptadError as err:
        print(err, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
