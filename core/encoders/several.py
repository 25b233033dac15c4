"""What an encoder of several modalities of a row is: inputs come by name, and a row may lack some of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.types import Encoded, ModalityInput


class MultimodalEncoder(Encoder):
    """Several modalities -> one `Encoded` per row of the batch. modalities: the names that inputs come by."""

    modalities: tuple[str, ...]

    @abstractmethod
    def encode(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Encoded:
        """inputs[m]: the V rows of each modality that the batch holds; present[m]: (B,) bool. Others are not read.

        Rows are the B of the batch. Raises ConfigError when the batch holds none of the modalities.
        """

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        """The only modality. Raises ConfigError when there are several: they come by name, to `encode`."""
        self.refuse_steps(keep, want, hooks)
        if len(self.modalities) != 1:
            raise ConfigError(
                f"{type(self).__name__} reads {', '.join(self.modalities)}: give inputs by name (`encode`)"
            )
        (name,) = self.modalities
        everyone = torch.ones(len(inp), dtype=torch.bool, device=inp.x.device)
        return self.encode({name: inp}, {name: everyone})

    def held(self, inputs: Mapping[str, ModalityInput]) -> list[str]:
        """Which of the modalities the inputs hold. Raises ConfigError for none."""
        names = [name for name in self.modalities if name in inputs]
        if not names:
            raise ConfigError(f"{type(self).__name__}: the batch has none of {', '.join(self.modalities)}")
        return names
