"""Matching of several modalities: do these parts belong to one row, or was one of them taken from another?

MolFM's cross-modal matching (Luo et al. 2023) over structure, text and knowledge.
Shape legend: B = rows of the batch, n = rows that hold all modalities that are asked for, p = tuples that are judged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.negatives import draw
from core.objectives.tokens.sources import complete_rows, fusion_of, tokens_at


class ReplacedMatching(Term):
    """Cross entropy of whole tuples and tuples with one part replaced, one of each per row, in nats (undecided: ln 2).

    Which part is replaced is drawn uniformly among those of a row that another row can replace. Rows that agree in the
    sample or in the content of any modality never serve. Values: "loss", "accuracy", "accuracy_MODALITY" of the tuples
    whose part of that name was replaced. Without a tuple to replace in, the loss is an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        modalities: list[str],
        optional: list[str] | None = None,
        head: str = "match",
        replace: list[str] | None = None,
        name: str = "cross_modal_matching",
    ) -> None:
        """modalities: that a row must have. optional: that it may have. head: of the model's heads, (joint) -> two
        logits, in the model so that it is saved and can re-rank. replace: parts that are replaced; all when None."""
        super().__init__()
        if len(modalities) < 2:
            raise ConfigError(f"ReplacedMatching: modalities is {modalities}; name two at least")
        self.modalities, self.optional, self.head_name = list(modalities), list(optional or []), head
        every = [*self.modalities, *self.optional]
        self.replace = every if replace is None else list(replace)
        unknown = sorted(set(self.replace) - set(every))
        if unknown or not self.replace:
            raise ConfigError(f"ReplacedMatching: replace is {self.replace}; valid: {', '.join(every)}")
        self.name = name

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows_n = complete_rows(step, self.modalities)
        there = [*self.modalities, *(name for name in self.optional if step.has(name))]
        taken = {name: self.partners(step, name, rows_n) for name in self.replace if name in there}
        if len(rows_n) == 0 or not taken:
            return {"loss": step.zero()}
        part_n = _choice(torch.stack([partner >= 0 for partner in taken.values()], dim=1), step.generator)
        if not bool((part_n >= 0).any()):
            return {"loss": step.zero()}
        wrong = part_n >= 0
        logits_p2 = self.judge(step, there, rows_n, wrong, part_n, taken)
        match_p = torch.cat([torch.ones(len(rows_n)), torch.zeros(int(wrong.sum()))]).long().to(logits_p2.device)
        hit_p = (logits_p2.detach().argmax(-1) == match_p).float()
        values = {"loss": F.cross_entropy(logits_p2, match_p), "accuracy": hit_p.mean()}
        of_wrong = hit_p[len(rows_n) :]
        for i, name in enumerate(taken):
            here = (part_n[wrong] == i).to(of_wrong.device)
            if bool(here.any()):
                values[f"accuracy_{name}"] = of_wrong[here].mean()
        return values

    def judge(
        self, step: Step, there: list[str], rows_n: Tensor, wrong: Tensor, part_n: Tensor, taken: dict[str, Tensor]
    ) -> Tensor:
        """(p, 2) logits: the rows as they are, then those of `wrong` with part number `part_n` of `taken` replaced."""
        fusion = fusion_of(step, f"term '{self.name}'")
        streams = {}
        for name in there:
            other_n = rows_n[wrong]
            if name in taken:
                replaced = part_n[wrong] == list(taken).index(name)
                other_n = torch.where(replaced, taken[name][wrong], other_n)
            streams[name] = tokens_at(step, name, torch.cat([rows_n, other_n]))
        logits_p2: Tensor = step.head(self.head_name)(fusion(streams).joint)
        return logits_p2 if logits_p2.element_size() > 4 else logits_p2.float()

    def partners(self, step: Step, name: str, rows_n: Tensor) -> Tensor:
        """(n,) row of B whose part `name` may replace a row's own; -1 where there is none, or nothing to replace."""
        present_B = step.batch.present[name].cpu()
        keys = [key.cpu() for key_name in ("sample", *self.modalities, *self.optional)
                if (key := step.batch.keys.get(key_name)) is not None]  # fmt: skip

        def ask(at_R: Tensor) -> tuple[None, Tensor]:
            barred_RB = (rows_n[at_R, None] == torch.arange(len(present_B))) | ~present_B[None]
            for key_B in keys:
                barred_RB |= (key_B[rows_n[at_R], None] == key_B[None]) & (key_B[None] >= 0)
            return None, barred_RB

        at_n = torch.where(present_B[rows_n], torch.arange(len(rows_n)), -1)
        return draw(at_n, ask, lambda _, barred_RB: (~barred_RB).double(), step.generator)


def _choice(possible_nM: Tensor, generator: torch.Generator) -> Tensor:
    """(n,) one of the possible columns of each row, equally likely; -1 for a row without any."""
    best = torch.rand(possible_nM.shape, generator=generator).masked_fill(~possible_nM, -1.0).max(dim=1)
    return torch.where(best.values >= 0, best.indices, -1)
