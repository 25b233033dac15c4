"""Keys of former batches: a teacher's (queue) or the student's own (cross-batch memory).

Shape legend: n = pairs in this process, N = pairs in all processes, Q = slots, E = width.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import Keys, Occasion, Problem
from core.objectives.contrast.keys.fifo import Fifo
from core.objectives.contrast.targets import Ids
from core.objectives.processes import (
    gather,
    gather_ready,
    rows_of_all,
    same_need_of_gradient,
    world_size,
)
from core.objectives.views import Viewed


class MemoryKeys(Keys):
    """Rows of this batch against this batch's keys and those of former ones, all without gradient.

    Of several processes each has all keys of the step, and the same memory. The loss has one direction, rows -> keys;
    the other one is a term of its own with a memory of its own.
    """

    least = 1  # one pair competes with the memory

    def __init__(self, *, size: int, width: int) -> None:
        """size: slots, any number; 0 for no memory. width: E of the keys."""
        super().__init__()
        kind = type(self).__name__
        if size < 0 or width < 1:
            raise ConfigError(f"{kind}: size {size}, width {width}; needs size >= 0 and width >= 1")
        self.memory = Fifo(size, width)
        self._came: list[tuple[Tensor, Tensor]] = []  # since the last optimiser step

    @property
    def collective(self) -> bool:
        return world_size() > 1

    @abstractmethod
    def ready(self, index: int) -> bool:
        """Whether keys are compared and remembered at a global step."""

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        self._check(b, shares)
        if not self.ready(0 if at is None else at.step.index):
            return []
        n, device = len(a.x), a.x.device
        counts, rank = [n], 0
        keys_NE, content_N = b.x.detach(), content_n
        if self.collective:
            counts, rank = rows_of_all(n, device), dist.get_rank()
            a, b = same_need_of_gradient(gather_ready(a)), gather_ready(b)
            keys_NE, content_N = gather(b.x.detach(), counts), gather(content_n, counts)
        if keys_NE.shape[1] != self.memory.x.shape[1] and sum(counts) > 0:
            raise ConfigError(
                f"{type(self).__name__}: width is {self.memory.x.shape[1]}, but the keys have {keys_NE.shape[1]}; "
                f"set width to {keys_NE.shape[1]}"
            )
        items_N = torch.arange(sum(counts), device=device)
        if self.training:
            self._came.append((keys_NE, content_N))
        start = sum(counts[:rank])
        rows = Ids(items_N[start : start + n], content_n)
        x_mE, cols = self.columns(keys_NE, Ids(items_N, content_N))
        return [Problem(a, Viewed(x_mE), rows, cols, shares[0], None, pairs=len(x_mE), everywhere=self.collective)]

    @abstractmethod
    def columns(self, keys_NE: Tensor, ids: Ids) -> tuple[Tensor, Ids]:
        """What rows are compared with, given the keys of this step: (m, E) and its ids."""

    def after_step(self) -> None:
        """Take in the keys of the calls since the last optimiser step."""
        for keys_NE, content_N in self._came:
            self.memory.push(keys_NE, content_N)
        self._came = []

    def _check(self, b: Viewed, shares: tuple[float, float]) -> None:
        kind = type(self).__name__
        if shares[1] != 0:
            raise ConfigError(
                f"{kind}: directions are {list(shares)}; keys of former batches have no rows of their own: "
                "set directions to [1, 0] and give the other direction a term of its own"
            )
        if b.x.ndim != 2 and len(b.x) > 0:
            raise ConfigError(f"{kind}: the keys have {b.x.ndim} dimensions; it remembers one vector per row")


class QueueKeys(MemoryKeys):
    """A teacher's features of this batch, then those of the last `size` ones (MoCo, He et al. 2020; ALBEF, TCL, CTP).

    Give it keys that a teacher sees, `FromTeacher`. The column of the same sample is the teacher's feature of this
    batch. A sample that comes again while it is still in the queue is a negative for `OneHot`; `Equality` with the key
    "sample" or the content makes it a positive, `MaskedDuplicates` leaves it out.
    """

    def __init__(self, *, size: int = 65536, width: int) -> None:
        super().__init__(size=size, width=width)

    def ready(self, index: int) -> bool:
        return True

    def columns(self, keys_NE: Tensor, ids: Ids) -> tuple[Tensor, Ids]:
        return joined(keys_NE, ids, *self.memory.shown())

    def _check(self, b: Viewed, shares: tuple[float, float]) -> None:
        MemoryKeys._check(self, b, shares)
        if b.x.requires_grad and len(b.x) > 0:
            raise ConfigError(
                "QueueKeys: the keys carry a gradient; a queue needs keys that drift slowly: wrap the view in "
                "core.objectives.FromTeacher, or remember the student's own with XBMKeys"
            )


class XBMKeys(MemoryKeys):
    """Cross-batch memory (Wang et al. 2020): the student's own features of the last `size` rows.

    The memory takes in the current batch before the loss (the newest `size` rows of it), so a row meets the column of
    the very same row too: the target decides whether that is a positive. With size 0 there is no loss. Nothing is
    compared or remembered before `warm_up` steps, while features still drift fast. Add it to the batch's own loss as a
    second term.
    Unlike the released code, class id 0 is a class like the others, and a batch that runs over the end of the memory
    goes on at its start.
    """

    def __init__(self, *, size: int = 8192, width: int, warm_up: int = 1000) -> None:
        """warm_up: global step of the first comparison."""
        super().__init__(size=size, width=width)
        if warm_up < 0:
            raise ConfigError(f"XBMKeys: warm_up is {warm_up}; give a number of steps >= 0")
        self.warm_up = warm_up

    def ready(self, index: int) -> bool:
        return index >= self.warm_up

    def columns(self, keys_NE: Tensor, ids: Ids) -> tuple[Tensor, Ids]:
        new, size = len(keys_NE), len(self.memory.x)
        kept = slice(max(0, new - size), new)
        return joined(keys_NE[kept], Ids(ids.item[kept], ids.content[kept]), *self.memory.shown(coming=new))


def joined(x_kE: Tensor, ids: Ids, old_x_FE: Tensor, old_content_F: Tensor, old_item_F: Tensor) -> tuple[Tensor, Ids]:
    """This step's keys, then the remembered ones."""
    content_m = torch.cat([ids.content, old_content_F])
    return torch.cat([x_kE, old_x_FE.to(x_kE)]), Ids(torch.cat([ids.item, old_item_F]), content_m)
