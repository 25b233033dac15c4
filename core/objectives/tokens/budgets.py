"""How many tokens of each modality a row shows, and how many it has to predict.

MultiMAE (Bachmann et al. 2022): one Dirichlet draw per row, exactly `visible` tokens in total.
4M (Mizrahi et al. 2023): a mixture of Dirichlet components, with a budget of inputs and one of targets.
Shape legend: B = rows, M = modalities, N = tokens of a modality, K = visible ones of the row that has most.
Every draw comes from the CPU generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest

DEAD = 1e-5  # what is added to a concentration of 0, so that a row never has a budget without any taker


def dirichlet(alpha_BM: Tensor, generator: torch.Generator) -> Tensor:
    """(B, M) float64 rows that sum to 1. A concentration of exactly 0 gets exactly 0; at least one must be above.

    In logarithms, log g(alpha) = log g(alpha + 1) + log(u) / alpha: gamma variates of small concentrations underflow,
    and a row of zeros would be NaN.
    """
    alpha_BM = alpha_BM.double().cpu()
    gamma_BM = torch._standard_gamma(alpha_BM + 1, generator=generator)
    uniform_BM = 1 - torch.rand(alpha_BM.shape, generator=generator, dtype=torch.float64)  # (0, 1]
    log_BM = gamma_BM.log() + uniform_BM.log() / alpha_BM.clamp_min(1e-300)
    return log_BM.masked_fill(alpha_BM <= 0, -torch.inf).softmax(1)


class Shown(NamedTuple):
    """Visible tokens of one modality. keep: (B, K) int64 positions; real: (B, K) bool, False = filler, whose token must
    not be read. visible, hidden: (B, N) bool; what is neither is padding or lacks the modality."""

    keep: Tensor
    real: Tensor
    visible: Tensor
    hidden: Tensor


class DirichletBudget(nn.Module):
    """MultiMAE's plan: shares p ~ Dirichlet(alpha), round(p * visible) random tokens of each modality; rounding errors
    and budgets beyond a modality are filled with random other tokens, so that every row shows exactly `visible`.

    Large alpha: equal shares. Small alpha: nearly all of one modality.
    """

    def __init__(self, *, visible: int = 98, alpha: float | dict[str, float] = 1.0, subsets: bool = False) -> None:
        """alpha: concentration, for all modalities or by name. subsets: each row first draws a non-empty subset of the
        modalities, uniformly; the others get (almost) nothing."""
        super().__init__()
        values = list(alpha.values()) if isinstance(alpha, dict) else [alpha]
        if visible < 1 or len(values) == 0 or min(values) <= 0:
            raise ConfigError(f"DirichletBudget: visible {visible}, alpha {alpha}; give positive numbers")
        self.visible, self.alpha, self.subsets = visible, alpha, subsets

    def draw(self, real: dict[str, Tensor], *, generator: torch.Generator) -> dict[str, Shown]:
        """real[m]: (B, N) bool on the CPU, False = padding, all False = the row lacks the modality. A row with fewer
        than `visible` real tokens shows them all."""
        names = list(real)
        rows = len(real[names[0]])
        alpha_BM = self._concentrations(names, rows, generator)
        present_BM = torch.stack([real[name].any(1) for name in names], dim=1)
        share_BM = dirichlet(alpha_BM.masked_fill(~present_BM & present_BM.any(1, keepdim=True), 0.0), generator)
        count_BM = (share_BM * self.visible).round().long()
        first = []  # 0 to 1 for tokens inside their modality's budget, 1 to 2 outside it, 3 for padding
        for i, name in enumerate(names):
            rank_BN = rank_of(torch.rand(real[name].shape, generator=generator), real[name])
            outside_BN = rank_BN >= count_BM[:, i, None]
            order_BN = torch.rand(real[name].shape, generator=generator, dtype=torch.float64) + outside_BN
            first.append(order_BN.masked_fill(~real[name], 3.0))
        order_BT = torch.cat(first, dim=1)
        shown_BT = (order_BT.argsort(1).argsort(1) < self.visible) & (order_BT < 3.0)
        parts = shown_BT.split([real[name].shape[1] for name in names], dim=1)
        return {name: shown(part, real[name] & ~part) for name, part in zip(names, parts, strict=True)}

    def _concentrations(self, names: Sequence[str], rows: int, generator: torch.Generator) -> Tensor:
        values = [concentration("DirichletBudget", self.alpha, name) for name in names]
        alpha_BM = torch.tensor(values, dtype=torch.float64).expand(rows, -1)
        if not self.subsets:
            return alpha_BM
        code_B1 = torch.randint(1, 2 ** len(names), (rows, 1), generator=generator)
        chosen_BM = (code_B1 >> torch.arange(len(names))) & 1
        return chosen_BM * alpha_BM + DEAD


@dataclass(frozen=True, slots=True)
class Counts:
    """inputs, targets: (B, M) int64 tokens of each modality."""

    inputs: Tensor
    targets: Tensor


class Component(nn.Module):
    """One component of a mixture: concentrations of inputs and of targets by modality; 0 or not named: none."""

    def __init__(self, *, inputs: dict[str, float], targets: dict[str, float], weight: float = 1.0) -> None:
        """weight: how often the component is drawn, relative to the others."""
        super().__init__()
        for what, alphas in (("inputs", inputs), ("targets", targets)):
            if not alphas or min(alphas.values()) < 0 or max(alphas.values()) == 0:
                raise ConfigError(f"Component: {what} are {alphas}; give concentrations >= 0, one above 0")
        if weight <= 0:
            raise ConfigError(f"Component: weight is {weight}; give a value above 0")
        self.inputs, self.targets, self.weight = dict(inputs), dict(targets), weight


class MixtureBudget(nn.Module):
    """4M's plan: each row draws a component, then its inputs, then its targets.

    A budget is floor(Dirichlet * budget) per modality; the remainder goes, token by token, to the largest share of a
    fresh Dirichlet draw, so that modalities with almost no concentration get nothing. Tokens beyond what a modality has
    are dropped, so that a total may stay below the budget. Targets of a grid are limited to what its inputs leave.
    """

    def __init__(self, *, inputs: int, targets: int, components: list[Component]) -> None:
        """inputs, targets: tokens per row, over all modalities."""
        super().__init__()
        if inputs < 1 or targets < 1 or not components:
            raise ConfigError(
                f"MixtureBudget: inputs {inputs}, targets {targets}, {len(components)} components; all must be positive"
            )
        self.inputs, self.targets = inputs, targets
        self.components = nn.ModuleList(components)

    def draw(self, limits: dict[str, Tensor], *, grids: Sequence[str], generator: torch.Generator) -> Counts:
        """limits[m]: (B,) int64, tokens that each row has of a modality, 0 where it is missing. grids: modalities whose
        inputs and targets are disjoint parts of one grid; of the others each may have all."""
        names = list(limits)
        limit_BM = torch.stack([limits[name].cpu() for name in names], dim=1)
        parts = [part for part in self.components if isinstance(part, Component)]
        weights = torch.tensor([part.weight for part in parts], dtype=torch.float64)
        chosen_B = torch.multinomial(weights, len(limit_BM), replacement=True, generator=generator)
        for part in parts:
            for name in (*part.inputs, *part.targets):
                if name not in limits:
                    raise ConfigError(f"MixtureBudget: a component names '{name}'{nearest(name, limits)}")
        by_component = [[[side.get(n, 0.0) for n in names] for side in (p.inputs, p.targets)] for p in parts]
        alpha_B2M = torch.tensor(by_component, dtype=torch.float64)[chosen_B]
        input_BM = self._split(alpha_B2M[:, 0], limit_BM, self.inputs, generator)
        on_grid_M = torch.tensor([name in grids for name in names])
        left_BM = torch.where(on_grid_M, limit_BM - input_BM, limit_BM)
        return Counts(input_BM, self._split(alpha_B2M[:, 1], left_BM, self.targets, generator))

    @staticmethod
    def _split(alpha_BM: Tensor, limit_BM: Tensor, budget: int, generator: torch.Generator) -> Tensor:
        """(B, M) tokens. A modality that a row lacks is no candidate; a row without any candidate gets none."""
        alpha_BM = alpha_BM.masked_fill(limit_BM == 0, 0.0)
        possible_B1 = (alpha_BM > 0).any(1, keepdim=True)
        alpha_BM = torch.where(possible_B1, alpha_BM, torch.ones_like(alpha_BM))
        count_BM = (dirichlet(alpha_BM, generator) * budget).floor().long()
        rest_B = budget - count_BM.sum(1)
        rows, most = len(alpha_BM), int(rest_B.max()) if len(rest_B) else 0  # fewer than the modalities
        fresh = dirichlet(alpha_BM.repeat(most, 1), generator).argmax(1).reshape(most, rows)
        for i in range(most):
            count_BM[torch.arange(rows), fresh[i]] += (rest_B > i).long()
        return torch.where(possible_B1, count_BM.minimum(limit_BM), 0)


def concentration(who: str, alpha: float | dict[str, float], name: str) -> float:
    if not isinstance(alpha, dict):
        return alpha
    if name not in alpha:
        raise ConfigError(f"{who}: alpha has no value for '{name}'{nearest(name, alpha)}")
    return alpha[name]


def rank_of(order_BN: Tensor, real_BN: Tensor) -> Tensor:
    """(B, N) place of each token in ascending order, real ones first."""
    return (order_BN.double() + 2.0 * ~real_BN).argsort(1).argsort(1)


def shown(visible_BN: Tensor, hidden_BN: Tensor) -> Shown:
    """Positions of the visible tokens, in order of the grid, with fillers behind where a row has fewer than others."""
    count_B = visible_BN.sum(1)
    most = int(count_B.max()) if len(count_B) else 0
    keep_BK = (~visible_BN).long().argsort(dim=1, stable=True)[:, :most]
    return Shown(keep_BK, torch.arange(most) < count_B[:, None], visible_BN, hidden_BN)
