"""What each transformer promises beyond the steps. Legend: V = rows, T = tokens, S = slices."""

import pytest
import torch

from core.encoders import ImageTransformer, TextTransformer, VolumeTransformer
from core.errors import ConfigError, DataError
from core.nn import ClsPool, LastPool, LearnedPositions, MeanMaxPool, PatchEmbed
from core.types import ModalityInput

SMALL = {"width": 24, "depth": 2, "heads": 2}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("causal", "pool"), [(False, None), (False, ClsPool()), (True, LastPool())])
def test_padding_changes_no_text(causal, pool):
    encoder = TextTransformer(vocab_size=30, max_length=12, causal=causal, pool=pool, **SMALL).eval()
    ids_VT = torch.randint(30, (3, 5))
    padded = torch.cat([ids_VT, torch.randint(30, (3, 4))], dim=1)
    mask_VT = torch.arange(9).expand(3, -1) < 5
    short, long = encoder(ModalityInput(ids_VT)), encoder(ModalityInput(padded, mask_VT))
    torch.testing.assert_close(long.pooled, short.pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(long.tokens.x[:, :5], short.tokens.x, rtol=0, atol=1e-5)


def test_a_text_of_padding_only_is_finite():
    encoder = TextTransformer(vocab_size=30, **SMALL)
    result = encoder(ModalityInput(torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.bool)))
    assert (result.pooled == 0).all()
    result.tokens.x.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_a_text_too_long_says_what_to_change():
    with pytest.raises(DataError, match="got 9 tokens, it takes up to 8; raise max_length"):
        TextTransformer(vocab_size=30, max_length=8, **SMALL)(ModalityInput(torch.zeros(1, 9, dtype=torch.int64)))
    with pytest.raises(ConfigError, match="prefix 8"):
        TextTransformer(vocab_size=30, max_length=8, prefix=8, **SMALL)


def test_causal_text_does_not_see_the_future():
    encoder = TextTransformer(vocab_size=30, causal=True, pool=LastPool(), **SMALL).eval()
    one, two = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2, 9, 9]])
    a, b = (encoder(ModalityInput(ids)).tokens.x[:, :2] for ids in (one, two))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_image_pyramid_is_the_token_grid_in_place():
    encoder = ImageTransformer(image_size=16, patch=8, **SMALL).eval()
    result = encoder(ModalityInput(torch.randn(2, 3, 16, 32)))
    assert result.tokens.grid == (2, 4)
    assert result.pyramid[0].shape == (2, 24, 2, 4)
    assert torch.equal(result.pyramid[0][:, :, 1, 2], result.tokens.x[:, 1 + 1 * 4 + 2])
    assert encoder.pyramid_channels == (24,)


def test_parts_that_do_not_fit_the_image_encoder_are_refused():
    with pytest.raises(ConfigError, match="image_size 20 is no multiple of patch 8"):
        ImageTransformer(image_size=20, patch=8, **SMALL)
    with pytest.raises(ConfigError, match=r"stem has patch \(4, 4\) and width 24, the encoder \(8, 8\) and 24"):
        ImageTransformer(image_size=16, patch=8, stem=PatchEmbed(patch=(4, 4), channels=3, width=24), **SMALL)
    with pytest.raises(ConfigError, match="positions have width 12"):
        ImageTransformer(image_size=16, patch=8, positions=LearnedPositions(grid=(2, 2), width=12), **SMALL)


def test_pooling_and_positions_are_parts_that_can_be_given():
    encoder = ImageTransformer(
        image_size=16,
        patch=8,
        pool=MeanMaxPool(width=24),
        positions=LearnedPositions(grid=(2, 2), width=24),
        **SMALL,
    ).eval()
    result = encoder(ModalityInput(torch.randn(2, 3, 16, 16)))
    body = result.tokens.x[:, 1:]
    torch.testing.assert_close(result.pooled, (body.mean(1) + body.amax(1)) / 2)


def test_padding_slices_change_no_volume():
    encoder = VolumeTransformer(volume_size=(16, 16, 16), patch=(4, 8, 8), channels=1, **SMALL).eval()
    x = torch.randn(2, 1, 4, 16, 16)
    padded = torch.cat([x, torch.randn(2, 1, 9, 16, 16)], dim=2)
    mask_VS = torch.arange(13).expand(2, -1) < 4
    short, long = encoder(ModalityInput(x)), encoder(ModalityInput(padded, mask_VS))
    torch.testing.assert_close(long.pooled, short.pooled, rtol=0, atol=1e-5)
    assert long.tokens.grid == (4, 2, 2)
    assert long.pyramid[0].shape == (2, 24, 4, 2, 2)


def test_a_volume_with_too_many_slices_says_what_to_change():
    encoder = VolumeTransformer(volume_size=(4, 16, 16), patch=(4, 8, 8), channels=1, **SMALL)
    with pytest.raises(DataError, match=r"got 5 slices, it takes up to 4; raise volume_size\[0\]"):
        encoder(ModalityInput(torch.zeros(1, 1, 5, 16, 16)))
    with pytest.raises(ConfigError, match="must be three multiples of patch"):
        VolumeTransformer(volume_size=(5, 16, 16), patch=(4, 8, 8), **SMALL)
