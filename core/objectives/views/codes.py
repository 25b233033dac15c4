"""Views through a table of codes: a row is told by how well its best token matches each code or word.

Shape legend: V = rows in which the modality is present, N = tokens, K = codes or words, E = width of a code.
(V, N, K) matches never exist: the best of the N is found block by block.
"""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from core.nn.simplex import sparsemax
from core.objectives.base import Step
from core.objectives.contrast.token_max import best_matches
from core.objectives.schedules import Staircase
from core.objectives.views.base import View, Viewed
from core.objectives.views.tokens import bare_tokens, each


class DiscreteTokens(View):
    """(V, E) finite discrete tokens (Chen et al. 2023, "FDT"): w C with w = sparsemax(max_n(q_n C^T) / sqrt(E) / T).

    C are the codes, one table for all modalities, q the queries that a map of the modality makes of its tokens. Padding
    takes no part in the maximum (the released code lets it raise every code to 0).
    """

    def __init__(
        self, *, modality: str, codes: str = "codes", query: str, temperature: Staircase | None = None
    ) -> None:
        """codes, query: entries of `model.heads`, a `core.models.Codebook` and a `core.models.QueryMap`.
        temperature: T by step; 1000 throughout where None."""
        super().__init__()
        self.modality, self.codes, self.query = modality, codes, query
        self.temperature = Staircase() if temperature is None else temperature

    def forward(self, step: Step) -> Viewed:
        weight_VK = self.weights(step)
        return Viewed(weight_VK @ step.head(self.codes)().to(weight_VK.dtype))

    def weights(self, step: Step) -> Tensor:
        """(V, K) how much of each code a row is made of, rows sum to 1."""
        match_VK = _matches(step, self.modality, self.query, self.codes)
        scale = step.head(self.codes)().shape[1] ** -0.5 / self.temperature.value(step.index)
        return sparsemax(match_VK * scale)


class Lexical(View):
    """(V, K) a non-negative weight for every word: log(1 + max(0, best match of any token)) (LexVLA-style; the form of
    Formal et al. 2021). Compared by `Cosine`, read by a person, and kept sparse by `Overuse` and `top_words`."""

    def __init__(self, *, modality: str, words: str = "words", mapper: str) -> None:
        """words, mapper: entries of `model.heads`, a table such as `core.models.WordCodebook` and a map from the
        tokens' width to that of a word, (M, D) -> (M, E)."""
        super().__init__()
        self.modality, self.words, self.mapper = modality, words, mapper

    @property
    def key(self) -> Hashable:
        return ("lexical", self.modality, self.words, self.mapper)

    def forward(self, step: Step) -> Viewed:
        def run() -> Tensor:
            return _matches(step, self.modality, self.mapper, self.words).relu().log1p()

        return Viewed(step.memo(self.key, run))


def top_words(weight_VK: Tensor, k: int) -> Tensor:
    """The same weights with all but the k largest of each row set to 0: what is stored and searched."""
    if k >= weight_VK.shape[1]:
        return weight_VK
    value, index = weight_VK.topk(k, dim=1)
    return weight_VK.new_zeros(weight_VK.shape).scatter(1, index, value)


def _matches(step: Step, modality: str, head: str, table: str) -> Tensor:
    """(V, K) largest product of any real token with each entry of a table; 0 for a row without tokens."""

    def run() -> Tensor:
        return best_matches(step.head(table)(), each(step.head(head), bare_tokens(step, modality)))

    return step.memo(("matches", modality, head, table), run)
