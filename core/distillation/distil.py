"""Trajectory matching (Cazenavette et al. 2022) for pairs, with representation blending (RepBlend, Zhang et al. 2025).

Shape legend: N = distilled pairs, T = width of a text embedding.
    distilled = Distilled(images=x, texts=t)
    distil(distilled, heads, experts, steps=300, generator=g)      # distilled.images, .texts, .similarity have learned
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.distillation.expert import Expert
from core.distillation.similarity import LearnedSimilarity
from core.distillation.student import Heads, inner_steps, trajectory_distance
from core.errors import ConfigError


class Distilled(nn.Module):
    """images (N, ...), texts (N, T), their learned similarity, and the two learning rates of a student.

    Start from real pairs. rate: of the student, learned as a logarithm so that it stays positive.
    """

    def __init__(
        self,
        *,
        images: Tensor,
        texts: Tensor,
        rank: int = 10,
        alpha: float = 1.0,
        rate: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(images) != len(texts) or len(images) < 2 or rate <= 0:
            raise ConfigError(
                f"Distilled: {len(images)} images, {len(texts)} texts, rate {rate}; needs as many texts as images, at "
                "least 2, and a positive rate"
            )
        self.images, self.texts = nn.Parameter(images.detach().clone()), nn.Parameter(texts.detach().clone())
        self.similarity = LearnedSimilarity(pairs=len(images), rank=rank, alpha=alpha, generator=generator)
        self.log_rates = nn.Parameter(torch.full((2,), float(rate)).log())

    def rates(self) -> tuple[Tensor, Tensor]:
        """Of the image head and of the text head."""
        image, text = self.log_rates.exp()
        return image, text


def outer_loss(
    distilled: Distilled,
    heads: Heads,
    expert: Expert,
    segment: tuple[int, int],
    *,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    generator: torch.Generator,
    **inner: Any,
) -> dict[str, Tensor]:
    """How far a student that starts at the expert's epoch segment[0] ends from its epoch segment[1].

    "loss" = "image" + "text", each relative to the way the expert went: 1 when the student takes no step, 0 when it
    arrives. inner: further arguments of `inner_steps`. Its gradient goes back through every step (double backward).
    """
    start = tuple({n: w.detach().requires_grad_() for n, w in side.items()} for side in expert.epochs[segment[0]])
    target = expert.epochs[segment[1]]
    image, text = inner_steps(
        heads, (start[0], start[1]), distilled.images, distilled.texts, distilled.similarity,
        encode=encode, rates=distilled.rates(), generator=generator, **inner,
    )  # fmt: skip
    far_image = trajectory_distance(start[0], image, target[0])
    far_text = trajectory_distance(start[1], text, target[1])
    return {"loss": far_image + far_text, "image": far_image, "text": far_text}


def distil(
    distilled: Distilled,
    heads: Heads,
    experts: Sequence[Expert],
    *,
    steps: int,
    span: int = 1,
    latest: int | None = None,
    image_lr: float = 100.0,
    text_lr: float = 100.0,
    similarity_lr: float = 1.0,
    rate_lr: float = 0.01,
    momentum: float = 0.5,
    generator: torch.Generator,
    tell: Callable[[int, dict[str, float]], None] | None = None,
    **inner: Any,
) -> list[float]:
    """Learn the distilled pairs by SGD on `outer_loss`; returns its value at every step.

    span: epochs of an expert that the student's steps stand for. latest: last epoch that a segment may start at.
    Large learning rates are the published ones (100 to 1000), since gradients of pixels are small. Raises ConfigError
    when a value is not finite, which a smaller rate mends.
    """
    if not experts or steps < 1:
        raise ConfigError(f"distil: {len(experts)} experts, {steps} steps; give at least one of each")
    optimizer = torch.optim.SGD(
        [
            {"params": [distilled.images], "lr": image_lr},
            {"params": [distilled.texts], "lr": text_lr},
            {"params": list(distilled.similarity.parameters()), "lr": similarity_lr},
            {"params": [distilled.log_rates], "lr": rate_lr},
        ],
        lr=image_lr,
        momentum=momentum,
    )
    values = []
    for step in range(steps):
        expert = experts[int(torch.randint(len(experts), (), generator=generator))]
        segment = expert.segment(span, latest, generator)
        found = outer_loss(distilled, heads, expert, segment, generator=generator, **inner)
        if not torch.isfinite(found["loss"].detach()):
            raise ConfigError(f"distil: step {step}: the outer loss is not finite; lower image_lr, text_lr or the rate")
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        values.append(float(found["loss"].detach()))
        if tell is not None:
            tell(step, {name: float(value.detach()) for name, value in found.items()})
    return values
