"""Patches that were not recorded. Legend: V = rows, H, W = pixels."""

import torch

from core.types import ModalityInput
from domains.remote_sensing.encoders import RasterAdapter


def test_a_patch_of_which_more_than_half_is_missing_is_padding():
    torch.manual_seed(0)
    adapter = RasterAdapter(size=[4, 4], patch=[2, 2], channels=1, width=8)
    x = torch.randn(2, 1, 4, 4)
    valid_VHW = torch.ones(2, 4, 4, dtype=torch.bool)
    valid_VHW[0, :2, 0] = False  # half of the first patch: it stays
    valid_VHW[1, 2:, 2:] = torch.tensor([[False, False], [False, True]])
    tokens = adapter.embed(ModalityInput(x, None, {"valid": valid_VHW}))
    assert tokens.mask.tolist() == [[True] * 4, [True, True, True, False]]
    assert adapter.embed(ModalityInput(x)).mask is None
    everything = adapter.embed(ModalityInput(x, None, {"valid": torch.ones(2, 4, 4, dtype=torch.bool)}))
    assert everything.mask is None
    assert torch.equal(everything.x, tokens.x)
