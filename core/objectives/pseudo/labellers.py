"""Pseudo-labels from two models that see the same points by different modalities (SUMMIT, Simons et al. 2023).

Shape legend: P = points, K = classes, D = width of a model's features.
What the paper leaves open, and how it is read here: the hypotheses of the test are the models' answers before any
filter; the rule that switches between the two ways is not published, see `GapSwitch`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.pseudo.certainty import UNKNOWN, Certainty
from core.objectives.pseudo.gaussians import ClassGaussians

MODELS = 2


@dataclass(frozen=True, slots=True)
class Guess:
    """What one model says of the points. probability_PK: float32, rows sum to 1. feature_PD: before its last layer."""

    probability_PK: Tensor  # noqa: N815
    feature_PD: Tensor  # noqa: N815


class PseudoLabeller(nn.Module, ABC):
    """Two guesses -> (P,) int64 labels, -1 where neither is to be believed.

    It learns from all points of the target without labels, in `passes`: first how certain each model is of each class,
    then the features of each class. ratio: k of the test. most: highest threshold of certainty. recover: give labels to
    points that were dropped, where the test rejects one answer and not the other.
    """

    passes = 2

    def __init__(self, *, ratio: float = 1.0, most: float = 0.9, recover: bool = True) -> None:
        super().__init__()
        if not ratio > 0:
            raise ConfigError(f"{type(self).__name__}: ratio is {ratio}; give a positive factor, such as 1 or 0.5")
        self.ratio, self.most, self.recover = ratio, most, recover
        self.gaussians = nn.ModuleList()

    def begin(self, *, classes: int, widths: Sequence[int]) -> None:
        """widths: D of each model. Called once, before anything is observed or restored."""
        if len(widths) != MODELS:
            raise ConfigError(f"{type(self).__name__} compares two models, not {len(widths)}")
        self.gaussians = nn.ModuleList(ClassGaussians(classes=classes, width=width) for width in widths)

    @abstractmethod
    def observe_certainty(self, guesses: Sequence[Guess]) -> None:
        """First pass."""

    @abstractmethod
    def certain(self, guesses: Sequence[Guess]) -> Tensor:
        """(P,) labels before recovery, -1 for points that are dropped."""

    def open(self, guesses: Sequence[Guess], label_P: Tensor) -> Tensor:
        """(P,) which points recovery may label."""
        return label_P == UNKNOWN

    def observe(self, stage: int, guesses: Sequence[Guess]) -> None:
        """Points of the target in pass `stage`, 0 or 1."""
        if stage == 0:
            self.observe_certainty(guesses)
            return
        label_P = self.certain(guesses)
        for gaussians, guess in zip(self.gaussians, guesses, strict=True):
            assert isinstance(gaussians, ClassGaussians)
            gaussians.observe(guess.feature_PD, label_P)

    def rejected(self, guesses: Sequence[Guess]) -> list[Tensor]:
        """For each model (P,) bool: N(own feature | own answer) <= k N(own feature | the other's answer)."""
        answers = [guess.probability_PK.argmax(1) for guess in guesses]
        out = []
        for i, (gaussians, guess) in enumerate(zip(self.gaussians, guesses, strict=True)):
            assert isinstance(gaussians, ClassGaussians)
            own_P, other_P = (gaussians.log_density(guess.feature_PD, answers[j]) for j in (i, 1 - i))
            out.append(own_P <= other_P + math.log(self.ratio))
        return out

    @torch.no_grad()
    def forward(self, guesses: Sequence[Guess]) -> Tensor:
        label_P = self.certain(guesses)
        if not self.recover:
            return label_P
        open_P = self.open(guesses, label_P)
        rejected = self.rejected(guesses)
        for i, guess in enumerate(guesses):
            won_P = open_P & ~rejected[i] & rejected[1 - i]
            label_P = torch.where(won_P, guess.probability_PK.argmax(1), label_P)
        return label_P


class AgreementFilter(PseudoLabeller):
    """AF: a label stays where both models are certain of it."""

    def begin(self, *, classes: int, widths: Sequence[int]) -> None:
        super().begin(classes=classes, widths=widths)
        self.certainty = nn.ModuleList(Certainty(classes=classes, most=self.most) for _ in widths)

    def observe_certainty(self, guesses: Sequence[Guess]) -> None:
        for certainty, guess in zip(self.certainty, guesses, strict=True):
            assert isinstance(certainty, Certainty)
            certainty.observe(guess.probability_PK)

    def certain(self, guesses: Sequence[Guess]) -> Tensor:
        first_P, second_P = (
            certainty(guess.probability_PK) for certainty, guess in zip(self.certainty, guesses, strict=True)
        )
        return torch.where(first_P == second_P, first_P, UNKNOWN)


class EntropyWeighting(PseudoLabeller):
    """EW: the mean of both, each weighed by exp(-entropy), where that is certain. Recovery asks only where the models
    disagree."""

    def begin(self, *, classes: int, widths: Sequence[int]) -> None:
        super().begin(classes=classes, widths=widths)
        self.certainty = Certainty(classes=classes, most=self.most)

    def observe_certainty(self, guesses: Sequence[Guess]) -> None:
        self.certainty.observe(entropy_mixture([guess.probability_PK for guess in guesses]))

    def certain(self, guesses: Sequence[Guess]) -> Tensor:
        label_P: Tensor = self.certainty(entropy_mixture([guess.probability_PK for guess in guesses]))
        return label_P

    def open(self, guesses: Sequence[Guess], label_P: Tensor) -> Tensor:
        first_P, second_P = (guess.probability_PK.argmax(1) for guess in guesses)
        return (label_P == UNKNOWN) & (first_P != second_P)


class GapSwitch(PseudoLabeller):
    """Agreement where the gap to the target is small, entropy weighting where it is large.

    A heuristic of this suite, not the paper's rule, which is not published: the gap is small when the two models, which
    fail in different ways, give the same answer to `least` of the target's points or more.
    """

    same: Tensor
    seen: Tensor

    def __init__(self, *, least: float = 0.5, ratio: float = 1.0, most: float = 0.9, recover: bool = True) -> None:
        super().__init__(ratio=ratio, most=most, recover=recover)
        if not 0 <= least <= 1:
            raise ConfigError(f"GapSwitch: least is {least}; give a share of the points in [0, 1]")
        self.least = least
        self.agreement = AgreementFilter(ratio=ratio, most=most, recover=recover)
        self.entropy = EntropyWeighting(ratio=ratio, most=most, recover=recover)
        self.register_buffer("same", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def begin(self, *, classes: int, widths: Sequence[int]) -> None:
        for way in (self.agreement, self.entropy):
            way.begin(classes=classes, widths=widths)

    def observe_certainty(self, guesses: Sequence[Guess]) -> None:
        first_P, second_P = (guess.probability_PK.argmax(1) for guess in guesses)
        self.same += (first_P == second_P).sum()
        self.seen += len(first_P)
        for way in (self.agreement, self.entropy):
            way.observe_certainty(guesses)

    @property
    def agreed(self) -> float:
        """Share of the points to which both give the same answer; nan before anything is observed."""
        return int(self.same) / int(self.seen) if int(self.seen) else math.nan

    @property
    def chosen(self) -> PseudoLabeller:
        return self.agreement if self.agreed >= self.least else self.entropy

    def observe(self, stage: int, guesses: Sequence[Guess]) -> None:
        if stage == 0:
            self.observe_certainty(guesses)
        else:
            self.chosen.observe(stage, guesses)

    def certain(self, guesses: Sequence[Guess]) -> Tensor:
        return self.chosen.certain(guesses)

    def forward(self, guesses: Sequence[Guess]) -> Tensor:
        label_P: Tensor = self.chosen(guesses)
        return label_P


def entropy_mixture(probabilities: Sequence[Tensor]) -> Tensor:
    """(P, K): sum of w_m p_m / sum of w_m, w_m = exp(-H(p_m)), entropy in nats: a uniform p of K classes weighs 1/K."""
    weights = [torch.special.entr(p_PK).sum(1, keepdim=True).neg().exp() for p_PK in probabilities]
    total_P1 = torch.stack(weights).sum(0)
    return torch.stack([w_P1 * p_PK for w_P1, p_PK in zip(weights, probabilities)]).sum(0) / total_P1
