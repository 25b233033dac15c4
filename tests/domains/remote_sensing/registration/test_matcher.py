"""The matcher against transformers' own forward, and decoding of constructed features."""

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from core.types import ModalityInput
from domains.remote_sensing.registration.decode import match, mutual_nearest, refine
from domains.remote_sensing.registration.losses import dual_log_softmax
from domains.remote_sensing.registration.matcher import LoFTRMatcher, PairFeatures

TINY = {"widths": (4, 8, 8, 16), "blocks": (1, 1, 1, 1), "depth": 1, "heads": 2, "slice_dim": 2}


def tiny(**changes):
    torch.manual_seed(0)
    return LoFTRMatcher(**{**TINY, **changes}).eval()


@pytest.fixture(scope="module")
def matcher():
    return tiny()


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 2, 1, 64, 96, generator=generator)


@torch.no_grad()
def test_coarse_probabilities_and_matches_are_those_of_transformers(matcher, pair):
    net, pair = matcher.net, pair[:1]  # of several pairs transformers mixes up the lists of matches
    net.config.coarse_matching_threshold, net.config.coarse_matching_border_removal = 0.0, 0
    theirs = net(pair)
    found = matcher.pair(pair[:, 0], pair[:, 1])
    p = dual_log_softmax(found.similarity(matcher.temperature)).exp()
    b, first, second = mutual_nearest(p, found.size, threshold=0.0, border=0)
    # transformers lists, for each cell of the second picture, the matched cell of the first
    own = torch.full((1, 96), -1)
    own[b, second] = first
    assert torch.equal(own, torch.where(theirs.matching_scores[:, 0] > 0, theirs.matches[:, 0], -1))
    scores = torch.zeros(1, 96)
    scores[b, second] = p[b, first, second]
    torch.testing.assert_close(scores, theirs.matching_scores[:, 0], rtol=1e-4, atol=1e-7)


@torch.no_grad()
def test_fine_windows_are_the_unfolded_ones_of_transformers(matcher, pair):
    maps = matcher.net.efficientloftr(pair).feature_maps
    theirs = matcher.net.refinement_layer(maps[0] / matcher.width**0.5, maps[1:])
    found = matcher.pair(pair[:, 0], pair[:, 1])
    b, first, second = torch.tensor([0, 1, 1]), torch.tensor([0, 50, 95]), torch.tensor([95, 3, 0])
    one, two = matcher.fine(found, b, first, second)
    a, c = theirs[0][b, first], theirs[1][b, second]
    split = a.shape[-1] - matcher.slice_dim
    expected = a[..., :split] @ c[..., :split].transpose(1, 2) / a.shape[-1]
    torch.testing.assert_close(one.flatten(2), expected, rtol=1e-4, atol=1e-6)
    expected = a[..., split:] @ c[..., split:].transpose(1, 2) / matcher.slice_dim**0.5
    torch.testing.assert_close(two.flatten(2), expected, rtol=1e-4, atol=1e-6)


def test_the_released_second_stage_looks_one_place_up_and_left_as_transformers_does():
    two = torch.arange(2 * 64 * 100, dtype=torch.float32).view(2, 64, 10, 10)
    match_P, place_P, partner_P = torch.tensor([0, 1]), torch.tensor([5, 63]), torch.tensor([9, 0])
    centred = tiny().around(two, match_P, place_P, partner_P)
    assert torch.equal(centred[0].view(3, 3), two[0, 5, 1:4, 1:4])  # place (1, 1) is (2, 2) with the ring
    released = tiny(second_stage="released").around(two, match_P, place_P, partner_P)
    assert torch.equal(released[0].view(3, 3), two[0, 5, 0:3, 0:3])
    assert torch.equal(released[1].view(3, 3), two[1, 63][[-1, 0, 1]][:, [-1, 0, 1]])


def features(shift, size=(6, 6), fine_offset=(0, 0)):
    """Features of two pictures of one ground: cells are one-hot, pixels their own random vectors."""
    rows, columns = size
    n, generator = rows * columns, torch.Generator().manual_seed(2)
    names = torch.arange(n).view(size)
    moved = names.roll(shift, (0, 1))
    coarse = torch.stack([torch.eye(n)[names.flatten()], torch.eye(n)[moved.flatten()]])[None] * 3
    fine = torch.randn(1, 32, rows * 8, columns * 8, generator=generator) * 4  # unlike each other, yet not certain
    other = fine.roll((shift[0] * 8 + fine_offset[0], shift[1] * 8 + fine_offset[1]), (2, 3))
    return PairFeatures(coarse, (fine, other), size)


@pytest.mark.parametrize(("shift", "rest"), [((0, 0), (0, 0)), ((1, -2), (0, 0)), ((0, 1), (2, -3))])
def test_shifts_of_whole_pixels_are_decoded_exactly(shift, rest):
    matcher = tiny(slice_dim=1)
    found = features(shift, fine_offset=rest)
    p = dual_log_softmax(found.similarity(0.1)).exp()
    b, first, second = mutual_nearest(p, found.size, border=1)
    assert len(b) > 0
    found.fine_2[0][:, -1], found.fine_2[1][:, -1] = 0, 0  # the second stage sees nothing: no fraction
    points, there = refine(matcher, found, b, first, second)
    expected = points + torch.tensor([shift[1] * 8.0 + rest[1], shift[0] * 8.0 + rest[0]])
    torch.testing.assert_close(there, expected, atol=1e-4, rtol=0)


def test_cells_at_the_edge_and_weak_ones_are_left_out():
    p = torch.eye(36)[None] * 0.5
    p[0, 14, 14] = 0.1
    _, first, second = mutual_nearest(p, (6, 6), threshold=0.2, border=2)
    assert first.tolist() == second.tolist() == [15, 20, 21]


def test_pictures_without_content_give_each_cell_one_partner_at_most():
    _, first, _ = mutual_nearest(torch.full((1, 36, 36), 0.5), (6, 6), border=0)
    assert len(first) == len(first.unique())


def test_nothing_above_the_threshold_is_no_match_and_no_fault(matcher, pair):
    found = match(matcher, pair[:, 0], pair[:, 1], threshold=0.999)
    assert len(found.pair_M) == 0
    assert found.first_M2.shape == (0, 2)


def test_invalid_ground_is_never_matched(matcher, pair):
    known = torch.zeros(2, 64, 96, dtype=torch.bool)
    known[:, :, :48] = True
    found = match(matcher, pair[:, 0], pair[:, 0], known, known, threshold=0.0, border=0)
    assert len(found.pair_M) > 0
    assert found.first_M2[:, 0].max() < 48 + 4


def test_as_an_encoder_it_gives_one_vector_per_picture_of_any_bands(matcher):
    inp = ModalityInput(torch.rand(3, 5, 70, 64), None, {"valid": torch.ones(3, 70, 64, dtype=torch.bool)})
    encoded = matcher(inp)
    assert encoded.pooled.shape == (3, 16)
    assert [tuple(m.shape[2:]) for m in encoded.pyramid] == [(32, 32), (16, 16), (8, 8)]


def test_gradients_reach_every_weight():
    matcher = tiny().train()
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    found = matcher.pair(x, x.flip(3))
    cells = torch.arange(10)
    one, two = matcher.fine(found, torch.zeros(10, dtype=torch.long), cells, cells)
    score = two[:, :, 1:4, 1:4]
    (found.similarity(0.1).square().mean() + one.square().mean() + score.square().mean()).backward()
    without = [n for n, p in matcher.named_parameters() if p.grad is None or not np.isfinite(p.grad.numpy()).all()]
    assert without == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (4, 8, 16)}, "four numbers"),
        ({"heads": 3}, "a multiple of 4 heads"),
        ({"slice_dim": 8}, "slice_dim is 8; give 1 to 7"),
        ({"second_stage": "middle"}, "valid: centred, released"),
    ],
)
def test_numbers_that_do_not_go_together_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**changes)


def test_sizes_are_named(matcher):
    with pytest.raises(ConfigError, match="multiples of 32"):
        matcher.pair(torch.rand(1, 1, 40, 64), torch.rand(1, 1, 40, 64))
    with pytest.raises(ConfigError, match="at least 32"):
        matcher(ModalityInput(torch.rand(1, 1, 16, 64)))
