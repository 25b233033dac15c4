"""Gap, spread and separability by closed form. Legend: N = rows, E = width."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.errors import ConfigError, DataError
from core.evaluation.alignment import (
    alignment,
    alignment_scores,
    gap_shift_curve,
    gap_vector,
    linear_separability,
    mean_self_cosine,
    modality_gap,
    relative_modality_gap,
    separability_hits,
    uniformity,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def apart(rows=60, width=8, offset=3.0, seed=0):
    """Two clouds, one shifted along the first axis."""
    x, y = normal(rows, width, seed=seed), normal(rows, width, seed=seed + 1)
    x[:, 0] += offset
    y[:, 0] -= offset
    return x, y


def test_the_gap_vector_points_from_y_to_x_and_its_length_is_the_gap():
    x, y = apart()
    expected = F.normalize(x).mean(0) - F.normalize(y).mean(0)
    torch.testing.assert_close(gap_vector(x, y), expected)
    assert modality_gap(x, y) == pytest.approx(float(expected.norm()))
    torch.testing.assert_close(gap_vector(y, x), -expected)


def test_the_gap_is_blind_to_a_joint_rotation_and_to_the_length_of_rows():
    x, y = apart()
    rotation = torch.linalg.qr(normal(8, 8, seed=5)).Q
    assert modality_gap(x @ rotation, y @ rotation) == pytest.approx(modality_gap(x, y), abs=1e-6)
    assert modality_gap(5 * x, y * normal(60, 1).abs()) == pytest.approx(modality_gap(x, y), abs=1e-6)


def test_gap_sides_may_have_different_numbers_of_rows_but_not_of_columns():
    assert modality_gap(torch.eye(4)[:1].repeat(3, 1), -torch.eye(4)[:1]) == pytest.approx(2)
    with pytest.raises(DataError, match="modality gap"):
        modality_gap(torch.eye(4), torch.eye(3))


def test_the_relative_gap_equals_its_definition_with_whole_matrices():
    x, y = apart(rows=20)
    ux, uy = F.normalize(x.double()), F.normalize(y.double())
    off = ~torch.eye(20, dtype=torch.bool)
    between = (1 - (ux * uy).sum(1)).mean()
    within = ((1 - (ux @ ux.T)[off]).mean() + (1 - (uy @ uy.T)[off]).mean()) / 2
    assert relative_modality_gap(x, y) == pytest.approx(float(between / (between + within)), abs=1e-6)


def test_the_relative_gap_is_zero_for_equal_pairs_and_one_for_two_points():
    x, point = normal(20, 5), torch.eye(5)[:1].repeat(20, 1)
    assert relative_modality_gap(x, x) == pytest.approx(0, abs=1e-6)
    assert relative_modality_gap(point, -point) == pytest.approx(1)
    assert math.isnan(relative_modality_gap(point, point))


def test_no_shift_is_no_change_and_shifting_by_the_gap_nearly_closes_it():
    x, y = apart(rows=200, offset=1.0)
    curve = gap_shift_curve(x, y)
    assert [p.shift for p in curve] == list(np.arange(-5, 5, 0.25))
    by_shift = {p.shift: p for p in curve}
    assert by_shift[0.0].distance == pytest.approx(modality_gap(x, y), abs=1e-6)
    assert by_shift[0.0].gap == pytest.approx(modality_gap(x, y), abs=1e-6)
    gaps = [p.gap for p in curve]
    assert all(a > b for a, b in itertools.pairwise(gaps))  # signed along g it only falls
    assert by_shift[4.75].gap < 0 < by_shift[0.0].gap
    closest = min(curve, key=lambda p: p.distance)
    assert closest.distance < 0.2 * modality_gap(x, y)


def test_the_figure_of_the_curve_sees_the_shifted_unit_rows():
    x, y = apart()
    curve = gap_shift_curve(x, y, figure=lambda a, b: float((a.norm(dim=1) + b.norm(dim=1)).max()), shifts=[-2.0, 1.0])
    assert [p.figure for p in curve] == pytest.approx([2, 2], abs=1e-5)
    still = gap_shift_curve(x, x, shifts=[-3.0, 3.0])
    assert [p.distance for p in still] == pytest.approx([0, 0], abs=1e-6)  # no gap, no direction
    assert math.isnan(still[0].figure)


@pytest.mark.parametrize("chunk", [1, 7, 30, 1000])
def test_uniformity_is_exact_whatever_the_chunk(chunk):
    x = normal(30, 6)
    distance = torch.pdist(F.normalize(x.double()))
    for t in (2.0, 0.5):
        expected = float((-t * distance.square()).exp().mean().log())
        assert uniformity(x, t=t, chunk=chunk) == pytest.approx(expected, abs=1e-6)


def test_self_cosine_counts_negative_cosines_too():
    x = normal(25, 4)
    cosine = F.normalize(x.double()) @ F.normalize(x.double()).T
    off = cosine[~torch.eye(25, dtype=torch.bool)]
    assert mean_self_cosine(x) == pytest.approx(float(off.mean()), abs=1e-7)
    assert mean_self_cosine(x) != pytest.approx(float(off[off > 0].mean()), abs=1e-3)
    assert mean_self_cosine(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(-1 / 7)
    assert mean_self_cosine(torch.ones(5, 3)) == pytest.approx(1)
    assert math.isnan(mean_self_cosine(x[:1]))


def test_the_spread_of_bf16_rows_is_that_of_their_float32_values():
    x, y = normal(40, 16).bfloat16(), normal(40, 16, seed=1).bfloat16()
    assert uniformity(x) == uniformity(x.float())
    assert alignment(x, y) == alignment(x.float(), y.float())


def test_separable_modalities_are_told_apart_and_equal_ones_are_not():
    assert linear_separability(*apart(offset=8.0)) == 1
    x = normal(80, 8)
    assert linear_separability(x, x.clone()) == 0.5  # exactly: each pair is right once
    assert linear_separability(torch.ones(10, 3), torch.ones(10, 3)) == 0.5
    chance = linear_separability(normal(300, 16), normal(300, 16, seed=1))
    assert abs(chance - 0.5) < 4 * 0.5 / math.sqrt(600)


def test_training_rows_are_not_scored():
    """In 60 dimensions 50 random pairs are always separable by those who have seen them."""
    x, y = normal(50, 60), normal(50, 60, seed=1)
    assert linear_separability(x, y) < 0.7


def test_swapping_the_sides_gives_the_same_accuracy():
    x, y = apart(offset=0.3)
    np.testing.assert_allclose(separability_hits(x, y), separability_hits(y, x), atol=1e-12)


def test_groups_are_held_out_together():
    # both modalities of a group share a random centre; the side within the centre is random per group
    rng = torch.Generator().manual_seed(3)
    groups = torch.arange(12).repeat_interleave(10)
    centre = torch.randn(12, 40, generator=rng)[groups]
    side = torch.randn(12, 40, generator=rng)[groups]
    x, y = centre + side, centre - side
    assert linear_separability(x, y, groups_N=None) > 0.95  # twins in training
    assert linear_separability(x, y, groups_N=groups.numpy()) < 0.85
    assert np.isnan(separability_hits(x, y, groups_N=[0] * 120)).all()


def test_separability_errors():
    x = normal(4, 3)
    with pytest.raises(DataError, match="4 rows; needs at least 5"):
        linear_separability(x, x)
    with pytest.raises(ConfigError, match="folds is 1"):
        linear_separability(x, x, folds=1)
    with pytest.raises(DataError, match="paired rows"):
        alignment(x, x[:2])


def test_the_record_holds_every_figure_under_its_name_and_leaves_out_what_is_undefined():
    x, y = apart(rows=40, offset=1.0)
    flat = alignment_scores(x, y, names=("image", "text"), n_bootstrap=50).flat()
    assert flat["gap"] == pytest.approx(modality_gap(x, y), abs=1e-6)
    assert flat["alignment"] == pytest.approx(alignment(x, y), abs=1e-6)
    assert flat["alignment_low"] < flat["alignment"] < flat["alignment_high"]
    assert flat["uniformity_text"] == pytest.approx(uniformity(y), abs=1e-6)
    assert {"separability_low", "hubness_image_to_text", "antihubs_text_to_image", "self_cosine_image"} <= set(flat)
    assert "gap_low" not in flat
    point = torch.ones(6, 3)
    collapsed = alignment_scores(point, point, n_bootstrap=5).flat()
    assert all(math.isfinite(v) for v in collapsed.values())
    assert "linear_cka" not in collapsed
    assert collapsed["hubness_a_to_b"] == 0


def test_of_many_pairs_a_seeded_choice_is_used():
    x, y = apart(rows=90)
    one = alignment_scores(x, y, max_pairs=50, n_bootstrap=5, groups_N=list(range(90)))
    assert one == alignment_scores(x, y, max_pairs=50, n_bootstrap=5, groups_N=list(range(90)))
    assert (one.pairs, one.gap != alignment_scores(x, y, max_pairs=50, n_bootstrap=5, seed=1).gap) == (50, True)
