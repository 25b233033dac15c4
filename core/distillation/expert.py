"""Experts: heads trained on real pairs, and the path of their weights, one file per expert (heads only, safetensors).

Shape legend: n = real pairs, D, T = widths of image and text features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.distillation.losses import nce
from core.distillation.student import Heads, MatchLoss, Weights, logits
from core.errors import CheckpointError, ConfigError
from core.files import write_atomic
from core.weights import owned


@dataclass(frozen=True, slots=True)
class Expert:
    """epochs[e]: weights of (image head, text head) after e epochs; epochs[0] is the start."""

    epochs: list[tuple[Weights, Weights]]

    def save(self, path: Path) -> Path:
        from safetensors.torch import save

        tensors = {
            f"{e:04d}/{side}/{name}": w
            for e, heads in enumerate(self.epochs)
            for side, weights in zip(("image", "text"), heads, strict=True)
            for name, w in weights.items()
        }
        write_atomic(path, save(owned(tensors)), error=CheckpointError)
        return path

    @classmethod
    def load(cls, path: Path) -> Expert:
        """Raises CheckpointError for a file that is missing, damaged or no expert's."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
        except (OSError, ValueError, SafetensorError) as err:
            raise CheckpointError(f"{path}: cannot be read ({err}); record the expert again") from err
        epochs: dict[str, dict[str, Weights]] = {}
        for key, tensor in sorted(tensors.items()):
            epoch, _, rest = key.partition("/")
            side, _, name = rest.partition("/")
            if not epoch.isdigit() or side not in ("image", "text") or not name:
                raise CheckpointError(f"{path}: holds '{key}', which is no weight of an expert; record it again")
            epochs.setdefault(epoch, {"image": {}, "text": {}})[side][name] = tensor
        if [int(e) for e in sorted(epochs)] != list(range(len(epochs))) or len(epochs) < 2:
            raise CheckpointError(f"{path}: has epochs {sorted(epochs)}; needs 0, 1 and so on. Record it again")
        return cls([(epochs[e]["image"], epochs[e]["text"]) for e in sorted(epochs)])

    def segment(self, span: int, latest: int | None, generator: torch.Generator) -> tuple[int, int]:
        """A random (start epoch, target epoch), `span` apart, the start at most `latest`."""
        last = len(self.epochs) - 1 - span
        last = last if latest is None else min(last, latest)
        if span < 1 or last < 0:
            raise ConfigError(f"expert: {len(self.epochs) - 1} epochs, span {span}, latest start {latest}; none fits")
        start = int(torch.randint(last + 1, (), generator=generator))
        return start, start + span


def record_expert(
    heads: Heads,
    x_nD: Tensor,
    t_nT: Tensor,
    *,
    epochs: int,
    rate: float = 0.1,
    momentum: float = 0.0,
    batch: int = 128,
    temperature: float = 0.07,
    loss: MatchLoss = nce,
    generator: torch.Generator,
) -> Expert:
    """Train copies of both heads on real features by SGD and keep their weights after every epoch.

    loss: of the logits and an identity target; InfoNCE by default. The heads themselves are left as they are.
    """
    if epochs < 1 or batch < 2 or len(x_nD) != len(t_nT) or len(x_nD) < 2:
        raise ConfigError(
            f"expert: epochs {epochs}, batch {batch}, {len(x_nD)} images and {len(t_nT)} texts; needs epochs >= 1, "
            "batch >= 2 and as many texts as images, at least 2"
        )
    image, text = ({n: w.requires_grad_() for n, w in weights.items()} for weights in heads.weights())
    optimizer = torch.optim.SGD([*image.values(), *text.values()], lr=rate, momentum=momentum)
    path = [(_copy(image), _copy(text))]
    for _ in range(epochs):
        for index_b in torch.randperm(len(x_nD), generator=generator).split(batch):
            if len(index_b) < 2:  # one pair alone teaches nothing
                continue
            z_bb = logits(heads, image, text, x_nD[index_b], t_nT[index_b], temperature)
            optimizer.zero_grad()
            loss(z_bb, torch.eye(len(index_b), dtype=z_bb.dtype, device=z_bb.device)).backward()
            optimizer.step()
        path.append((_copy(image), _copy(text)))
    return Expert(path)


def _copy(weights: Weights) -> Weights:
    return {name: w.detach().clone() for name, w in weights.items()}
