"""VectorMLP: features as they are, sets with padding, wrong lengths."""

from __future__ import annotations

import pytest
import torch

from core.encoders import VectorMLP
from core.errors import ConfigError, DataError
from core.types import ModalityInput


def test_without_layers_the_features_come_through_as_they_are():
    x_VF = torch.randn(3, 5)
    encoded = VectorMLP(features=5)(ModalityInput(x_VF))
    assert torch.equal(encoded.pooled, x_VF)
    assert encoded.tokens is None


def test_layers_are_linear_and_gelu_with_none_after_the_last():
    encoder, x_VF = VectorMLP(features=5, widths=[7, 4]), torch.randn(3, 5)
    first, last = encoder.layers[0], encoder.layers[2]
    want = last(torch.nn.functional.gelu(first(x_VF)))
    torch.testing.assert_close(encoder(ModalityInput(x_VF)).pooled, want)
    assert encoder.width == 4


def test_padding_of_a_set_changes_nothing():
    encoder, x = VectorMLP(features=3, widths=[4]), torch.randn(2, 2, 3)
    alone = encoder(ModalityInput(x)).pooled
    padded = torch.cat([x, torch.full((2, 3, 3), 9.0)], dim=1)
    mask = torch.tensor([[True, True, False, False, False]] * 2)
    torch.testing.assert_close(encoder(ModalityInput(padded, mask)).pooled, alone)


def test_wrong_sizes_say_what_is_expected():
    with pytest.raises(DataError, match=r"expected \(V, 5\)"):
        VectorMLP(features=5)(ModalityInput(torch.zeros(2, 4)))
    with pytest.raises(ConfigError, match="must be positive"):
        VectorMLP(features=5, widths=[0])
