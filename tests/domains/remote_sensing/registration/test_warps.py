"""Known warps and their inverses."""

import pytest
import torch

from core.errors import ConfigError
from domains.remote_sensing.registration.warps import WarpRange, Warps, grid

STRONG = WarpRange(shift=12, rotation=25, scale=0.2, shear=0.1, perspective=0.2, elastic=8)


def draw(most=STRONG, count=3, side=64, seed=0):
    return Warps.draw(count, side, most, torch.Generator().manual_seed(seed))


def shift(x, y, side=64, count=1):
    matrix = torch.eye(3).repeat(count, 1, 1)
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return Warps(matrix, None, side)


def test_inverse_undoes_forward_also_of_elastic_warps():
    warps, points = draw(), grid((64, 64)).expand(3, -1, -1)
    torch.testing.assert_close(warps.inverse(warps.forward(points)), points, atol=2e-2, rtol=0)
    torch.testing.assert_close(warps.forward(warps.inverse(points)), points, atol=2e-2, rtol=0)


def test_a_whole_shift_is_a_slice():
    picture = torch.rand(1, 2, 48, 48)
    out = shift(5, -3, 32).sample(picture, (32, 32), origin=(8, 8))
    torch.testing.assert_close(out, picture[..., 11:43, 3:35], atol=1e-4, rtol=0)


def test_the_warped_picture_shows_at_forward_what_the_first_shows():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    ramp = torch.stack([x, y])[None].expand(3, -1, -1, -1)
    warps = draw(WarpRange(shift=4, rotation=10, scale=0.1))
    out = warps.sample(ramp, (64, 64))  # at q it holds the place that q comes from
    there = warps.inverse(grid((64, 64)).expand(3, -1, -1)).view(3, 64, 64, 2).permute(0, 3, 1, 2)
    inside = ((there >= 0) & (there <= 63)).all(1, keepdim=True).expand_as(out)
    torch.testing.assert_close(out[inside], there[inside], atol=1e-3, rtol=0)


def test_beyond_the_picture_there_is_nothing():
    assert (shift(0, 100).sample(torch.ones(1, 1, 64, 64), (64, 64)) == 0).all()


def test_the_range_bounds_what_is_drawn_and_zero_is_the_identity():
    still = draw(WarpRange(shift=0, rotation=0, scale=0, shear=0), count=5)
    torch.testing.assert_close(still.matrix_V33, torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    moved = draw(WarpRange(shift=6, rotation=0, scale=0, shear=0), count=200).matrix_V33[:, :2, 2]
    assert moved.abs().max() <= 6.0001
    assert moved.abs().max() > 5


def test_equal_generators_draw_equal_warps():
    assert torch.equal(draw(seed=4).matrix_V33, draw(seed=4).matrix_V33)
    assert not torch.equal(draw(seed=4).matrix_V33, draw(seed=5).matrix_V33)


@pytest.mark.parametrize(("name", "value"), [("shift", -1), ("scale", 0.9), ("rotation", 200)])
def test_impossible_ranges_are_named(name, value):
    with pytest.raises(ConfigError, match=f"warp.{name}"):
        WarpRange(**{name: value})


def test_a_displacement_that_would_fold_is_refused():
    with pytest.raises(ConfigError, match="a sixth of the side"):
        draw(WarpRange(elastic=20), side=64)
