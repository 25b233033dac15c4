"""Episodes of a hypernetwork. Legend: n = rows, Q = queries, D, E = widths."""

import math

import pytest
import torch

from core.encoders import VectorMLP
from core.errors import ConfigError
from core.models import DualEncoder, Projector, ProjectorHypernet
from core.objectives import FewShotAlignment, FixedScale, Step
from core.objectives.few_shot import matched
from core.types import Batch, ModalityInput

D, E, ROWS = 6, 4, 12


def make():
    torch.manual_seed(0)
    encoders = {"a": VectorMLP(features=D), "b": VectorMLP(features=D), "text": VectorMLP(features=E)}
    hypernet = ProjectorHypernet(width=D, dim=E, text_width=E, rank=2)
    for layer in hypernet.generators:
        torch.nn.init.normal_(layer.weight, std=0.3)
    return DualEncoder(
        encoders=encoders, modalities={m: m for m in encoders}, dim=E,
        projections={"a": Projector(width=D, dim=E), "b": "a", "text": torch.nn.Identity()},
        heads={"hypernet": hypernet},
    ).eval()  # fmt: skip


def batch(rows=ROWS, present=None):
    rng = torch.Generator().manual_seed(1)
    present = {m: torch.ones(rows, dtype=torch.bool) for m in ("a", "b", "text")} | (present or {})
    inputs = {
        m: ModalityInput(torch.randn(int(p.sum()), D if m != "text" else E, generator=rng))
        for m, p in present.items()
        if bool(p.any())
    }
    return Batch([str(i) for i in range(rows)], inputs, present, keys={"text": torch.arange(rows) // 2})


def step(model, data, seed=0):
    return Step(model=model, batch=data, index=0, generator=torch.Generator().manual_seed(seed))


class Spy(FewShotAlignment):
    def score(self, step, projected, text_rows, batch_rows):
        self.seen = projected.detach(), text_rows, batch_rows
        return super().score(step, projected, text_rows, batch_rows)


def test_equal_vectors_cost_the_logarithm_of_the_queries_and_equal_contents_share_the_target():
    a = torch.ones(6, 3)
    loss, accuracy = matched(a, a, torch.arange(6), torch.tensor(10.0))
    assert loss.item() == pytest.approx(math.log(6), abs=1e-6)
    eye, ids = torch.eye(4), torch.tensor([0, 0, 1, 2])
    loss, accuracy = matched(eye, eye, ids, torch.tensor(2.0))
    # by hand: rows 0 and 1 have targets 1/2, 1/2; log-sum-exp is ln(e^2 + 3) everywhere
    lse = math.log(math.exp(2) + 3)
    assert loss.item() == pytest.approx((2 * (lse - 1) + 2 * (lse - 2)) / 4, abs=1e-6)
    assert accuracy.item() == 1


def test_support_and_queries_are_different_rows_and_the_draw_follows_the_generator():
    model, term = make(), Spy(modalities=["a"], text="text", support=5)
    first = term(step(model, batch()))["loss"]
    rows = term.seen[2]
    assert len(rows) == ROWS - 5 == len(set(rows.tolist()))
    torch.testing.assert_close(term(step(model, batch()))["loss"], first, rtol=0, atol=0)
    assert term(step(model, batch(), seed=1))["loss"] != first


def test_the_texts_of_queries_never_reach_the_projector():
    model, term = make(), Spy(modalities=["a"], text="text", support=5)
    data = batch()
    term(step(model, data))
    projected, rows = term.seen[0], term.seen[2]
    data.inputs["text"].x[rows] += 5
    term(step(model, data))
    torch.testing.assert_close(term.seen[0], projected, rtol=0, atol=0)
    others = torch.tensor([i for i in range(ROWS) if i not in rows.tolist()])
    data.inputs["text"].x[others] += torch.randn(len(others), E)
    term(step(model, data))
    assert not torch.allclose(term.seen[0], projected)


def test_a_turned_space_is_another_encoder_of_the_same_rows():
    model = make()
    turned, plain = (Spy(modalities=["a"], text="text", rotate=r) for r in (True, False))
    turned(step(model, batch()))
    plain(step(model, batch()))
    assert torch.equal(turned.seen[2], plain.seen[2])  # the same rows are asked
    assert not torch.allclose(turned.seen[0], plain.seen[0])


def test_only_the_hypernetwork_and_the_projector_learn():
    model, term = make(), FewShotAlignment(modalities=["a", "b"], text="text", scale=FixedScale(temperature=0.1))
    term(step(model, batch()))["loss"].backward()
    touched = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert touched == {"heads", "projections"}


def test_every_known_sensor_has_its_turn_and_rows_without_it_are_left_out():
    model = make()
    lacks = {"b": torch.arange(ROWS) < 6}
    term, sizes = Spy(modalities=["a", "b"], text="text", support=2), set()
    for seed in range(20):
        term(step(model, batch(present=lacks), seed=seed))
        sizes.add(len(term.seen[2]))
    assert sizes == {ROWS - 2, 6 - 2}


def test_too_few_rows_are_an_exact_zero_with_a_graph():
    model = make()
    nobody = {"a": torch.arange(ROWS) < 3}
    loss = FewShotAlignment(modalities=["a"], text="text")(step(model, batch(present=nobody)))["loss"]
    loss.backward()
    assert loss.item() == 0


def test_settings_and_models_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="support 0"):
        FewShotAlignment(modalities=["a"], text="text", support=0)
    with pytest.raises(ConfigError, match="the projection of 'text' a Identity"):
        FewShotAlignment(modalities=["text"], text="text")(step(make(), batch()))
    with pytest.raises(ConfigError, match="no encoder reads the modality 'c'"):
        FewShotAlignment(modalities=["c"], text="text")(step(make(), batch()))
