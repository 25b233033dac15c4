"""Distillation: losses by hand, inner steps against plain SGD, the outer gradient against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.distillation import (
    Distilled,
    Expert,
    Heads,
    LearnedSimilarity,
    bce,
    blend,
    cwcl,
    distil,
    inner_steps,
    kl,
    mse,
    nce,
    outer_loss,
    record_expert,
    trajectory_distance,
    weighted_bce,
)
from core.errors import CheckpointError, ConfigError


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heads_of(d: int = 4, t: int = 3, e: int = 3, dtype: torch.dtype = torch.float64) -> Heads:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Heads(nn.Linear(d, e).to(dtype), nn.Linear(t, e).to(dtype))


# similarity


def test_the_learned_similarity_begins_as_exactly_the_identity(rng):
    sim = LearnedSimilarity(pairs=7, rank=3, alpha=3.0, generator=rng)
    assert torch.equal(sim(), torch.eye(7))
    assert torch.equal(sim(torch.tensor([4, 1])), torch.eye(2))
    assert sim.left.abs().max() > 0  # or the right factor would never get a gradient


def test_a_mini_batch_is_the_block_of_the_whole_matrix(rng):
    sim = LearnedSimilarity(pairs=6, rank=2, alpha=0.5, generator=rng)
    nn.init.normal_(sim.right, generator=rng)
    index = torch.tensor([5, 0, 3])
    torch.testing.assert_close(sim(index), sim()[index][:, index])
    want = torch.diag(sim.diagonal) + 0.5 / 2 * sim.left @ sim.right.T
    torch.testing.assert_close(sim(), want)


# losses


def test_weighted_bce_is_the_mean_of_two_means(rng):
    z = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    q = torch.rand(4, 4, generator=rng, dtype=torch.float64)
    each = F.binary_cross_entropy_with_logits(z, q, reduction="none")
    want = (each[q > 0.5].mean() + each[q <= 0.5].mean()) / 2
    torch.testing.assert_close(weighted_bce(z, q), want)
    torch.testing.assert_close(bce(z, q), each.mean())
    p = z.sigmoid()
    released = -(q * (p + 1e-6).log() + (1 - q) * (1 - p + 1e-6).log())
    high, low = released[q > 0.5], released[q <= 0.5]
    want = (high.sum() / (len(high) + 1e-6) + low.sum() / (len(low) + 1e-6)) / 2
    torch.testing.assert_close(weighted_bce(z, q, epsilon=1e-6), want)


def test_the_released_epsilons_change_the_value_at_a_scale_of_14(rng):
    z = (
        14.3
        * F.normalize(torch.randn(20, 5, generator=rng), dim=1)
        @ F.normalize(torch.randn(5, 20, generator=rng), dim=0)
    )
    off = abs(float(weighted_bce(z, torch.eye(20)) - weighted_bce(z, torch.eye(20), epsilon=1e-6)))
    assert 1e-5 < off < 1e-1


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_a_side_without_entries_counts_as_nothing(fill):
    z, q = torch.zeros(3, 3), torch.full((3, 3), fill)
    assert weighted_bce(z, q) == pytest.approx(math.log(2) / 2)


def test_extreme_logits_stay_finite():
    z = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    for loss in (weighted_bce, bce, nce, cwcl, kl, mse):
        value = loss(z, torch.eye(2))
        (gradient,) = torch.autograd.grad(value, z)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_the_other_losses_by_definition(rng):
    z = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    q = torch.rand(4, 4, generator=rng, dtype=torch.float64)
    i = torch.arange(4)
    infonce = (F.cross_entropy(z, i) + F.cross_entropy(z.T, i)) / 2
    torch.testing.assert_close(nce(z, torch.eye(4).double()), infonce)
    torch.testing.assert_close(cwcl(z, torch.eye(4).double()), infonce, rtol=2e-6, atol=0)
    torch.testing.assert_close(nce(z, 2 * q), 2 * nce(z, q))  # not normalised
    torch.testing.assert_close(cwcl(z, 2 * q), cwcl(z, q), rtol=1e-5, atol=0)
    target = (10 * q).softmax(1)
    torch.testing.assert_close(kl(z, q), (target * (target.log() - z.log_softmax(1))).mean())
    torch.testing.assert_close(mse(z, q), (z.sigmoid() - q).square().mean())


@pytest.mark.parametrize("loss", [weighted_bce, bce, nce, cwcl, kl, mse], ids=lambda f: f.__name__)
def test_losses_agree_with_finite_differences_twice(rng, loss):
    z = torch.randn(3, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    q = (0.3 + 0.6 * torch.eye(3).double()).requires_grad_()  # away from the threshold of 0.5
    assert torch.autograd.gradcheck(loss, (z, q))
    assert torch.autograd.gradgradcheck(loss, (z, q))


# student


def test_blending_uses_one_order_for_both_and_all_of_one_is_no_blending(rng):
    x, t, order = torch.randn(4, 3, generator=rng), torch.randn(4, 2, generator=rng), torch.tensor([1, 2, 3, 0])
    a, b = blend(x, t, 0.25, order)
    torch.testing.assert_close(a[0], 0.25 * x[0] + 0.75 * x[1])
    torch.testing.assert_close(b[3], 0.25 * t[3] + 0.75 * t[0])
    same = blend(x, t, 1.0, order)
    assert torch.equal(same[0], x)
    assert torch.equal(same[1], t)


def test_inner_steps_are_plain_sgd_on_the_heads(rng):
    """Against an optimiser on modules, without mix-up (LoRS on heads), each head at its own rate."""
    heads, n = heads_of(), 6
    x, t = torch.randn(n, 4, generator=rng).double(), torch.randn(n, 3, generator=rng).double()
    sim = LearnedSimilarity(pairs=n, rank=2, generator=rng).double()
    rates = (torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64))
    start = tuple({k: w.requires_grad_() for k, w in side.items()} for side in heads.weights())
    image, text = inner_steps(
        heads, start, x, t, sim, encode=lambda v: v, rates=rates, steps=3, batch=n, mixing=None, generator=seeded()
    )
    plain = heads_of()
    optimizer = torch.optim.SGD(
        [{"params": plain.image.parameters(), "lr": 0.3}, {"params": plain.text.parameters(), "lr": 0.7}]
    )
    for _ in range(3):
        z = F.normalize(plain.image(x), dim=1) @ F.normalize(plain.text(t), dim=1).T / 0.07
        optimizer.zero_grad()
        weighted_bce(z, torch.eye(n).double()).backward()
        optimizer.step()
    for side, head in ((image, plain.image), (text, plain.text)):
        for name, p in head.named_parameters():
            torch.testing.assert_close(side[name], p, rtol=0, atol=1e-9)


def test_a_mix_up_that_keeps_everything_is_no_mix_up(rng, monkeypatch):
    monkeypatch.setattr("core.distillation.student._beta", lambda a, g: 1.0)
    heads = heads_of()
    x, t = torch.randn(5, 4, generator=rng).double(), torch.randn(5, 3, generator=rng).double()
    sim = LearnedSimilarity(pairs=5, generator=rng).double()
    rate = (torch.tensor(0.3).double(),) * 2
    ends = []
    for mixing in (1.0, None):
        start = tuple({k: w.requires_grad_() for k, w in side.items()} for side in heads.weights())
        ends.append(inner_steps(
            heads, start, x, t, sim, encode=lambda v: v, rates=rate, steps=2, batch=5, mixing=mixing, generator=seeded()
        ))  # fmt: skip
    for a, b in zip(*ends, strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-12)


def test_without_a_step_each_head_is_exactly_as_far_as_it_was(rng):
    heads = heads_of()
    real = torch.randn(30, 4, generator=rng).double(), torch.randn(30, 3, generator=rng).double()
    expert = record_expert(heads, *real, epochs=2, generator=rng)
    distilled = Distilled(images=real[0][:4], texts=real[1][:4], rank=2).double()
    found = outer_loss(distilled, heads, expert, (0, 1), generator=rng, steps=0)
    assert found["image"] == 1
    assert found["text"] == 1
    assert found["loss"] == 2


def test_a_student_that_arrives_has_no_distance_and_an_expert_that_stood_still_is_refused():
    start, target = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    assert trajectory_distance(start, target, target) == 0
    assert trajectory_distance(start, {"w": torch.tensor([1.0, 0.0])}, target) == 0.5
    with pytest.raises(ConfigError, match="start and target are equal"):
        trajectory_distance(start, target, start)


@pytest.mark.parametrize("mixing", [1.0, None])
def test_the_outer_gradient_agrees_with_finite_differences(rng, mixing):
    """Of pixels through a backbone, texts, similarity and rates, through two inner steps."""
    heads = heads_of(d=3)
    real = torch.randn(20, 3, generator=rng).double(), torch.randn(20, 3, generator=rng).double()
    expert = record_expert(heads, *real, epochs=2, rate=0.5, batch=10, generator=rng)
    distilled = Distilled(images=torch.randn(4, 5, generator=rng), texts=real[1][:4], rank=2, generator=rng).double()
    with torch.no_grad():
        distilled.similarity.right.normal_(std=0.1, generator=rng)
    backbone = nn.Sequential(nn.Linear(5, 3), nn.Tanh()).double().requires_grad_(False)

    def value() -> torch.Tensor:
        return outer_loss(
            distilled, heads, expert, (0, 2), encode=backbone, generator=seeded(5), steps=2, batch=3, mixing=mixing,
            temperature=0.5,
        )["loss"]  # fmt: skip

    parameters = dict(distilled.named_parameters())
    analytic = dict(zip(parameters, torch.autograd.grad(value(), list(parameters.values())), strict=True))
    for name, p in parameters.items():
        flat, h = p.data.view(-1), 1e-6
        for k in range(0, len(flat), max(1, len(flat) // 5)):
            old = float(flat[k])
            flat[k] = old + h
            up = float(value().detach())
            flat[k] = old - h
            down = float(value().detach())
            flat[k] = old
            assert float(analytic[name].view(-1)[k]) == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=1e-7), name
    assert all(p.grad is None for p in backbone.parameters())


def test_targets_are_not_mixed(rng):
    """What the similarity is asked for is the block of the drawn pairs, whatever the mix-up."""
    asked = []
    sim = LearnedSimilarity(pairs=5, generator=rng).double()
    heads = heads_of()
    start = tuple({k: w.requires_grad_() for k, w in side.items()} for side in heads.weights())

    def remembered(index):
        asked.append(sim(index))
        return asked[-1]

    inner_steps(
        heads, start, torch.randn(5, 4, generator=rng).double(), torch.randn(5, 3, generator=rng).double(), remembered,
        encode=lambda v: v, rates=(torch.tensor(0.1).double(),) * 2, steps=2, batch=4, generator=seeded(),
    )  # fmt: skip
    assert all(torch.equal(q, torch.eye(4).double()) for q in asked)


# experts


def test_an_expert_is_kept_in_a_file_and_damage_is_said(rng, tmp_path):
    heads = heads_of()
    expert = record_expert(
        heads, torch.randn(9, 4, generator=rng).double(), torch.randn(9, 3, generator=rng).double(), epochs=3, batch=4,
        generator=rng,
    )  # fmt: skip
    again = Expert.load(expert.save(tmp_path / "expert.safetensors"))
    assert len(again.epochs) == 4
    for one, two in zip(expert.epochs, again.epochs, strict=True):
        for a, b in zip(one, two, strict=True):
            assert set(a) == set(b)
            assert all(torch.equal(a[n], b[n]) for n in a)
    assert torch.equal(expert.epochs[0][0]["weight"], heads.image.weight)  # the heads themselves did not move
    starts = {again.segment(1, None, rng) for _ in range(50)}
    assert starts == {(0, 1), (1, 2), (2, 3)}
    assert {again.segment(2, 0, rng) for _ in range(10)} == {(0, 2)}
    with pytest.raises(ConfigError, match="3 epochs, span 4"):
        again.segment(4, None, rng)
    path = tmp_path / "expert.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"expert\.safetensors: cannot be read"):
        Expert.load(path)
    with pytest.raises(CheckpointError, match="record the expert again"):
        Expert.load(tmp_path / "none.safetensors")


def test_an_expert_file_without_its_middle_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"0000/image/w": torch.zeros(1), "0002/image/w": torch.zeros(1)}, tmp_path / "gap.safetensors")
    with pytest.raises(CheckpointError, match="needs 0, 1 and so on"):
        Expert.load(tmp_path / "gap.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="holds 'x', which is no weight of an expert"):
        Expert.load(tmp_path / "x.safetensors")


# the whole


def pairs(n: int, g: torch.Generator, d: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    z, mix = torch.randn(n, 4, generator=g), torch.Generator().manual_seed(99)
    x, t = (z @ torch.randn(4, d, generator=mix) + 0.5 * torch.randn(n, d, generator=g) for _ in range(2))
    return x, t


def recall_after(distilled: Distilled, heads: Heads, test, steps: int = 40) -> float:
    """R@1, mean of both directions, of a student that learned from the distilled pairs alone."""
    start = tuple({k: w.requires_grad_() for k, w in side.items()} for side in heads.weights())
    image, text = inner_steps(
        heads, start, distilled.images, distilled.texts, distilled.similarity, encode=lambda v: v,
        rates=distilled.rates(), steps=steps, batch=8, mixing=None, generator=seeded(1),
    )  # fmt: skip
    x, t = test
    a, b = x @ image["weight"].T + image["bias"], t @ text["weight"].T + text["bias"]
    s, i = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T, torch.arange(len(x))
    return float(((s.argmax(1) == i).float().mean() + (s.argmax(0) == i).float().mean()) / 2)


def test_distilled_pairs_teach_a_student_more_than_the_real_ones_they_began_as():
    gains = []
    for seed in range(3):
        g = seeded(seed)
        real, test, heads = pairs(400, g), pairs(100, g), heads_of(12, 12, 8, torch.float32)
        experts = [record_expert(heads, *real, epochs=3, rate=0.5, batch=50, generator=g) for _ in range(2)]
        distilled = Distilled(images=real[0][:8], texts=real[1][:8], rank=4, rate=0.3, generator=g)
        before = recall_after(distilled, heads, test)
        values = distil(
            distilled, heads, experts, steps=50, latest=1, image_lr=1.0, text_lr=1.0, similarity_lr=0.1, rate_lr=0.02,
            generator=g, batch=8,
        )  # fmt: skip
        assert sum(values[-20:]) < sum(values[:20])
        gains.append(recall_after(distilled, heads, test) - before)
    assert min(gains) > 0, gains


def test_bad_settings_say_what_is_expected(rng):
    with pytest.raises(ConfigError, match="3 images, 2 texts"):
        Distilled(images=torch.zeros(3, 2), texts=torch.zeros(2, 2))
    with pytest.raises(ConfigError, match="rank 0; give positive"):
        LearnedSimilarity(pairs=3, rank=0)
    distilled = Distilled(images=torch.zeros(3, 2), texts=torch.zeros(3, 2))
    with pytest.raises(ConfigError, match="0 experts"):
        distil(distilled, heads_of(), [], steps=3, generator=rng)
    with pytest.raises(ConfigError, match="temperature 0"):
        inner_steps(
            heads_of(), ({}, {}), torch.zeros(3, 2), torch.zeros(3, 2), torch.nn.Identity(), encode=lambda v: v,
            rates=(torch.tensor(1.0),) * 2, temperature=0, generator=rng,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="at least 2"):
        record_expert(heads_of(), torch.zeros(1, 4), torch.zeros(1, 3), epochs=1, generator=rng)
