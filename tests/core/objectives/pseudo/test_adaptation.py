"""The loss of two towers that learn from pseudo-labels. Legend: V = rows, K = classes, H, W = pixels."""

import pytest
import torch
import torch.nn.functional as F

from core.encoders import ConvNet
from core.errors import ConfigError
from core.models import Towers, TowerSegmenter
from core.models.map_segmenter import ConvNeXtDecoder
from core.objectives.base import Objective, Step
from core.objectives.pseudo import AgreementFilter, CrossModalAdaptation
from core.objectives.teachers import FrozenTeacher
from core.training.tasks import Downstream
from core.types import Batch, ModalityInput

K, SIDE = 3, 8
SMALL = {"name": "resnet18", "options": {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}}


def make(seed=0):
    torch.manual_seed(seed)
    towers = {"a": ConvNet(channels=2, **SMALL), "b": ConvNet(channels=3, **SMALL)}
    decoders = {name: ConvNeXtDecoder(classes=K, channels=16, width=4, cells=2, depth=1) for name in towers}
    encoder = Towers(towers=towers, decoders=decoders).encoder_of_all(["a", "b"])
    return Downstream(TowerSegmenter(encoder=encoder), encoder=encoder, modality=["a", "b"])


def batch(rows=3, present=None):
    rng = torch.Generator().manual_seed(1)
    present = {m: torch.ones(rows, dtype=torch.bool) for m in "ab"} | (present or {})
    inputs = {
        m: ModalityInput(torch.randn(int(present[m].sum()), c, SIDE, SIDE, generator=rng))
        for m, c in (("a", 2), ("b", 3))
    }
    return Batch([str(i) for i in range(rows)], inputs, present)


def step(model, data, teachers=None):
    return Step(model=model, batch=data, index=0, generator=torch.Generator(), teachers=teachers)


def labeller():
    made = AgreementFilter()
    made.begin(classes=K, widths=[4, 4])
    return made


LABELS = torch.arange(3 * SIDE * SIDE).reshape(3, SIDE, SIDE) % (K + 1) - 1  # a quarter is unknown


def test_the_loss_is_cross_entropy_plus_the_divergence_from_the_other_towers_answer():
    model, data = make(), batch()
    for mimic in model.head.mimics.values():
        torch.nn.init.normal_(mimic.weight)
    term = CrossModalAdaptation(modalities=["a", "b"], labeller=labeller(), mimic=0.3)
    found = term.losses(step(model, data), data.inputs, LABELS, None)
    views = model.head.views(data.inputs, ["a", "b"])
    expected = 0.0
    for name, other in (("a", "b"), ("b", "a")):
        known = LABELS >= 0
        log_p = views[name].logits.log_softmax(1).movedim(1, -1)[known]
        ce = -log_p[torch.arange(len(log_p)), LABELS[known]].mean()
        p, q = views[other].logits.softmax(1), views[name].mimic.softmax(1)
        kl = (p * (p / q).log()).sum(1).mean()
        torch.testing.assert_close(found[f"ce_{name}"], ce)
        torch.testing.assert_close(found[f"kl_{name}"], kl)
        expected = expected + ce + 0.3 * kl
    torch.testing.assert_close(found["loss"], expected)
    assert found["labelled"].item() == pytest.approx(0.75)


def test_what_a_tower_learns_of_the_other_moves_the_other_by_nothing():
    model, data = make(), batch()
    for mimic in model.head.mimics.values():
        torch.nn.init.normal_(mimic.weight)
    term = CrossModalAdaptation(modalities=["a", "b"], labeller=labeller(), mimic=1.0)
    out = term.losses(step(model, data), data.inputs, torch.full_like(LABELS, -1), None)
    assert out["ce_a"].item() == out["ce_b"].item() == 0
    out["kl_a"].backward(retain_graph=True)
    touched = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(n.startswith("head.encoder.encoders.a.") for n in touched)
    assert "head.mimics.a.weight" in touched
    assert not any(".b." in n for n in touched)


def test_pixels_that_were_not_recorded_count_for_nothing():
    model, data = make(), batch()
    valid = torch.ones(3, SIDE, SIDE, dtype=torch.bool)
    valid[:, :, 4:] = False
    torch.nn.init.normal_(model.head.mimics["a"].weight)
    term = CrossModalAdaptation(modalities=["a", "b"], labeller=labeller())
    found = term.losses(step(model, data), data.inputs, LABELS.masked_fill(~valid, -1), valid)
    views = model.head.views(data.inputs, ["a", "b"])
    kl = F.kl_div(views["a"].mimic.log_softmax(1), views["b"].logits.softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(found["kl_a"], kl[:, :, :4].mean())


def run(model, data, make_labeller=labeller):
    teacher = FrozenTeacher()
    term = CrossModalAdaptation(modalities=["a", "b"], labeller=make_labeller())
    objective = Objective(terms=[term], teachers={"source": teacher})
    objective.attach(model)
    return objective, step(model, data, objective.teacher_models())


def test_labels_come_from_the_models_as_they_began_and_masks_are_never_read():
    model, data = make(), batch()

    def everything():
        made = labeller()
        made.certainty[0].most = made.certainty[1].most = 1e-6  # keeps whatever both say
        for certainty in made.certainty:
            certainty.count_KR.zero_()
        return made

    objective, now = run(model, data, everything)
    loss, logs = objective(now)
    data.masks["clean"] = torch.zeros(3, SIDE, SIDE, dtype=torch.int64)
    again, _ = objective(step(model, data, objective.teacher_models()))
    torch.testing.assert_close(again, loss, rtol=0, atol=0)
    # The student moves away; the labels stay
    with torch.no_grad():
        for decoder in model.head.encoder.decoders.values():
            decoder.logits.bias += torch.tensor([9.0, 0.0, 0.0])
    _, after = objective(step(model, data, objective.teacher_models()))
    torch.testing.assert_close(after["adaptation/labelled"], logs["adaptation/labelled"], rtol=0, atol=0)
    assert after["adaptation/ce_a"] != logs["adaptation/ce_a"]


def test_rows_that_lack_a_modality_are_left_out_and_no_row_is_an_exact_zero():
    model = make().eval()  # group norm anyway
    whole = batch()
    present = {"a": torch.tensor([True, True, True]), "b": torch.tensor([False, True, True])}
    part = Batch(whole.ids, {"a": whole.inputs["a"], "b": whole.inputs["b"].rows(present["b"])}, present)
    both = Batch(
        whole.ids[1:], {m: inp.rows(torch.tensor([1, 2])) for m, inp in whole.inputs.items()},
        {m: torch.ones(2, dtype=torch.bool) for m in "ab"},
    )  # fmt: skip
    losses = []
    for data in (part, both):
        objective, now = run(model, data)
        losses.append(objective(now)[0])
    torch.testing.assert_close(*losses)
    nobody = Batch(
        ["0"],
        {"a": ModalityInput(torch.randn(1, 2, SIDE, SIDE))},
        {"a": torch.tensor([True]), "b": torch.tensor([False])},
    )
    objective, now = run(model, nobody)
    loss, _ = objective(now)
    loss.backward()
    assert loss.item() == 0


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ConfigError, match="two modalities"):
        CrossModalAdaptation(modalities=["a"], labeller=labeller())
    with pytest.raises(ConfigError, match="mimic is -1"):
        CrossModalAdaptation(modalities=["a", "b"], labeller=labeller(), mimic=-1)
