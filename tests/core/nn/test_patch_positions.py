"""Legend: B = rows, C = channels, N = tokens, D = width."""

import math

import pytest
import torch

from core.errors import ConfigError, DataError
from core.nn import ConvStem, LearnedPositions, PatchEmbed, SinCosPositions, sincos


def test_a_patch_token_is_a_linear_map_of_its_own_pixels():
    embed = PatchEmbed(patch=(4, 2), channels=3, width=5)
    x = torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    tokens, grid = embed(x)
    assert grid == (2, 3)
    pixels = x[:, :, 4:8, 2:4].flatten(1)  # row 1, column 1: token 1 * 3 + 1
    conv = embed.project
    torch.testing.assert_close(tokens[:, 4], pixels @ conv.weight.flatten(1).T + conv.bias)


@pytest.mark.parametrize("stem", [PatchEmbed, ConvStem])
@pytest.mark.parametrize(("patch", "size", "grid"), [((8, 8), (16, 24), (2, 3)), ((2, 8, 8), (4, 16, 8), (2, 2, 1))])
def test_stems_give_one_token_per_patch_in_two_and_three_dimensions(stem, patch, size, grid):
    tokens, found = stem(patch=patch, channels=2, width=16)(torch.zeros(3, 2, *size))
    assert found == grid
    assert tokens.shape == (3, math.prod(grid), 16)


def test_sizes_that_do_not_fit_say_how_to_mend_it():
    embed = PatchEmbed(patch=(4, 4), channels=3, width=8)
    with pytest.raises(DataError, match=r"size of \(8, 9\), no multiple of the patch \(4, 4\)"):
        embed(torch.zeros(1, 3, 8, 9))
    with pytest.raises(DataError, match="expected \\(rows, 3, 2 spatial sizes\\)"):
        embed(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="power of two"):
        ConvStem(patch=(6, 6), channels=3, width=8)
    with pytest.raises(ConfigError, match="one to three positive"):
        PatchEmbed(patch=(4, 4, 4, 4), channels=3, width=8)


@pytest.mark.parametrize("kind", [LearnedPositions, SinCosPositions])
@pytest.mark.parametrize("grid", [(6,), (4, 5), (2, 3, 4)])
def test_the_own_grid_is_returned_untouched_and_other_grids_have_their_size(kind, grid):
    positions = kind(grid=grid, width=12)
    assert torch.equal(positions(grid), positions.table)
    other = tuple(size + 2 for size in grid)
    assert positions(other).shape == (math.prod(other), 12)
    assert positions(other).isfinite().all()


def test_learned_positions_interpolate_constants_to_constants():
    positions = LearnedPositions(grid=(3, 3), width=4)
    with torch.no_grad():
        positions.table.copy_(torch.arange(4.0).expand(9, 4))
    torch.testing.assert_close(positions((5, 7)), torch.arange(4.0).expand(35, 4))


def test_sincos_has_its_closed_form():
    p = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    w = 10_000**-0.5
    expected = torch.stack([p.sin(), (w * p).sin(), p.cos(), (w * p).cos()], dim=1).float()
    torch.testing.assert_close(sincos(p, 4), expected)


def test_sincos_splits_the_width_over_the_axes():
    table = SinCosPositions(grid=(2, 3), width=8)((2, 3)).unflatten(0, (2, 3))
    torch.testing.assert_close(table[:, 0, :4], table[:, 2, :4])  # first half: rows only
    torch.testing.assert_close(table[0, :, 4:], table[1, :, 4:])  # second half: columns only


def test_sincos_at_twice_the_size_has_the_old_position_between_its_neighbours():
    positions = SinCosPositions(grid=(4,), width=2)
    fine = positions((8,))  # pixel centres at -0.25, 0.25, 0.75, ... of the coarse grid
    torch.testing.assert_close(fine[:, 0], torch.sin(torch.arange(8.0) / 2 - 0.25))


def test_fixed_positions_are_no_weights():
    assert SinCosPositions(grid=(2, 2), width=8).state_dict() == {}
    assert list(LearnedPositions(grid=(2, 2), width=8).state_dict()) == ["table"]
    with pytest.raises(ConfigError, match="too small for 3 axes; give 6"):
        SinCosPositions(grid=(2, 2, 2), width=5)
