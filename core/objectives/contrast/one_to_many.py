"""One item against several wordings of it: K texts per image, in as many modalities.

Shape legend: n = rows with an image and at least one text, m = their texts over all K views, E = width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.keys.base import BatchKeys, Problem
from core.objectives.contrast.pair import Pair
from core.objectives.contrast.scale import Scale
from core.objectives.contrast.similarity import Similarity
from core.objectives.contrast.targets import Equality, Ids
from core.objectives.processes import (
    gather,
    gather_ready,
    gather_viewed,
    rows_of_all,
    same_need_of_gradient,
    world_size,
)
from core.objectives.views import View, Viewed, as_view


class OneToMany(Pair):
    """n images against all m texts of the batch: each image attracts the mean of its texts, each text its one image
    (1-to-K, Wu et al. 2024). No image is encoded or compared twice; a text that is missing is one column less, and with
    K = 1 this is `Pair`.

    Directions are means over images and over texts. The released loss, K ones per image and everything divided by K, is
    `directions: [0.5, 0.5/K]`. Columns are those of every process. Values as in `Pair`.
    """

    def __init__(
        self,
        *,
        rows: str | View,
        keys: Sequence[str | View],
        scale: Scale | None = None,
        directions: tuple[float, float] = (0.5, 0.5),
        similarity: Similarity | None = None,
        tile: tuple[int, int] = TILE,
        name: str | None = None,
    ) -> None:
        """rows: the one. keys: the many, one view per wording; all vectors of one width."""
        if not keys:
            raise ConfigError("OneToMany: no keys given; list the views of the texts, one per wording")
        views = [as_view(view) for view in keys]
        super().__init__(
            rows=rows,
            keys=views[0],
            target=Equality(key="sample"),
            scale=scale,
            directions=directions,
            similarity=similarity,
            columns=BatchKeys(),
            tile=tile,
            name=name or f"{as_view(rows).modality}-{'+'.join(view.modality for view in views)}",
        )
        self.views = torch.nn.ModuleList(views)

    def forward(self, step: Step) -> dict[str, Tensor]:
        texts, of_text_m = self._texts(step)
        rows_n = of_text_m.unique()
        if len(rows_n) < 2 and world_size() == 1:
            return self._nothing(step)
        every_n = step.batch.present[self.row_view.modality].long().cumsum(0) - 1
        images = self._side(
            step, ("many", id(self)), self.row_view, every_n[rows_n.to(every_n.device)], self.similarity.rows
        )
        problems = self._layout(images, texts, rows_n, of_text_m)
        solved = [self._solve(*part, step.index) for problem in problems for part in self._matrices(problem)]
        return self._values([loss for loss, _ in solved], solved[0][1], problems[0].pairs)

    def _texts(self, step: Step) -> tuple[Viewed, Tensor]:
        """The texts whose row has an image, view by view, and (m,) their rows of the batch."""
        parts, rows = [], []
        for view in (v for v in self.views if isinstance(v, View)):
            _, text_rows, batch_rows = step.paired_rows(self.row_view.modality, view.modality)
            if len(batch_rows):
                prepared = self.similarity.keys(view(step).rows(text_rows))
                if prepared.x.ndim != 2:
                    raise ConfigError(f"term '{self.name}': '{view.modality}' shows token sequences; give vectors")
                parts.append(prepared.x)
                rows.append(batch_rows)
        if not parts:
            zero = step.zero()
            return Viewed(zero + zero.new_zeros(0, 0)), torch.zeros(0, dtype=torch.int64)
        return Viewed(torch.cat(parts)), torch.cat(rows)

    def _layout(self, images: Viewed, texts: Viewed, rows_n: Tensor, of_text_m: Tensor) -> list[Problem]:
        rows_n, of_text_m = rows_n.to(images.x.device), of_text_m.to(images.x.device)
        to_texts, to_images = (None if share == 0 else share for share in self.directions)
        if world_size() == 1:
            of_images, of_texts = _ids(rows_n, [len(rows_n)], 0), _ids(of_text_m, [len(of_text_m)], 0)
            return [Problem(images, texts, of_images, of_texts, to_texts, to_images, pairs=len(of_text_m))]
        rank, device = dist.get_rank(), images.x.device
        image_counts, text_counts = rows_of_all(len(rows_n), device), rows_of_all(len(of_text_m), device)
        images, texts = (same_need_of_gradient(gather_ready(side)) for side in (images, texts))
        all_images, all_texts = gather_viewed(images, image_counts), gather_viewed(texts, text_counts)
        rows_n, of_text_m = (x + (rank << 40) for x in (rows_n, of_text_m))  # rows of other processes are other items
        own_images, own_texts = _ids(rows_n, image_counts, rank), _ids(of_text_m, text_counts, rank)
        of_images = _ids(gather(rows_n, image_counts), [sum(image_counts)], 0)
        of_texts = _ids(gather(of_text_m, text_counts), [sum(text_counts)], 0)
        m = sum(text_counts)
        forth = Problem(images, all_texts, own_images, of_texts, to_texts, None, pairs=m, everywhere=True)
        back = Problem(texts, all_images, own_texts, of_images, to_images, None, pairs=m, everywhere=True)
        return [problem for problem in (forth, back) if problem.row_share is not None]


def _ids(content_n: Tensor, counts: list[int], rank: int) -> Ids:
    start = sum(counts[:rank])
    return Ids(torch.arange(start, start + len(content_n), device=content_n.device), content_n)
