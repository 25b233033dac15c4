"""Several texts of one sample as keys of one softmax (1-to-K).

Shape legend: n = rows that hold both modalities of the term, K = wordings, m = texts of all wordings, E = width.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import Keys, Occasion, Problem
from core.objectives.contrast.targets import Ids
from core.objectives.processes import (
    gather,
    gather_ready,
    gather_viewed,
    rows_of_all,
    same_need_of_gradient,
    world_size,
)
from core.objectives.viewed import Viewed
from core.objectives.views import View, as_view


class WordingKeys(Keys):
    """Columns are the texts of the term's own keys and of further wordings: an image meets all K texts of every sample
    at once, in one softmax, instead of one wording at a time (1-to-K, Nie et al. 2024).

    All texts of a sample are the same item. `EachEqual(key="sample", weight=1/K)` is 1-to-K (K ones per row, the loss
    divided by K); `OneHot` and `Equality` are the form with normalised rows. Rows are the samples that hold the term's
    own pair; a further wording that one of them lacks is no column. Without further wordings this is `GatheredKeys`.
    Vectors only, and no target that carries sides, since those are of pairs.
    """

    def __init__(self, *, also: Sequence[str | View]) -> None:
        """also: views of the further wordings, each of a modality of its own."""
        super().__init__()
        self.also = torch.nn.ModuleList([as_view(view) for view in also])

    @property
    def key(self) -> Hashable:
        return WordingKeys, tuple(view.key for view in self._views())

    @property
    def collective(self) -> bool:
        return world_size() > 1

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        assert at is not None  # the term says what it compares
        if a.sides or b.sides:
            raise ConfigError("WordingKeys: target or sample_weight needs sides of pairs; take one that goes by ids")
        texts, owner_m = self._texts(b, at)
        if not self.collective:
            item_n = torch.arange(len(a.x), device=a.x.device)
            rows, cols = Ids(item_n, content_n), Ids(item_n[owner_m], content_n[owner_m])
            to_b, to_a = (None if share == 0 else share for share in shares)
            return [Problem(a, texts, rows, cols, to_b, to_a, pairs=len(owner_m))]
        a, texts = (same_need_of_gradient(gather_ready(side)) for side in (a, texts))
        counts_a, counts_t = (rows_of_all(len(side.x), side.x.device) for side in (a, texts))
        all_a, all_texts = gather_viewed(a, counts_a), gather_viewed(texts, counts_t)
        item_n = torch.arange(len(a.x), device=a.x.device) + sum(counts_a[: dist.get_rank()])
        rows, cols = Ids(item_n, content_n), Ids(item_n[owner_m], content_n[owner_m])
        all_rows, all_cols = (
            Ids(gather(ids.item, counts), gather(ids.content, counts))
            for ids, counts in ((rows, counts_a), (cols, counts_t))
        )
        pairs = len(all_cols.item)
        problems = [Problem(a, all_texts, rows, all_cols, shares[0], None, pairs, everywhere=True)]
        if shares[1] > 0:  # all processes alike
            problems.append(Problem(texts, all_a, cols, all_rows, shares[1], None, pairs, everywhere=True))
        return problems

    def _views(self) -> list[View]:
        return [view for view in self.also if isinstance(view, View)]

    def _texts(self, b: Viewed, at: Occasion) -> tuple[Viewed, Tensor]:
        """(m, E) the texts of these rows, wording after wording, and the (m,) row that each belongs to."""
        if b.x.ndim != 2 and len(b.x) > 0:
            raise ConfigError("WordingKeys compares vectors; give views of one vector per row")
        n, device = len(b.x), b.x.device
        parts, owners = [b.x], [torch.arange(n, device=device)]
        for view in self._views():
            if n == 0 or not at.step.has(view.modality):
                continue
            present_B = at.step.batch.present[view.modality]
            has_n = present_B[at.rows_n]
            of_view = (present_B.long().cumsum(0) - 1)[at.rows_n[has_n]]
            parts.append(at.similarity.keys(view(at.step).rows(of_view)).x.to(b.x.dtype))
            owners.append(has_n.nonzero(as_tuple=True)[0].to(device))
        return replace(b, x=torch.cat(parts)), torch.cat(owners)
