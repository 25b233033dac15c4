"""Masked modelling of several modalities through one transformer (MultiMAE, Bachmann et al. 2022).

Shape legend: B = rows of the batch that hold any of the modalities, V = rows that hold one, N = patches, K = visible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step, Term, zero_like_graph
from core.objectives.tokens.balance import Balance, EqualWeights
from core.objectives.tokens.budgets import DirichletBudget, Shown
from core.objectives.tokens.cross_decoder import PatchTask
from core.objectives.tokens.joint_tokens import (
    Joint,
    Part,
    encode_visible,
    joint_transformer,
    run_joint,
    steppable,
    to_batch,
)
from core.objectives.tokens.patch_losses import mean_over_samples
from core.objectives.tokens.patches import OPEN_ENDED, pad_slices, patchify
from core.types import Tokens


class MultiModalMasked(Term):
    """Hidden patches of every task, predicted from the visible tokens of all modalities together.

    The fusion must be a `core.fusion.JointTransformer` that names the modalities; their encoders are adapters, or
    steppable encoders of any depth. A modality that a row lacks shows nothing and is not asked for. The error of a task
    is the mean over hidden patches of each row, then the mean over rows that have any. Values: "loss" and one per task;
    a task with nothing to predict is left out, and without any the loss is an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        tasks: dict[str, PatchTask],
        budget: DirichletBudget | None = None,
        balance: Balance | None = None,
        name: str = "multi_modal_masked",
    ) -> None:
        """tasks: name -> task; several may share a modality (pixels and normalised pixels). budget: 98 visible tokens
        with equal concentrations when None. balance: the sum when None."""
        super().__init__()
        if not tasks:
            raise ConfigError("MultiModalMasked: tasks is empty; give one PatchTask at least")
        self.tasks = nn.ModuleDict(tasks)
        self.budget = DirichletBudget() if budget is None else budget
        self.balance = EqualWeights() if balance is None else balance
        self.name = name

    def forward(self, step: Step) -> dict[str, Tensor]:
        fusion = joint_transformer(step, f"term '{self.name}'")
        names = [name for name in fusion.inputs if step.has(name)]
        zero = step.zero() + zero_like_graph(*self.parameters())
        if not names:
            return {"loss": zero}
        tokens = {m: steppable(step, m, f"term '{self.name}'").embed(step.input(m)) for m in names}
        shown = self.hide(step, tokens)
        joint = run_joint(fusion, {m: self._part(step, m, tokens[m], shown[m]) for m in names})
        losses = {}
        for task_name, task in self.tasks.items():
            assert isinstance(task, PatchTask)
            loss = self._error(step, task, joint, tokens, shown) if task.modality in names else None
            if loss is not None:
                losses[task_name] = loss
        return {"loss": self.balance(losses) + zero if losses else zero, **losses}

    def hide(self, step: Step, tokens: dict[str, Tokens]) -> dict[str, Shown]:
        """Which tokens each of the B rows shows."""
        real = {}
        for m, own in tokens.items():
            every = torch.ones(own.x.shape[:2], dtype=torch.bool, device=own.x.device)
            real_VN = (every if own.mask is None else own.mask)[:, own.prefix :]
            real[m] = to_batch(real_VN, step.batch.present[m]).cpu()
        drawn = self.budget.draw(real, generator=step.generator)
        return {m: Shown(*(t.to(tokens[m].x.device) for t in drawn[m])) for m in tokens}

    def _part(self, step: Step, modality: str, tokens: Tokens, shown: Shown) -> Part:
        present_B = step.batch.present[modality]
        rows_V = present_B.to(tokens.x.device)
        encoder = steppable(step, modality, f"term '{self.name}'")
        x_VKD = encode_visible(encoder, tokens, shown.keep[rows_V], shown.real[rows_V])
        return Part(to_batch(x_VKD, present_B), shown.keep, shown.real)

    def _error(
        self, step: Step, task: PatchTask, joint: Joint, tokens: dict[str, Tokens], shown: dict[str, Shown]
    ) -> Tensor | None:
        modality = task.modality
        grids = {m: own.grid for m, own in tokens.items()}
        if any(grid is None for grid in grids.values()):
            raise ConfigError(f"term '{self.name}': the tokens of its modalities must lie on grids")
        x, patch = step.input(modality).x.detach(), task.patch
        if len(patch) in OPEN_ENDED:
            x, _ = pad_slices(x, None, patch[0])
        target_BNP = to_batch(patchify(x, patch), step.batch.present[modality])
        hidden_BN = shown[modality].hidden
        if hidden_BN.shape != target_BNP.shape[:2]:
            raise ConfigError(
                f"term '{self.name}': patch {list(patch)} cuts '{modality}' into {target_BNP.shape[1]} patches, its "
                f"encoder into {hidden_BN.shape[1]} tokens; give the task the encoder's patch"
            )
        predicted_BNX = task(joint, grids, hidden_BN | shown[modality].visible)
        error_BN, weight_BN = task.patch_loss(predicted_BNX, target_BNP)
        return mean_over_samples(error_BN, weight_BN * hidden_BN)
