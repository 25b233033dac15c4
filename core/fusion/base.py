"""What a fusion is: token streams of several modalities in, streams that know of each other and a joint vector out.

Shape legend: V = rows in which all modalities are present, N = tokens of a stream, D = width of the fusion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.types import Tokens


@dataclass(slots=True)
class Fused:
    """streams[m]: tokens after the last layer that ran. layers[i][m]: (V, N, D) after fusion layer i (0-based), for
    the layers that were wanted. pooled[m]: (V, D). joint: one vector per row, (V, joint_width)."""

    streams: dict[str, Tokens]
    pooled: dict[str, Tensor]
    joint: Tensor
    layers: dict[int, dict[str, Tensor]] = field(default_factory=dict)


class Fusion(nn.Module, ABC):
    """Lets modalities meet.

    inputs: modality -> width of its tokens, in the order that `joint` uses. joint_width: width of `Fused.joint`.
    needs: modality -> encoder layers (0-based) whose states the fusion reads; empty when the last one is enough.
    """

    inputs: dict[str, int]
    joint_width: int
    needs: Mapping[str, tuple[int, ...]] = {}

    @abstractmethod
    def forward(
        self, streams: Mapping[str, Tokens], *, want: Collection[int] = (), stop_after: int | None = None
    ) -> Fused:
        """Fuse tokens of the same V rows. want: fusion layers to keep. stop_after: last layer to run, all when None."""

    def check_streams(self, streams: Mapping[str, Tokens], optional: Collection[str] = ()) -> None:
        """Raise ConfigError unless the streams are those of `inputs`, of these widths and of equally many rows.
        optional: those of them that may be left out."""
        who = type(self).__name__
        for name in streams:
            if name not in self.inputs:
                raise ConfigError(f"{who} got a stream '{name}'{nearest(name, self.inputs)}")
        for name, width in self.inputs.items():
            if name not in streams and name in optional:
                continue
            if name not in streams:
                raise ConfigError(f"{who} got no stream '{name}'; it fuses {', '.join(self.inputs)}")
            if streams[name].x.shape[-1] != width:
                raise ConfigError(
                    f"{who}: tokens of '{name}' have width {streams[name].x.shape[-1]}, inputs.{name} says {width}"
                )
        rows = {name: len(streams[name].x) for name in self.inputs if name in streams}
        if len(set(rows.values())) > 1:
            name, count = next(item for item in rows.items() if item[1] != max(rows.values()))
            raise ConfigError(
                f"{who}: '{name}' has {count} rows, {rows}; select the rows that have every modality first"
            )
