"""Ground-truth matches: hand-computed, and against loops over cells and pixels."""

import numpy as np
import pytest
import torch

from domains.remote_sensing.registration.truth import CELL, cells, coarse_truth, fine_truth
from domains.remote_sensing.registration.warps import WarpRange, Warps

SIDE, WIDE = 64, 8
ALL = torch.ones(1, SIDE, SIDE, dtype=torch.bool)


def shift(x, y):
    matrix = torch.eye(3)[None].clone()
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return Warps(matrix, None, SIDE)


def test_the_identity_matches_every_cell_and_pixel_with_itself():
    truth = coarse_truth(shift(0, 0), ALL, ALL)
    assert torch.equal(truth.partner_BN[0], torch.arange(WIDE**2))
    assert (truth.weight_BN == 1).all()
    inner = torch.tensor([9, 18, 27])
    fine = fine_truth(shift(0, 0), ALL, ALL, torch.zeros(3, dtype=torch.long), inner, inner)
    assert torch.equal(fine.partner_MK, torch.arange(64).expand(3, -1))
    assert fine.offset_MK2.abs().max() == 0


@pytest.mark.parametrize(("columns", "rows"), [(2, 0), (-1, 3), (0, -2)])
def test_a_shift_by_whole_cells_is_exact(columns, rows):
    partner = coarse_truth(shift(CELL * columns, CELL * rows), ALL, ALL).partner_BN[0].view(WIDE, WIDE)
    for row in range(WIDE):
        for column in range(WIDE):
            r, c = row + rows, column + columns
            inside = 0 <= r < WIDE and 0 <= c < WIDE
            assert partner[row, column] == (r * WIDE + c if inside else -1)


def test_the_rest_of_a_shift_is_the_offset_of_pixels():
    cell = torch.tensor([3 * WIDE + 3])
    fine = fine_truth(shift(1.25, -0.25), ALL, ALL, torch.zeros(1, dtype=torch.long), cell, cell)
    # column k goes to k + 1, the last one leaves the window; rows stay
    expected = torch.arange(64).view(8, 8) + 1
    expected[:, 7] = -1
    assert torch.equal(fine.partner_MK[0].view(8, 8), expected)
    torch.testing.assert_close(fine.offset_MK2[0, 0], torch.tensor([0.25, -0.25]))


def test_matches_agree_with_a_loop_and_are_mutual():
    warps = Warps.draw(2, SIDE, WarpRange(shift=10, rotation=20, scale=0.2), torch.Generator().manual_seed(3))
    both = ALL.expand(2, -1, -1)
    truth = coarse_truth(warps, both, both)
    for b in range(2):
        matrix = warps.matrix_V33[b].double().numpy()
        back = np.linalg.inv(matrix)

        def cell_of(m, number):
            x, y, w = m @ np.array([number % WIDE * CELL, number // WIDE * CELL, 1.0])
            c, r = np.round([x / w / CELL, y / w / CELL]).astype(int)
            return r * WIDE + c if 0 <= c < WIDE and 0 <= r < WIDE else -1

        for i in range(WIDE**2):
            j = cell_of(matrix, i)
            expected = j if j >= 0 and cell_of(back, j) == i else -1
            assert truth.partner_BN[b, i] == expected
        partners = truth.partner_BN[b][truth.partner_BN[b] >= 0]
        assert len(partners.unique()) == len(partners) > 10


def test_turning_both_pictures_turns_the_matches():
    warps = Warps.draw(1, SIDE, WarpRange(shift=9, rotation=8), torch.Generator().manual_seed(1))
    # cells stand for pixels 0, 8, ..., 56: a quarter turn takes (x, y) to (y, 56 - x)
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 56], [0, 0, 1]])
    turned = Warps(turn @ warps.matrix_V33 @ torch.linalg.inv(turn), None, SIDE)
    a, b = (coarse_truth(w, ALL, ALL).partner_BN[0] for w in (warps, turned))
    cell = torch.arange(WIDE**2)
    new = (WIDE - 1 - cell % WIDE) * WIDE + cell // WIDE
    expected = torch.full_like(a, -1)
    expected[new[a >= 0]] = new[a[a >= 0]]
    assert torch.equal(b, expected)


def test_what_is_not_valid_has_no_partner():
    half = ALL.clone()
    half[:, :, :32] = False
    assert cells(half)[0].view(WIDE, WIDE).sum(0).tolist() == [0] * 4 + [8] * 4
    for first, second in ((half, ALL), (ALL, half)):
        partner = coarse_truth(shift(0, 0), first, second).partner_BN[0].view(WIDE, WIDE)
        assert (partner[:, :4] == -1).all()
        assert (partner[:, 4:] >= 0).all()
    cell = torch.tensor([4])  # its window reaches 3.5 pixels to the left, into what is not valid, and above the picture
    fine = fine_truth(shift(0, 0), half, ALL, torch.zeros(1, dtype=torch.long), cell, cell).partner_MK[0].view(8, 8)
    assert (fine[:, :3] == -1).all()
    assert (fine[:3] == -1).all()
    assert (fine[4:, 4:] >= 0).all()


def test_overlap_falls_from_one_to_nothing_half_a_cell_away():
    weights = [coarse_truth(shift(x, 0), ALL, ALL).weight_BN[0, 27].item() for x in (0, 1, 2, 3)]
    assert weights == pytest.approx([1, 0.75, 0.5, 0.25])
