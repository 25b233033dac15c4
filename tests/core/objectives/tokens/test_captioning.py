"""Captions: shifted targets, no leakage, pads that nobody sees, and the two kinds of decoder."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from core.encoders import CaptionTextTransformer, ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.models import CaptionDecoder, DualEncoder, WordDecoder, caption_greedily
from core.nn import QueryPool
from core.objectives import Captioning, Pair, Query, QueryContext, Step
from core.types import Batch, ModalityInput

pytestmark = pytest.mark.usefixtures("seeded")
VOCAB = 30


def make_model(kind: str = "coca") -> DualEncoder:
    text = {"vocab_size": VOCAB, "max_length": 8, "width": 12, "depth": 2, "heads": 2}
    texts = {
        "coca": lambda: CaptionTextTransformer(**text, prefix=1),
        "causal": lambda: TextTransformer(**text, causal=True, prefix=1),
        "bert": lambda: TextTransformer(**text, prefix=1),
    }
    heads = {
        "caption": CaptionDecoder(width=8, depth=1, heads=2, vocab_size=VOCAB, input_width=12, context_width=12),
        "narrow": CaptionDecoder(width=8, depth=1, heads=2, vocab_size=VOCAB, input_width=12, context_width=4),
        "lm": WordDecoder(width=8, depth=1, heads=2, vocab_size=VOCAB, max_length=8, context_width=12),
        "pool": QueryPool(width=4, heads=2, queries=3, context_width=12),
    }
    image = ImageTransformer(image_size=8, patch=4, channels=1, width=12, depth=1, heads=2)
    return DualEncoder(
        encoders={"text": texts[kind](), "image": image},
        modalities={"text": "text", "image": "image"},
        dim=4,
        heads=heads,
    )


def make_batch(rows: int = 3, dtype=torch.float32) -> Batch:
    rng = torch.Generator().manual_seed(2)
    ids = torch.randint(5, VOCAB, (rows, 7), generator=rng)
    mask = torch.arange(7) < torch.tensor([7, 4, 5, 1, 2])[:rows, None]
    ids[:, 0], ids[~mask] = 2, 0
    inputs = {
        "text": ModalityInput(ids, mask),
        "image": ModalityInput(torch.randn(rows, 1, 8, 8, generator=rng, dtype=dtype)),
    }
    present = {name: torch.ones(rows, dtype=torch.bool) for name in inputs}
    return Batch([str(i) for i in range(rows)], inputs, present, keys={"sample": torch.arange(rows)})


def make_step(model, batch) -> Step:
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(0))


TERMS = {
    "coca": ("coca", {"head": "caption"}),
    "causal": ("causal", {"head": "caption"}),
    "queries": ("coca", {"head": "narrow", "context": QueryContext(head="pool", first=1)}),
    "lm": ("bert", {"head": "lm"}),
}


def build(name: str):
    kind, kwargs = TERMS[name]
    return make_model(kind), Captioning(text="text", image="image", **kwargs)


def states(model, term, batch) -> torch.Tensor:
    """(V, T, W) what the decoder gives for every position."""
    step, seen = make_step(model, batch), []
    handle = model.heads[term.head_name].register_forward_hook(lambda m, a, out: seen.append(out))
    term(step)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", TERMS)
def test_the_loss_is_the_mean_over_real_next_words(name):
    model, term = build(name)
    model, batch = model.double(), make_batch(5, dtype=torch.float64)
    text = batch.inputs["text"]
    logits = model.heads[term.head_name].classes(states(model, term, batch))
    losses = [
        F.cross_entropy(logits[i, t], text.x[i, t + 1]) for i in range(5) for t in range(6) if text.mask[i, t + 1]
    ]
    assert len(losses) == 6 + 3 + 4 + 0 + 1
    torch.testing.assert_close(term(make_step(model, batch))["loss"], torch.stack(losses).mean())


@pytest.mark.parametrize("name", TERMS)
def test_gradients_agree_with_finite_differences(name, slopes_agree):
    model, term = build(name)
    model, batch = model.double(), make_batch(dtype=torch.float64)
    slopes_agree(lambda: term(make_step(model, batch))["loss"], list(model.parameters()))


@pytest.mark.parametrize("name", TERMS)
def test_a_word_changes_nothing_before_it(name):
    model, term = build(name)
    batch = make_batch()
    before = states(model, term, batch)
    batch.inputs["text"].x[0, 4] = 5 + (batch.inputs["text"].x[0, 4] - 4) % 25
    after = states(model, term, batch)
    assert torch.equal(before[0, :4], after[0, :4])
    assert (before[0, 4] - after[0, 4]).abs().max() > 1e-5
    assert torch.equal(before[1:], after[1:])


@pytest.mark.parametrize("name", TERMS)
def test_padding_is_neither_seen_nor_told(name):
    model, term = build(name)
    batch = make_batch()
    before = term(make_step(model, batch))["loss"]
    batch.inputs["text"].x[~batch.inputs["text"].mask] = 17
    torch.testing.assert_close(term(make_step(model, batch))["loss"], before)
    short = make_batch()
    text = short.inputs["text"]
    longer = ModalityInput(F.pad(text.x, (0, 1)), F.pad(text.mask, (0, 1)))
    short.inputs["text"] = longer
    torch.testing.assert_close(term(make_step(model, short))["loss"], before)


@pytest.mark.parametrize("name", TERMS)
def test_the_image_reaches_every_word(name):
    model, term = build(name)
    batch = make_batch()
    before = states(model, term, batch)
    batch.inputs["image"].x[0] += 1.0
    after = states(model, term, batch)
    assert ((before[0] - after[0]).abs().amax(-1) > 1e-7).all()
    assert torch.equal(before[1:], after[1:])


def test_an_undecided_decoder_costs_the_log_of_the_vocabulary():
    model, term = build("coca")
    torch.nn.init.zeros_(model.heads["caption"].classes.weight)
    assert term(make_step(model, make_batch()))["loss"].item() == pytest.approx(math.log(VOCAB), abs=1e-5)


def test_the_class_token_reads_real_words_only_and_no_word_reads_it():
    encoder = make_model("coca").encoders["text"].double()
    ids, mask = make_batch().inputs["text"].x, make_batch().inputs["text"].mask
    embedding = encoder.token_embedding.weight
    encoded = encoder(ModalityInput(ids, mask))
    assert encoded.tokens.prefix == 2  # class token, then the tokenizer's own first token
    assert torch.equal(encoded.pooled, encoded.tokens.x[:, 0])
    encoded.pooled[1].square().sum().backward()
    positions = encoder.positions.table.grad.abs().sum(-1)
    assert (positions[:4] > 0).all()
    assert not positions[4:].any()  # pads of row 1
    encoder.zero_grad()
    encoder(ModalityInput(ids, mask)).tokens.x[:, 1:].square().sum().backward()
    assert not encoder.class_token.grad.any()
    assert embedding.grad.any()


def test_dropped_words_leave_the_order_of_the_others_alone():
    encoder = make_model("coca").encoders["text"].double()
    ids = make_batch().inputs["text"].x[:1]
    keep = torch.tensor([[4, 0, 2]])
    x = encoder(ModalityInput(ids), keep=keep).tokens.x
    sorted_x = encoder(ModalityInput(ids), keep=keep.sort().values).tokens.x
    torch.testing.assert_close(x[:, 2:], sorted_x[:, 2:][:, [2, 0, 1]])


def test_contrast_and_caption_share_the_queries_of_one_pooler():
    model, batch = make_model(), make_batch()
    calls = []
    model.heads["pool"].register_forward_hook(lambda *_: calls.append(1))
    step = make_step(model, batch)
    pair = Pair(rows=Query(modality="image", head="pool"), keys="text")(step)
    caption = build("queries")[1](step)
    (pair["loss"] + 2 * caption["loss"]).backward()
    assert len(calls) == 1
    assert model.heads["pool"].queries.grad.abs().sum(1).gt(0).all()


def test_nothing_to_tell_is_an_exact_zero_with_a_graph():
    for name in TERMS:
        model, term = build(name)
        batch = make_batch()
        batch.inputs["text"].mask[:, 1:] = False
        zero = term(make_step(model, batch))["loss"]
        assert zero == 0
        assert zero.requires_grad
        batch.present["image"][:] = False
        batch.inputs.pop("image")
        assert term(make_step(model, batch))["loss"] == 0


def test_float32_losses_under_bfloat16_autocast():
    model, term = build("coca")
    exact = term(make_step(model, make_batch()))["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = term(make_step(model, make_batch()))["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0, atol=0.05)


def test_greedy_captions_follow_what_was_trained():
    model = make_model("bert")
    term, batch = Captioning(text="text", image="image", head="lm"), make_batch()
    for _ in range(40):
        loss = term(make_step(model, batch))["loss"]
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0 if p.grad is None else 0.02 * p.grad.sign()
    tokens = model.encode("image", batch.inputs["image"]).tokens
    told = caption_greedily(model.heads["lm"], tokens, start_id=2, end_id=1, length=7)
    text = batch.inputs["text"]
    assert (told == text.x)[text.mask].float().mean() > 0.9
    shuffled = make_batch()
    shuffled.inputs["image"].x = shuffled.inputs["image"].x.roll(1, 0)
    assert term(make_step(model, shuffled))["loss"] > loss + 0.5  # the image matters


def test_an_encoder_that_sees_later_words_is_refused():
    with pytest.raises(ConfigError, match="is not causal, so its states already hold the words"):
        Captioning(text="text", image="image", head="caption")(make_step(make_model("bert"), make_batch()))
    with pytest.raises(ConfigError, match="expected a TextDecoder"):
        Captioning(text="text", image="image", head="pool")(make_step(make_model(), make_batch()))


def test_queries_of_a_row_without_real_tokens_are_finite():
    pool = QueryPool(width=4, heads=2, queries=3, context_width=6)
    x = torch.randn(2, 5, 6)
    mask = torch.tensor([[True] * 5, [False] * 5])
    out = pool(x, mask)
    assert out.isfinite().all()
    torch.testing.assert_close(pool(x[:1]), out[:1])
