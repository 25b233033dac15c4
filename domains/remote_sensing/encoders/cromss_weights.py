"""The U-Nets of a CromSS checkpoint (Liu et al. 2025) in a model of two encoders and one head or two.

Layout of the public files (`weights-cromss-{13B,9B}-{mid,late}Fusion-epoch=199.ckpt` in the data set vikki23/NoLDO-S12
on Hugging Face; Lightning checkpoints, weights under "state_dict"), by the names of segmentation-models-pytorch:
    middle fusion   net.encoder1.* (radar), net.encoder.* (optical), net.decoder.*, net.segmentation_head.* (of both)
    late fusion     net.model1.{encoder,decoder,segmentation_head}.* (radar), net.model2.* (optical)
The encoders are `core.encoders.ConvNet(name="resnet50", norm="own")`, whose names are the same, the heads
`core.models.UNetHead(classes=9, channels=[64, 256, 512, 1024, 2048], widths=[256, 128, 64, 32, 16])`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from core.encoders import ConvNet
from core.errors import CheckpointError, ConfigError, nearest
from core.models import DualEncoder, UNetHead

MIDDLE = {"s1": ("net.encoder1.", "net."), "s2": ("net.encoder.", "net.")}  # modality -> encoder, what owns the head
LATE = {"s1": ("net.model1.encoder.", "net.model1."), "s2": ("net.model2.encoder.", "net.model2.")}


def load_cromss(
    model: DualEncoder, checkpoint: Mapping[str, Any], *, heads: Mapping[str, str] | None = None
) -> list[str]:
    """Copy encoders, and heads where they are named, into `model`; returns the keys that were not used.

    The model reads "s1", "s2" or both. heads: modality -> head of the model; of middle fusion both name one. Raises
    CheckpointError, before anything is copied, for weights that are missing or of another shape; ConfigError for a
    model of another form.
    """
    weights: Mapping[str, Tensor] = checkpoint.get("state_dict", checkpoint)
    names = MIDDLE if any(key.startswith("net.encoder1.") for key in weights) else LATE
    wanted = [modality for modality in names if modality in model.reads]
    if not wanted:
        raise ConfigError(f"load_cromss: the model reads {', '.join(model.reads)}; expected s1 (radar), s2 (optical)")
    parts: list[tuple[nn.Module, str]] = []
    for modality in wanted:
        encoder = model.encoder_of(modality)
        if not isinstance(encoder, ConvNet):
            raise ConfigError(f"load_cromss: '{modality}' is read by {type(encoder).__name__}; expected a ConvNet")
        parts.append((encoder.body, names[modality][0]))
    for modality, name in (heads or {}).items():
        if modality not in wanted or name not in model.heads:
            raise ConfigError(f"load_cromss: heads: '{modality}: {name}'{nearest(name, model.heads)}")
        head = model.heads[name]
        if not isinstance(head, UNetHead):
            raise ConfigError(f"load_cromss: head '{name}' is {type(head).__name__}; expected a UNetHead")
        for part in ("decoder", "segmentation_head"):
            parts.append((getattr(head, part), f"{names[modality][1]}{part}."))
    for module, prefix in parts:
        _check(module, weights, prefix)
    used: set[str] = set()
    for module, prefix in parts:
        own = {key: weights[prefix + key] for key in module.state_dict()}
        module.load_state_dict(own)
        used |= {prefix + key for key in own}
    return sorted(set(weights) - used)


def _check(part: nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    for key, tensor in part.state_dict().items():
        found, own = weights.get(prefix + key), tuple(tensor.shape)
        if found is None:
            raise CheckpointError(f"CromSS weights: '{prefix}{key}' is missing; is the encoder a resnet50, norm own?")
        if found.shape != tensor.shape:
            raise CheckpointError(
                f"CromSS weights: '{prefix}{key}' is {tuple(found.shape)}, the model's {own}; the files "
                "named 13B read 13 bands of Sentinel-2 L1C, those named 9B nine of them; radar is VV, VH"
            )
