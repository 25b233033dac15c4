"""AdamW with parameter groups, and a learning rate that is a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from core.config.schema import OptimSettings


def make_optimizer(module: nn.Module, settings: OptimSettings) -> torch.optim.AdamW:
    """AdamW over the trainable parameters.

    No decay on vectors and scalars (biases, norms, tokens of one row), on positions, and on parameters marked
    `no_weight_decay`. `lr_mult` multiplies the rate of parameters by the longest prefix of their name that it lists.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = parameter.ndim < 2 or getattr(parameter, "no_weight_decay", False) or "position" in name
        decay = 0.0 if plain else settings.weight_decay
        prefixes = [p for p in settings.lr_mult if name.startswith(p)]
        mult = settings.lr_mult[max(prefixes, key=len)] if prefixes else 1.0
        groups.setdefault((decay, mult), []).append(parameter)
    listed = [
        {"params": params, "weight_decay": decay, "lr": settings.lr * mult, "peak": settings.lr * mult}
        for (decay, mult), params in groups.items()
    ]
    return torch.optim.AdamW(listed, lr=settings.lr, betas=settings.betas, eps=settings.eps)


def lr_factor(step: int, total: int, settings: OptimSettings) -> float:
    """Share of the peak learning rate at 0-based `step` of `total`: linear warm-up, then the decay asked for."""
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    progress = (step - warm) / max(1, total - warm)
    shape = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "constant": 1.0}
    return settings.final_lr + (1 - settings.final_lr) * shape[settings.schedule]


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set each group's rate to `factor` of its peak; returns the first."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])
