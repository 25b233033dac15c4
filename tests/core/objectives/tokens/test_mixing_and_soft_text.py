"""Patch mixing, text asked of an image (IRRA), soft targets of a teacher, and matching over several wordings."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from core.encoders import ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.fusion import CoAttention, QueryFusion
from core.models import DualEncoder
from core.objectives import (
    FromFusion,
    HardNegatives,
    MaskedText,
    Matching,
    MixedSegmentation,
    MomentumTeacher,
    PatchMixing,
    Ramp,
    RandomNegatives,
    Restored,
    SoftMaskedText,
    Step,
    WordHead,
    WorstAlignedNegatives,
)
from core.objectives import candidates as candidates_module
from core.objectives import negatives as negatives_module
from core.objectives.candidates import Candidates, Similarities
from core.objectives.negatives import partners
from core.objectives.tokens.mixing import draw_sources, mix, restore
from core.types import Batch, ModalityInput

pytestmark = pytest.mark.usefixtures("seeded")
VOCAB = 30


def make_model(fusion: str = "co") -> DualEncoder:
    inputs = {"text": 12, "image": 12}
    fusions = {
        "co": lambda: CoAttention(width=12, depth=1, heads=2, inputs=inputs, dropout=0.0),
        "query": lambda: QueryFusion(width=12, depth=1, heads=2, inputs=inputs),
    }
    return DualEncoder(
        encoders={
            "image": ImageTransformer(image_size=8, patch=2, channels=1, width=12, depth=2, heads=2),
            "text": TextTransformer(vocab_size=VOCAB, max_length=8, width=12, depth=1, heads=2, prefix=1),
        },
        modalities={"image": "image", "text": "text", "german": "text"},
        dim=4,
        fusion=fusions[fusion](),
        heads={"words": WordHead(width=12, vocab_size=VOCAB)},
    )


def make_batch(rows: int = 4, dtype=torch.float32) -> Batch:
    rng = torch.Generator().manual_seed(2)
    ids = torch.randint(5, VOCAB, (rows, 7), generator=rng)
    german = torch.randint(5, VOCAB, (rows, 5), generator=rng)
    mask = torch.ones(rows, 7, dtype=torch.bool)
    ids[:, 0], mask[-1, 5:] = 2, False
    inputs = {
        "image": ModalityInput(torch.randn(rows, 1, 8, 8, generator=rng, dtype=dtype)),
        "text": ModalityInput(ids, mask),
        "german": ModalityInput(german),
    }
    present = {name: torch.ones(rows, dtype=torch.bool) for name in inputs}
    return Batch([str(i) for i in range(rows)], inputs, present, keys={"sample": torch.arange(rows)})


def make_step(model, batch, *, index: int = 0, seed: int = 0, **teachers) -> Step:
    rng = torch.Generator().manual_seed(seed)
    return Step(model=model, batch=batch, index=index, generator=rng, teachers=teachers)


# Mixing


@pytest.mark.parametrize("size", [1, 2, 5])
def test_mixing_can_be_undone(size):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, size, 11, 4, generator=rng)
    source = draw_sources(3, size, 11, rng)
    assert torch.equal(restore(mix(x, source), source), x)
    assert torch.equal(mix(x, source).sort(1).values, x.sort(1).values)  # every patch occurs once
    if size > 1:
        assert not torch.equal(mix(x, source), x)


def test_every_caption_owns_as_many_patches_in_expectation():
    source = draw_sources(500, 4, 49, torch.Generator().manual_seed(0))
    for image in range(4):
        share = (source == image).float().mean((0, 2))  # of each mixed image
        torch.testing.assert_close(share, torch.full((4,), 0.25), rtol=0, atol=0.015)


def mixed_term(size: int = 2, layer: int = 1, **kwargs) -> MixedSegmentation:
    return MixedSegmentation(mixing=PatchMixing(modality="image", size=size, layer=layer), text="text", **kwargs)


def test_mixed_segmentation_against_the_loop_over_mixed_patches():
    model, batch, term = make_model().double(), make_batch(dtype=torch.float64), mixed_term(temperature=0.5)
    step = make_step(model, batch)
    value = term(step)["loss"]
    mixed = term.mixing(step)
    tokens = mixed.encoded.tokens.x[:, 1:]
    grouped = mix(tokens[mixed.rows].unflatten(0, (2, 2)), mixed.source)  # as they lay during the blocks
    text = F.normalize(step.embedding("text"), dim=-1)
    losses = []
    for g in range(2):
        members = mixed.rows[2 * g : 2 * g + 2]
        for s in range(2):
            for n in range(16):
                vector = F.normalize(model.projections["image"](grouped[g, s, n]), dim=0)
                logits = torch.stack([vector @ text[m] for m in members]) / 0.5
                losses.append(F.cross_entropy(logits, mixed.source[g, s, n]))
    torch.testing.assert_close(value, torch.stack(losses).mean())


def test_gradients_of_mixing_agree_with_finite_differences(slopes_agree):
    model, batch, term = make_model().double(), make_batch(dtype=torch.float64), mixed_term(temperature=0.5)
    view = Restored(mixing=term.mixing)

    def loss():
        step = make_step(model, batch)
        return term(step)["loss"] + view(step).x.square().sum()

    slopes_agree(loss, list(model.parameters()))


def test_a_group_of_one_costs_nothing_and_leaves_the_embedding_alone():
    model, batch = make_model(), make_batch()
    term = mixed_term(size=1)
    step = make_step(model, batch)
    assert term(step)["loss"] == 0
    assert term(step)["loss"].requires_grad
    torch.testing.assert_close(Restored(mixing=term.mixing)(step).x, step.embedding("image"))


def test_undecided_patches_cost_the_log_of_the_group():
    model, batch = make_model(), make_batch()
    batch.inputs["text"].x[:] = batch.inputs["text"].x[:1].clone()
    batch.inputs["text"].mask = None
    for size in (2, 4):
        assert mixed_term(size=size)(make_step(model, batch))["loss"].item() == pytest.approx(math.log(size), abs=1e-5)


def test_mixing_shows_other_images_to_a_block_and_a_rest_stays_unmixed():
    model, batch = make_model(), make_batch(rows=5)
    step = make_step(model, batch)
    mixed = PatchMixing(modality="image", size=2, layer=0)(step)
    alone = model.encode("image", batch.inputs["image"])
    rest = [i for i in range(5) if i not in mixed.rows.tolist()]
    assert len(rest) == 1
    torch.testing.assert_close(mixed.encoded.pooled[rest], alone.pooled[rest])
    assert (mixed.encoded.tokens.x[mixed.rows] - alone.tokens.x[mixed.rows]).abs().amax((1, 2)).gt(1e-4).all()
    assert PatchMixing(modality="image", size=2, layer=0)(step).encoded is mixed.encoded  # equal settings share


def test_a_group_with_a_missing_caption_does_not_count():
    model, batch, term = make_model(), make_batch(), mixed_term()
    rows = term.mixing(make_step(model, batch)).rows.tolist()
    batch.present["text"][rows[0]] = False
    batch.inputs["text"] = batch.inputs["text"].rows(torch.tensor([i for i in range(4) if i != rows[0]]))
    assert torch.isfinite(term(make_step(model, batch))["loss"])
    batch.present["text"][:] = False
    batch.inputs.pop("text")
    assert term(make_step(model, batch))["loss"] == 0
    assert mixed_term(size=9)(make_step(model, make_batch()))["loss"] == 0  # fewer images than a group


# Text that asks an image, and soft targets


def test_masked_words_read_the_image_through_query_fusion(slopes_agree):
    model = make_model("query").double()
    term = MaskedText(
        modality="text", width=12, vocab_size=VOCAB, ratio=0.4, source=FromFusion(partner="image")
    ).double()
    batch = make_batch(dtype=torch.float64)
    slopes_agree(lambda: term(make_step(model, batch))["loss"], [*model.parameters(), *term.parameters()])
    before = term(make_step(model, batch))["loss"]
    batch.inputs["image"].x += 1
    assert term(make_step(model, batch))["loss"] != before


def soft(alpha=0.4) -> SoftMaskedText:
    source = FromFusion(partner="image")
    return SoftMaskedText(
        modality="text", width=12, vocab_size=VOCAB, ratio=0.4, teacher="ema", head="words", alpha=alpha, source=source
    )


def teacher_of(model) -> MomentumTeacher:
    teacher = MomentumTeacher()
    teacher.attach(model)
    with torch.no_grad():
        for p in teacher.model.parameters():
            p += 0.05 * torch.randn_like(p)
    return teacher


def test_soft_targets_against_the_dense_form():
    model, batch = make_model().double(), make_batch(dtype=torch.float64)
    teacher, term = teacher_of(model), soft()
    value = term(make_step(model, batch, ema=teacher.model))["loss"]
    step = make_step(model, batch, ema=teacher.model)
    task = term.hide(batch.inputs["text"], step.generator)
    own = model.heads["words"](term.source.tokens(step, "text", task.inp).x[task.hidden])
    its = teacher.model.heads["words"](term.source.tokens(step.teacher("ema"), "text", task.inp).x[task.hidden])
    q = 0.4 * its.softmax(-1) + 0.6 * F.one_hot(task.target, VOCAB).double()
    torch.testing.assert_close(value, -(q * own.log_softmax(-1)).sum(-1).mean())


def test_alpha_zero_is_masked_text_and_alpha_ramps():
    model, batch = make_model(), make_batch()
    teacher = teacher_of(model)
    plain = MaskedText(
        modality="text", width=12, vocab_size=VOCAB, ratio=0.4, head="words", source=FromFusion(partner="image")
    )
    expected = plain(make_step(model, batch))["loss"]
    torch.testing.assert_close(soft(0.0)(make_step(model, batch, ema=teacher.model))["loss"], expected)
    ramp = soft(Ramp(start=0.0, end=0.4, steps=10))
    for index, alpha in ((0, 0.0), (5, 0.2), (30, 0.4)):
        assert ramp(make_step(model, batch, index=index, ema=teacher.model))["alpha"].item() == pytest.approx(alpha)


def test_soft_gradients_agree_with_finite_differences_and_the_teacher_has_none(slopes_agree):
    model, batch = make_model().double(), make_batch(dtype=torch.float64)
    teacher, term = teacher_of(model), soft()
    slopes_agree(lambda: term(make_step(model, batch, ema=teacher.model))["loss"], list(model.parameters()))
    term(make_step(model, batch, ema=teacher.model))["loss"].backward()
    assert all(p.grad is None for p in teacher.model.parameters())


def test_a_head_of_another_kind_is_named():
    model = make_model()
    model.heads["words"] = torch.nn.Linear(12, VOCAB)
    with pytest.raises(ConfigError, match=r"model\.heads\.words is a Linear, expected a WordHead"):
        soft()(make_step(model, make_batch(), ema=teacher_of(model).model))
    with pytest.raises(ConfigError, match="stay in"):
        soft(1.5)


# Matching over several wordings


def wordings(negatives, **kwargs) -> Matching:
    return Matching(first="image", second=["text", "german"], width=24, negatives=negatives, **kwargs)


@pytest.mark.parametrize("negatives", [RandomNegatives(), HardNegatives(), WorstAlignedNegatives()])
def test_own_wordings_are_never_false_partners(negatives):
    model, batch = make_model(), make_batch(rows=6)
    term = wordings(negatives)
    for seed in range(20):
        step = make_step(model, batch, seed=seed)
        candidates = term.candidates(step, torch.arange(6))
        first, second, match = negatives.judged(candidates, step.generator)
        assert torch.equal(candidates.owner[second] == first, match == 1)
        assert (match == 0).any()
    used = {int(s) // 6 for s in second}
    assert used == {0, 1}  # both languages serve
    assert torch.isfinite(term(make_step(model, batch))["loss"])


def test_wordings_that_some_rows_lack_are_drawn_from_those_that_exist():
    model, batch = make_model(), make_batch(rows=6)
    batch.present["german"][:4] = False
    batch.inputs["german"] = batch.inputs["german"].rows(torch.tensor([4, 5]))
    batch.present["text"][5] = False
    batch.inputs["text"] = batch.inputs["text"].rows(torch.arange(5))
    term = wordings(HardNegatives())
    step = make_step(model, batch)
    found = term.candidates(step, torch.arange(6))
    assert found.owner.tolist() == [0, 1, 2, 3, 4, 4, 5]
    cosines, barred = found.of_first(torch.arange(6))
    image, text, german = (F.normalize(step.embedding(m), dim=-1) for m in ("image", "text", "german"))
    expected = torch.cat([image @ text.T, image @ german.T], dim=1).detach()
    torch.testing.assert_close(cosines, expected)
    torch.testing.assert_close(found.of_second(torch.tensor([5, 0, 6]))[0], expected.T[[5, 0, 6]])
    torch.testing.assert_close(found.own(), expected[found.owner, torch.arange(7)])
    assert torch.equal(barred, torch.arange(6)[:, None] == found.owner)
    assert torch.isfinite(term(step)["loss"])


def test_the_worst_aligned_wording_is_drawn_in_proportion_and_the_best_never():
    rows, cosines = 4000, torch.tensor([0.1, 0.3, 0.2])
    one, owner = torch.tensor([[1.0, 0.0]]).expand(rows, -1), torch.arange(rows).repeat_interleave(3)

    def drawn(cosines: torch.Tensor) -> torch.Tensor:
        texts = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1).repeat(rows, 1)
        parts = [(Similarities(one, texts), torch.arange(rows), torch.arange(3 * rows))]
        candidates = Candidates(firsts=rows, owner_m=owner, parts=parts)
        order = WorstAlignedNegatives(temperature=0.1).order(candidates, torch.Generator().manual_seed(0))
        chosen = partners(candidates, order)
        assert torch.equal(chosen // 3, torch.arange(rows))
        return torch.bincount(chosen % 3, minlength=3)

    p, counts = (cosines / 0.1).exp(), drawn(cosines)
    assert counts[1] == 0
    torch.testing.assert_close(counts / rows, (p.max() - p) / (p.max() - p).sum(), rtol=0, atol=0.03)
    equal = drawn(torch.full((3,), 0.2)) / rows  # equally good: any of them
    torch.testing.assert_close(equal, torch.full((3,), 1 / 3), rtol=0, atol=0.03)


def test_one_wording_is_plain_hard_negatives():
    model, batch = make_model(), make_batch()
    torch.manual_seed(3)
    many = Matching(first="image", second=["text"], width=24, negatives=WorstAlignedNegatives())
    one = Matching(first="image", second="text", width=24, negatives=HardNegatives())
    one.head.load_state_dict(many.head.state_dict())
    rows = torch.arange(4)
    judged = [t.negatives.judged(t.candidates(make_step(model, batch), rows), torch.Generator()) for t in (many, one)]
    assert torch.equal(judged[0].second[:4], judged[1].second[:4])  # the true pairs


def test_blocks_draw_what_the_whole_matrix_would_allow(monkeypatch):
    monkeypatch.setattr(negatives_module, "BLOCK", 3)
    monkeypatch.setattr(candidates_module, "SHARED", 0)
    model, batch = make_model(), make_batch(rows=8)
    batch.keys["text"] = torch.tensor([0, 0, 1, 2, 3, 4, 5, 5])
    term = Matching(first="image", second="text", width=24, negatives=HardNegatives(temperature=0.01))
    step = make_step(model, batch)
    found = term.candidates(step, torch.arange(8))
    cosines = found.of_first(torch.arange(8))[0]
    key = batch.keys["text"]
    allowed = key[:, None] != key
    hits = 0
    for seed in range(30):
        first, second, match = term.negatives.judged(found, torch.Generator().manual_seed(seed))
        false = match == 0
        assert allowed[first[false], second[false]].all()
        hardest = cosines.masked_fill(~allowed, -2).argmax(1)
        hits += int((second[8:16] == hardest).sum())
    assert hits > 120  # of 240: by far the most probable


def test_similarities_are_formed_once_for_all_matching_terms():
    model, batch = make_model(), make_batch()
    step = make_step(model, batch)
    one = Matching(first="image", second="text", width=24, negatives=HardNegatives())
    one(step)
    known = step.memo(("similarity", "image", "text"), lambda: pytest.fail("formed again"))
    assert known.matrix.shape == (4, 4)
    assert not known.matrix.requires_grad
    wordings(HardNegatives())(step)
