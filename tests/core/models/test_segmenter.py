"""Legend: V = rows, K = classes, S, H, W = slices, rows, columns."""

import pytest
import torch

from core.encoders import ConvNet, SlicePooled, TextTransformer, VolumeTransformer
from core.errors import ConfigError
from core.models.segmenter import PyramidDecoder, Segmenter, resize
from core.types import ModalityInput

NARROW = {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def conv_segmenter(**kwargs):
    encoder = SlicePooled(encoder=ConvNet(options=NARROW))
    decoder = PyramidDecoder(classes=3, channels=encoder.pyramid_channels, widths=[8, 8, 8, 16, 16], **kwargs)
    return Segmenter(encoder=encoder, decoder=decoder)


def vit_segmenter():
    encoder = VolumeTransformer(volume_size=(8, 32, 32), patch=(4, 8, 8), width=24, depth=1, heads=2)
    decoder = PyramidDecoder(classes=3, channels=[24], widths=[16], stem=(8, 8, 8), volume_levels=1)
    return Segmenter(encoder=encoder, decoder=decoder)


@pytest.mark.parametrize("make", [conv_segmenter, vit_segmenter])
def test_every_voxel_gets_logits_and_every_used_weight_a_gradient(make):
    model = make()
    logits = model(ModalityInput(torch.randn(2, 3, 7, 40, 24)))
    assert logits.shape == (2, 3, 7, 40, 24)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.decoder.parameters())
    body = model.encoder.encoder.body if make is conv_segmenter else model.encoder.blocks
    assert all(p.grad is not None for p in body.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_what_padding_slices_hold_changes_nothing(training):
    model = conv_segmenter(volume_levels=1).train(training)
    x = torch.randn(1, 3, 4, 32, 32)
    mask_VS = torch.tensor([[1, 1, 0, 0]], dtype=torch.bool)
    poisoned = x.clone()
    poisoned[:, :, 2:] = 5.0
    a, b = (model(ModalityInput(v, mask_VS))[:, :, :2] for v in (x, poisoned))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_it_learns_a_bright_ball_to_its_edge():
    model = conv_segmenter(convolutions=2)
    z, y, x = torch.meshgrid(torch.arange(8), torch.arange(32), torch.arange(32), indexing="ij")
    ball_SHW = ((z - 4) * 3) ** 2 + (y - 14) ** 2 + (x - 18) ** 2 < 81
    rng = torch.Generator().manual_seed(1)
    volume = (ball_SHW.float() + 0.3 * torch.randn(8, 32, 32, generator=rng)).expand(1, 3, 8, 32, 32)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(ModalityInput(volume)), ball_SHW.long()[None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found_SHW = model(ModalityInput(volume)).argmax(1)[0] == 1
    dice = 2 * (found_SHW & ball_SHW).sum() / (found_SHW.sum() + ball_SHW.sum())
    assert dice > 0.9


def test_resize_is_the_identity_on_its_own_size_and_keeps_constants():
    x = torch.rand(1, 2, 3, 4, 5)
    assert resize(x, (3, 4, 5)) is x
    for size in ((3, 8, 10), (6, 8, 10)):
        torch.testing.assert_close(resize(torch.full_like(x, 2.0), size), torch.full((1, 2, *size), 2.0))
    torch.testing.assert_close(
        resize(x, (3, 8, 10)), torch.nn.functional.interpolate(x, size=(3, 8, 10), mode="trilinear")
    )


def test_parts_that_do_not_fit_are_refused_before_any_data():
    encoder = SlicePooled(encoder=ConvNet(options=NARROW))
    decoder = PyramidDecoder(classes=2, channels=[8, 8], widths=[8, 8])
    with pytest.raises(ConfigError, match=r"decoder.channels is \[8, 8\], the encoder gives \[64, 8, 8, 16, 16\]"):
        Segmenter(encoder=encoder, decoder=decoder)
    text = TextTransformer(vocab_size=9, width=8, heads=2, depth=1)
    with pytest.raises(ConfigError, match="TextTransformer gives no feature maps"):
        Segmenter(encoder=text, decoder=decoder)
    with pytest.raises(ConfigError, match="must be of one length"):
        PyramidDecoder(classes=2, channels=[8, 8], widths=[8])
    with pytest.raises(ConfigError, match="classes 0"):
        PyramidDecoder(classes=0, channels=[8], widths=[8])
