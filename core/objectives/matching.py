"""Matching: does this text describe this image? Two logits from the fused joint vector.

M3AE (Chen et al. 2022) with `RandomNegatives`, ALBEF (Li et al. 2021) with `HardNegatives`.
Shape legend: n = rows that hold both modalities, m = texts of those rows (m = n for one text each), p = pairs that are
judged, N = tokens, D = width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.objectives.base import Step, Term
from core.objectives.candidates import Candidates, similarities
from core.objectives.negatives import Negatives, RandomNegatives
from core.objectives.tokens.sources import fusion_of, select, tokens_of
from core.types import Tokens


class Matching(Term):
    """Cross entropy of true and false pairs, in nats (undecided: ln 2). Values: "loss", "accuracy".

    With fewer than two rows, or no admissible false pair, the loss is an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        first: str,
        second: str | Sequence[str],
        width: int,
        negatives: Negatives | None = None,
        keys: list[str] | None = None,
        name: str | None = None,
    ) -> None:
        """first, second: modalities. Several seconds are wordings of one thing (a text in several languages): each
        belongs to its row's first, none is a false partner of it, and all enter the fusion as the first of them.
        width: of the fusion's joint vector. negatives: random ones when None.
        keys: names of `Batch.keys`; rows that agree in any of them are never a false pair. None: the sample and the
        contents of all modalities, as far as the batch has them."""
        super().__init__()
        self.seconds = [second] if isinstance(second, str) else list(second)
        if not self.seconds:
            raise ConfigError("Matching: second is empty; name one modality at least")
        self.first, self.second, self.width, self.keys = first, self.seconds[0], width, keys
        self.negatives = RandomNegatives() if negatives is None else negatives
        self.head = nn.Linear(width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.name = f"matching_{first}_{self.second}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        pairs = {name: step.paired_rows(self.first, name) for name in self.seconds}
        rows_n = torch.cat([rows.cpu() for _, _, rows in pairs.values()]).unique()
        if len(rows_n) < 2:
            return {"loss": step.zero()}
        judged = self.negatives.judged(self.candidates(step, rows_n), step.generator)
        if bool(judged.match.all()):
            return {"loss": step.zero()}
        fusion = fusion_of(step, f"term '{self.name}'")
        every_B = step.batch.present[self.first].cpu().long().cumsum(0) - 1
        tokens = {
            self.first: select(tokens_of(step.encoded(self.first), self.first), every_B[rows_n][judged.first]),
            self.second: select(self._texts(step), judged.second),
        }
        joint = fusion(tokens).joint
        if joint.shape[-1] != self.width:
            raise ConfigError(
                f"term '{self.name}': width is {self.width}, but the fusion's joint vector has {joint.shape[-1]}"
            )
        logits_p2 = self.head(joint)
        logits_p2 = logits_p2 if logits_p2.element_size() > 4 else logits_p2.float()
        match = judged.match.to(logits_p2.device)
        accuracy = (logits_p2.detach().argmax(-1) == match).float().mean()
        return {"loss": F.cross_entropy(logits_p2, match), "accuracy": accuracy}

    def candidates(self, step: Step, rows_n: Tensor) -> Candidates:
        """Firsts: the batch rows `rows_n`. Seconds: their texts, one modality after the other. On the CPU."""
        number_B = torch.full((len(step.batch),), -1)
        number_B[rows_n] = torch.arange(len(rows_n))
        of_first_n = (step.batch.present[self.first].cpu().long().cumsum(0) - 1)[rows_n]
        parts, texts, which = [], [], []
        for i, name in enumerate(self.seconds):
            _, text_rows, batch_rows = (t.cpu() for t in step.paired_rows(self.first, name))
            texts.append(batch_rows)
            which.append(torch.full_like(batch_rows, i))
            if self.negatives.needs_similarity and len(batch_rows):
                parts.append((similarities(step, self.first, name), of_first_n, text_rows))
        text_m, which_m = torch.cat(texts), torch.cat(which)
        keys = [self._key(step, name, rows_n, text_m, which_m) for name in self._key_names(step)]
        return Candidates(firsts=len(rows_n), owner_m=number_B[text_m], keys=keys, parts=parts)

    def _key_names(self, step: Step) -> list[str]:
        if self.keys is not None:
            return self.keys
        return [name for name in ("sample", self.first, *self.seconds) if name in step.batch.keys]

    def _key(self, step: Step, name: str, rows_n: Tensor, text_m: Tensor, which_m: Tensor) -> tuple[Tensor, Tensor]:
        """One number per first and per second; a content of one wording says nothing of the others (-1)."""
        if name not in step.batch.keys:
            raise ConfigError(f"term '{self.name}': the batch has no key '{name}'{nearest(name, step.batch.keys)}")
        key_B = step.batch.keys[name].cpu()
        second_m = key_B[text_m]
        if name in self.seconds:
            second_m = second_m.masked_fill(which_m != self.seconds.index(name), -1)
        return key_B[rows_n], second_m

    def _texts(self, step: Step) -> Tokens:
        """Tokens of all seconds in the order of the candidates, padded to the longest."""
        found = []
        for name in self.seconds:
            rows = step.paired_rows(self.first, name)[1]
            if len(rows):
                found.append(select(tokens_of(step.encoded(name), name), rows))
        if len(found) == 1:
            return found[0]
        longest = max(tokens.x.shape[1] for tokens in found)
        x_mND = torch.cat([F.pad(t.x, (0, 0, 0, longest - t.x.shape[1])) for t in found])
        masks = [
            torch.ones(t.x.shape[:2], dtype=torch.bool, device=t.x.device) if t.mask is None else t.mask for t in found
        ]
        mask_mN = torch.cat([F.pad(mask, (0, longest - mask.shape[1])) for mask in masks])
        return Tokens(x=x_mND, mask=mask_mN, prefix=found[0].prefix)
