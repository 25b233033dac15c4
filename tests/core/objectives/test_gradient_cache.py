"""A step in micro-batches: the whole batch's values and gradients, for the memory of one micro-batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.errors import ConfigError
from core.objectives import CachedStep, CosineRegression, CrossConsistency, LogScale, Objective, Pair, Sigmoid, Step
from core.objectives.gradient_cache import concatenated
from core.types import Encoded, Tokens


def objective() -> Objective:
    terms = [
        Pair(rows="a", keys="b", scale=LogScale(init=5.0)),
        Pair(rows="a", keys="b", scale=LogScale(init=5.0, bias=-1.0), divergence=Sigmoid(), name="sigmoid"),
        CrossConsistency(rows="a", keys="b"),
        CosineRegression(online="a", target="b"),
    ]
    return Objective(terms=terms, weights=[1.0, 0.5, 0.25, 0.5]).double()


def gradients(model: nn.Module, step: Step) -> dict[str, torch.Tensor]:
    whole = objective()
    total, _ = whole(step)
    total.backward()
    found = {"loss": total.detach()}
    for part in (model, whole):
        found |= {name: p.grad for name, p in part.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
def test_values_and_gradients_are_those_of_the_whole_batch(two_towers, make_batch, rng, rows):
    """Also of the scale and its bias: released gradient accumulation counts theirs once per micro-batch."""
    model = two_towers.double()
    has_b = torch.tensor([1, 1, 0, 1, 1, 1, 1, 1, 0, 1]).bool()
    batch = make_batch(*(torch.randn(n, 6, generator=rng, dtype=torch.float64) for n in (10, 8)), None, has_b)
    want = gradients(model, Step(model=model, batch=batch, index=0, generator=rng))
    got = gradients(model, CachedStep(model=model, batch=batch, index=0, generator=rng, micro_batch=rows))
    assert {"terms.a-b.scale.log_scale", "terms.sigmoid.scale.bias"} <= set(want)
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-12)
        assert value.abs().max() > 1e-6


def test_the_scales_gradient_summed_over_recomputed_losses_would_be_too_large(two_towers, make_batch, rng):
    """What the erratum does: the whole loss once per micro-batch, its part of the features live each time. Encoders get
    the right gradient, the scale gets it twice for two micro-batches."""
    model = two_towers.double()
    batch = make_batch(*(torch.randn(6, 6, generator=rng, dtype=torch.float64) for _ in range(2)))
    term = Pair(rows="a", keys="b").double()
    step = Step(model=model, batch=batch, index=0, generator=rng)
    live = {m: step.embedding(m) for m in "ab"}
    kept = {m: x.detach() for m, x in live.items()}
    for part in (slice(0, 3), slice(3, 6)):
        again = Step(model=model, batch=batch, index=0, generator=rng)
        for m in "ab":
            mixed = kept[m].clone()
            mixed[part] = live[m][part]
            again._memo["embedding", m] = mixed
        term(again)["loss"].backward(retain_graph=True)
    faulty, faulty_weight = term.scale.log_scale.grad.clone(), model.encoders["a"].linear.weight.grad.clone()
    model.zero_grad()
    term.zero_grad()
    term(CachedStep(model=model, batch=batch, index=0, generator=rng, micro_batch=3))["loss"].backward()
    torch.testing.assert_close(model.encoders["a"].linear.weight.grad, faulty_weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(faulty, 2 * term.scale.log_scale.grad, rtol=0, atol=1e-12)


class Deep(nn.Module):
    """Ten wide layers with dropout: activations are far larger than features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.3))]
        )

    def forward(self, inp):
        return Encoded(pooled=self.layers(inp.x))


@pytest.fixture
def deep(two_towers):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        two_towers.encoders = nn.ModuleDict({m: Deep() for m in "ab"})
        two_towers.projections = nn.ModuleDict({m: nn.Linear(64, 8) for m in "ab"})
    return two_towers


def test_only_features_are_kept_between_forward_and_backward(deep, make_batch, rng):
    batch = make_batch(*(torch.randn(256, 64, generator=rng) for _ in range(2)))

    def kept(make) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            loss = Pair(rows="a", keys="b")(make())["loss"]
        loss.backward()
        return sum(sizes)

    arguments = {"model": deep, "batch": batch, "index": 0, "generator": rng}
    whole = kept(lambda: Step(**arguments))
    assert kept(lambda: CachedStep(**arguments, micro_batch=32)) < whole / 8


def test_dropout_draws_the_same_numbers_when_a_part_is_made_again(deep, make_batch, rng):
    batch = make_batch(*(torch.randn(12, 64, generator=rng) for _ in range(2)))
    with torch.random.fork_rng():
        torch.manual_seed(4)
        step = CachedStep(model=deep, batch=batch, index=0, generator=rng, micro_batch=4)
        loss = Pair(rows="a", keys="b")(step)["loss"]
        torch.manual_seed(99)  # whatever happens in between
        loss.backward()
        got = {name: p.grad.clone() for name, p in deep.named_parameters()}
        deep.zero_grad()
        torch.manual_seed(4)
        parts = {
            m: torch.cat([deep.encoders[m](step.input(m).rows(r)).pooled for r in torch.arange(12).split(4)])
            for m in "ab"
        }
        plain = Step(model=deep, batch=batch, index=0, generator=rng)
        for m in "ab":
            plain._memo["encoded", m] = Encoded(pooled=parts[m])
        Pair(rows="a", keys="b")(plain)["loss"].backward()
    for name, p in deep.named_parameters():
        torch.testing.assert_close(got[name], p.grad, rtol=0, atol=1e-6)


def test_tokens_of_parts_are_padded_to_the_longest(rng):
    one = Encoded(torch.ones(2, 3), Tokens(torch.ones(2, 4, 3), None, prefix=1))
    two = Encoded(torch.zeros(1, 3), Tokens(torch.ones(1, 2, 3), torch.tensor([[True, False]]), prefix=1))
    whole = concatenated([one, two])
    assert whole.pooled.shape == (3, 3)
    assert whole.tokens.x.shape == (3, 4, 3)
    assert whole.tokens.prefix == 1
    assert whole.tokens.mask.tolist() == [[True] * 4, [True] * 4, [True, False, False, False]]
    assert concatenated([one, one]).tokens.mask is None


def test_layers_and_feature_maps_of_parts_are_put_together():
    part = Encoded(torch.ones(2, 3), None, {4: torch.ones(2, 5)}, [torch.ones(2, 1, 4, 4), torch.ones(2, 1, 2, 2)])
    whole = concatenated([part, part])
    assert whole.layers[4].shape == (4, 5)
    assert [x.shape[0] for x in whole.pyramid] == [4, 4]
    assert whole.tokens is None


def test_a_micro_batch_without_rows_is_refused(two_towers, make_batch, rng):
    batch = make_batch(torch.randn(2, 6, generator=rng), torch.randn(2, 6, generator=rng))
    with pytest.raises(ConfigError, match="micro_batch is 0; give the rows of one forward"):
        CachedStep(model=two_towers, batch=batch, index=0, generator=rng, micro_batch=0)
