"""The matching loss of entity linking: each mention picks its entity among those of the batch, at every level.

Shape legend: n = rows that have both texts, S = scores of all levels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.base import Step, Term
from core.types import Encoded
from domains.molecules.linking.card import Seen
from domains.molecules.linking.matcher import LevelMatcher, overall


class LevelMatching(Term):
    """CE(overall) + the sum of CE(score) over all scores, mentions over the entities of the batch (M3EL, Hu et al.
    2025; equal scores cost ln n each). Other rows about the same entity leave the denominator (erratum of the release,
    which takes them for wrong answers). A level of pictures is asked of rows with a picture on both sides only.

    Values: "loss", "overall" and each score's own loss in nats, "accuracy" of the overall score, ties lost. With fewer
    than two rows an exact 0 with a graph. The n x n scores of all levels exist at once: five losses share them, and
    what grows with tokens is cut into blocks by the matcher. Entities of other processes are not seen.
    """

    def __init__(
        self,
        *,
        mention: str = "mention",
        mention_picture: str = "mention_image",
        entity: str = "entity",
        entity_picture: str = "entity_image",
        head: str = "linking",
        key: str = "entity",
        name: str = "matching",
    ) -> None:
        """head: the `LevelMatcher` among `model.heads`. key: entry of `Batch.keys` that tells entities apart."""
        super().__init__()
        self.mention, self.mention_picture, self.entity, self.entity_picture = (
            mention, mention_picture, entity, entity_picture
        )  # fmt: skip
        self.head, self.key, self.name = head, key, name

    def forward(self, step: Step) -> dict[str, Tensor]:
        of_mention_n, of_entity_n, rows_n = step.paired_rows(self.mention, self.entity)
        if len(rows_n) < 2:
            return {"loss": step.zero()}
        matcher = matcher_of(step.head(self.head), self.head)
        mentions = matcher.card(self._seen(step, self.mention, self.mention_picture, of_mention_n, rows_n))
        entities = matcher.card(self._seen(step, self.entity, self.entity_picture, of_entity_n, rows_n))
        scores_Snn = matcher(matcher.mentions(mentions), matcher.entities(entities))
        if self.key not in step.batch.keys:
            raise ConfigError(
                f"term '{self.name}': the batch has no key '{self.key}'{nearest(self.key, step.batch.keys)}"
            )
        id_n = step.batch.keys[self.key][rows_n]
        own_nn = torch.eye(len(rows_n), dtype=torch.bool, device=id_n.device)
        again_nn = (id_n[:, None] == id_n) & ~own_nn
        both_n = mentions.pictured & entities.pictured
        every_n = torch.ones_like(both_n)
        whole_nn = overall(scores_Snn)
        losses = {"overall": picked(whole_nn, again_nn, every_n)}
        for score_nn, name, shown in zip(scores_Snn, matcher.names, matcher.needs_pictures(), strict=True):
            losses[name] = picked(score_nn, again_nn, both_n if shown else every_n)
        with torch.no_grad():
            rival_n = whole_nn.masked_fill(own_nn | again_nn, -torch.inf).amax(dim=1)
            accuracy = (whole_nn.diagonal() > rival_n).float().mean()
        return {"loss": torch.stack(list(losses.values())).sum(), "accuracy": accuracy, **losses}

    def _seen(self, step: Step, text: str, picture: str, of_text_n: Tensor, rows_n: Tensor) -> Seen:
        written, pictured_B = step.encoded(text), step.batch.present.get(picture)
        cls_nA = step.embedding(text)[of_text_n]
        if pictured_B is None or not step.has(picture):
            found = None
            pictured_n = torch.zeros_like(rows_n, dtype=torch.bool)
        else:
            pictured_n = pictured_B[rows_n]
            of_picture_B = pictured_B.long().cumsum(0) - 1
            keep = of_picture_B[rows_n][pictured_n]
            shown = step.encoded(picture)
            found = (step.embedding(picture), shown)
            if len(keep) < len(shown.pooled):
                found = (found[0][keep], _rows(shown, keep))
        return Seen.of(cls_nA, _rows(written, of_text_n), found, pictured_n)


def picked(score_nn: Tensor, again_nn: Tensor, counted_n: Tensor) -> Tensor:
    """Mean over the counted rows of -log softmax of their own column; `again` leaves the denominator. 0 with a graph
    where no row counts."""
    score_nn = score_nn.masked_fill(again_nn, torch.finfo(score_nn.dtype).min)
    loss_n = F.cross_entropy(score_nn, torch.arange(len(score_nn), device=score_nn.device), reduction="none")
    return torch.where(counted_n, loss_n, 0).sum() / counted_n.sum().clamp_min(1)


def matcher_of(head: object, name: str) -> LevelMatcher:
    """Raises ConfigError for a head of another kind."""
    if not isinstance(head, LevelMatcher):
        raise ConfigError(
            f"model.heads.{name} is a {type(head).__name__}; entity linking needs a "
            "domains.molecules.linking.LevelMatcher"
        )
    return head


def _rows(encoded: Encoded, index: Tensor) -> Encoded:
    """The rows `index` of what an encoder made."""
    tokens = encoded.tokens
    if tokens is not None:
        tokens = replace(tokens, x=tokens.x[index], mask=None if tokens.mask is None else tokens.mask[index])
    return Encoded(pooled=encoded.pooled[index], tokens=tokens)
