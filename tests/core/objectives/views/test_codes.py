"""Views through codes and words against their definitions; padding; temperature; sparsity."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.models import Codebook, QueryMap
from core.nn import sparsemax
from core.objectives import BatchKeys, DiscreteTokens, FixedScale, Lexical, Pair, Staircase
from core.objectives.views.codes import top_words
from core.types import ModalityInput


def heads(codes: int = 7, **more: nn.Module) -> dict[str, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return {
            "codes": Codebook(codes=codes, dim=4),
            "ask_a": QueryMap(width=6, dim=4),
            "ask_b": QueryMap(width=6, dim=4),
            "words": Codebook(codes=9, dim=4),
            "map_a": nn.Linear(6, 4),
            **more,
        }


def inputs(rng, rows=5, lengths=None, fill=None) -> dict[str, ModalityInput]:
    x, y = torch.randn(rows, 4, 6, generator=rng), torch.randn(rows, 3, 6, generator=rng)
    mask = None if lengths is None else torch.arange(4) < torch.tensor(lengths)[:, None]
    if fill is not None:
        x[~mask] = fill
    return {"a": ModalityInput(x, mask), "b": ModalityInput(y)}


def tokens(modality: str, temperature: float = 1.0) -> DiscreteTokens:
    return DiscreteTokens(
        modality=modality, query=f"ask_{modality}", temperature=Staircase(start=temperature, floor=1e-9)
    )


def test_discrete_tokens_follow_their_definition(make_token_step, rng):
    step = make_token_step(inputs(rng, lengths=[4, 2, 1, 3, 4]), heads=heads())
    x, mask = step.input("a").x, step.input("a").mask
    code = step.head("codes")()
    match = (step.head("ask_a")(x) @ code.T).masked_fill(~mask[..., None], -torch.inf).amax(1)
    want = sparsemax(match / 2 / 0.3) @ code
    torch.testing.assert_close(tokens("a", 0.3)(step).x, want, rtol=0, atol=1e-5)


def test_padding_is_masked_not_zeroed(make_token_step, rng):
    """A zeroed pad would lift every negative match to 0, the fault of the released code."""
    given = inputs(rng, lengths=[4, 2, 1, 3, 4], fill=torch.nan)
    step = make_token_step(given, heads=heads())
    with torch.no_grad():
        step.head("codes").weight.copy_(-step.head("ask_a")(given["a"].x[2, :1]).expand(7, -1))
    match = tokens("a").weights(step)
    assert match.isfinite().all()
    raw = step.memo(("matches", "a", "ask_a", "codes"), lambda: None)
    assert (raw[2] < 0).all()
    tokens("a")(step).x.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in step.model.parameters())


def test_an_infinite_temperature_or_a_single_code_costs_the_log_of_the_pairs(make_token_step, rng):
    for temperature, codes in ((1e9, 7), (1.0, 1)):
        step = make_token_step(inputs(rng), heads=heads(codes))
        views = [tokens(m, temperature) for m in ("a", "b")]
        weight = views[0].weights(step)
        torch.testing.assert_close(weight, torch.full_like(weight, 1 / codes), rtol=0, atol=1e-6)
        term = Pair(rows=views[0], keys=views[1], scale=FixedScale(temperature=0.1), columns=BatchKeys())
        assert term(step)["loss"].item() == pytest.approx(math.log(5), abs=1e-4)


def test_a_low_temperature_picks_one_code(make_token_step, rng):
    step = make_token_step(inputs(rng), heads=heads())
    weight = tokens("a", 1e-4).weights(step)
    assert weight.amax(1).tolist() == pytest.approx([1] * 5)
    assert weight.count_nonzero() == 5


def test_gradients_reach_codes_queries_and_tokens_and_are_exact(make_token_step, rng):
    given = inputs(rng, rows=2, lengths=[4, 2])
    given = {m: ModalityInput(i.x.double(), i.mask) for m, i in given.items()}
    step = make_token_step(given, heads=heads())
    parameters = [step.model.heads["codes"].weight, *step.model.heads["ask_a"].parameters()]

    def value(*_):
        step._memo.clear()
        return tokens("a", 2.0)(step).x

    assert torch.autograd.gradcheck(value, parameters)


def test_the_staircase_is_a_function_of_the_step(make_token_step, rng):
    stairs = Staircase(start=1000, factor=0.5, every=10, floor=100)
    assert [stairs.value(i) for i in (0, 9, 10, 25, 40, 10**6)] == [1000, 1000, 500, 250, 100, 100]
    assert Staircase().value(10**6) == 1000
    view = DiscreteTokens(modality="a", query="ask_a", temperature=stairs)
    early, late = (make_token_step(inputs(rng), heads=heads(), index=i) for i in (0, 30))
    late.batch.inputs.update(early.batch.inputs)
    assert not torch.equal(view.weights(early), view.weights(late))


def test_lexical_weights_follow_their_definition_and_are_never_negative(make_token_step, rng):
    step = make_token_step(inputs(rng, lengths=[4, 2, 1, 3, 0]), heads=heads())
    x, mask = step.input("a").x, step.input("a").mask
    z = (step.head("map_a")(x) @ step.head("words")().T).masked_fill(~mask[..., None], -torch.inf)
    want = z.relu().log1p().amax(1)
    got = Lexical(modality="a", mapper="map_a")(step).x
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    assert (got >= 0).all()
    assert not got[4].any()  # nothing was said


def test_the_top_words_are_kept_and_nothing_else():
    weight = torch.tensor([[0.1, 3.0, 0.0, 2.0], [1.0, 0.5, 0.7, 0.2]])
    kept = top_words(weight, 2)
    assert kept.tolist() == [[0.0, 3.0, 0.0, 2.0], [1.0, 0.0, pytest.approx(0.7), 0.0]]
    assert top_words(weight, 9) is weight
