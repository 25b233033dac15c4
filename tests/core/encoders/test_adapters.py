"""Adapters give tokens with positions in one to three axes, and nothing else."""

from __future__ import annotations

import pytest
import torch

from core.encoders import ClassPatchAdapter, ImageTransformer, PatchAdapter, TokenAdapter, VolumeTransformer
from core.errors import ConfigError, DataError
from core.types import ModalityInput


def test_a_token_is_its_patch_and_its_place():
    adapter = PatchAdapter(size=(8, 8), patch=(4, 4), channels=2, width=8)
    x = torch.randn(2, 2, 8, 8)
    tokens = adapter(ModalityInput(x)).tokens
    assert tokens.grid == (2, 2)
    own, _ = adapter.stem(x)
    torch.testing.assert_close(tokens.x, own + adapter.place((2, 2)))
    kept = adapter(ModalityInput(x), keep=torch.tensor([[3, 1], [0, 2]])).tokens.x
    torch.testing.assert_close(kept, torch.stack([tokens.x[0, [3, 1]], tokens.x[1, [0, 2]]]))


def test_a_series_may_end_anywhere_and_its_start_stays_in_place():
    adapter = PatchAdapter(size=(16,), patch=(4,), channels=1, width=8)
    x = torch.randn(2, 1, 10)
    short = adapter(ModalityInput(x, torch.arange(10) < torch.tensor([[10], [3]]))).tokens
    assert short.mask.tolist() == [[True, True, True], [True, False, False]]
    whole = adapter(ModalityInput(torch.nn.functional.pad(x, (0, 6)))).tokens
    torch.testing.assert_close(short.x, whole.x[:, :3])
    with pytest.raises(DataError, match="got 17 steps, it takes up to 16"):
        adapter(ModalityInput(torch.zeros(1, 1, 17)))


def test_unlabelled_classes_embed_to_nothing():
    adapter = ClassPatchAdapter(size=(4, 4), patch=(2, 2), classes=3, width=8, embedding=5)
    ids = torch.full((1, 1, 4, 4), -1.0)
    empty = adapter(ModalityInput(ids)).tokens.x
    torch.testing.assert_close(empty[0], adapter.stem.project.bias + adapter.place((2, 2)))
    ids[0, 0, 0, 0] = 2
    some = adapter(ModalityInput(ids)).tokens.x
    assert (some[0] != empty[0]).any(1).tolist() == [True, False, False, False]


def test_ids_of_sequences_and_grids():
    text = TokenAdapter(vocab_size=9, grid=(6,), width=8)
    ids = torch.tensor([[3, 4, 5]])
    torch.testing.assert_close(text(ModalityInput(ids)).tokens.x, text.token_embedding(ids) + text.positions((6,))[:3])
    codes = TokenAdapter(vocab_size=9, grid=(2, 3), width=8)
    assert codes(ModalityInput(torch.zeros(2, 2, 3, dtype=torch.int64))).tokens.x.shape == (2, 6, 8)
    with pytest.raises(DataError, match=r"shape \(7,\) per row, it is made for up to \(6,\)"):
        text(ModalityInput(torch.zeros(1, 7, dtype=torch.int64)))


@pytest.mark.parametrize("class_token", [True, False])
def test_place_is_what_embed_adds(class_token):
    image = ImageTransformer(image_size=8, patch=4, channels=1, width=12, depth=1, heads=2, class_token=class_token)
    volume = VolumeTransformer(
        volume_size=(4, 4, 4), patch=(2, 2, 2), channels=1, width=12, depth=1, heads=2, class_token=class_token
    )
    for encoder, x in ((image, torch.randn(1, 1, 8, 12)), (volume, torch.randn(1, 1, 2, 4, 4))):
        tokens = encoder.embed(ModalityInput(x))
        own, grid = encoder.stem(x)
        torch.testing.assert_close(tokens.x[:, tokens.prefix :] - own, encoder.place(grid)[None])


def test_patches_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match=r"size \[9, 8\] must be multiples of patch \[4, 4\]"):
        PatchAdapter(size=(9, 8), patch=(4, 4), channels=1, width=8)
