"""The decoder of 4M (Mizrahi et al. 2023): targets of all modalities read the joint tokens.

Shape legend: B = rows, Q = targets of all modalities, T = joint tokens, G = global tokens, D = width of the decoder,
C = width of the joint tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import DecoderBlock, init_transformer
from core.objectives.tokens.code_tasks import CodeDraw, CodeTask, GridCodes, SpanCodes
from core.objectives.tokens.joint_tokens import Joint


class CodeDecoder(nn.Module):
    """Blocks of self-attention among the targets of one modality (causal in a sequence) and attention to the context.

    A target of a grid enters as a mask token, one of a sequence as the id before it, both with position and modality.
    """

    def __init__(
        self, *, tasks: dict[str, CodeTask], input_width: int, width: int = 256, depth: int = 4, heads: int = 8
    ) -> None:
        """tasks: modality -> how it takes part. input_width: of the joint transformer."""
        super().__init__()
        if not tasks or depth < 1:
            raise ConfigError(f"CodeDecoder: {len(tasks)} tasks and depth {depth}; both must be positive")
        for name, task in tasks.items():
            if task.positions.width != width:
                raise ConfigError(f"CodeDecoder: width is {width}, but task '{name}' has width {task.positions.width}")
        self.input_width, self.width = input_width, width
        self.embed = nn.Linear(input_width, width)
        self.kinds = nn.Embedding(len(tasks), width)
        self.blocks = nn.ModuleList(DecoderBlock(width=width, heads=heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.classes = nn.ModuleDict({name: nn.Linear(width, task.vocab_size) for name, task in tasks.items()})
        init_transformer(self)
        self.tasks = nn.ModuleDict(tasks)

    def forward(self, joint: Joint, draws: Mapping[str, CodeDraw]) -> dict[str, Tensor]:
        """(B, Q, D) states of each modality's targets, before `classes`."""
        if joint.x.shape[-1] != self.input_width:
            raise ConfigError(
                f"CodeDecoder: input_width is {self.input_width}, but the joint tokens have width {joint.x.shape[-1]}"
            )
        context_BTD = self.embed(torch.cat([joint.x, joint.global_], dim=1))
        seen_BT = torch.cat([joint.real, joint.real.new_ones(joint.global_.shape[:2])], dim=1)
        x_BQD = torch.cat([self._enter(name, draw, context_BTD.dtype) for name, draw in draws.items()], dim=1)
        allowed_BQQ = self._allowed(draws)
        for block in self.blocks:
            x_BQD = block(x_BQD, context_BTD, allowed_BQQ, seen_BT)
        sizes = [draw.target.shape[1] for draw in draws.values()]
        return dict(zip(draws, self.norm(x_BQD).split(sizes, dim=1), strict=True))

    def _enter(self, name: str, draw: CodeDraw, dtype: torch.dtype) -> Tensor:
        task = cast(CodeTask, self.tasks[name])
        mark_D = self.kinds.weight[list(self.tasks).index(name)]
        place_BQD = task.positions(task.positions.grid)[draw.place] + mark_D
        if isinstance(task, SpanCodes):
            assert draw.given is not None  # a sequence is told what came before
            return (place_BQD + task.told(draw.given)).to(dtype)
        assert isinstance(task, GridCodes)
        return (place_BQD + task.mask_token).to(dtype)

    def _allowed(self, draws: Mapping[str, CodeDraw]) -> Tensor:
        """(B, Q, Q) bool: targets see those of their own modality, in a sequence none that comes later."""
        kind, order = [], []
        for i, (name, draw) in enumerate(draws.items()):
            count = draw.target.shape[1]
            kind += [i] * count
            order += [0] * count if cast(CodeTask, self.tasks[name]).on_grid else list(range(count))
        device = next(iter(draws.values())).target.device
        kind_Q, order_Q = (torch.tensor(values, dtype=torch.int64, device=device) for values in (kind, order))
        allowed_QQ = (kind_Q[:, None] == kind_Q) & (order_Q[:, None] >= order_Q)
        return allowed_QQ & torch.cat([draw.wanted for draw in draws.values()], dim=1)[:, None]
