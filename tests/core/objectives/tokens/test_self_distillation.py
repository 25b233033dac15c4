"""DINO and iBOT on tiny encoders: values, centres (in two processes too), mask tokens, no gradient to teachers."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from core.encoders import ImageTransformer, TextTransformer, VolumeTransformer
from core.errors import ConfigError
from core.models import DistillationHead, DualEncoder, MaskToken
from core.objectives import (
    BlockMask,
    MaskedPooled,
    MaskedSelfDistillation,
    MomentumTeacher,
    Objective,
    Ramp,
    RandomMask,
    SelfDistillation,
    Step,
    TokenMasking,
)
from core.objectives.tokens.centre import Centre
from core.objectives.tokens.vocabulary import Classes
from core.types import Batch, ModalityInput

pytestmark = pytest.mark.usefixtures("seeded")
K = 9
VIEWS = ["g1", "g2", "local"]


def make_model() -> DualEncoder:
    encoder = ImageTransformer(image_size=8, patch=2, channels=1, width=12, depth=1, heads=2)
    heads = {
        "dino": DistillationHead(width=12, prototypes=K, hidden=8, bottleneck=5, layers=2),
        "mask": MaskToken(width=12),
    }
    for part in heads["dino"].mlp:  # larger than for training: near the origin a unit vector turns fast
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
    return DualEncoder(encoders={"e": encoder}, modalities=dict.fromkeys(VIEWS, "e"), dim=4, heads=heads)


def make_batch(rows: int = 3, dtype=torch.float32) -> Batch:
    rng = torch.Generator().manual_seed(4)
    sizes = {"g1": 8, "g2": 8, "local": 4}
    inputs = {m: ModalityInput(torch.randn(rows, 1, s, s, generator=rng, dtype=dtype)) for m, s in sizes.items()}
    present = {m: torch.ones(rows, dtype=torch.bool) for m in VIEWS}
    return Batch([str(i) for i in range(rows)], inputs, present)


def make_step(model, batch, *, teacher=None, index: int = 0) -> Step:
    if teacher is None:
        teacher = MomentumTeacher()
        teacher.attach(model)
    return Step(
        model=model,
        batch=batch,
        index=index,
        generator=torch.Generator().manual_seed(0),
        teachers={"ema": teacher.model},
    )


def dino(**kwargs) -> SelfDistillation:
    views = {"teacher_views": ["g1", "g2"], "student_views": VIEWS}
    return SelfDistillation(**{"teacher": "ema", "head": "dino", "prototypes": K, **views, **kwargs})


def ibot(mask=None, views=("g1", "g2"), **kwargs) -> MaskedSelfDistillation:
    masking = TokenMasking(token="mask", mask=RandomMask(ratio=0.5) if mask is None else mask)
    return MaskedSelfDistillation(teacher="ema", head="dino", prototypes=K, views=views, masking=masking, **kwargs)


def test_self_distillation_against_its_definition():
    model, batch = make_model().double(), make_batch(dtype=torch.float64)
    teacher = MomentumTeacher()
    teacher.attach(model)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    term = dino(teacher_temperature=0.3).double()
    term.centre.value.copy_(torch.randn(K).double() * 0.1)
    values = term(make_step(model, batch, teacher=teacher))
    losses = []
    for q in ("g1", "g2"):
        target = (
            teacher.model.heads["dino"](teacher.model.encode(q, batch.inputs[q]).pooled) - term.centre.value
        ) / 0.3
        for v in VIEWS:
            if v != q:
                log_p = (model.heads["dino"](model.encode(v, batch.inputs[v]).pooled) / 0.1).log_softmax(-1)
                losses.append(-(target.softmax(-1) * log_p).sum(-1).mean())
    torch.testing.assert_close(values["loss"], torch.stack(losses).mean())


def test_masked_self_distillation_against_its_definition():
    model, batch = make_model().double(), make_batch(dtype=torch.float64)
    term = ibot(teacher_temperature=0.3).double()
    step = make_step(model, batch)
    values, means = term(step), []
    head = model.heads["dino"]
    for v in ("g1", "g2"):
        encoded, hidden = term.masking(step, v)
        target = (head(model.encode(v, batch.inputs[v]).tokens.x[:, 1:]) / 0.3).softmax(-1)
        loss = -(target * (head(encoded.tokens.x[:, 1:]) / 0.1).log_softmax(-1)).sum(-1)
        means += [(loss[i] * hidden[i]).sum() / hidden[i].sum() for i in range(3)]
    torch.testing.assert_close(values["loss"], torch.stack(means).mean())


@pytest.mark.parametrize("make", [dino, ibot])
def test_gradients_agree_with_finite_differences_and_the_teacher_has_none(make, slopes_agree):
    model, batch = make_model().double(), make_batch(dtype=torch.float64)
    term = make(teacher_temperature=0.5, student_temperature=1.0).double()
    teacher = MomentumTeacher()
    teacher.attach(model)
    slopes_agree(lambda: term(make_step(model, batch, teacher=teacher))["loss"], list(model.parameters()))
    term(make_step(model, batch, teacher=teacher))["loss"].backward()
    assert all(p.grad is None for p in teacher.model.parameters())


@pytest.mark.parametrize("make", [dino, ibot])
def test_a_constant_teacher_at_its_centre_gives_the_log_of_the_prototypes_to_an_undecided_student(make):
    """Uniform target, uniform student: the entropy, ln K, exactly; and nothing to learn for the prototypes' mean."""
    model, batch, term = make_model(), make_batch(), make()
    with torch.no_grad():
        model.heads["dino"].direction.copy_(torch.ones_like(model.heads["dino"].direction))  # all logits equal
    values = term(make_step(model, batch))
    assert values["loss"].item() == pytest.approx(math.log(K), abs=1e-5)
    teacher = MomentumTeacher()
    teacher.attach(model)
    its = teacher.model.heads["dino"]
    with torch.no_grad():
        its.direction.copy_(torch.randn(its.direction.shape))
        for part in its.mlp:
            if isinstance(part, nn.Linear):
                part.weight.zero_()
                part.bias.fill_(0.3)  # whatever it sees, one vector
        term.centre.value.copy_(its(torch.zeros(1, 12))[0])
    assert term(make_step(model, batch, teacher=teacher))["loss"].item() == pytest.approx(math.log(K), abs=1e-5)


def test_no_masked_patch_is_an_exact_zero_not_nan():
    model = make_model()
    loss = ibot(mask=BlockMask(ratio=0.0))(make_step(model, make_batch()))["loss"]
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_missing_views_are_left_out_and_no_pair_is_an_exact_zero():
    model, batch = make_model(), make_batch()
    batch.inputs["g2"] = batch.inputs["g2"].rows(torch.tensor([2]))
    batch.present["g2"] = torch.tensor([False, False, True])
    assert torch.isfinite(dino()(make_step(model, batch))["loss"])
    for m in ("g2", "local"):
        batch.inputs.pop(m, None)
        batch.present[m] = torch.zeros(3, dtype=torch.bool)
    loss = dino()(make_step(model, batch))["loss"]
    assert loss == 0
    assert loss.requires_grad
    single = make_batch(rows=1)
    assert torch.isfinite(dino()(make_step(model, single))["loss"])


def test_hidden_patches_are_seen_as_mask_tokens_at_their_place():
    model, batch = make_model(), make_batch()
    batch.inputs["g1"].x.requires_grad_()
    masking = TokenMasking(token="mask", mask=RandomMask(ratio=0.5))
    step = make_step(model, batch)
    encoded, hidden = masking(step, "g1")
    encoded.tokens.x.square().sum().backward()
    per_patch = batch.inputs["g1"].x.grad.unfold(2, 2, 2).unfold(3, 2, 2).abs().sum((1, 4, 5)).flatten(1)
    assert not per_patch[hidden].any()
    assert (per_patch[~hidden] > 0).all()
    assert model.heads["mask"].vector.grad.any()
    # two hidden patches differ by their position alone, so without positions they would be equal
    rows = encoded.tokens.x[0, 1:][hidden[0]]
    assert (rows[0] - rows[1]).abs().max() > 1e-4
    assert masking(step, "g1").encoded is encoded  # once per step
    twin = TokenMasking(token="mask", mask=RandomMask(ratio=0.5))
    assert MaskedPooled(modality="g1", masking=twin)(step).x is encoded.pooled


def test_volumes_take_mask_tokens_and_texts_say_that_they_cannot():
    volume = VolumeTransformer(volume_size=(4, 4, 4), patch=(2, 2, 2), channels=1, width=12, depth=1, heads=2)
    text = TextTransformer(vocab_size=9, max_length=4, width=12, depth=1, heads=2)
    heads = {"mask": MaskToken(width=12)}
    model = DualEncoder(encoders={"v": volume, "t": text}, modalities={"v": "v", "t": "t"}, dim=4, heads=heads)
    inputs = {"v": ModalityInput(torch.randn(2, 1, 2, 4, 4)), "t": ModalityInput(torch.ones(2, 4, dtype=torch.int64))}
    batch = Batch(["a", "b"], inputs, dict.fromkeys(inputs, torch.ones(2, dtype=torch.bool)))
    step = make_step(model, batch)
    assert TokenMasking(token="mask", mask=RandomMask(ratio=0.5))(step, "v").hidden.sum(1).tolist() == [2, 2]
    with pytest.raises(ConfigError, match="does not tell the positions of its tokens"):
        TokenMasking(token="mask")(step, "t")


def test_the_centre_is_the_running_mean_of_the_logits():
    model, batch, term = make_model(), make_batch(), dino(centre_momentum=0.9)
    objective = Objective(terms=[term], teachers={"ema": MomentumTeacher()})
    objective.attach(model)
    objective.train()
    step = make_step(model, batch, teacher=objective.teachers["ema"])
    objective(step)
    assert not term.centre.value.any()  # this step still uses the old centre
    objective.after_step(model, 1)
    with torch.no_grad():
        teacher = objective.teachers["ema"].model
        mean = torch.cat([make_model_head(teacher, batch, q) for q in ("g1", "g2")]).mean(0)
    torch.testing.assert_close(term.centre.value, 0.1 * mean, rtol=1e-4, atol=1e-6)
    objective.eval()
    objective(step)
    objective.after_step(model, 2)
    torch.testing.assert_close(term.centre.value, 0.1 * mean, rtol=1e-4, atol=1e-6)  # evaluation does not move it
    assert "terms.self_distillation.centre.value" in objective.state_dict()


def make_model_head(model, batch, view):
    return model.heads["dino"](model.encode(view, batch.inputs[view]).pooled)


def _two(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    centre = Centre(prototypes=3, momentum=0.5)
    if rank == 0:  # one vector here, three there: the mean is over all four
        centre.observe(torch.tensor([[1.0, 2.0, 3.0]]), Classes(torch.eye(3)))
    else:
        centre.observe(torch.tensor([[5.0, 6.0, 7.0]] * 3), Classes(torch.eye(3)))
    centre.update()
    torch.testing.assert_close(centre.value, 0.5 * torch.tensor([4.0, 5.0, 6.0]))
    if rank == 0:
        centre.observe(torch.tensor([[2.0, 2.5, 3.0]]), Classes(torch.eye(3)))
    centre.update()  # the other process saw nothing and takes part all the same
    torch.testing.assert_close(centre.value, torch.tensor([2.0, 2.5, 3.0]))
    dist.destroy_process_group()


def test_centres_of_two_processes_agree(tmp_path: Path):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.start_processes(_two, args=(str(tmp_path),), nprocs=2, start_method="fork")


def test_the_temperature_warms_up_and_stays():
    ramp = Ramp(start=0.04, end=0.07, steps=10)
    assert [round(ramp.at(i), 4) for i in (0, 5, 10, 99)] == [0.04, 0.055, 0.07, 0.07]
    term = dino(teacher_temperature=ramp)
    assert term(make_step(make_model(), make_batch(), index=5))["temperature"].item() == pytest.approx(0.055)


def test_settings_that_cannot_work_are_named():
    with pytest.raises(ConfigError, match="no student view differs"):
        dino(teacher_views=["g1"], student_views=["g1"])
    with pytest.raises(ConfigError, match=r"a temperature is 0\.0"):
        dino(teacher_temperature=0.0)
    with pytest.raises(ConfigError, match=r"prototypes is 5, model\.heads\.dino has 9"):
        dino(prototypes=5)(make_step(make_model(), make_batch()))
    with pytest.raises(ConfigError, match="expected a DistillationHead"):
        dino(head="mask")(make_step(make_model(), make_batch()))
