"""Learning to match across modalities: known warps of aligned pictures, and what a matcher makes of them.

Shape legend: B = pairs of a step, H, W = rows and columns, M = coarse matches, P = pixel matches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.reduction import process_mean
from domains.remote_sensing.registration.losses import dual_log_softmax, positive_focal, subpixel
from domains.remote_sensing.registration.matcher import LoFTRMatcher
from domains.remote_sensing.registration.pairs import PairMaker, Pairs
from domains.remote_sensing.registration.truth import CoarseTruth, coarse_truth, fine_truth
from domains.remote_sensing.registration.warps import WarpRange


class MatchPairs(Term):
    """Focal loss over coarse cells + focal loss over fine windows + 0.25 squared subpixel distance (EfficientLoFTR,
    Wang et al. 2024) on pairs with a known warp, partly of two sensors and partly of pseudo modalities (MatchAnything).

    Values: "loss"; "coarse", "fine", "subpixel", unweighted; "precision": share of true coarse matches whose cell is
    the most probable one.
    """

    name = "matching"

    def __init__(
        self,
        *,
        first: str,
        second: str,
        size: int = 128,
        pseudo: float = 0.25,
        kinds: Sequence[str] = ("tone", "invert", "radar", "thermal", "edges"),
        warp: dict[str, float] | None = None,
        fine_share: float = 0.3,
        fine_least: int = 200,
        coarse_weight: float = 1.0,
        fine_weight: float = 1.0,
        subpixel_weight: float = 0.25,
        alpha: float = 0.25,
        gamma: float = 2.0,
        overlap_weights: bool = False,
    ) -> None:
        """first, second: modalities that one matcher reads and that show one ground on one grid; the same name twice:
        pictures of one sensor, whose second side is always a pseudo modality. size, pseudo, kinds, warp: see
        `PairMaker`. fine_share, fine_least: share of the coarse cells, and least number of true matches, whose windows
        the fine losses see. overlap_weights: weigh coarse positives by how far their cells overlap."""
        super().__init__()
        self.first, self.second = first, second
        if not (0 <= fine_share <= 1 and fine_least >= 1):
            raise ConfigError(f"fine_share {fine_share} is in [0, 1], fine_least {fine_least} is at least 1")
        self.make = PairMaker(size=size, pseudo=pseudo, kinds=kinds, warp=WarpRange(**(warp or {})))
        self.fine_share, self.fine_least = fine_share, fine_least
        self.weights = {"coarse": coarse_weight, "fine": fine_weight, "subpixel": subpixel_weight}
        self.alpha, self.gamma, self.overlap_weights = alpha, gamma, overlap_weights

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows_first, rows_second, batch_rows = step.paired_rows(self.first, self.second)
        if len(batch_rows) == 0:
            zero = step.zero()
            return {"loss": zero + process_mean(zero.detach().new_zeros(0))}
        matcher = matcher_of(step.model.encoders, step.model.reads, self.first, self.second)
        first, second = step.input(self.first).rows(rows_first), step.input(self.second).rows(rows_second)
        pairs = self.make(first, second, step.generator, alone=self.first == self.second)
        values = self.losses(matcher, pairs, step.generator)
        total = sum((self.weights[k] * values[k] for k in self.weights), start=step.zero())
        return {"loss": total, **values}

    def losses(self, matcher: LoFTRMatcher, pairs: Pairs, generator: torch.Generator) -> dict[str, Tensor]:
        """The three losses, unweighted, and the precision of coarse matches."""
        found = matcher.pair(pairs.first_B1HW, pairs.second_B1HW)
        truth = coarse_truth(pairs.warps, pairs.first_BHW, pairs.second_BHW)
        log_p_BNN = dual_log_softmax(found.similarity(matcher.temperature), truth.first_BN, truth.second_BN)
        weight_BN = truth.weight_BN if self.overlap_weights else None
        coarse = positive_focal(log_p_BNN, truth.partner_BN, weight_BN, alpha=self.alpha, gamma=self.gamma)
        pair_M, cell_M, partner_M = self.chosen(truth, generator)
        one_MKRS, two_MKRS = matcher.fine(found, pair_M, cell_M, partner_M)
        fine_log_MKK = dual_log_softmax(one_MKRS.flatten(2)).view_as(one_MKRS)[..., 1:-1, 1:-1].flatten(2)
        fine = fine_truth(pairs.warps, pairs.first_BHW, pairs.second_BHW, pair_M, cell_M, partner_M)
        match_P, place_P = (fine.partner_MK >= 0).nonzero(as_tuple=True)
        score_P9 = matcher.around(two_MKRS, match_P, place_P, fine.partner_MK[match_P, place_P])
        hit_BN = (log_p_BNN.detach().argmax(2) == truth.partner_BN)[truth.partner_BN >= 0]
        return {
            "coarse": coarse,
            "fine": positive_focal(fine_log_MKK, fine.partner_MK, alpha=self.alpha, gamma=self.gamma),
            "subpixel": subpixel(score_P9, fine.offset_MK2[match_P, place_P]),
            "precision": hit_BN.float().mean() if len(hit_BN) else hit_BN.new_zeros((), dtype=torch.float32),
        }

    def chosen(self, truth: CoarseTruth, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(pair, cell, partner) of true matches drawn for the fine losses.

        The published training mixes predicted matches with true ones; a wrong one holds no positive, so it adds
        nothing to losses on positives, and only true ones are drawn here.
        """
        pair_M, cell_M = (truth.partner_BN >= 0).nonzero(as_tuple=True)
        most = max(round(self.fine_share * truth.partner_BN.numel()), self.fine_least)
        if len(pair_M) > most:
            order = torch.randperm(len(pair_M), generator=generator)[:most].sort().values.to(pair_M.device)
            pair_M, cell_M = pair_M[order], cell_M[order]
        return pair_M, cell_M, truth.partner_BN[pair_M, cell_M]


def matcher_of(
    encoders: Mapping[str, nn.Module] | nn.ModuleDict, reads: Mapping[str, str], first: str, second: str
) -> LoFTRMatcher:
    """The matcher that reads both modalities. Raises ConfigError where there is none."""
    names = {reads.get(first, ""), reads.get(second, "")}
    name = names.pop()
    encoder = encoders[name] if not names and name in encoders else None
    if not isinstance(encoder, LoFTRMatcher):
        raise ConfigError(
            f"model: '{first}' and '{second}' are to be read by one domains.remote_sensing.registration.LoFTRMatcher"
        )
    return encoder
