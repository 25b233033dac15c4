"""The convolutional encoder and the slice-pooling adapter. Legend: V = rows, S = slices, D = width."""

import pytest
import torch
from torch import nn

from core.encoders import ConvNet, ImageTransformer, SlicePooled
from core.errors import ConfigError, DataError
from core.nn import AttentionPool, MaxPool, MeanMaxPool, MeanPool
from core.types import ModalityInput

NARROW = {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}


def conv(**kwargs):
    return ConvNet(options=NARROW, **kwargs)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def volume():
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(3))


def wake(adapter):
    """A trained adapter: its attention no longer starts at zero."""
    nn.init.normal_(adapter.attn.out.weight, std=0.3, generator=torch.Generator().manual_seed(4))
    return adapter


def test_conv_net_gives_vector_tokens_and_pyramid():
    encoder = conv(channels=1)
    result = encoder(ModalityInput(torch.randn(2, 1, 64, 32)))
    assert encoder.pyramid_channels == (64, 8, 8, 16, 16)
    assert [tuple(level.shape[1:]) for level in result.pyramid] == [
        (channels, 64 // stride, 32 // stride) for channels, stride in zip(encoder.pyramid_channels, encoder.strides)
    ]
    assert result.pooled.shape == (2, encoder.width)
    assert result.tokens.grid == (2, 1)
    assert result.tokens.x.shape == (2, 2, 16)
    torch.testing.assert_close(result.pooled, encoder.norm(result.pyramid[-1].mean((2, 3))))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto"])
def test_rows_do_not_know_of_each_other_while_training(name):
    encoder = ConvNet(name=name).train()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in encoder.modules())
    for part in encoder.modules():
        if isinstance(part, nn.Dropout) or type(part).__name__ == "DropPath":
            part.eval()
    x = torch.randn(3, 3, 32, 32)
    together, alone = encoder(ModalityInput(x)).pooled[:1], encoder(ModalityInput(x[:1])).pooled
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert set(encoder.state_dict()) == {key for key, _ in encoder.named_parameters()}


def test_batch_norm_stays_when_it_is_asked_for():
    assert any(isinstance(m, nn.BatchNorm2d) for m in conv(norm="own").modules())


def test_what_timm_does_not_know_is_named():
    with pytest.raises(ConfigError, match="no model 'resnet81'; did you mean 'resnet"):
        ConvNet(name="resnet81")
    with pytest.raises(ConfigError, match=r"cannot build resnet18 .*unexpected keyword argument 'width'"):
        ConvNet(options={"width": 3})


def test_a_fresh_adapter_is_the_mean_of_its_slices(volume):
    encoder = conv()
    adapter = SlicePooled(encoder=encoder)
    each = torch.stack([encoder(ModalityInput(volume[:, :, s])).pooled for s in range(4)], dim=1)
    result = adapter(ModalityInput(volume))
    torch.testing.assert_close(result.pooled, each.mean(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(result.tokens.x, each, rtol=0, atol=1e-5)


def test_slice_order_matters_with_positions_only(volume):
    order = torch.tensor([2, 0, 3, 1])
    for positions in (False, True):
        adapter = wake(SlicePooled(encoder=conv(), positions=positions))
        straight, shuffled = (adapter(ModalityInput(x)).pooled for x in (volume, volume[:, :, order]))
        assert torch.allclose(straight, shuffled, atol=1e-5) is not positions


def test_an_image_is_a_volume_of_one_slice(volume):
    image = ModalityInput(volume[:, :, 0])
    one_slice = ModalityInput(volume[:, :, :1])
    for pool in (MeanPool(), MaxPool(), MeanMaxPool(width=16), AttentionPool(width=16)):
        adapter = SlicePooled(encoder=conv(), pool=pool)
        assert torch.equal(adapter(image).pooled, adapter.encoder(image).pooled)
        torch.testing.assert_close(adapter(one_slice).pooled, adapter(image).pooled, rtol=0, atol=1e-6)
    adapter = wake(SlicePooled(encoder=conv(), positions=False))
    x_VD = adapter(image).pooled
    value = adapter.attn.qkv(adapter.norm(x_VD))[:, 32:]  # attention to oneself is the value projection
    torch.testing.assert_close(adapter(one_slice).pooled, x_VD + adapter.attn.out(value), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pool", [MeanPool(), MeanMaxPool(width=16), AttentionPool(width=16)])
def test_padding_slices_change_nothing_and_are_never_computed(volume, pool):
    adapter = wake(SlicePooled(encoder=conv(), pool=pool))
    mask_VS = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    poisoned = volume.clone()
    poisoned[1, :, 2:] = torch.nan
    result = adapter(ModalityInput(poisoned, mask_VS))
    torch.testing.assert_close(result.pooled[1], adapter(ModalityInput(volume[1:, :, :2])).pooled[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(result.pooled[0], adapter(ModalityInput(volume[:1])).pooled[0], rtol=0, atol=1e-5)
    assert all((level[1, :, 2:] == 0).all() for level in result.pyramid)
    result.pooled.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in adapter.parameters())


def test_the_volume_pyramid_holds_the_maps_of_the_slices(volume):
    adapter = SlicePooled(encoder=conv())
    maps = adapter(ModalityInput(volume)).pyramid
    third = adapter.encoder(ModalityInput(volume[:, :, 2])).pyramid
    assert len(maps) == len(third) == len(adapter.pyramid_channels)
    for level, own in zip(maps, third):
        torch.testing.assert_close(level[:, :, 2], own, rtol=0, atol=1e-5)


def test_a_transformer_serves_slices_too_and_keeps_its_steps_for_images(volume):
    adapter = SlicePooled(encoder=ImageTransformer(image_size=32, patch=16, width=16, depth=1, heads=2))
    assert adapter(ModalityInput(volume)).pyramid[0].shape == (2, 16, 4, 2, 2)
    image = ModalityInput(volume[:, :, 0])
    assert adapter(image, keep=torch.tensor([[0], [3]]), want=(0,)).layers[0].shape == (2, 2, 16)


def test_gradients_reach_encoder_and_adapter(volume):
    adapter = wake(SlicePooled(encoder=conv()))
    adapter(ModalityInput(volume)).pooled.square().sum().backward()
    assert [name for name, p in adapter.named_parameters() if p.grad is None] == []


def test_inputs_that_do_not_fit_are_named():
    adapter = SlicePooled(encoder=conv(), max_slices=3)
    with pytest.raises(DataError, match="got 4 slices, it takes up to 3; raise max_slices"):
        adapter(ModalityInput(torch.zeros(1, 3, 4, 32, 32)))
    with pytest.raises(DataError, match=r"got shape \(2, 3\)"):
        adapter(ModalityInput(torch.zeros(2, 3)))
    with pytest.raises(ConfigError, match="width 16 cannot be split into 3 heads"):
        SlicePooled(encoder=conv(), heads=3)


def test_no_rows_and_rows_without_a_real_slice_are_no_trouble():
    adapter = wake(SlicePooled(encoder=conv()))
    assert adapter(ModalityInput(torch.zeros(0, 3, 4, 32, 32))).pooled.shape == (0, 16)
    padding = ModalityInput(torch.randn(2, 3, 4, 32, 32), torch.zeros(2, 4, dtype=torch.bool))
    assert (adapter(padding).pooled == 0).all()
