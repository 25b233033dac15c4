"""MultiMAE and 4M on tiny adapters and one shared transformer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.encoders import ImageTransformer, PatchAdapter, TokenAdapter
from core.errors import ConfigError
from core.fusion import JointTransformer
from core.models import DualEncoder
from core.objectives import (
    ClassCE,
    CodeDecoder,
    Component,
    CrossModalMasked,
    DirichletBudget,
    GridCodes,
    LearnedUncertainty,
    MixtureBudget,
    MultiModalMasked,
    PatchTask,
    PerModality,
    PerToken,
    PixelL1,
    SpanCodes,
    Step,
)
from core.objectives.tokens.joint_tokens import Part, encode_visible, run_joint
from core.objectives.tokens.patches import patchify
from core.types import Batch, ModalityInput

pytestmark = pytest.mark.usefixtures("seeded")
INPUTS = ["rgb", "depth"]


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_step(model, batch: Batch, seed: int = 0) -> Step:
    return Step(model=model, batch=batch, index=0, generator=gen(seed))


# MultiMAE


def images(rows: int = 3, *, depth_rows: tuple[int, ...] | None = None, dtype=torch.float32) -> Batch:
    have = torch.ones(rows, dtype=torch.bool)
    if depth_rows is not None:
        have = torch.tensor([i in depth_rows for i in range(rows)])
    rgb = torch.randn(rows, 1, 6, 6, generator=gen(1), dtype=dtype)
    depth = torch.randn(rows, 1, 6, 6, generator=gen(2), dtype=dtype)[have]
    inputs = {"rgb": ModalityInput(rgb)} | ({"depth": ModalityInput(depth)} if len(depth) else {})
    return Batch([str(i) for i in range(rows)], inputs, {"rgb": torch.ones(rows, dtype=torch.bool), "depth": have})


def multi_model(deep: bool = False) -> DualEncoder:
    adapter = {"size": (6, 6), "patch": (2, 2), "channels": 1, "width": 12}
    deeper = ImageTransformer(image_size=6, patch=2, channels=1, width=12, depth=1, heads=2)
    return DualEncoder(
        encoders={"rgb": PatchAdapter(**adapter), "depth": deeper if deep else PatchAdapter(**adapter)},
        modalities={"rgb": "rgb", "depth": "depth"},
        dim=4,
        fusion=JointTransformer(width=8, depth=1, heads=2, inputs=dict.fromkeys(INPUTS, 12)),
    )


def task(modality: str, **kwargs) -> PatchTask:
    sizes = {"patch": (2, 2), "grid": (3, 3), "channels": 1, "width": 12, "depth": 1, "heads": 2}
    return PatchTask(modality=modality, inputs=INPUTS, input_width=8, **sizes, **kwargs)


def multi_term(visible: int = 6, **kwargs) -> MultiModalMasked:
    tasks = {"rgb": task("rgb"), "depth": task("depth", patch_loss=PixelL1())}
    return MultiModalMasked(tasks=tasks, budget=DirichletBudget(visible=visible, **kwargs))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("depth_rows", [None, (1,), ()])
def test_multimae_gradients_agree_with_finite_differences(deep, depth_rows, slopes_agree):
    model, term = multi_model(deep).double(), multi_term().double()
    batch = images(depth_rows=depth_rows, dtype=torch.float64)
    slopes_agree(lambda: term(make_step(model, batch))["loss"], [*model.parameters(), *term.parameters()])


@pytest.mark.parametrize("deep", [False, True])
def test_a_row_sees_the_same_alone_as_in_a_batch_of_rows_with_other_budgets(deep):
    """Fillers and packing must not change what a row's tokens become."""
    model = multi_model(deep).double()
    batch = images(dtype=torch.float64)
    encoders = {m: model.encoder_of(m) for m in INPUTS}
    tokens = {m: encoders[m].embed(batch.inputs[m]) for m in INPUTS}
    real = {m: torch.ones(3, 9, dtype=torch.bool) for m in INPUTS}
    drawn = DirichletBudget(visible=6, alpha=0.3).draw(real, generator=gen(4))
    assert len(set(drawn["rgb"].real.sum(1).tolist())) > 1
    parts = {}
    for m in INPUTS:
        x = encode_visible(encoders[m], tokens[m], drawn[m].keep, drawn[m].real)
        parts[m] = Part(x, drawn[m].keep, drawn[m].real)
    joint = run_joint(model.fusion, parts)
    assert joint.x.shape == (3, 6, 8)
    for i in range(3):
        alone = []
        for m in INPUTS:
            keep = drawn[m].keep[i, drawn[m].real[i]][None]
            encoded = model.encode(m, batch.inputs[m].rows(torch.tensor([i])), keep=keep).tokens
            alone.append(model.fusion.enter(m, encoded.x[:, encoded.prefix :]))
        expected, _ = model.fusion.run(torch.cat(alone, dim=1))
        torch.testing.assert_close(joint.x[i], expected[0], rtol=1e-10, atol=1e-10)
        for number, m in enumerate(INPUTS):
            mine = joint.kind[i] == number
            torch.testing.assert_close(joint.parts[m].x[i, drawn[m].real[i]], joint.x[i, mine])
            assert torch.equal(joint.place[i, mine], drawn[m].keep[i, drawn[m].real[i]])


def test_predicting_zero_costs_the_mean_over_rows_of_the_mean_over_hidden_patches():
    model, term, batch = multi_model(), multi_term(), images()
    for one in term.tasks.values():
        nn.init.zeros_(one.predict.weight)
    values = term(make_step(model, batch))
    tokens = {m: model.encoder_of(m).embed(batch.inputs[m]) for m in INPUTS}
    hidden = {m: s.hidden for m, s in term.hide(make_step(model, batch), tokens).items()}
    for m, power in (("rgb", 2), ("depth", 1)):
        error = patchify(batch.inputs[m].x, (2, 2)).abs().pow(power).mean(-1)
        rows = [error[i][hidden[m][i]].mean() for i in range(3) if hidden[m][i].any()]
        torch.testing.assert_close(values[m].detach(), torch.stack(rows).mean())
    torch.testing.assert_close(values["loss"], values["rgb"] + values["depth"])


def test_hidden_pixels_do_not_reach_predictions_and_visible_ones_of_any_modality_do():
    model, term, batch = multi_model(), multi_term(), images()
    for m in INPUTS:
        batch.inputs[m].x.requires_grad_()
    seen = {}
    one = term.tasks["rgb"]
    one.register_forward_hook(lambda module, args, out: seen.setdefault("out", out))
    step = make_step(model, batch)
    term(step)
    seen["out"].square().sum().backward()
    tokens = {m: model.encoder_of(m).embed(batch.inputs[m]) for m in INPUTS}
    shown = term.hide(make_step(model, batch), tokens)
    for m in INPUTS:
        per_patch = patchify(batch.inputs[m].x.grad, (2, 2)).abs().sum(-1)
        assert not per_patch[shown[m].hidden].any()
        assert (per_patch[shown[m].visible] > 0).all()


def test_everything_visible_is_an_exact_zero_without_nan():
    model, term = multi_model(), multi_term(visible=18)
    values = term(make_step(model, images()))
    values["loss"].backward()
    assert values["loss"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_rows_that_are_fully_visible_in_one_task_get_no_nan_gradient():
    model, term = multi_model(), multi_term(visible=9, alpha={"rgb": 1e5, "depth": 1e-5})
    values = term(make_step(model, images()))
    values["loss"].backward()
    assert set(values) == {"loss", "depth"}  # nothing of rgb is hidden
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_modality_that_a_row_lacks_is_not_asked_for():
    model, term = multi_model(), multi_term()
    loss = term(make_step(model, images(depth_rows=())))
    assert set(loss) == {"loss", "rgb"}
    loss["loss"].backward()
    nothing = images()
    nothing.inputs.clear()
    zero = term(make_step(model, nothing))["loss"]
    assert zero == 0
    assert zero.requires_grad


def test_learned_uncertainty_starts_as_the_sum_and_is_smallest_at_log_of_the_loss():
    balance = LearnedUncertainty(tasks=["a", "b"]).double()
    losses = {"a": torch.tensor(2.0).double(), "b": torch.tensor(0.5).double()}
    assert balance(losses).item() == pytest.approx(2.5)
    with torch.no_grad():
        balance.log_variance["a"].fill_(math.log(2.0))
        balance.log_variance["b"].fill_(math.log(0.5))
    balance(losses).backward()
    assert all(abs(p.grad.item()) < 1e-12 for p in balance.parameters())  # exp(-s) L + s is flat at s = ln L
    with pytest.raises(ConfigError, match="does not name 'c'"):
        balance({"c": losses["a"]})


def test_class_maps_are_predicted_with_unlabelled_pixels_left_out():
    model, batch = multi_model(), images()
    ids = torch.randint(-1, 3, (3, 1, 6, 6), generator=gen(3)).float()
    ids[0] = -1
    batch.inputs["depth"] = ModalityInput(ids)
    term = MultiModalMasked(
        tasks={"classes": task("depth", patch_loss=ClassCE(classes=3))}, budget=DirichletBudget(visible=6)
    )
    nn.init.zeros_(term.tasks["classes"].predict.weight)
    assert term(make_step(model, batch))["loss"].item() == pytest.approx(math.log(3), abs=1e-6)


def test_parts_that_do_not_fit_are_named():
    model = multi_model()
    wide = PatchTask(modality="rgb", inputs=INPUTS, input_width=8, patch=(3, 3), grid=(2, 2), channels=1, width=8)
    term = MultiModalMasked(tasks={"rgb": wide}, budget=DirichletBudget(visible=6))
    with pytest.raises(ConfigError, match="cuts 'rgb' into 4 patches, its encoder into 9 tokens"):
        term(make_step(model, images()))
    model.fusion = None
    with pytest.raises(ConfigError, match=r"needs core\.fusion\.JointTransformer as model\.fusion, which is not set"):
        multi_term()(make_step(model, images()))


# 4M

VOCAB = {"codes": 20, "text": 40}


def code_model() -> DualEncoder:
    return DualEncoder(
        encoders={
            "codes": TokenAdapter(vocab_size=20, grid=(4, 4), width=12),
            "text": TokenAdapter(vocab_size=40, grid=(12,), width=12),
        },
        modalities={"codes": "codes", "text": "text"},
        dim=4,
        fusion=JointTransformer(width=12, depth=1, heads=2, inputs={"codes": 12, "text": 12}),
    )


def code_term(reduction=None, inputs: int = 8, targets: int = 8) -> CrossModalMasked:
    every = {"codes": 1.0, "text": 1.0}
    tasks = {
        "codes": GridCodes(vocab_size=20, grid=(4, 4), width=12),
        "text": SpanCodes(vocab_size=40, max_length=20, width=12, first_sentinel=30, sentinels=10),
    }
    return CrossModalMasked(
        decoder=CodeDecoder(tasks=tasks, input_width=12, width=12, depth=1, heads=2),
        budget=MixtureBudget(inputs=inputs, targets=targets, components=[Component(inputs=every, targets=every)]),
        reduction=reduction,
    )


def codes(rows: int = 4) -> Batch:
    text = torch.randint(5, 30, (rows, 10), generator=gen(1))
    mask = torch.arange(10) < torch.randint(4, 11, (rows, 1), generator=gen(2))
    have = torch.ones(rows, dtype=torch.bool)
    have[0] = False
    inputs = {
        "codes": ModalityInput(torch.randint(0, 20, (rows - 1, 4, 4), generator=gen(3))),
        "text": ModalityInput(text, mask),
    }
    return Batch([str(i) for i in range(rows)], inputs, {"codes": have, "text": torch.ones(rows, dtype=torch.bool)})


@pytest.mark.parametrize("reduction", [PerModality, PerToken])
def test_4m_gradients_agree_with_finite_differences(reduction, slopes_agree):
    model, term, batch = code_model().double(), code_term(reduction()).double(), codes()
    slopes_agree(lambda: term(make_step(model, batch))["loss"], [*model.parameters(), *term.parameters()])


def test_undecided_heads_cost_the_log_of_each_vocabulary_by_token_or_by_modality():
    model, batch = code_model(), codes()
    for reduction in (PerModality(), PerToken()):
        term = code_term(reduction)
        for head in term.decoder.classes.values():
            nn.init.zeros_(head.weight)
        step = make_step(model, batch)
        counts = {m: int(d.wanted.sum()) for m, d in term.draw(step, ["codes", "text"]).items()}
        values = term(make_step(model, batch))
        assert all(values[m].item() == pytest.approx(math.log(VOCAB[m]), abs=1e-5) for m in VOCAB)
        if isinstance(reduction, PerModality):
            expected = sum(math.log(v) for v in VOCAB.values()) / 2
        else:
            # weighted by tokens; the released code weighs by tokens times vocabulary
            expected = sum(counts[m] * math.log(v) for m, v in VOCAB.items()) / sum(counts.values())
            logits = {m: counts[m] * v for m, v in VOCAB.items()}
            wrong = sum(logits[m] * math.log(v) for m, v in VOCAB.items()) / sum(logits.values())
            assert abs(expected - wrong) > 0.01
        assert values["loss"].item() == pytest.approx(expected, abs=1e-5)


def test_an_empty_modality_counts_as_zero_in_the_mean_over_modalities():
    losses = {"a": torch.tensor([1.0, 3.0]), "b": torch.zeros(0)}
    assert PerModality()(losses) == 1.0
    assert PerToken()(losses) == 2.0


def test_targets_of_a_sequence_see_nothing_later_and_those_of_a_grid_see_one_another():
    model, term, batch = code_model().double(), code_term().double(), codes()
    draws = term.draw(make_step(model, batch), ["codes", "text"])
    wide = {m: term._to_batch(make_step(model, batch), m, d) for m, d in draws.items()}
    joint = run_joint(model.fusion, {m: term._part(make_step(model, batch), m, d) for m, d in draws.items()})
    before = term.decoder(joint, wide)
    row = int(wide["text"].wanted.sum(1).argmax())
    last = int(wide["text"].wanted[row].sum()) - 1
    assert last >= 2
    wide["text"].given[row, last] = (wide["text"].given[row, last] + 1) % 30
    after = term.decoder(joint, wide)
    assert torch.equal(before["text"][row, :last], after["text"][row, :last])
    assert not torch.equal(before["text"][row, last], after["text"][row, last])
    assert torch.equal(before["codes"], after["codes"])  # modalities meet in the encoder only
    wide["codes"].place[1, 0] = (wide["codes"].place[1, 0] + 1) % 16
    moved = term.decoder(joint, wide)
    assert not torch.equal(moved["codes"][1, 1], after["codes"][1, 1])


def test_4m_loses_nothing_of_a_row_that_lacks_a_modality_and_no_row_gives_zero():
    model, term, batch = code_model(), code_term(), codes()
    draws = term.draw(make_step(model, batch), ["codes", "text"])
    assert len(draws["codes"].target) == 3
    batch.inputs.pop("codes")
    batch.present["codes"][:] = False
    assert set(term(make_step(model, batch))) == {"loss", "text"}
    batch.inputs.clear()
    zero = term(make_step(model, batch))["loss"]
    zero.backward()
    assert zero == 0
    assert all(not p.grad.any() for p in model.parameters())


def test_bfloat16_autocast_gives_float32_losses_close_to_exact_ones():
    for model, term, batch in ((multi_model(), multi_term(), images()), (code_model(), code_term(), codes())):
        exact = term(make_step(model, batch))["loss"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = term(make_step(model, batch))["loss"]
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact, rtol=0, atol=0.05)
