"""Long-CLIP's stretch of positions: the rule row by row, what stays the same, and what cannot be drawn out."""

from __future__ import annotations

import pytest
import torch

from core.config.build import build
from core.config.schema import OptimSettings
from core.encoders import (
    ImageTransformer,
    StretchedPositions,
    TextConvNet,
    TextTransformer,
    stretch_table,
    stretch_text,
    stretched_length,
    stretched_node,
)
from core.errors import CheckpointError, ConfigError
from core.nn import LastPool, LearnedPositions, SinCosPositions
from core.training.optim import make_optimizer
from core.types import ModalityInput

SMALL = {"width": 8, "depth": 1, "heads": 2}


@pytest.fixture
def table() -> torch.Tensor:
    return torch.randn(77, 6, generator=torch.Generator().manual_seed(0))


def test_77_rows_become_248_by_the_published_rule(table):
    out = stretch_table(table)
    assert out.shape == (248, 6)
    assert torch.equal(out[:20], table[:20])
    p = table.double()
    for i in range(57):
        assert torch.equal(out[20 + 4 * i], table[20 + i])
        for j in range(4):
            beyond = p[76] + (p[76] - p[75]) if i == 56 else p[21 + i]
            want = (1 - j / 4) * p[20 + i] + (j / 4) * beyond
            torch.testing.assert_close(out[20 + 4 * i + j].double(), want, rtol=0, atol=1e-6)
    last = torch.stack([p[76] + j / 4 * (p[76] - p[75]) for j in range(4)])
    torch.testing.assert_close(out[-4:].double(), last, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("length", "kept", "factor"), [(77, 20, 4), (16, 0, 2), (16, 5, 3), (10, 8, 7), (9, 3, 1)])
def test_any_lengths_a_straight_line_stays_a_straight_line(length, kept, factor):
    line = torch.arange(length, dtype=torch.float64)[:, None] * torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    out = stretch_table(line, kept=kept, factor=factor)
    assert len(out) == stretched_length(length, kept=kept, factor=factor) == factor * length - (factor - 1) * kept
    slope = out[kept + 1 :] - out[kept:-1]
    torch.testing.assert_close(slope, (line[1] / factor).expand_as(slope), rtol=0, atol=1e-12)
    if factor == 1:
        assert torch.equal(out, line)


@pytest.mark.parametrize(("kept", "factor"), [(76, 4), (77, 4), (-1, 4), (20, 0)])
def test_what_leaves_nothing_to_draw_out_is_refused(table, kept, factor):
    with pytest.raises(ConfigError, match=r"needs a factor of at least 1 and 0 <= kept <= positions - 2"):
        stretch_table(table, kept=kept, factor=factor)


def test_bfloat16_keeps_its_rows_bit_for_bit(table):
    out = stretch_table(table.bfloat16())
    assert out.dtype == torch.bfloat16
    assert torch.equal(out[:20], table.bfloat16()[:20])
    assert torch.equal(out[20::4], table.bfloat16()[20:])


@pytest.mark.parametrize("causal", [False, True])
def test_short_texts_give_what_they_gave_and_long_ones_are_read(causal):
    torch.manual_seed(0)
    pool = LastPool() if causal else None
    encoder = TextTransformer(vocab_size=30, max_length=12, causal=causal, pool=pool, **SMALL).eval()
    longer = stretch_text(encoder, kept=4, factor=3)
    assert longer.max_length == 28
    ids = torch.randint(30, (2, 4))
    assert torch.equal(longer(ModalityInput(ids)).pooled, encoder(ModalityInput(ids)).pooled)
    assert longer(ModalityInput(torch.randint(30, (2, 28)))).pooled.isfinite().all()
    assert encoder.max_length == 12  # the old one is left as it was
    assert isinstance(encoder.positions, LearnedPositions)


def test_the_first_rows_are_frozen_and_the_rest_is_trained_without_decay():
    torch.manual_seed(0)
    longer = stretch_text(TextTransformer(vocab_size=30, max_length=12, **SMALL), kept=4, factor=3).train()
    optimizer = make_optimizer(longer, OptimSettings(lr=0.1))
    first, rest = longer.positions.first.clone(), longer.positions.rest.detach().clone()
    longer.requires_grad_(True)
    longer(ModalityInput(torch.randint(30, (2, 28)))).tokens.x[:, :, 0].square().sum().backward()
    optimizer.step()
    assert torch.equal(longer.positions.first, first)
    assert (longer.positions.rest != rest).any(dim=1).all()
    (group,) = [g for g in optimizer.param_groups if any(p is longer.positions.rest for p in g["params"])]
    assert group["weight_decay"] == 0


def test_its_configuration_builds_the_same_encoder_and_its_weights_load():
    torch.manual_seed(0)
    node = {
        "class_path": "core.encoders.TextTransformer",
        "init_args": {"vocab_size": 30, "max_length": 12, **SMALL},
    }
    longer = stretch_text(build(node), kept=4, factor=3)
    again = build(stretched_node(node, kept=4, factor=3))
    again.load_state_dict(longer.state_dict())
    ids = ModalityInput(torch.randint(30, (2, 20)))
    assert torch.equal(again.eval()(ids).pooled, longer.eval()(ids).pooled)
    with pytest.raises(ConfigError, match="leaves out max_length"):
        stretched_node({"class_path": "x", "init_args": {"width": 8}})


def test_weights_of_a_shorter_encoder_are_adopted():
    torch.manual_seed(0)
    short = TextTransformer(vocab_size=30, max_length=12, **SMALL)
    state = dict(short.state_dict())
    long = TextTransformer(
        vocab_size=30, max_length=28, positions=StretchedPositions(length=28, width=8, kept=4, factor=3), **SMALL
    )
    long.positions.adopt(state, "positions.")
    long.load_state_dict(state)
    want = stretch_table(short.positions.table.detach(), kept=4, factor=3)
    assert torch.equal(long.positions((28,)).detach(), want)
    own = dict(long.state_dict())
    long.positions.adopt(own, "positions.")  # what already fits is left
    assert torch.equal(own["positions.rest"], want[4:])
    with pytest.raises(CheckpointError, match=r"positions\.table: .* the table is \(11, 8\), expected \(12, 8\)"):
        long.positions.adopt({"positions.table": torch.zeros(11, 8)}, "positions.")


def test_encoders_that_have_nothing_to_stretch_say_what_to_do():
    with pytest.raises(ConfigError, match=r"TextConvNet is no TextTransformer.*need no stretch"):
        stretch_text(TextConvNet(vocab_size=9))
    with pytest.raises(ConfigError, match="ImageTransformer is no TextTransformer"):
        stretch_text(ImageTransformer(image_size=16, patch=8, **SMALL))
    fixed = TextTransformer(vocab_size=9, max_length=32, positions=SinCosPositions(grid=(32,), width=8), **SMALL)
    with pytest.raises(ConfigError, match=r"positions are SinCosPositions; .*raise max_length"):
        stretch_text(fixed)
    with pytest.raises(ConfigError, match=r"length 27 is no table drawn out by 3 with 4 kept; 28 is, from 12"):
        StretchedPositions(length=27, width=8, kept=4, factor=3)
    with pytest.raises(ConfigError, match=r"the positions have grid \(28,\) and width 8, the encoder \(12,\) and 8"):
        TextTransformer(
            vocab_size=9, max_length=12, positions=StretchedPositions(length=28, width=8, kept=4, factor=3), **SMALL
        )
