import pytest
import torch

from core.encoders import ConvNet, SlicePooled, SpatialPyramid
from core.errors import ConfigError
from core.nn import PartsPool
from core.types import ModalityInput


def conv(channels=2):
    options = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
    return ConvNet(name="resnet18", channels=channels, norm="per_kind", options=options)


def images(count=6, channels=2, size=32):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_a_fresh_encoder_is_a_linear_map_of_the_standardised_cell_means():
    torch.manual_seed(0)
    encoder = SpatialPyramid(channels=2, width=8, grid=(2, 4), encoder=conv())
    x = images()
    cells = x.reshape(6, 2, 2, 16, 4, 8).mean((3, 5)).flatten(1)
    standard = (cells - cells.mean(0)) / cells.std(0, unbiased=False)
    weight, bias = encoder.shallow.linear.weight, encoder.shallow.linear.bias
    torch.testing.assert_close(encoder(ModalityInput(x)).pooled, standard @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_deep_features_get_a_gradient_at_once_and_join_after_one_step():
    torch.manual_seed(0)
    encoder = SpatialPyramid(channels=2, width=8, encoder=conv())
    shallow = SpatialPyramid(channels=2, width=8)
    shallow.shallow.load_state_dict(encoder.shallow.state_dict())
    optimizer = torch.optim.SGD(encoder.deep.parameters(), lr=0.1)
    (encoder(ModalityInput(images())).pooled * torch.arange(8)).square().sum().backward()
    assert encoder.deep.linear.weight.grad.abs().sum() > 0
    optimizer.step()
    assert not torch.allclose(encoder(ModalityInput(images())).pooled, shallow(ModalityInput(images())).pooled)


def test_places_are_kept_apart():
    encoder = SpatialPyramid(channels=1, width=16).eval()
    x = torch.zeros(2, 1, 32, 32)
    x[0, 0, :8, :8] = 1
    x[1, 0, -8:, -8:] = 1
    first, second = encoder(ModalityInput(x)).pooled
    assert (first - second).abs().max() > 1e-2


def test_the_pyramid_is_that_of_the_deep_encoder():
    deep = conv()
    encoder = SpatialPyramid(channels=2, width=8, encoder=deep).eval()
    assert encoder.pyramid_channels == deep.pyramid_channels
    for ours, theirs in zip(encoder(ModalityInput(images())).pyramid, deep(ModalityInput(images())).pyramid):
        assert torch.equal(ours, theirs)
    assert SpatialPyramid(channels=2, width=8)(ModalityInput(images())).pyramid is None


def test_any_image_size_is_taken_and_one_image_works_in_training():
    encoder = SpatialPyramid(channels=2, width=8, encoder=conv()).train()
    assert encoder(ModalityInput(images(count=1, size=48))).pooled.isfinite().all()
    assert encoder(ModalityInput(images(count=3, size=20))).pooled.shape == (3, 8)


def test_pictures_and_slices_keep_statistics_of_their_own():
    encoder = SlicePooled(encoder=SpatialPyramid(channels=2, width=8, encoder=conv()), pool=PartsPool(width=8, parts=2))
    for _ in range(3):
        encoder(ModalityInput(images()))
        encoder(ModalityInput(images(count=8).unflatten(0, (2, 4)).transpose(1, 2) * 3 + 7))
    means = encoder.encoder.shallow.norm.running_means
    assert means[0].abs().max() < 1 < means[1].min()


def test_wrong_arguments_are_named():
    with pytest.raises(ConfigError, match="grid"):
        SpatialPyramid(channels=1, width=8, grid=(0, 2))
    with pytest.raises(ConfigError, match="no feature maps"):
        SpatialPyramid(channels=1, width=8, encoder=SpatialPyramid(channels=1, width=8))
