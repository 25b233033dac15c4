"""A trained matcher from a run of this suite, or from a local folder of transformers (the published weights).

`zju-community/efficientloftr` and `zju-community/matchanything_eloftr` are such folders: config.json and
model.safetensors. Nothing is downloaded here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import CheckpointError
from core.hub import SavedModel, locate, read_weights
from domains.remote_sensing.registration.matcher import LoFTRMatcher

MODEL_TYPE = "efficientloftr"
PUBLISHED_SIDE = 512  # the published networks were trained on 832 pixels; a CPU holds the matrix of this
FIXED: dict[str, Any] = {  # what this code takes for granted about the network
    "stage_stride": [2, 1, 2, 2], "fine_kernel_size": 8, "q_aggregation_kernel_size": 4,
    "kv_aggregation_kernel_size": 4, "coarse_matching_skip_softmax": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What a checkpoint gave: names that were loaded, that it lacks, that nothing takes, and of other shapes."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} weights loaded"]
        for name in ("missing", "unexpected", "misshapen"):
            keys = getattr(self, name)
            if keys:
                parts.append(f"{len(keys)} {name}: {', '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}")
        return "; ".join(parts)


def load_matcher(where: Path | str) -> LoFTRMatcher:
    """The matcher of a run, of a saved model, or of a transformers folder, in evaluation mode.

    Raises CheckpointError naming what is missing or does not fit.
    """
    folder = Path(where).expanduser()
    config = _config(folder)
    if config.get("model_type") == MODEL_TYPE:
        matcher, report = load_published(folder)
        if not report.complete:
            raise CheckpointError(f"{folder}: its weights are not those of its config.json: {report}")
        return matcher
    saved = SavedModel.from_pretrained(locate(where))
    found = [e for e in saved.model.encoders.values() if isinstance(e, LoFTRMatcher)]
    if len(found) != 1:
        raise CheckpointError(
            f"{where}: holds {len(found)} matchers; give a run of `pretrain --config matchanything`, or a folder of "
            f"transformers' {MODEL_TYPE}"
        )
    return found[0].eval()


def load_published(folder: Path) -> tuple[LoFTRMatcher, KeyReport]:
    """A matcher with the weights of a transformers folder as far as names and shapes agree, and what did not."""
    config = _config(folder)
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise CheckpointError(f"{folder / 'config.json'}: {key} is {config[key]}; supported is {value}")
    matcher = LoFTRMatcher(
        widths=config.get("out_features", (64, 64, 128, 256)), blocks=config.get("stage_num_blocks", (1, 2, 4, 14)),
        depth=config.get("num_attention_layers", 4), heads=config.get("num_attention_heads", 8),
        temperature=config.get("coarse_matching_temperature", 0.1),
        slice_dim=config.get("fine_matching_slice_dim", 8), second_stage="released", side=PUBLISHED_SIDE,
    )  # fmt: skip
    given, own = read_weights(folder / "model.safetensors"), matcher.net.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    report = KeyReport(
        loaded=tuple(sorted(fitting)),
        missing=tuple(sorted(name for name in own if name not in given and not name.endswith("num_batches_tracked"))),
        unexpected=tuple(sorted(name for name in given if name not in own)),
        misshapen=tuple(sorted(name for name in given if name in own and name not in fitting)),
    )
    matcher.net.load_state_dict(fitting, strict=False)
    return matcher.eval(), report


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise CheckpointError(f"{path}: cannot be read ({err}); copy the checkpoint again") from err
    return content if isinstance(content, dict) else {}
