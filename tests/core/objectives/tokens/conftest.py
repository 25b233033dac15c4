"""What the tests of token terms share: a check of gradients of whole models, and a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor


@pytest.fixture
def slopes_agree() -> Callable[[Callable[[], Tensor], Sequence[Tensor]], None]:
    """Central differences along three random directions of all parameters at once, in float64."""

    def check(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> None:
        parameters = [p for p in parameters if p.requires_grad]
        grads = torch.autograd.grad(loss(), parameters, allow_unused=True)
        assert any(g is not None and g.any() for g in grads)
        rng = torch.Generator().manual_seed(3)
        for _ in range(3):
            direction = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in parameters]
            slope = sum((g * d).sum() for g, d in zip(grads, direction, strict=True) if g is not None)
            values = []
            with torch.no_grad():
                for side in (1e-6, -2e-6):
                    for p, d in zip(parameters, direction, strict=True):
                        p += side * d
                    values.append(loss())
                for p, d in zip(parameters, direction, strict=True):
                    p += 1e-6 * d
            torch.testing.assert_close((values[0] - values[1]) / 2e-6, slope, rtol=1e-5, atol=1e-8)

    return check


@pytest.fixture
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield
