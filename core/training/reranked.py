"""Retrieval re-ranked by the fusion and a matching head: a figure for models that have both.

Shape legend: N = rows of the split that hold both modalities, Q = queries, K = candidates of each, p = pairs at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.data.datamodule import DataModule
from core.errors import ConfigError, nearest
from core.evaluation.rerank import reranked_scores
from core.evaluation.retrieval import retrieval_of
from core.evaluation.scores import given_scores
from core.fusion import Fusion
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure
from core.training.precision import Compute
from core.types import Batch, Tokens

Rows = list[tuple[Tensor, int]]  # tokens of a row without padding, and how many of them are prefix


class RerankedRetrieval(Figure):
    """Recall and MRR of the first `top` answers by cosine, re-ordered by share * cosine + (1 - share) * p(match).

    first, second: modalities that are searched both ways. given: further modalities that belong to the rows of `first`
    and enter the fusion with it. Tokens of the split are kept in memory. Beside every figure stands that of plain
    cosines over the same queries ("cosine/..."), and chance. Training is not interrupted for it: `splits`.
    """

    headline: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        *,
        first: str,
        second: str,
        given: list[str] | None = None,
        head: str = "match",
        share: float = 0.8,
        top: int = 32,
        queries: int = 0,
        splits: list[str] | None = None,
        name: str = "reranked",
    ) -> None:
        """head: of the model's heads, (joint) -> two logits. share: weight of the cosine. queries: at most this many,
        evenly spaced; 0 = all. splits: that are measured; the test split when None."""
        if not 0 <= share <= 1 or top < 1 or queries < 0:
            raise ConfigError(
                f"RerankedRetrieval: share {share}, top {top}, queries {queries}; give a share in [0, 1], 1 or more "
                "candidates, and 0 or more queries"
            )
        self.first, self.second, self.given = first, second, list(given or [])
        self.head, self.share, self.top, self.queries, self.name = head, share, top, queries, name
        self.splits = ["test"] if splits is None else list(splits)

    def check(self, model: DualEncoder) -> None:
        for modality in (self.first, self.second, *self.given):
            if modality not in model.reads:
                raise ConfigError(f"RerankedRetrieval: '{modality}'{nearest(modality, model.reads)}")
        if model.fusion is None or self.head not in model.heads:
            raise ConfigError(
                f"RerankedRetrieval: needs model.fusion and the head '{self.head}'{nearest(self.head, model.heads)}"
            )

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        if split not in self.splits:
            return {}
        rows = self.read(model, data, split, compute)
        if rows is None:
            return {}
        tokens, vectors, keys, groups = rows
        count = len(keys)
        asked = np.arange(count) if not self.queries else np.unique(np.linspace(0, count - 1, self.queries).astype(int))
        common: dict[str, Any] = {"groups_Q": groups[asked], "n_bootstrap": n_bootstrap, "seed": seed, "split": split}
        figures: dict[str, float] = {}
        ways = {f"{self.first}_to_{self.second}": True, f"{self.second}_to_{self.first}": False}
        for way, forward in ways.items():
            ask, answer = (self.first, self.second) if forward else (self.second, self.first)
            cosine_QG = vectors[ask][asked].double() @ vectors[answer].double().T
            top_QK = cosine_QG.topk(min(self.top, count), dim=1).indices
            asked_QK = torch.from_numpy(asked)[:, None].expand_as(top_QK)
            firsts, seconds = (asked_QK, top_QK) if forward else (top_QK, asked_QK)
            match_QK = self.match(model, tokens, firsts.flatten(), seconds.flatten(), compute).reshape(top_QK.shape)
            both = {
                f"{self.name}/{way}": reranked_scores(cosine_QG, top_QK, match_QK, share=self.share),
                f"cosine/{way}": cosine_QG,
            }
            for name, score_QG in both.items():
                found = retrieval_of(given_scores(score_QG, similarity=name), keys[asked], keys, **common).flat()
                figures |= {
                    f"{name}/{k}": v for k, v in found.items() if k.startswith(("R@", "mrr", "pool", "queries"))
                }
        return figures

    def read(
        self, model: DualEncoder, data: DataModule, split: str, compute: Compute
    ) -> tuple[dict[str, Rows], dict[str, Tensor], np.ndarray, np.ndarray] | None:
        """Tokens and unit vectors of the rows that hold both modalities, keys of the second's content, groups."""
        tokens: dict[str, Rows] = {m: [] for m in (self.first, self.second, *self.given)}
        vectors: dict[str, list[Tensor]] = {self.first: [], self.second: []}
        keys, groups = [], []
        for batch in data.eval_loader(split):
            both_B = batch.present[self.first] & batch.present[self.second]
            if not bool(both_B.any()):
                continue
            key = batch.keys.get(self.second, batch.keys["sample"])
            keys.append(key[both_B].numpy())
            groups.append(batch.keys["group"][both_B].numpy())
            for modality in tokens:
                found, vector = self._encode(model, batch, modality, both_B, compute)
                tokens[modality] += found
                if modality in vectors:
                    vectors[modality].append(vector)
        if sum(map(len, keys)) < 2:
            return None
        joined = {modality: torch.cat(parts) for modality, parts in vectors.items()}
        return tokens, joined, np.concatenate(keys), np.concatenate(groups)

    def _encode(
        self, model: DualEncoder, batch: Batch, modality: str, wanted_B: Tensor, compute: Compute
    ) -> tuple[Rows, Tensor]:
        """Tokens of the wanted rows, none for a row that lacks the modality; and its unit vectors."""
        present_B = batch.present[modality]
        empty = torch.zeros(0, model.width(modality))
        if modality not in batch.inputs:
            return [(empty, 0)] * int(wanted_B.sum()), empty
        with compute.autocast():
            encoded = model.encode(modality, batch.inputs[modality].to(compute.device))
            vector_VE = F.normalize(model.project(modality, encoded).float(), dim=-1).cpu()
        assert encoded.tokens is not None, f"the encoder of '{modality}' gives no tokens"
        x, prefix = encoded.tokens.x.float().cpu(), encoded.tokens.prefix
        mask = torch.ones(x.shape[:2], dtype=torch.bool) if encoded.tokens.mask is None else encoded.tokens.mask.cpu()
        of_V = (present_B.long().cumsum(0) - 1).tolist()
        rows = [(x[of_V[b]][mask[of_V[b]]], prefix) if present_B[b] else (empty, 0) for b in wanted_B.nonzero()[:, 0]]
        return rows, vector_VE[torch.tensor(of_V)[wanted_B & present_B]]

    def match(
        self, model: DualEncoder, tokens: Mapping[str, Rows], firsts_P: Tensor, seconds_P: Tensor, compute: Compute
    ) -> Tensor:
        """(P,) probabilities on the CPU that first and second belong together, 256 pairs at a time."""
        fusion, head = cast(Fusion, model.fusion), model.heads[self.head]
        out = []
        for first_p, second_p in zip(firsts_P.split(256), seconds_P.split(256), strict=True):
            streams = {self.second: padded([tokens[self.second][i] for i in second_p.tolist()], compute.device)}
            for name in (self.first, *self.given):
                found = padded([tokens[name][i] for i in first_p.tolist()], compute.device)
                if found.x.shape[1]:  # nobody has any: as if the modality were not there
                    streams[name] = found
            with compute.autocast():
                logits_p2 = head(fusion({n: streams[n] for n in fusion.inputs if n in streams}).joint)
            out.append(logits_p2.float().softmax(dim=-1)[:, 1].cpu())
        return torch.cat(out)


def padded(rows: Sequence[tuple[Tensor, int]], device: torch.device) -> Tokens:
    """Rows of different lengths as one padded sequence."""
    longest = max(len(x) for x, _ in rows)
    x = torch.stack([F.pad(x_ND, (0, 0, 0, longest - len(x_ND))) for x_ND, _ in rows])
    mask = torch.stack([torch.arange(longest) < len(x_ND) for x_ND, _ in rows])
    return Tokens(x=x.to(device), mask=mask.to(device), prefix=max(prefix for _, prefix in rows))
