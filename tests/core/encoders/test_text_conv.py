import pytest
import torch

from core.encoders import TextConvNet
from core.errors import ConfigError
from core.types import ModalityInput


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TextConvNet(vocab_size=50, channels=8, depth=2).eval()


def text(*rows):
    longest = max(map(len, rows))
    x = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[i < len(row) for i in range(longest)] for row in rows])
    return ModalityInput(x, mask)


def test_padding_changes_nothing(encoder):
    alone = encoder(text([2, 7, 9, 3]))
    padded = encoder(text([2, 7, 9, 3], [2, *range(5, 25), 3]))
    torch.testing.assert_close(padded.pooled[:1], alone.pooled)
    torch.testing.assert_close(padded.tokens.x[:1, :4], alone.tokens.x)
    other = text([2, 7, 9, 3], [2, *range(5, 25), 3])
    other.x[0, 4:] = 33  # what stands in the padding does not matter either
    torch.testing.assert_close(encoder(other).pooled[:1], alone.pooled)


def test_pooled_is_mean_and_maximum_of_the_tokens(encoder):
    out = encoder(text([2, 7, 9, 3]))
    half = out.tokens.x[0, :, :8]
    torch.testing.assert_close(out.pooled[0], torch.cat([half.mean(0), half.amax(0)]))
    assert encoder.width == out.pooled.shape[1] == out.tokens.x.shape[2] == 16


def test_order_matters_within_the_reach_of_a_kernel(encoder):
    assert not torch.allclose(encoder(text([2, 7, 9, 3])).pooled, encoder(text([2, 9, 7, 3])).pooled)


def test_an_empty_row_gives_finite_zeros_in_the_maximum_and_the_mean(encoder):
    inp = text([2, 7, 3], [5])
    inp.mask[1] = False
    assert torch.equal(encoder(inp).pooled[1], torch.zeros(16))


def test_gradients_agree_with_finite_differences(encoder):
    encoder.double()
    weight = encoder.convs[0].weight
    inp = text([2, 7, 9, 3], [2, 11, 3])
    loss = encoder(inp).pooled.sin().sum()
    (grad,) = torch.autograd.grad(loss, weight)
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight.add_(direction, alpha=step)
            values.append(encoder(inp).pooled.sin().sum())
            weight.sub_(direction, alpha=step)
    torch.testing.assert_close((values[0] - values[1]) / 2e-6, (grad * direction).sum(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("wrong", [{"vocab_size": 0}, {"depth": 0}, {"kernel": 2}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ConfigError, match="TextConvNet"):
        TextConvNet(**{"vocab_size": 50, "channels": 8, **wrong})
