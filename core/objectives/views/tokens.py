"""Views of single tokens: all that lie on the grid of an encoder, or one of those in front of it.

Shape legend: V = rows in which the modality is present, N = tokens, K = tokens that are left, M = real tokens of all
rows, D = encoder width, E = width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.tokens.sources import tokens_of
from core.objectives.views.base import View, Viewed
from core.types import Encoded


class TokenView(View):
    """(V, N, E) the encoder's tokens without those in front (a class token), each projected on its own.

    Padding is never projected: its vectors are exact zeros.
    """

    def __init__(self, *, modality: str, head: str | None = None, reduce: str | None = None) -> None:
        """head: name of the entry of `model.heads`, (M, D) -> (M, E), that projects a token; the modality's own
        projection where None. reduce: name of the entry that makes fewer tokens of all before that, from (V, N, D) and
        mask (V, N) or None to (V, K, D) without padding: `core.nn.TokenLearner`."""
        super().__init__()
        self.modality, self.head, self.reduce = modality, head, reduce

    @property
    def key(self) -> Hashable:
        return ("tokens", self.modality, self.head, self.reduce)

    def forward(self, step: Step) -> Viewed:
        return step.memo(self.key, lambda: self._run(step))

    def _run(self, step: Step) -> Viewed:
        tokens = bare_tokens(step, self.modality)
        if self.reduce is not None:
            x_VKD = step.head(self.reduce)(tokens.x, tokens.mask)
            mask = None if tokens.mask is None else tokens.mask.any(1, keepdim=True).expand(x_VKD.shape[:2])
            tokens = Viewed(x_VKD, mask)
        return each(projection(step, self.modality, self.head), tokens)


class PrefixToken(View):
    """(V, E) one of the tokens in front of the grid, for an encoder that has several summaries: the second class token
    of TIPS (Maninis et al. 2025), which reads another kind of caption than the first."""

    def __init__(self, *, modality: str, index: int = 0, head: str | None = None) -> None:
        """index: which one, from 0. head: entry of `model.heads`, (V, D) -> (V, E); the modality's own projection
        where None."""
        super().__init__()
        if index < 0:
            raise ConfigError(f"PrefixToken: index is {index}; count from 0")
        self.modality, self.index, self.head = modality, index, head

    @property
    def key(self) -> Hashable:
        return ("prefix token", self.modality, self.index, self.head)

    def forward(self, step: Step) -> Viewed:
        tokens = tokens_of(step.encoded(self.modality), self.modality)
        if self.index >= tokens.prefix:
            raise ConfigError(
                f"PrefixToken: index is {self.index}, but the encoder of '{self.modality}' has {tokens.prefix} tokens "
                "in front of the grid; raise its number of class tokens"
            )

        def run() -> Tensor:
            return projection(step, self.modality, self.head)(tokens.x[:, self.index])

        return Viewed(step.memo(self.key, run))


def bare_tokens(step: Step, modality: str) -> Viewed:
    """(V, N, D) the encoder's tokens without the prefix. Raises ConfigError for an encoder without tokens."""
    tokens = tokens_of(step.encoded(modality), modality)
    mask = None if tokens.mask is None else tokens.mask[:, tokens.prefix :]
    return Viewed(tokens.x[:, tokens.prefix :], mask)


def projection(step: Step, modality: str, head: str | None) -> Callable[[Tensor], Tensor]:
    """(M, D) -> (M, E): a named head, or what projects the pooled vector of the modality."""
    if head is not None:
        return step.head(head)
    return lambda x_MD: step.model.project(modality, Encoded(pooled=x_MD))


def each(project: Callable[[Tensor], Tensor], tokens: Viewed) -> Viewed:
    """`project` applied to the real tokens only; it sees them as (M, D), so that statistics know no padding."""
    x_VND, mask_VN = tokens.x, tokens.mask
    if mask_VN is None:
        return Viewed(project(x_VND.flatten(0, 1)).unflatten(0, x_VND.shape[:2]))
    x_ME = project(x_VND[mask_VN])
    out_VNE = x_ME.new_zeros(*mask_VN.shape, x_ME.shape[1])
    out_VNE[mask_VN] = x_ME
    return Viewed(out_VNE, mask_VN)
