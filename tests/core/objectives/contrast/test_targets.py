"""Every target against its definition on whole matrices, the claims each makes, and through the kernel."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives import (
    EachEqual,
    Equality,
    FixedScale,
    FromTeacher,
    GradedEquality,
    IntraModal,
    KeySoftmax,
    LabelSmooth,
    LearnedSim,
    Mix,
    Objective,
    OffDiagonalSmooth,
    OneHot,
    Pair,
    PrototypeSoft,
    SampleSmooth,
    Step,
    TeacherPair,
    TeacherSoftmax,
)
from core.objectives.contrast.targets import Ids, Target
from core.objectives.contrast.tiles import Tile, tiles

TEXT = torch.tensor([0, 1, 0, 2, 1, 3, 4])
SOURCE = torch.tensor([0, 1, 0, 2, 5, 3, 4])  # rows 0 and 2: one image; rows 1 and 4: one person, two images
WEIGHT = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0, float("nan"), 0.3])


@pytest.fixture
def vectors(rng) -> dict[str, Tensor]:
    names = ("a", "b", "teacher_a", "teacher_b", "second_a", "second_b")
    return {name: torch.randn(7, 4, generator=rng, dtype=torch.float64) for name in names}


@pytest.fixture
def step(make_step, vectors) -> Step:
    """Seven pairs whose teachers' vectors are modalities that every row holds."""
    made = make_step(vectors["a"], vectors["b"], text=TEXT, source=SOURCE)
    every = torch.ones(7, dtype=torch.bool)
    for name in vectors:
        made.model.vectors[name] = nn.Parameter(vectors[name].clone())
        made.model.reads[name] = name
        made.batch.present[name] = every
        made.batch.inputs[name] = replace(made.batch.inputs["a"])
    made.batch.labels["noise"] = WEIGHT
    return made


def teachers() -> list[TeacherPair]:
    return [
        TeacherPair(rows="teacher_a", keys="teacher_b", temperature=0.3),
        TeacherPair(rows="second_a", keys="second_b", temperature=0.7),
    ]


def whole(target: Target, step: Step, size: tuple[int, int] = (100, 100)) -> tuple[Tensor, Tensor]:
    """(W, W') of a target among the rows of the step, put together from tiles."""
    rows = torch.arange(7)
    content = step.batch.keys[target.key] if target.key else rows
    of_a, of_b = target.sides(step, rows)
    weights = target.weights(Ids(rows, content, of_a), Ids(rows, content, of_b), torch.float64)
    w, w_cols = torch.full((7, 7), torch.nan).double(), torch.full((7, 7), torch.nan).double()
    for tile in tiles(7, 7, size):
        w[tile.rows, tile.cols], w_cols[tile.rows, tile.cols] = weights.block(tile).dense()
    torch.testing.assert_close(w.sum(1), weights.row_total_n, rtol=0, atol=1e-12)
    torch.testing.assert_close(w_cols.sum(0), weights.col_total_m, rtol=0, atol=1e-12)
    return w, w_cols


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def reference(target: Target, v: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The same from formulas."""
    eye = torch.eye(7, dtype=torch.float64)
    same = (TEXT[:, None] == TEXT).double()
    if isinstance(target, EachEqual):
        w = target.weight * same
        return w, w
    if isinstance(target, GradedEquality):
        strong = (SOURCE[:, None] == SOURCE).double() if target.source else eye
        w = torch.maximum(strong, target.share * same)
        return w / w.sum(1, keepdim=True), w / w.sum(0, keepdim=True)
    if isinstance(target, OffDiagonalSmooth):
        w = (1 - target.amount) * eye + target.amount / 6 * (1 - eye)
        return w, w
    if isinstance(target, SampleSmooth):
        a = WEIGHT.nan_to_num(0.0).double()[:, None]
        w = (1 - a) * eye + a / 6 * (1 - eye)
        return w, w.T
    if isinstance(target, IntraModal):
        q = v["teacher_a"]
        if target.centre:
            q = F.normalize(q, dim=1)
            q = q - q.mean(0)
        w = (1 + cosine(q, q)) / 2
        return w / w.sum(1, keepdim=True), w / w.sum(0, keepdim=True)
    if isinstance(target, TeacherSoftmax):
        logits = [
            cosine(v[f"{name}_a"], v[f"{name}_b"]) / pair.temperature
            for name, pair in zip(("teacher", "second"), target.teachers, strict=False)
        ]
        if target.without_self:
            logits = [z.masked_fill(eye.bool(), -math.inf) for z in logits]
        return (sum(z.softmax(dim) for z in logits) / len(logits) for dim in (1, 0))
    if isinstance(target, Mix):
        parts = [reference(part, v) for part in (target.soft, target.hard)]
        return tuple(target.amount * s + (1 - target.amount) * h for s, h in zip(*parts, strict=True))
    assert isinstance(target, OneHot)
    return eye, eye


TARGETS = [
    EachEqual(key="text"),
    EachEqual(key="text", weight=0.5),
    GradedEquality(key="text", source="source"),
    GradedEquality(key="text", share=0.6),
    OffDiagonalSmooth(),
    SampleSmooth(label="noise"),
    IntraModal(view="teacher_a"),
    IntraModal(view="teacher_a", centre=True),
    TeacherSoftmax(teachers=teachers()[:1]),
    TeacherSoftmax(teachers=teachers()),
    TeacherSoftmax(teachers=teachers(), without_self=True),
    Mix(soft=TeacherSoftmax(teachers=teachers()), hard=OneHot()),
    Mix(soft=IntraModal(view="teacher_a"), hard=GradedEquality(key="text", source="source"), amount=0.25),
    Mix(soft=Mix(soft=TeacherSoftmax(teachers=teachers()), hard=SampleSmooth(label="noise")), hard=OneHot()),
]
IDS = [f"{i}-{type(t).__name__}" for i, t in enumerate(TARGETS)]


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (100, 100)])
@pytest.mark.parametrize("target", TARGETS, ids=IDS)
def test_weights_equal_their_definition_however_they_are_tiled(step, vectors, target, size):
    for got, want in zip(whole(target, step, size), reference(target, vectors), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("directions", [(1, 0), (0, 1), (0.5, 0.5)])
@pytest.mark.parametrize("target", TARGETS, ids=IDS)
def test_cross_entropy_from_a_target_equals_the_dense_loss_and_gradient(step, vectors, target, directions):
    term = Pair(
        rows="a", keys="b", target=target, scale=FixedScale(temperature=0.2), directions=directions, tile=(3, 2)
    ).double()
    inputs = [step.model.vectors[m] for m in "ab"]
    got = term(step)["loss"]
    z = cosine(*inputs) / 0.2
    w, w_cols = reference(target, vectors)
    if isinstance(target, TeacherSoftmax) and target.without_self:
        z = z.masked_fill(torch.eye(7, dtype=torch.bool), -1e30)
    row, col = (
        (w.sum(1) * z.logsumexp(1) - (w * z).sum(1)).mean(),
        (w_cols.sum(0) * z.logsumexp(0) - (w_cols * z).sum(0)).mean(),
    )
    want = directions[0] * row + directions[1] * col
    torch.testing.assert_close(got, want, rtol=0, atol=1e-7)  # the stored scale is float32
    for g, e in zip(torch.autograd.grad(got, inputs), torch.autograd.grad(want, inputs), strict=True):
        torch.testing.assert_close(g, e, rtol=0, atol=1e-7)


@pytest.mark.parametrize("target", TARGETS, ids=IDS)
def test_block_products_are_those_of_the_dense_tile(step, rng, target):
    rows = torch.arange(7)
    content = step.batch.keys[target.key] if target.key else rows
    of_a, of_b = target.sides(step, rows)
    weights = target.weights(Ids(rows, content, of_a), Ids(rows, content, of_b), torch.float64)
    tile = Tile(slice(2, 6), slice(1, 7))
    block = weights.block(tile)
    w, w_cols = (x.clone() for x in block.dense())
    z, g = (torch.randn(4, 6, generator=rng, dtype=torch.float64) for _ in range(2))
    u, v = torch.rand(4, generator=rng, dtype=torch.float64), torch.rand(6, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(block.row_dot(z), (w * z).sum(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(block.col_dot(z), (w_cols * z).sum(0), rtol=0, atol=1e-12)
    got = g.clone()
    block.subtract_row_(got, u)
    block.subtract_col_(got, v)
    torch.testing.assert_close(got, g - u[:, None] * w - v * w_cols, rtol=0, atol=1e-12)


def test_rows_of_every_distribution_sum_to_one(step):
    for target in TARGETS:
        if not isinstance(target, EachEqual):
            w, w_cols = whole(target, step)
            torch.testing.assert_close(w.sum(1), torch.ones(7).double(), rtol=0, atol=1e-12)
            torch.testing.assert_close(w_cols.sum(0), torch.ones(7).double(), rtol=0, atol=1e-12)


def test_the_column_target_is_a_softmax_of_its_own(step, vectors):
    """Errata of released distillation code: a transposed row softmax, whose columns do not sum to 1."""
    w, w_cols = whole(TeacherSoftmax(teachers=teachers()), step)
    assert (w.sum(0) - 1).abs().max() > 0.1  # what the transposed one would sum to
    torch.testing.assert_close(w_cols.sum(0), torch.ones(7).double(), rtol=0, atol=1e-12)
    swapped = TeacherSoftmax(
        teachers=[TeacherPair(rows=p.keys, keys=p.rows, temperature=p.temperature) for p in teachers()]
    )
    torch.testing.assert_close(whole(swapped, step)[0], w_cols.T, rtol=0, atol=1e-12)


def test_teachers_are_averaged_after_the_softmax(step, vectors):
    w, _ = whole(TeacherSoftmax(teachers=teachers()), step)
    mean_logits = (
        cosine(vectors["teacher_a"], vectors["teacher_b"]) / 0.3
        + cosine(vectors["second_a"], vectors["second_b"]) / 0.7
    ) / 2
    assert (w - mean_logits.softmax(1)).abs().max() > 0.01


def test_graded_equality_divides_by_the_sum_of_the_row(step):
    """Erratum of IRRA's option: divided by the sums of columns (a broadcast), rows no longer sum to 1. Here every
    element of a class has the same neighbours, so that rows and columns are broken by an image of two captions."""
    text, source = torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1])
    ids = Ids(torch.arange(3), text, {"source": source})
    target = GradedEquality(key="text", source="source")
    w, w_cols = target.weights(ids, ids, torch.float64).block(Tile(slice(0, 3), slice(0, 3))).dense()
    raw = torch.tensor([[1, 1, 0.3], [1, 1, 0.3], [0.3, 0.3, 1]]).double()
    torch.testing.assert_close(w, raw / raw.sum(1, keepdim=True))
    torch.testing.assert_close(w_cols, raw / raw.sum(0, keepdim=True))
    slip = raw / raw.sum(1)  # what the released code computes
    assert (slip.sum(1) - 1).abs().max() > 0.05


class TestDistillation:
    def test_a_teacher_that_is_the_student_gives_no_gradient_and_costs_its_entropy(self, step):
        same = TeacherSoftmax(teachers=[TeacherPair(rows="a", keys="b", temperature=0.2)])
        loss = Pair(rows="a", keys="b", target=same, scale=FixedScale(temperature=0.2)).double()(step)["loss"]
        z = cosine(step.model.vectors["a"], step.model.vectors["b"]).detach() / 0.2
        entropies = [-(z.softmax(d) * z.log_softmax(d)).sum(d).mean() for d in (0, 1)]
        torch.testing.assert_close(loss, sum(entropies) / 2, rtol=0, atol=1e-6)
        loss.backward()
        for m in "ab":
            assert step.model.vectors[m].grad.abs().max() < 1e-6

    def test_a_sharp_teacher_that_pairs_rightly_is_clip(self, step, vectors):
        eye = torch.eye(7).double()
        for m in ("teacher_a", "teacher_b"):
            step.model.vectors[m] = nn.Parameter(eye)
        sharp = TeacherSoftmax(teachers=[TeacherPair(rows="teacher_a", keys="teacher_b", temperature=0.01)])
        losses = [Pair(rows="a", keys="b", target=t).double()(step)["loss"] for t in (sharp, OneHot())]
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-12)

    def test_a_mix_is_the_weighted_sum_of_two_losses_on_one_matrix(self, step):
        """MobileCLIP: 0.25 CLIP + 0.75 distillation."""
        soft = TeacherSoftmax(teachers=teachers())
        both = Pair(rows="a", keys="b", target=Mix(soft=soft, hard=OneHot(), amount=0.75)).double()(step)["loss"]
        parts = [Pair(rows="a", keys="b", target=t).double()(step)["loss"] for t in (soft, OneHot())]
        torch.testing.assert_close(both, 0.75 * parts[0] + 0.25 * parts[1], rtol=0, atol=1e-12)

    def test_views_of_a_configured_teacher(self, two_towers, make_batch, rng):
        batch = make_batch(*(torch.randn(5, 6, generator=rng) for _ in range(2)))
        target = TeacherSoftmax(
            teachers=[
                TeacherPair(
                    rows=FromTeacher(teacher="slow", view=Pair(rows="a", keys="b").row_view),
                    keys=FromTeacher(teacher="slow", view=Pair(rows="a", keys="b").key_view),
                    temperature=1 / 14.2857142857,
                )
            ]
        )
        step = Step(model=two_towers, batch=batch, index=0, generator=rng, teachers={"slow": two_towers})
        Pair(rows="a", keys="b", target=target)(step)["loss"].backward()
        for p in two_towers.parameters():
            assert p.grad is None or p.grad.abs().max() < 1e-5  # the student's softmax is already the target


class TestIntraModal:
    def test_orthonormal_frozen_vectors_with_weights_of_the_identity(self, step, vectors):
        """cos = 1 for the pair itself and -1 for its opposite: two opposite vectors give the identity."""
        ids = Ids(torch.arange(2), torch.arange(2), {"frozen": torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()})
        w = IntraModal(view="a").weights(ids, ids, torch.float64)
        torch.testing.assert_close(w.block(Tile(slice(0, 2), slice(0, 2))).dense()[0], torch.eye(2).double())

    def test_equal_frozen_vectors_make_the_target_uniform(self, step):
        step.model.vectors["teacher_a"] = nn.Parameter(torch.ones(7, 4).double())
        loss = Pair(rows="a", keys="b", target=IntraModal(view="teacher_a"), directions=(1, 0)).double()(step)["loss"]
        z = cosine(step.model.vectors["a"], step.model.vectors["b"]) / 0.07
        torch.testing.assert_close(loss, (z.logsumexp(1) - z.mean(1)).mean(), rtol=0, atol=1e-5)

    def test_weights_ignore_the_length_of_the_frozen_vectors(self, step, vectors):
        before = whole(IntraModal(view="teacher_a"), step)[0]
        step.model.vectors["teacher_a"] = nn.Parameter(vectors["teacher_a"] * torch.arange(1, 8)[:, None])
        step._memo.clear()
        torch.testing.assert_close(whole(IntraModal(view="teacher_a"), step)[0], before, rtol=0, atol=1e-12)


class TestSmoothing:
    def test_noise_0_is_one_hot_and_the_top_amount_is_uniform(self, step):
        for amount, want in ((0.0, torch.eye(7).double()), (6 / 7, torch.ones(7, 7).double() / 7)):
            step.batch.labels["noise"] = torch.full((7,), amount, dtype=torch.float64)
            torch.testing.assert_close(whole(SampleSmooth(label="noise"), step)[0], want, rtol=0, atol=1e-12)

    def test_the_least_loss_is_the_entropy_of_the_target(self, make_step):
        """Logits that equal ln W make the loss the entropy: no embedding can do better, whatever the scale."""
        m, amount = 4, 0.2
        off = amount / (m - 1)
        gap = math.log((1 - amount) / off)  # between positive and negative logits, with cosines 1 and -1/3
        corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()  # a regular simplex
        scale = FixedScale(temperature=(4 / 3) / gap)
        term = Pair(rows="a", keys="b", target=OffDiagonalSmooth(amount=amount), scale=scale).double()
        entropy = -(1 - amount) * math.log(1 - amount) - amount * math.log(off)
        assert term(make_step(corners, corners))["loss"].item() == pytest.approx(entropy, abs=1e-6)

    def test_a_single_column_keeps_all_the_weight(self):
        one = Ids(torch.arange(1), torch.arange(1), {"amount": torch.tensor([0.4])})
        for target in (OffDiagonalSmooth(amount=0.4), SampleSmooth(label="x")):
            w = target.weights(one, one, torch.float64).block(Tile(slice(0, 1), slice(0, 1))).dense()
            assert w[0].item() == w[1].item() == 1


def test_k_texts_per_image_count_as_k_ones_over_k(make_step, rng):
    """1-to-K with K = 2 and both rows of an image in the batch: the sum over its texts, divided by K."""
    a, b = (torch.randn(6, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    image = torch.tensor([0, 0, 1, 1, 2, 2])
    term = Pair(rows="a", keys="b", target=EachEqual(key="image", weight=0.5), scale=FixedScale(temperature=0.1))
    z = cosine(a, b) / 0.1
    ones = (image[:, None] == image).double()
    want = sum(-(ones * zz.log_softmax(1)).sum(1).mean() / 2 for zz in (z, z.T)) / 2
    torch.testing.assert_close(term.double()(make_step(a, b, image=image))["loss"], want, rtol=0, atol=1e-6)


def test_a_target_over_prototypes(rng):
    """Rows with labels among four centroids; a low temperature makes it the hard label."""
    centroids = F.normalize(torch.randn(4, 3, generator=rng, dtype=torch.float64), dim=1)
    label = torch.tensor([2, 0, 2, 3, 1])
    rows = Ids(torch.arange(5), label, {"prototype": centroids[label]})
    cols = Ids(torch.arange(100, 104), torch.arange(4), {"prototype": centroids})
    tile = Tile(slice(0, 5), slice(0, 4))
    soft = PrototypeSoft(temperature=0.3).weights(rows, cols, torch.float64).block(tile)
    torch.testing.assert_close(soft.dense()[0], (centroids[label] @ centroids.T / 0.3).softmax(1), rtol=0, atol=1e-12)
    assert torch.equal(torch.stack(soft.positives), torch.stack([torch.arange(5), label]))
    hard = PrototypeSoft(temperature=1e-4).weights(rows, cols, torch.float64).block(tile).dense()[0]
    torch.testing.assert_close(hard, F.one_hot(label, 4).double(), rtol=0, atol=1e-9)


def test_a_queue_of_a_teachers_vectors_is_compared_as_it_is(rng):
    """ALBEF: rows of the momentum model against columns that the momentum model made."""
    rows_x, queue = (F.normalize(torch.randn(k, 3, generator=rng, dtype=torch.float64), dim=1) for k in (4, 9))
    rows = Ids(torch.arange(4), torch.arange(4), {"teacher": rows_x})
    cols = Ids(torch.arange(9), torch.arange(9), x=queue)
    w = KeySoftmax(rows="a", keys="b").weights(rows, cols, torch.float64)
    got = w.block(Tile(slice(0, 4), slice(0, 9))).dense()[0]
    torch.testing.assert_close(got, (rows_x @ queue.T / 0.07).softmax(1), rtol=0, atol=1e-12)


class TestMix:
    def test_the_share_rises_linearly_and_stays(self):
        mix = Mix(soft=OneHot(), hard=OneHot(), amount=0.4, ramp_steps=100)
        assert [mix.share(i) for i in (0, 25, 50, 100, 10**6)] == [0.0, 0.1, 0.2, 0.4, 0.4]
        assert Mix(soft=OneHot(), hard=OneHot(), amount=0.4).share(0) == 0.4

    def test_at_the_start_of_the_ramp_the_loss_is_the_hard_one(self, step):
        mix = Mix(soft=TeacherSoftmax(teachers=teachers()), hard=OneHot(), ramp_steps=10)
        losses = [Pair(rows="a", keys="b", target=t).double()(step)["loss"] for t in (mix, OneHot())]
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)


class TestLearnedSim:
    def test_it_starts_as_exactly_one_hot(self, step):
        w, w_cols = whole(LearnedSim(samples=7, rank=3), step)
        assert torch.equal(w, torch.eye(7).double())
        assert torch.equal(w_cols, torch.eye(7).double())

    def test_it_is_the_matrix_that_the_outer_loop_learns(self, step, rng):
        target = LearnedSim(samples=9, rank=3, alpha=2.0).double()
        with torch.no_grad():
            for p in target.parameters():
                p.copy_(torch.randn(p.shape, generator=rng, dtype=p.dtype))
        step.batch.keys["sample"] = torch.tensor([8, 3, 0, 5, 1, 2, 7])
        matrix = target.matrix(step.batch.keys["sample"])
        w, w_cols = whole(target, step, (3, 4))
        torch.testing.assert_close(w, matrix.detach(), rtol=0, atol=1e-12)
        torch.testing.assert_close(w_cols, matrix.detach(), rtol=0, atol=1e-12)
        matrix.sum().backward()
        assert all(p.grad is not None for p in target.parameters())

    def test_a_sample_beyond_the_set_is_refused(self, step):
        with pytest.raises(ConfigError, match="LearnedSim: sample 6 of a set of 3; set `samples`"):
            LearnedSim(samples=3).sides(step, torch.arange(7))


class TestSampleWeights:
    def test_terms_are_averaged_by_them_and_columns_by_their_own_sample(self, step, vectors):
        step.batch.labels["trust"] = torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0, float("nan"), 0.25]).double()
        term = Pair(
            rows="a", keys="b", sample_weight="trust", directions=(0.7, 0.3), scale=FixedScale(temperature=0.25)
        ).double()
        z = 4 * cosine(vectors["a"], vectors["b"])
        w, y = step.batch.labels["trust"].nan_to_num(0.0), torch.arange(7)
        terms = [F.cross_entropy(zz, y, reduction="none") for zz in (z, z.T)]
        want = sum(share * (w * t).sum() / w.sum() for share, t in zip((0.7, 0.3), terms, strict=True))
        torch.testing.assert_close(term(step)["loss"], want, rtol=0, atol=1e-12)

    def test_only_their_ratios_matter(self, step):
        step.batch.labels["trust"] = torch.rand(7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        term = Pair(rows="a", keys="b", sample_weight="trust").double()
        before = term(step)["loss"]
        step.batch.labels["trust"] *= 17
        torch.testing.assert_close(term(step)["loss"], before, rtol=0, atol=1e-12)
        step.batch.labels["trust"] = torch.ones(7).double()
        torch.testing.assert_close(term(step)["loss"], Pair(rows="a", keys="b").double()(step)["loss"])

    def test_no_weight_at_all_is_an_exact_zero_with_a_graph(self, step):
        step.batch.labels["trust"] = torch.zeros(7)
        loss = Pair(rows="a", keys="b", sample_weight="trust").double()(step)["loss"]
        assert loss == 0
        loss.backward()
        assert not step.model.vectors["a"].grad.any()


def test_targets_are_told_of_each_pairs_loss(step):
    told = []

    class Listener(OneHot):
        def observe(self, step, batch_rows_n, surprise_n):
            told.append((batch_rows_n, surprise_n))

        def on_epoch(self, epoch):
            told.append(epoch)

    term = Pair(rows="a", keys="b", target=Listener()).double()
    loss = term(step)["loss"]
    torch.testing.assert_close(told[0][1].mean(), loss.detach(), rtol=0, atol=1e-12)
    assert torch.equal(told[0][0], torch.arange(7))
    Objective(terms=[term]).on_epoch(step.model, 3)
    assert told[1] == 3


def test_errors_name_the_target_and_the_way_out(step):
    rows = torch.arange(7)
    with pytest.raises(ConfigError, match=r"SampleSmooth: the batch has no label 'noice'; did you mean 'noise'"):
        SampleSmooth(label="noice").sides(step, rows)
    with pytest.raises(ConfigError, match=r"GradedEquality: the batch has no key 'sorce'; did you mean 'source'"):
        GradedEquality(key="text", source="sorce").sides(step, rows)
    with pytest.raises(ConfigError, match="one content id"):
        Mix(soft=Equality(key="x"), hard=Equality(key="y"))
    with pytest.raises(ConfigError, match="needs the side 'amount' of rows and columns and these keys do not carry it"):
        SampleSmooth(label="noise").weights(Ids(rows, rows), Ids(rows, rows), torch.float64)
    with pytest.raises(ConfigError, match="no teachers given"):
        TeacherSoftmax(teachers=[])
    with pytest.raises(ConfigError, match="the batch has no label 'trust' for sample_weight"):
        Pair(rows="a", keys="b", sample_weight="trust")(step)
    step.batch.present["teacher_a"] = torch.tensor([1, 1, 1, 0, 1, 1, 1]).bool()
    with pytest.raises(ConfigError, match="a target looks at 'teacher_a', which 1 of the compared rows lack"):
        IntraModal(view="teacher_a").sides(step, rows)
    for make in (
        lambda: EachEqual(key="k", weight=0),
        lambda: OffDiagonalSmooth(amount=1),
        lambda: LabelSmooth(amount=-0.1),
        lambda: GradedEquality(key="k", share=0),
        lambda: Mix(soft=OneHot(), hard=OneHot(), amount=2),
        lambda: PrototypeSoft(temperature=0),
        lambda: KeySoftmax(rows="a", keys="b", temperature=0),
        lambda: TeacherPair(rows="a", keys="b", temperature=0),
    ):
        with pytest.raises(ConfigError, match=r"; (give|use)|use Equality"):
            make()
