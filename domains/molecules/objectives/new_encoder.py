"""What a hypernetwork's projector is worth for an encoder that it has not seen, from a few pairs.

Shape legend: K = pairs, M = held-out molecules, D = width of the items, E = width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.data.datamodule import DataModule
from core.errors import ConfigError, DataError
from core.models.dual_encoder import DualEncoder
from core.models.hyper_projector import Projector, ProjectorHypernet
from core.objectives.few_shot import matched
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.processors.fingerprint import FingerprintProcessor, Kind

BATCH = 128


class NewEncoder(Figure):
    """Retrieval of held-out molecules by text through a projector made from `shots` training pairs of a fingerprint
    that the model does not read: written by the hypernetwork; written and then trained; trained from scratch; ridge
    regression; and the projector of the known encoders as it is. At the end of a run only; share of texts whose
    molecule is among the first ten (R@10).

    kind: of the new fingerprint. shots: pairs of molecule and text. steps, lr: of what is trained, AdamW.
    """

    headline: ClassVar[Mapping[str, str]] = {
        f"new encoder, 32 pairs, R@10, {arm}": f"new_encoder/32/{name}"
        for name, arm in (
            ("written", "hypernetwork"), ("written_steps", "hypernetwork + steps"), ("scratch", "from scratch"),
            ("ridge", "ridge"), ("unchanged", "unchanged"), ("chance", "chance"),
        )
    }  # fmt: skip

    def __init__(
        self,
        *,
        kind: Kind = "maccs",
        modality: str,
        text: str = "text",
        hypernet: str = "hypernet",
        shots: Sequence[int] = (8, 32, 128),
        steps: int = 100,
        lr: float = 1e-3,
        penalty: float = 1.0,
        temperature: float = 0.1,
    ) -> None:
        """modality: one of the known ones, whose projection all share. penalty: of the ridge regression."""
        if not shots or min(shots) < 2 or steps < 1:
            raise ConfigError(f"NewEncoder: shots {list(shots)} and steps {steps}; give two pairs and one step or more")
        self.kind: Kind = kind
        self.modality, self.text, self.hypernet = modality, text, hypernet
        self.shots, self.steps, self.lr, self.penalty, self.temperature = tuple(shots), steps, lr, penalty, temperature

    def check(self, model: DualEncoder) -> None:
        hypernet = dict(model.heads.items()).get(self.hypernet)
        known = {self.modality, self.text} <= set(model.reads)
        if not known or not isinstance(hypernet, ProjectorHypernet):
            raise ConfigError(
                f"NewEncoder: needs the modalities '{self.modality}' and '{self.text}', and a ProjectorHypernet as "
                f"model.heads.{self.hypernet}"
            )
        if not isinstance(model.projections[self.modality], Projector):
            raise ConfigError(f"NewEncoder: the projection of '{self.modality}' is no core.models.Projector")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        if split != "test":
            return {}
        generator = torch.Generator().manual_seed(seed)
        train, most = data.indices["train"], max(self.shots)
        order = torch.randperm(len(train), generator=generator)[:most].tolist()
        item_KD, text_KE = self._pairs(model, data, "train", [train[i] for i in order], compute)
        item_MD, text_ME = self._pairs(model, data, split, data.indices[split], compute)
        projector = cast(Projector, model.projections[self.modality])
        hypernet = cast(ProjectorHypernet, model.heads[self.hypernet])
        out: dict[str, float] = {}
        for k in self.shots:
            few = item_KD[:k], text_KE[:k]
            made = hypernet.write(projector, *few, supports=4, generator=generator).eval()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                hidden = projector.linears[0].out_features
                fresh = Projector(width=projector.width, dim=projector.dim, hidden=hidden).to(compute.device)
                arms: dict[str, Callable[[Tensor], Tensor]] = {
                    "unchanged": projector, "written": made, "ridge": self._ridge(*few),
                }  # fmt: skip
                found = {name: recall(project(item_MD), text_ME) for name, project in arms.items()}
                found["scratch"] = recall(self._trained(fresh, *few)(item_MD), text_ME)
                found["written_steps"] = recall(self._trained(made, *few)(item_MD), text_ME)
            found["chance"] = min(1.0, 10 / len(item_MD))
            out |= {f"new_encoder/{k}/{name}": value for name, value in found.items()}
        return out

    def _pairs(
        self, model: DualEncoder, data: DataModule, split: str, rows: Sequence[int], compute: Compute
    ) -> tuple[Tensor, Tensor]:
        """Items of the new encoder and vectors of their texts, of the records that can be read."""
        projector = cast(Projector, model.projections[self.modality])
        reader = FingerprintProcessor(kind=self.kind, size=projector.width)
        texts = data.processors[self.text]
        source_of = data.processors[self.modality].of or self.modality
        items, vectors = [], []
        for first in range(0, len(rows), BATCH):
            records = [data.layouts[split].record(i) for i in rows[first : first + BATCH]]
            kept = []
            for record in records:
                try:
                    items.append(reader.load(record.sources[source_of])["counts"])
                except (DataError, KeyError):
                    continue
                kept.append(texts.load(record.sources[texts.of or self.text]))
            vectors.append(model.embed(self.text, texts.collate(kept).to(compute.device))[0])
        return torch.from_numpy(np.stack(items)).to(compute.device), torch.cat(vectors)

    def _trained(self, start: Projector, item_KD: Tensor, text_KE: Tensor) -> Projector:
        start.requires_grad_(True).train()
        optimizer = torch.optim.AdamW(start.parameters(), lr=self.lr, betas=(0.9, 0.95), weight_decay=1e-3)
        ids_K = torch.arange(len(item_KD), device=item_KD.device)
        with torch.enable_grad():
            for _ in range(self.steps):
                loss, _ = matched(start(item_KD), text_KE, ids_K, torch.tensor(1 / self.temperature))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return start.requires_grad_(False).eval()

    def _ridge(self, item_KD: Tensor, text_KE: Tensor) -> Callable[[Tensor], Tensor]:
        unit = F.normalize(item_KD, dim=1).double()
        gram = unit.T @ unit + self.penalty * torch.eye(unit.shape[1], dtype=torch.float64, device=unit.device)
        weight_DE = torch.linalg.solve(gram, unit.T @ F.normalize(text_KE, dim=1).double()).float()
        return lambda x: F.normalize(x, dim=1) @ weight_DE


def recall(item_ME: Tensor, text_ME: Tensor, k: int = 10) -> float:
    """Share of texts whose own item is among the k most alike; ties by their mean rank."""
    score_MM = F.normalize(text_ME.float(), dim=1) @ F.normalize(item_ME.float(), dim=1).T
    own_M1 = score_MM.diagonal()[:, None]
    rank_M = 1 + (score_MM > own_M1).sum(1) + ((score_MM == own_M1).sum(1) - 1) / 2
    return float((rank_M <= k).float().mean())
