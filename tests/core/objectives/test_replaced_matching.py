"""Tuples with one part of another row: which are judged, which rows may serve, and what nothing costs."""

import math

import pytest
import torch
from torch import nn

from core.encoders import VectorMLP
from core.errors import ConfigError
from core.fusion import CrossEncoder
from core.models import DualEncoder
from core.objectives import FromFusionWith, ReplacedMatching, Step
from core.objectives.tokens.sources import complete_rows, tokens_at
from core.types import Batch, ModalityInput


@pytest.fixture
def model():
    torch.manual_seed(0)
    encoders = {name: VectorMLP(features=3, widths=[8]) for name in ("text", "graph", "known")}
    fusion = CrossEncoder(width=8, depth=1, heads=2, inputs=dict.fromkeys(encoders, 8), optional=["known"], dropout=0.0)
    heads = {"match": nn.Linear(8, 2)}
    return DualEncoder(encoders=encoders, modalities={n: n for n in encoders}, dim=4, fusion=fusion, heads=heads)


def step_of(model, *, known=(1, 1, 1, 1), text=(1, 1, 1, 1), text_keys=(0, 1, 2, 3), seed=0):
    rng = torch.Generator().manual_seed(seed)
    present = {"text": torch.tensor(text).bool(), "graph": torch.ones(4).bool(), "known": torch.tensor(known).bool()}
    inputs = {n: ModalityInput(torch.randn(int(p.sum()), 2, 3, generator=rng)) for n, p in present.items() if p.any()}
    keys = {"sample": torch.arange(4), "text": torch.tensor(text_keys)}
    batch = Batch([str(i) for i in range(4)], inputs, present, keys=keys)
    return Step(model=model, batch=batch, index=0, generator=rng)


TERM = ReplacedMatching(modalities=["text", "graph"], optional=["known"])


def test_an_undecided_head_costs_ln_two(model):
    nn.init.zeros_(model.heads["match"].weight)
    nn.init.zeros_(model.heads["match"].bias)
    assert TERM(step_of(model))["loss"].item() == pytest.approx(math.log(2), abs=1e-6)


def test_true_tuples_come_first_and_false_ones_differ_in_one_part(model):
    step = step_of(model)
    seen = []
    model.fusion.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    TERM(step)
    (streams,) = seen
    own = {name: tokens_at(step, name, torch.arange(4)).x for name in streams}
    for name, tokens in streams.items():
        assert len(tokens.x) == 8
        torch.testing.assert_close(tokens.x[:4], own[name])
    changed = torch.stack([(streams[n].x[4:] != own[n]).flatten(1).any(1) for n in streams])
    assert changed.sum(0).tolist() == [1, 1, 1, 1]


def test_rows_of_equal_content_never_serve(model):
    step = step_of(model, text_keys=(5, 5, 5, 7))
    rows = torch.arange(4)
    for seed in range(20):
        step.generator.manual_seed(seed)
        assert TERM.partners(step, "graph", rows).tolist()[:3] == [3, 3, 3]
        assert TERM.partners(step, "graph", rows)[3] in (0, 1, 2)


def test_every_part_is_replaced_now_and_then_and_only_those_asked_for(model):
    names = {k for seed in range(12) for k in TERM(step_of(model, seed=seed)) if k.startswith("accuracy_")}
    assert names == {"accuracy_text", "accuracy_graph", "accuracy_known"}
    graph_only = ReplacedMatching(modalities=["text", "graph"], optional=["known"], replace=["graph"])
    assert set(graph_only(step_of(model))) == {"loss", "accuracy", "accuracy_graph"}


def test_a_row_that_lacks_an_optional_part_is_judged_without_it(model):
    values = {}
    for known in ((0, 1, 1, 1), (0, 0, 0, 0)):
        step = step_of(model, known=known)
        values[known] = TERM(step)["loss"]
        assert torch.isfinite(values[known])
    partner = TERM.partners(step_of(model, known=(0, 1, 0, 1)), "known", torch.arange(4))
    assert partner.tolist() == [-1, 3, -1, 1]  # nothing to replace; the only other row that has it


@pytest.mark.parametrize("how", [{"text": (1, 0, 0, 0), "text_keys": (0, -1, -1, -1)}, {"text": (0, 0, 0, 0)},
                                 {"text_keys": (1, 1, 1, 1)}])  # fmt: skip
def test_without_a_possible_replacement_the_loss_is_a_zero_with_a_graph(model, how):
    term = ReplacedMatching(modalities=["text", "graph"], replace=["text"])
    loss = term(step_of(model, **how))["loss"]
    loss.backward()
    assert loss.item() == 0


def test_one_row_without_text_still_serves_with_its_structure(model):
    step = step_of(model, text=(1, 1, 0, 1), text_keys=(0, 1, -1, 2))
    rows = complete_rows(step, ["text", "graph"])
    assert rows.tolist() == [0, 1, 3]
    drawn = {int(p) for s in range(30) for p in TERM.partners(_reseed(step, s), "graph", rows)}
    assert drawn == {0, 1, 2, 3}


def _reseed(step, seed):
    step.generator.manual_seed(seed)
    return step


def test_tokens_of_a_row_that_lacks_them_are_masked(model):
    step = step_of(model, known=(1, 0, 1, 0))
    found = tokens_at(step, "known", torch.tensor([2, 1, 0]))
    assert found.mask.tolist() == [[True, True], [False, False], [True, True]]
    torch.testing.assert_close(found.x[2], step.encoded("known").tokens.x[0])
    torch.testing.assert_close(found.x[0], step.encoded("known").tokens.x[1])


def test_the_source_reads_the_asking_stream_beside_all_partners(model):
    source = FromFusionWith(partners=["graph"], optional=["known"])
    step = step_of(model, known=(1, 0, 1, 1), text=(0, 1, 1, 1), text_keys=(-1, 1, 2, 3))
    rows = source.rows(step, "text")
    assert rows.tolist() == [0, 1, 2]
    found = source.tokens(step, "text", step.input("text").rows(rows))
    at = torch.tensor([1, 2, 3])
    expected = model.fusion({name: tokens_at(step, name, at) for name in ("text", "graph", "known")})
    torch.testing.assert_close(found.x, expected.streams["text"].x)


def test_faults_name_the_part():
    with pytest.raises(ConfigError, match="replace is \\['words'\\]; valid: text, graph"):
        ReplacedMatching(modalities=["text", "graph"], replace=["words"])
    with pytest.raises(ConfigError, match="name two at least"):
        ReplacedMatching(modalities=["text"])
    with pytest.raises(ConfigError, match="partners is empty"):
        FromFusionWith(partners=[])
