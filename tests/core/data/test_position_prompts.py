"""Boxes follow their image, and the block is that of what is left of them."""

from __future__ import annotations

import random

import pytest

from core.data.position_prompts import (
    Affine,
    block_of,
    crop_and_resize,
    flip_horizontally,
    position_prompt,
    rotate,
    with_prompt,
)
from core.errors import ConfigError

SIZE = (90.0, 60.0)


def test_the_centre_is_block_4_and_blocks_count_row_by_row():
    assert block_of((40, 25, 50, 35), SIZE) == 4
    centres = [(x, y) for y in (10, 30, 50) for x in (15, 45, 75)]
    assert [block_of((x - 1, y - 1, x + 1, y + 1), SIZE) for x, y in centres] == list(range(9))


def test_the_right_and_lower_edges_clamp():
    assert block_of((89.999, 59.999, 90, 60), SIZE) == 8
    assert block_of((80, 50, 500, 500), SIZE) == 8  # what is visible counts


def test_a_flip_swaps_columns_and_two_flips_do_nothing():
    flip = flip_horizontally(SIZE[0])
    for block, mirrored in ((0, 2), (1, 1), (3, 5), (6, 8), (8, 6)):
        x, y = 30 * (block % 3) + 15, 20 * (block // 3) + 10
        box = (x - 4, y - 4, x + 4, y + 4)
        assert block_of(flip.box(box), SIZE) == mirrored
        assert flip.then(flip).box(box) == pytest.approx(box)


def test_a_crop_that_leaves_the_box_out_makes_it_vanish():
    crop = crop_and_resize(45, 30, 45, 30, to=SIZE)
    assert position_prompt((0, 0, 20, 20), "dog", size=SIZE, transform=crop) == "The block x has a dog"
    assert position_prompt((0, 0, 45, 30), "dog", size=SIZE, transform=crop) == "The block x has a dog"  # touches only
    assert position_prompt((45, 30, 55, 38), "dog", size=SIZE, transform=crop) == "The block 0 has a dog"
    assert block_of((10, 10, 10, 20), SIZE) is None  # no area


def test_a_composition_is_one_transform_after_the_other():
    rng = random.Random(3)
    steps = [crop_and_resize(5, 7, 40, 30, to=SIZE), flip_horizontally(90), rotate(30, about=(45, 30))]
    whole = Affine()
    for step in steps:
        whole = whole.then(step)
    for _ in range(20):
        x, y = rng.uniform(0, 90), rng.uniform(0, 60)
        expected = (x, y)
        for step in steps:
            expected = step.point(*expected)
        assert whole.point(x, y) == pytest.approx(expected)


def test_a_quarter_turn_of_a_square_image_moves_blocks_clockwise():
    turn = rotate(90, about=(45, 45))
    assert block_of(turn.box((5, 5, 15, 15)), (90, 90)) == 2  # upper left goes to upper right
    assert block_of(turn.box((40, 5, 50, 15)), (90, 90)) == 5


def test_blocks_agree_with_painting_the_box_and_looking_where_its_centre_is():
    """The slow way of the released code, on a grid of pixels, for a random crop and flip."""
    rng = random.Random(0)
    for _ in range(50):
        x1, y1 = rng.randrange(0, 60), rng.randrange(0, 60)
        box = (x1, y1, x1 + rng.randrange(3, 30), y1 + rng.randrange(3, 30))
        left, top, side = rng.randrange(0, 40), rng.randrange(0, 40), rng.randrange(20, 50)
        transform = crop_and_resize(left, top, side, side, to=(side, side)).then(flip_horizontally(side))
        inside = [
            (side - 1 - (x - left), y - top)
            for x in range(left, left + side)
            for y in range(top, top + side)
            if box[0] <= x < box[2] and box[1] <= y < box[3]
        ]
        if not inside:
            assert block_of(transform.box(box), (side, side)) is None
            continue
        xs, ys = [x for x, _ in inside], [y for _, y in inside]
        x, y = (min(xs) + max(xs) + 1) / 2, (min(ys) + max(ys) + 1) / 2
        assert block_of(transform.box(box), (side, side)) == 3 * min(int(y / side * 3), 2) + min(int(x / side * 3), 2)


def test_texts_are_cut_by_words():
    assert with_prompt("a dog on grass.", "The block 4 has a dog") == "a dog on grass. The block 4 has a dog"
    long = with_prompt(" ".join("abcdefghij"), "one two three", caption_words=3, prompt_words=2)
    assert long == "a b c. one two"


def test_an_empty_region_is_named():
    with pytest.raises(ConfigError, match="all sides must be positive"):
        crop_and_resize(0, 0, 0, 3, to=(2, 2))
