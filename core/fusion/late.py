"""Late fusion: modalities meet as one vector each. The baselines of MMBT (Kiela et al. 2019), one class per rule.

Shape legend: B = rows of the batch, V = rows in which a modality is present, D = width, M = modalities.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from core.fusion.base import Fused, Fusion
from core.fusion.missing import DropMissing, LearnedMissing, MissingPolicy
from core.nn import MeanPool
from core.types import Tokens


class LateFusion(Fusion):
    """Base of the rules. `fuse` takes one vector per present row and modality; calling the module takes tokens of rows
    that have all modalities, and fuses their masked means."""

    def __init__(self, *, inputs: dict[str, int], missing: MissingPolicy) -> None:
        super().__init__()
        if not inputs:
            raise ConfigError(f"{type(self).__name__}: inputs is empty; name at least one modality and its width")
        self.inputs, self.missing, self.mean = dict(inputs), missing, MeanPool()

    def fuse(self, vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """vectors[m]: (V, D) in batch order, present[m]: (B,) bool -> (B, joint_width).

        Raises DataError, naming the rows, when one of them has no modality at all.
        """
        for name in self.inputs:
            if name not in vectors or name not in present:
                raise DataError(f"{type(self).__name__} got no '{name}'; a modality that no row has is a (0, D) tensor")
        chosen, there = ({name: by_name[name] for name in self.inputs} for by_name in (vectors, present))
        return self.join(*self.missing(chosen, there))

    def forward(
        self, streams: Mapping[str, Tokens], *, want: Collection[int] = (), stop_after: int | None = None
    ) -> Fused:
        self.check_streams(streams)
        if len(want) > 0 or stop_after is not None:
            raise ConfigError(f"{type(self).__name__} has no layers to keep or stop after; use CoAttention")
        pooled = {name: self.mean(streams[name].x, streams[name].mask, streams[name].prefix) for name in self.inputs}
        present = {name: torch.ones(len(x), dtype=torch.bool, device=x.device) for name, x in pooled.items()}
        return Fused(streams=dict(streams), pooled=pooled, joint=self.fuse(pooled, present))

    @abstractmethod
    def join(self, filled: dict[str, Tensor], counts: dict[str, Tensor]) -> Tensor:
        """filled[m]: (B, D), counts[m]: (B,) whether it takes part -> (B, joint_width)."""


def _equal_width(who: str, inputs: dict[str, int]) -> int:
    if len(set(inputs.values())) != 1:
        raise ConfigError(f"{who}: inputs have widths {inputs}; they must be equal, project them first")
    return next(iter(inputs.values()))


class MeanFusion(LateFusion):
    """Mean over the modalities that take part: of vectors, or of logits. Missing ones are dropped when None."""

    def __init__(self, *, inputs: dict[str, int], missing: MissingPolicy | None = None) -> None:
        super().__init__(inputs=inputs, missing=DropMissing() if missing is None else missing)
        self.joint_width = _equal_width("MeanFusion", inputs)

    def join(self, filled: dict[str, Tensor], counts: dict[str, Tensor]) -> Tensor:
        x_MBD, counts_MB = torch.stack(list(filled.values())), torch.stack(list(counts.values()))
        return x_MBD.masked_fill(~counts_MB[..., None], 0.0).sum(dim=0) / counts_MB.sum(dim=0)[:, None]


class ConcatFusion(LateFusion):
    """All vectors one behind the other, in the order of `inputs`. A trained vector stands in when `missing` is None.

    Raises ConfigError for DropMissing: a concatenation has a place for every modality.
    """

    def __init__(self, *, inputs: dict[str, int], missing: MissingPolicy | None = None) -> None:
        if type(missing) is DropMissing:
            raise ConfigError("ConcatFusion cannot drop a modality; use LearnedMissing or ZeroMissing")
        super().__init__(inputs=inputs, missing=LearnedMissing(inputs=inputs) if missing is None else missing)
        self.joint_width = sum(inputs.values())

    def join(self, filled: dict[str, Tensor], counts: dict[str, Tensor]) -> Tensor:
        return torch.cat(list(filled.values()), dim=-1)


class ProductOfExperts(LateFusion):
    """Logits of M experts -> log posterior: sum_m log p_m - (M - 1) log prior, normalised (Hinton 2002), in float32.

    Missing experts are left out, so M is counted per row. prior: class probabilities, uniform when None.
    Raises ConfigError for a prior of another length or that is no distribution.
    """

    log_prior: Tensor

    def __init__(self, *, inputs: dict[str, int], prior: Sequence[float] | None = None) -> None:
        super().__init__(inputs=inputs, missing=DropMissing())
        self.joint_width = _equal_width("ProductOfExperts", inputs)
        given = [1.0 / self.joint_width] * self.joint_width if prior is None else list(prior)
        if len(given) != self.joint_width or min(given) <= 0.0 or not math.isclose(sum(given), 1.0, abs_tol=1e-4):
            raise ConfigError(
                f"ProductOfExperts: prior is {given}; give {self.joint_width} positive probabilities that sum to 1"
            )
        self.register_buffer("log_prior", torch.tensor(given).log(), persistent=False)

    def join(self, filled: dict[str, Tensor], counts: dict[str, Tensor]) -> Tensor:
        log_p_MBD = torch.stack(list(filled.values())).float().log_softmax(dim=-1)
        counts_MB1 = torch.stack(list(counts.values()))[..., None]
        experts_B1 = counts_MB1.sum(dim=0)
        total_BD = (log_p_MBD * counts_MB1).sum(dim=0) - (experts_B1 - 1) * self.log_prior
        return total_BD.log_softmax(dim=-1)
