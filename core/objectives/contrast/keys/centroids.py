"""Prototypes as keys: rows against the mean features of clusters that are found anew at every episode.

Shape legend: n = pairs in this process, N = pairs in all processes, Q = remembered pairs, k = clusters, E = width of
the rows, F = width of the features that are clustered.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.contrast.keys.base import Keys, Occasion, Problem
from core.objectives.contrast.keys.fifo import Fifo
from core.objectives.contrast.targets import Ids
from core.objectives.kmeans import kmeans, means
from core.objectives.processes import gather, gather_ready, rows_of_all, same_need_of_gradient, world_size
from core.objectives.views import Viewed


class CentroidKeys(Keys):
    """ProtoCLIP-style prototypes (Chen et al. 2022): the key side is clustered, rows meet the mean ROW feature of each
    cluster (prototypical back translation), and belong to the cluster that their own partner is in.

    Features of the rows met during an episode are remembered, at most `memory` pairs; when a new episode begins,
    k-means runs on the keys and the prototypes change. The reference runs the encoders over a fresh sample of the data
    instead, which gives features of one model; these are up to an episode old. Before the first episode is over there
    is no loss. Rows whose sample was not met then have no term; empty clusters are no columns.

    One direction, rows -> keys; the other one is a second term with the sides swapped. Targets: `PrototypeSoft`, or
    `OneHot` for hard labels. For an external teacher's clusters give its view as keys (`Stored`, `FromTeacher`) and
    take hard labels. Prototypes are means and not normalised again. Every process has the same clusters.
    """

    least = 1

    memory_rows: Fifo
    memory_keys: Fifo
    prototype: Tensor
    centroid: Tensor
    size: Tensor
    sample: Tensor
    label: Tensor
    labelled: Tensor
    episode_done: Tensor

    def __init__(
        self,
        *,
        clusters: int,
        width: int,
        width_keys: int | None = None,
        memory: int,
        episode: int,
        iterations: int = 20,
        restarts: int = 3,
        key: str = "sample",
    ) -> None:
        """width: E. width_keys: F, that of the rows if not given. memory: pairs to remember. episode: its length in
        steps. iterations, restarts: of k-means. key: entry of `Batch.keys` that tells samples apart."""
        super().__init__()
        if min(clusters, memory, episode, iterations, restarts) < 1:
            raise ConfigError(
                f"CentroidKeys: clusters {clusters}, memory {memory}, episode {episode}, iterations {iterations}, "
                f"restarts {restarts}; each has to be at least 1"
            )
        width_keys = width if width_keys is None else width_keys
        self.episode, self.iterations, self.restarts, self.sample_key = episode, iterations, restarts, key
        self.memory_rows, self.memory_keys = Fifo(memory, width), Fifo(memory, width_keys)
        self.register_buffer("prototype", torch.zeros(clusters, width))
        self.register_buffer("centroid", torch.zeros(clusters, width_keys))
        self.register_buffer("size", torch.zeros(clusters, dtype=torch.int64))
        # samples in ascending order and their clusters; the first `labelled` slots count
        self.register_buffer("sample", torch.zeros(memory, dtype=torch.int64))
        self.register_buffer("label", torch.zeros(memory, dtype=torch.int64))
        self.register_buffer("labelled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("episode_done", torch.zeros((), dtype=torch.int64))
        self._came: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def collective(self) -> bool:
        return world_size() > 1

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        assert at is not None  # the term says what it compares
        if shares[1] != 0:
            raise ConfigError(
                f"CentroidKeys: directions are {list(shares)}; set them to [1, 0] and give the other direction a term "
                "of its own, with the sides swapped"
            )
        sample_n = self._samples(at).to(a.x.device)
        if self.training:
            self._begin_episode(at)
            a = self._remember(a, b, sample_n)
        if int(self.labelled) == 0:
            return []
        label_n = self.labels_of(sample_n)
        (rows_n,) = (label_n >= 0).nonzero(as_tuple=True)
        if len(rows_n) == 0 and not self.collective:
            return []
        label_n, (shown_m,) = label_n[rows_n], (self.size > 0).nonzero(as_tuple=True)
        a = a.rows(rows_n)
        a = replace(a, sides={**a.sides, "prototype": self.centroid[label_n]})
        cols = Viewed(self.prototype[shown_m], sides={"prototype": self.centroid[shown_m]})
        rows_ids, cols_ids = Ids(label_n, label_n), Ids(shown_m, shown_m)
        return [Problem(a, cols, rows_ids, cols_ids, shares[0], None, len(shown_m), self.collective)]

    def labels_of(self, sample_n: Tensor) -> Tensor:
        """(n,) cluster of each sample, -1 for one that the last episode did not meet."""
        known = self.sample[: int(self.labelled)].contiguous()
        if len(known) == 0:
            return torch.full_like(sample_n, -1)
        where_n = torch.searchsorted(known, sample_n).clamp_max(len(known) - 1)
        return torch.where(known[where_n] == sample_n, self.label[where_n], -1)

    def after_step(self) -> None:
        """Take in the pairs of the calls since the last optimiser step."""
        for a_NE, b_NF, sample_N in self._came:
            self.memory_rows.push(a_NE, sample_N)
            self.memory_keys.push(b_NF, sample_N)
        self._came = []

    def _samples(self, at: Occasion) -> Tensor:
        keys = at.step.batch.keys
        if self.sample_key not in keys:
            raise ConfigError(f"CentroidKeys: the batch has no key '{self.sample_key}'{nearest(self.sample_key, keys)}")
        return keys[self.sample_key][at.rows_n]

    def _remember(self, a: Viewed, b: Viewed, sample_n: Tensor) -> Viewed:
        """Rows as they enter the loss, the same in kind on every process."""
        a_NE, b_NF = a.x.detach(), b.x.detach()
        if self.collective:
            counts = rows_of_all(len(a.x), a.x.device)
            a = same_need_of_gradient(gather_ready(a))
            a_NE, b_NF = gather(a.x.detach(), counts), gather(gather_ready(Viewed(b_NF)).x, counts)
            sample_n = gather(sample_n, counts)
        for name, x, memory in (("width", a_NE, self.memory_rows), ("width_keys", b_NF, self.memory_keys)):
            if len(x) > 0 and x.shape[1:] != memory.x.shape[1:]:
                raise ConfigError(
                    f"CentroidKeys: {name} is {memory.x.shape[1]}, but the features have the shape "
                    f"{tuple(x.shape[1:])}; set {name} to the width of the vectors"
                )
        self._came.append((a_NE, b_NF, sample_n))
        return a

    @torch.no_grad()
    def _begin_episode(self, at: Occasion) -> None:
        """Cluster what is remembered, when a new episode has begun; the first process decides for all."""
        number = at.step.index // self.episode
        if number <= int(self.episode_done) or len(self.memory_keys) == 0:
            return
        self.episode_done.fill_(number)
        b_QF, sample_Q, _ = self.memory_keys.shown()
        a_QE, _, _ = self.memory_rows.shown()
        found = kmeans(
            b_QF, len(self.size), iterations=self.iterations, restarts=self.restarts, generator=at.step.generator
        )
        centroid, label_Q = found.centroid.contiguous(), found.label.contiguous()
        if self.collective:
            dist.broadcast(centroid, 0)
            dist.broadcast(label_Q, 0)
        prototype, size = means(a_QE, label_Q, len(self.size))
        self.centroid.copy_(centroid)
        self.prototype.copy_(prototype)
        self.size.copy_(size)
        order = sample_Q.argsort(stable=True)
        self.sample[: len(order)], self.label[: len(order)] = sample_Q[order], label_Q[order]
        self.labelled.fill_(len(order))
