"""Pairs that do not belong together, found by how hard they are to tell apart.

Shape legend: s = samples of the training set, n = pairs of this process.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.contrast.targets import Ids, Sides, SparseWeights, Target
from core.objectives.contrast.targets.smooth import off_diagonal


class Mixture(nn.Module):
    """Two normal distributions fitted to numbers, by expectation maximisation from the quartiles: no randomness.

    Numbers are brought to [0, 1] first. Variances are kept above `floor`, so that equal numbers do no harm.
    """

    def __init__(self, *, iterations: int = 100, floor: float = 1e-6) -> None:
        super().__init__()
        if iterations < 1 or floor <= 0:
            raise ConfigError(f"Mixture: iterations {iterations}, floor {floor}; needs iterations >= 1 and floor > 0")
        self.iterations, self.floor = iterations, floor

    @torch.no_grad()
    def forward(self, x_n: Tensor) -> Tensor:
        """(n,) posterior of the distribution with the higher mean; 0 where all numbers are equal."""
        x_n = x_n.double()
        if len(x_n) == 0 or x_n.max() == x_n.min():
            return torch.zeros_like(x_n)
        x_n = (x_n - x_n.min()) / (x_n.max() - x_n.min())
        mean_2 = torch.quantile(x_n, torch.tensor([0.25, 0.75], dtype=x_n.dtype, device=x_n.device))
        variance_2 = x_n.var(unbiased=False).clamp_min(self.floor).expand(2)
        share_2 = torch.full_like(mean_2, 0.5)
        for _ in range(self.iterations):
            post_n2 = self._posterior(x_n, mean_2, variance_2, share_2)
            mass_2 = post_n2.sum(0).clamp_min(1e-12)
            mean_2 = (post_n2 * x_n[:, None]).sum(0) / mass_2
            variance_2 = ((post_n2 * (x_n[:, None] - mean_2).square()).sum(0) / mass_2).clamp_min(self.floor)
            share_2 = mass_2 / len(x_n)
        high = int(mean_2.argmax())
        return self._posterior(x_n, mean_2, variance_2, share_2)[:, high]

    def _posterior(self, x_n: Tensor, mean_2: Tensor, variance_2: Tensor, share_2: Tensor) -> Tensor:
        log_n2 = share_2.log() - 0.5 * (variance_2.log() + (x_n[:, None] - mean_2).square() / variance_2)
        return log_n2.softmax(1)


class NoiseSmooth(Target):
    """Per-sample smoothing by w_i = `strength` * (probability that the pair of sample i is a wrong one): one-hot for
    pairs that are trusted, flat for those that are not (NEVLP-style; NLIP, Huang et al. 2023. The exact regulariser
    is not public).

    A pair's loss, the mean of both directions in nats, is kept per sample. At the start of each epoch from
    `warmup_epochs` on, a mixture of two normal distributions is fitted to the losses seen so far; the posterior of
    the higher one is the noise. Losses, noise and the epoch are state, and those of all processes are put together
    before the fit.
    """

    loss_s: Tensor
    noise_s: Tensor

    def __init__(
        self, *, samples: int, strength: float = 0.5, warmup_epochs: int = 1, mixture: Mixture | None = None
    ) -> None:
        """samples: size of the table; a sample's place is `Batch.keys["sample"]` modulo it, so give the size of the
        training set, or fewer and let samples share. strength: lambda in [0, 1]."""
        super().__init__()
        if samples < 1 or not 0 <= strength <= 1 or warmup_epochs < 1:
            raise ConfigError(
                f"NoiseSmooth: samples {samples}, strength {strength}, warmup_epochs {warmup_epochs}; needs samples "
                "and warmup_epochs of at least 1 and a strength in [0, 1]"
            )
        self.samples, self.strength, self.warmup_epochs = samples, strength, warmup_epochs
        self.mixture = Mixture() if mixture is None else mixture
        self.register_buffer("loss_s", torch.full((samples,), torch.nan))
        self.register_buffer("noise_s", torch.zeros(samples))

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        own = {"amount": self.strength * self.noise_s[self._places(step, batch_rows_n)]}
        return own, own

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        return off_diagonal(rows, cols, rows.side("amount").to(dtype), cols.side("amount").to(dtype))

    @torch.no_grad()
    def observe(self, step: Step, batch_rows_n: Tensor, surprise_n: Tensor) -> None:
        self.loss_s[self._places(step, batch_rows_n)] = surprise_n.to(self.loss_s.dtype)

    @torch.no_grad()
    def on_epoch(self, epoch: int) -> None:
        if dist.is_available() and dist.is_initialized():
            self._put_together()
        seen_s = self.loss_s.isfinite()
        if epoch >= self.warmup_epochs and bool(seen_s.any()):
            self.noise_s.zero_()
            self.noise_s[seen_s] = self.mixture(self.loss_s[seen_s]).to(self.noise_s.dtype)

    def _places(self, step: Step, batch_rows_n: Tensor) -> Tensor:
        return step.batch.keys["sample"][batch_rows_n].remainder(self.samples).to(self.loss_s.device)

    def _put_together(self) -> None:
        """A sample's loss is the mean of what the processes know of it. Collective."""
        seen_s = self.loss_s.isfinite().to(self.loss_s.dtype)
        sum_s = self.loss_s.nan_to_num(0.0)
        dist.all_reduce(seen_s)
        dist.all_reduce(sum_s)
        self.loss_s.copy_(torch.where(seen_s > 0, sum_s / seen_s.clamp_min(1), torch.nan))
