"""The U-Net head: sizes, sharing, errors."""

import pytest
import torch

from core.encoders import ConvNet
from core.errors import ConfigError
from core.models import UNetHead
from core.types import ModalityInput

pytest.importorskip("segmentation_models_pytorch")
THREE_STAGES = {"layers": [1, 1, 1], "channels": [8, 16, 32], "out_indices": [0, 1, 2, 3]}


@pytest.mark.parametrize("size", [(48, 48), (40, 56), (33, 47)])
@pytest.mark.parametrize("norm", ["batchnorm", "instancenorm"])
def test_logits_have_the_size_of_the_picture_for_encoders_of_any_channels(size, norm):
    head = UNetHead(classes=5, channels=[64, 8, 16, 32], widths=[16, 8, 8, 4], norm=norm)
    for channels in (2, 12):
        encoder = ConvNet(name="resnet18", channels=channels, norm="own", options=THREE_STAGES)
        pyramid = encoder(ModalityInput(torch.randn(2, channels, *size))).pyramid
        assert head(pyramid, size).shape == (2, 5, *size)


def test_wrong_lengths_channels_and_norms_are_named():
    with pytest.raises(ConfigError, match="must be of one length"):
        UNetHead(classes=5, channels=[8, 8], widths=[8])
    with pytest.raises(ConfigError, match=r"channels is \[8, 16\], the encoder gives \[8, 12\]"):
        UNetHead(classes=5, channels=[8, 16], widths=[8, 8])(
            [torch.zeros(1, 8, 4, 4), torch.zeros(1, 12, 2, 2)], (8, 8)
        )
    with pytest.raises(ConfigError, match="norm"):
        UNetHead(classes=5, channels=[8], widths=[8], norm="group")
