"""What a client keeps to, and what the server learns from clients (CreamFL, Yu et al. 2023).

Shape legend: V = rows in which the modality is present, M = public items, D = width of the shared space.
Terms read rows of public items, whose number in the bank is `Batch.keys[key]`. A bank is given as a tensor: `simulate`
makes these terms anew in every round; a YAML cannot.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError, nearest
from core.federated.bank import own_log_prob
from core.objectives.base import Step, Term
from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.similarity import unit

PUBLIC = "public"  # key of a row's public item


class _OnBank(Term):
    """Base: a modality's embeddings, and the entries of the bank that their rows stand for."""

    bank: Tensor

    def __init__(self, *, modality: str, bank: Tensor, key: str = PUBLIC, name: str) -> None:
        super().__init__()
        if bank.ndim != 2 or len(bank) == 0:
            raise ConfigError(f"{type(self).__name__}: the bank is {tuple(bank.shape)}; give (items, width)")
        self.modality, self.key, self.name = modality, key, name
        self.register_buffer("bank", bank.detach().clone(), persistent=False)

    def own(self, step: Step) -> Tensor:
        """(V,) entries of the present rows. Raises ConfigError for a row that has none."""
        if self.key not in step.batch.keys:
            raise ConfigError(
                f"term '{self.name}': the batch has no key '{self.key}'{nearest(self.key, step.batch.keys)}"
            )
        own_V = step.batch.keys[self.key][step.batch.present[self.modality]]
        if len(own_V) and (int(own_V.min()) < 0 or int(own_V.max()) >= len(self.bank)):
            raise ConfigError(
                f"term '{self.name}': '{self.key}' is {int(own_V.min())} to {int(own_V.max())}, the bank has "
                f"{len(self.bank)} entries; every row of '{self.modality}' must be a public item"
            )
        return own_V


class InterModal(_OnBank):
    """-mean log softmax over the server's whole bank of the OTHER modality at the row's own item, in nats.

    How a client that lacks a modality learns to be compared with it. ln M when all entries are alike.
    """

    def __init__(
        self,
        *,
        modality: str,
        bank: Tensor,
        temperature: float = 0.5,
        key: str = PUBLIC,
        tile: tuple[int, int] = TILE,
        name: str | None = None,
    ) -> None:
        super().__init__(modality=modality, bank=unit(bank), key=key, name=name or f"inter_{modality}")
        _positive(type(self).__name__, temperature)
        self.temperature, self.tile = temperature, tile

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        log_p_V = own_log_prob(
            unit(step.embedding(self.modality)), self.bank, self.own(step), scale=1 / self.temperature, tile=self.tile
        )
        return {"loss": -log_p_V.mean()}


class IntraModal(_OnBank):
    """Cross entropy of [local . global, local . old] / temperature, the global one right (MOON, Li et al. 2021), mean.

    bank: the server's features of the SAME modality. teacher: the client as it began the round, a `FrozenTeacher`.
    ln 2 when old = global.
    """

    def __init__(
        self,
        *,
        modality: str,
        bank: Tensor,
        teacher: str,
        temperature: float = 0.5,
        key: str = PUBLIC,
        name: str | None = None,
    ) -> None:
        super().__init__(modality=modality, bank=unit(bank), key=key, name=name or f"intra_{modality}")
        _positive(type(self).__name__, temperature)
        self.temperature, self.teacher = temperature, teacher

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        local_VD = unit(step.embedding(self.modality))
        old_VD = unit(step.teacher(self.teacher).embedding(self.modality).detach()).to(local_VD)
        global_VD = self.bank[self.own(step)].to(local_VD)
        gap_V = (local_VD * (old_VD - global_VD)).sum(1) / self.temperature
        return {"loss": F.softplus(gap_V).mean()}


class BankRegression(_OnBank):
    """Mean squared difference of unit embeddings and the bank's entries, over all entries and rows.

    The server's distillation from aggregated features; its weight in CreamFL is 0.3.
    """

    def __init__(self, *, modality: str, bank: Tensor, key: str = PUBLIC, name: str | None = None) -> None:
        super().__init__(modality=modality, bank=bank, key=key, name=name or f"distil_{modality}")

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        x_VD = unit(step.embedding(self.modality))
        return {"loss": F.mse_loss(x_VD, self.bank[self.own(step)].to(x_VD))}


class Labels(Term):
    """Cross entropy of `model.heads[head]` on the pooled vector, over rows with a known label: what a client with one
    modality trains on. labels: entry of `Batch.labels`, whole numbers, nan = unknown."""

    def __init__(self, *, modality: str, head: str, labels: str, name: str | None = None) -> None:
        super().__init__()
        self.modality, self.head, self.labels = modality, head, labels
        self.name = name or f"labels_{modality}"

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        if self.labels not in step.batch.labels:
            raise ConfigError(
                f"term '{self.name}': the batch has no label '{self.labels}'{nearest(self.labels, step.batch.labels)}"
            )
        target_V = step.batch.labels[self.labels][step.batch.present[self.modality]]
        known_V = ~target_V.isnan()
        if not bool(known_V.any()):
            return {"loss": step.zero()}
        logits_VK = step.head(self.head)(step.encoded(self.modality).pooled[known_V]).float()
        target_V = target_V[known_V].long().to(logits_VK.device)
        accuracy = (logits_VK.detach().argmax(1) == target_V).float().mean()
        return {"loss": F.cross_entropy(logits_VK, target_V), "accuracy": accuracy}


def _positive(who: str, temperature: float) -> None:
    if temperature <= 0:
        raise ConfigError(f"{who}: temperature is {temperature}; give a value above 0, for instance 0.5")
