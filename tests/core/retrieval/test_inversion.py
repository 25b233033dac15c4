"""Modality inversion on tiny random encoders of the suite. Legend: V = items, T = tokens, E = shared width."""

import pytest
import torch
from torch.nn import functional as F

from core.encoders import ConvNet, ImageTransformer, TextConvNet, TextTransformer, VolumeTransformer
from core.errors import ConfigError, DataError
from core.models import DualEncoder
from core.nn import LastPool
from core.retrieval import ImageInversion, TextInversion
from core.types import ModalityInput

SMALL = {"width": 24, "depth": 2, "heads": 2}
E = 8
PROMPT = ModalityInput(torch.tensor([[1, 5, 6, 7, 2]]), torch.ones(1, 5, dtype=torch.bool))


def towers(dtype=torch.float64, **text):
    torch.manual_seed(0)
    model = DualEncoder(
        encoders={
            "image": ImageTransformer(image_size=16, patch=8, channels=1, dropout=0.1, **SMALL),
            "volume": VolumeTransformer(volume_size=(4, 16, 16), patch=(2, 8, 8), channels=1, **SMALL),
            "cnn": ConvNet(channels=1),
            "text": TextTransformer(vocab_size=20, max_length=8, dropout=0.1, **SMALL, **text),
            "words": TextConvNet(vocab_size=20, channels=12),
        },
        modalities={"image": "image", "volume": "volume", "cnn": "cnn", "text": "text", "words": "words"},
        dim=E,
    )
    return model.to(dtype)


def targets(rows=5, seed=1):
    return torch.randn(rows, E, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator():
    return torch.Generator().manual_seed(3)


def invert_text(model, target, modality="text", **options):
    options = {"prompt": PROMPT, "slots": [3], "steps": 60, **options}
    return TextInversion(model=model, modality=modality, **options)(target, generator=generator())


def invert_image(model, target, modality="image", **options):
    size = (1, 1, 4, 16, 16) if modality == "volume" else (1, 1, 16, 16)
    options = {"blank": ModalityInput(torch.zeros(size, dtype=torch.float64)), "steps": 60, "tokens": 2, **options}
    return ImageInversion(model=model, modality=modality, **options)(target, generator=generator())


@pytest.mark.parametrize(("causal", "slot"), [(False, 3), (True, 4)])  # random causal blocks hardly look back
def test_a_pseudo_word_reaches_the_target(causal, slot):
    model = towers(causal=causal, pool=LastPool() if causal else None)
    found = invert_text(model, targets(), steps=150, slots=[slot])
    assert found.history.shape == (151,)
    assert found.history[-1] < 0.3 < found.history[0]
    assert found.history[100:].mean() < found.history[50:100].mean() < found.history[:50].mean()
    torch.testing.assert_close(found.loss, 1 - (found.vectors * F.normalize(targets())).sum(1))
    assert found.tokens.shape == (5, 1, 24)


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_pseudo_patches_reach_the_target(modality):
    found = invert_image(towers(), targets(), modality, steps=150)
    assert found.history[-1] < 0.3 < found.history[0]
    assert found.tokens.shape == (5, 2, 24)


def test_an_encoder_without_attention_can_be_inverted_too():
    found = invert_text(towers(), targets(), "words", steps=150)
    assert found.history[-1] < found.history[0] - 0.3


@pytest.mark.parametrize("invert", [invert_text, invert_image])
def test_nothing_of_the_model_changes(invert):
    model = towers()
    model.train()
    model.encoders["volume"].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    invert(model, targets(), steps=5)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert modes == [m.training for m in model.modules()]
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("invert", [invert_text, invert_image])
def test_an_item_alone_gives_what_it_gave_among_others(invert):
    model, target = towers(), targets(4)
    together = invert(model, target, steps=20)
    for options in ({"batch_size": 1}, {"batch_size": 3}):
        torch.testing.assert_close(
            invert(model, target, steps=20, **options).vectors, together.vectors, atol=1e-6, rtol=0
        )
    alone = invert(model, target[2:3], steps=20)
    torch.testing.assert_close(alone.vectors[0], together.vectors[2], atol=1e-6, rtol=0)
    batches = invert(model, target, steps=20, batch_size=3).history
    torch.testing.assert_close(batches, together.history, atol=1e-6, rtol=0)


def test_the_result_is_what_the_encoder_says_of_those_tokens():
    model = towers().eval()
    found = invert_text(model, targets(3), steps=10, slots=[1, 3])
    encoder = model.encoder_of("text")
    with torch.no_grad():
        word = encoder.token_embedding(PROMPT.x).repeat(3, 1, 1)
        word[:, [1, 3]] = found.tokens
        h = word + encoder.positions((8,))[:5]
        _, ctx = encoder.start(PROMPT.rows(torch.zeros(3, dtype=torch.int64)))
        for i in range(encoder.depth):
            h = encoder.step(i, h, ctx)
        expected = F.normalize(model.project("text", encoder.finish(h, ctx)), dim=1)
    torch.testing.assert_close(found.vectors, expected)


def test_pseudo_patches_are_repeated_along_the_sequence_and_the_class_token_stays():
    model = towers().eval()
    found = invert_image(model, targets(3), steps=10, tokens=2)
    encoder = model.encoder_of("image")
    with torch.no_grad():
        patch = found.tokens.repeat_interleave(2, dim=1) + encoder.positions((2, 2))
        h = torch.cat([encoder.class_token.expand(3, -1, -1), patch], dim=1)
        _, ctx = encoder.start(ModalityInput(torch.zeros(3, 1, 16, 16, dtype=torch.float64)))
        for i in range(encoder.depth):
            h = encoder.step(i, h, ctx)
        expected = F.normalize(model.project("image", encoder.finish(h, ctx)), dim=1)
    torch.testing.assert_close(found.vectors, expected)


def test_what_stands_in_the_slot_and_in_the_blank_image_is_not_seen():
    model = towers()
    other = ModalityInput(PROMPT.x.clone().index_fill(1, torch.tensor([3]), 11), PROMPT.mask)
    assert torch.equal(
        invert_text(model, targets(), steps=5).vectors, invert_text(model, targets(), steps=5, prompt=other).vectors
    )
    noise = ModalityInput(torch.randn(1, 1, 16, 16, dtype=torch.float64, generator=generator()))
    assert torch.equal(
        invert_image(model, targets(), steps=5).vectors, invert_image(model, targets(), steps=5, blank=noise).vectors
    )


def test_works_under_no_grad_with_frozen_weights_and_in_float32():
    model = towers(torch.float32).requires_grad_(False)
    with torch.no_grad():
        found = invert_text(model, targets(2), steps=3)
    assert found.vectors.dtype == torch.float32
    assert not found.vectors.requires_grad
    assert not torch.is_inference_mode_enabled()


def test_the_start_comes_from_the_generator_with_the_given_deviation():
    model = towers()
    one, same = (invert_text(model, targets(2), steps=2) for _ in range(2))
    assert torch.equal(one.tokens, same.tokens)
    spread = invert_image(model, targets(2), steps=1, tokens=4, lr=1e-9, init_std=0.5).tokens.std()
    assert 0.4 < float(spread) < 0.6


def test_errors_say_what_to_mend():
    model = towers()
    with pytest.raises(ConfigError, match="ImageTransformer of 'image' has no token_embedding"):
        invert_text(model, targets(), "image")
    with pytest.raises(ConfigError, match="ConvNet of 'cnn' has no patch stem"):
        invert_image(model, targets(), "cnn")
    with pytest.raises(ConfigError, match="different positions from 0 to 4"):
        invert_text(model, targets(), slots=[5])
    with pytest.raises(ConfigError, match="9 pseudo patches for 4 patches"):
        invert_image(model, targets(), tokens=9)
    with pytest.raises(ConfigError, match="steps 0"):
        invert_text(model, targets(), steps=0)
    with pytest.raises(DataError, match="both must lie in one space"):
        invert_text(model, targets()[:, :3])
    with pytest.raises(DataError, match="finite"):
        invert_text(model, targets() * torch.nan)
