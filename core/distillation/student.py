"""A student that learns from distilled pairs, as a differentiable function of them: a few SGD steps on its heads.

Shape legend: b = pairs of a mini-batch, D, T = widths of image and text features, E = width of the shared space.
Memory: every step keeps its graph until the outer backward, about 3 copies of both heads and the activations of one
mini-batch each; 8 steps of two heads with P parameters cost some 24 P floats. There is no second graph of the backbone
beyond the encoded mini-batches, since only heads are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from core.distillation.losses import weighted_bce
from core.errors import ConfigError

Weights = dict[str, Tensor]
MatchLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Heads:
    """The two projection heads, (b, D) -> (b, E) and (b, T) -> (b, E); they give the architecture, never the weights.

    They must be free of dropout and of batch statistics, so that a step is a function of its inputs."""

    image: nn.Module
    text: nn.Module

    def weights(self) -> tuple[Weights, Weights]:
        """Detached copies of both heads' parameters."""
        image, text = ({n: p.detach().clone() for n, p in h.named_parameters()} for h in (self.image, self.text))
        return image, text


def logits(heads: Heads, image: Weights, text: Weights, x_bD: Tensor, t_bT: Tensor, temperature: float) -> Tensor:
    """(b, b) cosines of the heads' outputs over the temperature, image by text, float32 or finer."""
    a_bE = functional_call(heads.image, image, (x_bD,))
    b_bE = functional_call(heads.text, text, (t_bT,))
    return F.normalize(a_bE, dim=1, eps=1e-6) @ F.normalize(b_bE, dim=1, eps=1e-6).T / temperature


def blend(x_bD: Tensor, t_bT: Tensor, share: float, order_b: Tensor) -> tuple[Tensor, Tensor]:
    """Representation mix-up: share * row + (1 - share) * row[order], one order for both modalities (RepBlend)."""
    return share * x_bD + (1 - share) * x_bD[order_b], share * t_bT + (1 - share) * t_bT[order_b]


def inner_steps(
    heads: Heads,
    start: tuple[Weights, Weights],
    images: Tensor,
    texts: Tensor,
    similarity: Callable[[Tensor], Tensor],
    *,
    encode: Callable[[Tensor], Tensor],
    rates: tuple[Tensor, Tensor],
    steps: int = 8,
    batch: int = 20,
    temperature: float = 0.07,
    mixing: float | None = 1.0,
    loss: MatchLoss = weighted_bce,
    generator: torch.Generator,
) -> tuple[Weights, Weights]:
    """Both heads' weights after SGD on distilled pairs, with the graph back to pairs, similarity and rates.

    images: (N, ...) pixels, or features with `encode` the identity; encode: the frozen image backbone. texts: (N, T)
    embeddings. rates: 0-d learning rates of the image and the text head. mixing: a of lam ~ Beta(a, a); None for no
    mix-up (LoRS). Targets are not mixed, as in the paper's code.
    """
    if steps < 0 or batch < 1 or temperature <= 0 or (mixing is not None and mixing <= 0):
        raise ConfigError(
            f"inner steps: steps {steps}, batch {batch}, temperature {temperature}, mixing {mixing}; needs steps >= 0 "
            "and the others positive"
        )
    image, text = start
    for _ in range(steps):
        index_b = torch.randperm(len(images), generator=generator)[:batch]
        x_bD, t_bT = encode(images[index_b]), texts[index_b]
        if mixing is not None:
            order_b = torch.randperm(len(index_b), generator=generator)
            x_bD, t_bT = blend(x_bD, t_bT, _beta(mixing, generator), order_b)
        value = loss(logits(heads, image, text, x_bD, t_bT, temperature), similarity(index_b))
        names = [(image, n) for n in image] + [(text, n) for n in text]
        grads = torch.autograd.grad(value, [side[n] for side, n in names], create_graph=True)
        image = _moved(image, grads[: len(image)], rates[0])
        text = _moved(text, grads[len(image) :], rates[1])
    return image, text


def trajectory_distance(start: Mapping[str, Tensor], end: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
    """|end - target|^2 / |start - target|^2 over all parameters of one head; exactly 1 when end is start.

    Raises ConfigError when the expert did not move, since nothing can be matched then."""
    far = sum((start[n] - target[n]).square().sum() for n in start)
    near = sum((end[n] - target[n]).square().sum() for n in start)
    if float(torch.as_tensor(far).detach()) == 0:
        raise ConfigError("trajectory: start and target are equal; choose another epoch, or train the expert further")
    return torch.as_tensor(near / far)


def _moved(weights: Weights, grads: tuple[Tensor, ...], rate: Tensor) -> Weights:
    return {name: w - rate * g for (name, w), g in zip(weights.items(), grads, strict=True)}


def _beta(a: float, generator: torch.Generator) -> float:
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(a, a))
