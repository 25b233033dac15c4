"""Fewer tokens per row, chosen by what the rest of the batch holds (FILIP, Yao et al. 2022, section 3.1).

Shape legend: V, W = rows of the two modalities, N, U = their tokens, K = tokens that are kept, E = width, h, w = rows
of a block.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.base import Step
from core.objectives.contrast.tiles import Tile
from core.objectives.contrast.token_matrix import TokenMaxMatrix, TokenSide, best
from core.objectives.contrast.token_max import unit_tokens
from core.objectives.views.base import View, Viewed


class TopTokens(View):
    """(V, K, E) the share of each row's real tokens whose largest cosine with a token of any *other* sample of the
    partner modality is highest, in their order; rows with fewer tokens than K are padded.

    The sample's own partner takes no part: choosing tokens by it, as a public reproduction does, tells the row which
    column is its own. A row that has no other sample to go by keeps all its tokens. The choice carries no gradient.
    """

    def __init__(self, *, view: View, against: View, share: float = 0.25, content: str | None = None) -> None:
        """view, against: token views of the two modalities. share: of a row's real tokens, rounded up.
        content: name of an entry of `Batch.keys`; rows of equal content are partners too."""
        super().__init__()
        if not 0 < share <= 1:
            raise ConfigError(f"TopTokens: share is {share}; give a value in (0, 1], for instance 0.25")
        self.modality, self.view, self.against, self.share, self.content = view.modality, view, against, share, content

    @property
    def key(self) -> Hashable:
        return ("top tokens", self.view.key, self.against.key, self.share, self.content)

    def forward(self, step: Step) -> Viewed:
        return step.memo(self.key, lambda: self._run(step))

    def _run(self, step: Step) -> Viewed:
        own = self.view(step)
        x_VNE, mask_VN = own.x, own.mask
        if mask_VN is None:
            mask_VN = torch.ones(x_VNE.shape[:2], dtype=torch.bool, device=x_VNE.device)
        count_V = mask_VN.sum(1)
        if not step.has(self.against.modality):
            return own
        score_VN, possible_V = self._scores(step, own)
        wanted_V = torch.where(possible_V, (count_V * self.share - 1e-6).ceil().long(), count_V)
        k = max(int(wanted_V.max()), 1)
        kept_VK = score_VN.masked_fill(~mask_VN, -torch.inf).topk(k, dim=1).indices
        real_VK = torch.arange(k, device=x_VNE.device) < wanted_V[:, None]
        # back into their order along the sequence, with what is not wanted behind
        order_VK = kept_VK.masked_fill(~real_VK, x_VNE.shape[1]).sort(dim=1).values
        real_VK = order_VK < x_VNE.shape[1]
        index_VK = order_VK.masked_fill(~real_VK, 0)
        picked_VKE = x_VNE.gather(1, index_VK[..., None].expand(-1, -1, x_VNE.shape[2]))
        return Viewed(picked_VKE.masked_fill(~real_VK[..., None], 0), real_VK)

    @torch.no_grad()
    def _scores(self, step: Step, own: Viewed) -> tuple[Tensor, Tensor]:
        """(V, N) best cosine with any other sample's token, and (V,) whether there is another sample."""
        with torch.enable_grad():  # the forward is shared with terms that need its graph
            other = self.against(step)
        ids_V, ids_W = (self._ids(step, view.modality).to(own.x.device) for view in (self, self.against))
        matrix = TokenMaxMatrix(_whole(own), TokenSide(unit_tokens(other)))
        low = torch.finfo(matrix.like.dtype).min
        score_VN = matrix.like.new_full(own.x.shape[:2], low)
        for block in matrix.blocks(Tile(slice(0, len(ids_V)), slice(0, len(ids_W)))):
            top_hNw, _ = best(matrix, block, matches=False)
            partner_hw = ids_V[block.rows, None] == ids_W[None, block.cols]
            best_hN = top_hNw.masked_fill(partner_hw[:, None], low).amax(2)
            score_VN[block.rows] = torch.maximum(score_VN[block.rows], best_hN)
        return score_VN, (ids_V[:, None] != ids_W[None]).any(1)

    def _ids(self, step: Step, modality: str) -> Tensor:
        """Ids of the rows in which the modality is present."""
        rows = step.batch.present[modality].nonzero(as_tuple=True)[0]
        if self.content is None:
            return rows
        if self.content not in step.batch.keys:
            raise ConfigError(
                f"TopTokens: the batch has no key '{self.content}'{nearest(self.content, step.batch.keys)}"
            )
        return step.batch.keys[self.content][rows]


def _whole(viewed: Viewed) -> TokenSide:
    """A side that keeps its padding in place, so that scores line up with the tokens."""
    return TokenSide(Viewed(unit_tokens(viewed).x))
