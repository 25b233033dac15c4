"""Scale and shift of one modality's tokens. Legend: B = rows, N = tokens, D = width."""

import pytest
import torch

from core.encoders import BlockHook, TextTransformer
from core.errors import ConfigError
from core.nn import TokenCalibration
from core.types import ModalityInput


def test_only_the_tokens_of_the_modality_move_and_each_layer_has_its_own():
    torch.manual_seed(0)
    calibration = TokenCalibration(width=6, depth=3)
    x, image = torch.randn(2, 5, 6), torch.tensor([[1, 1, 0, 0, 0], [0, 1, 1, 1, 0]], dtype=torch.bool)
    for layer in range(3):
        found = calibration(layer, x, image)
        assert torch.equal(found[~image], x[~image])
        torch.testing.assert_close(found[image], (x * calibration.scale[layer] + calibration.shift[layer])[image])
    found.sum().backward()
    assert (calibration.scale.grad[2] != 0).all()
    assert (calibration.scale.grad[:2] == 0).all()


def test_the_start_is_near_the_identity_with_the_published_deviation():
    torch.manual_seed(0)
    calibration = TokenCalibration(width=500, depth=40).requires_grad_(False)
    assert float(calibration.scale.mean()) == pytest.approx(1, abs=1e-3)
    assert float(calibration.shift.mean()) == pytest.approx(0, abs=1e-3)
    assert float(calibration.scale.std()) == pytest.approx(0.02, rel=0.05)
    assert float(calibration.shift.std()) == pytest.approx(0.02, rel=0.05)
    still = TokenCalibration(width=4, depth=1, std=0)
    x = torch.randn(1, 3, 4)
    assert torch.equal(still(0, x, torch.ones(1, 3, dtype=torch.bool)), x)


def test_it_acts_from_hooks_of_an_encoder():
    torch.manual_seed(0)
    encoder = TextTransformer(vocab_size=10, width=12, depth=2, heads=2).eval()
    calibration = TokenCalibration(width=12, depth=2)
    inp, image = ModalityInput(torch.randint(10, (2, 6))), torch.tensor([[True] * 3 + [False] * 3] * 2)
    hooks = [BlockHook(i, "after_ffn", lambda h, ctx: calibration(ctx.layer, h, image)) for i in range(2)]
    h, ctx = encoder.start(inp)
    for i in range(2):
        h = calibration(i, encoder.step(i, h, ctx), image)
    torch.testing.assert_close(encoder(inp, hooks=hooks).pooled, encoder.finish(h, ctx).pooled)
    none = torch.zeros_like(image)
    silent = [BlockHook(i, "after_ffn", lambda h, ctx: calibration(ctx.layer, h, none)) for i in range(2)]
    assert torch.equal(encoder(inp, hooks=silent).pooled, encoder(inp).pooled)


def test_errors_and_half_precision():
    with pytest.raises(ConfigError, match="layers 0 to 1; layer 2"):
        TokenCalibration(width=3, depth=2)(2, torch.ones(1, 1, 3), torch.ones(1, 1, dtype=torch.bool))
    with pytest.raises(ConfigError, match="must be positive"):
        TokenCalibration(width=0, depth=2)
    x = torch.ones(1, 1, 3, dtype=torch.bfloat16)
    assert TokenCalibration(width=3, depth=1)(0, x, torch.ones(1, 1, dtype=torch.bool)).dtype == torch.bfloat16
