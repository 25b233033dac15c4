"""Titled texts and pictures: what a model reads of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linking_files import picture, write_set

from core.data.text import CLS, SEP
from core.errors import ConfigError, DataError
from domains.molecules.data import layout_class
from domains.molecules.linking import PictureProcessor, TitledText
from domains.molecules.linking.sources import Pictures, parts_of, titled


@pytest.fixture
def layout(tmp_path):
    return layout_class("wikimel")(root=write_set(tmp_path / "set"), split="train")


def fitted(layout, **how):
    processor = TitledText(vocab_size=300, min_frequency=1, **how)
    processor.read_tables(layout.tables)
    processor.fit([])
    return processor


def test_title_and_text_are_parted_by_a_separator_of_their_own(layout):
    processor = fitted(layout)
    ids = processor.load("\tmercury\tliquid metal")["ids"]
    at = ids.tolist().index(SEP)
    assert ids[0] == CLS
    assert ids[-1] == SEP
    assert (processor.decode(ids[1:at]), processor.decode(ids[at + 1 :])) == ("mercury", "liquid metal")


def test_words_are_numbered_through_title_and_text(layout):
    words = fitted(layout).load("\tthe metal\tthe god")["word_ids"]
    assert list(dict.fromkeys(words.tolist())) == [-1, 0, 1, 2, 3]


def test_both_sides_learn_the_same_vocabulary(layout):
    one, two = fitted(layout), fitted(layout)
    assert one.tokenizer.to_str() == two.tokenizer.to_str()


def test_the_identity_is_that_of_the_entity_and_else_of_the_text(layout):
    processor = fitted(layout)

    def key(source):
        return int(processor.load(source)["text_id"])

    assert key("Q1\tMercury\ta metal") == key("Q1\tquicksilver\tthe metal")
    assert key("Q1\tMercury\ta metal") != key("Q2\tMercury\ta metal")
    assert key("\tMercury\ta metal") == key("\tMercury\ta metal") != key("\tMercury\ta god")


def test_long_texts_are_cut_to_the_length_of_the_model(layout):
    sample = fitted(layout, max_length=8).load("\ta b\t" + "metal " * 50)
    assert len(sample["ids"]) == 8
    assert sample["dropped"] > 0


def test_sources_survive_tabs_and_new_lines():
    assert parts_of(titled("a\tb", "c\n d", identity="Q1")) == ("Q1", "a b", "c d")
    assert parts_of("just text") == ("", "", "just text")


def test_training_draws_any_picture_and_evaluation_sees_the_first(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.jpg", i, size=(20, 10))
    processor = PictureProcessor(size=8, most=2)
    sample = processor.load(Pictures(tmp_path / "0.jpg", ("1.jpg", "2.jpg")))
    assert sample["pictures"].shape == (2, 3, 8, 8)  # the third is beyond `most`
    drawn = {processor.augment(sample, np.random.default_rng(i))["pictures"].tobytes() for i in range(20)}
    assert drawn == {sample["pictures"][i : i + 1].tobytes() for i in range(2)}
    shown = processor.shown(processor.collate([sample]).x[0].numpy())
    np.testing.assert_array_equal(shown, sample["pictures"][0].transpose(1, 2, 0))


def test_pixels_are_scaled_by_mean_and_std(tmp_path):
    picture(tmp_path / "a.png", 1, size=(4, 4))
    processor = PictureProcessor(size=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    sample = processor.load(tmp_path / "a.png")
    x = processor.collate([sample]).x[0]
    raw = torch.from_numpy(sample["pictures"][0]).float() / 255
    torch.testing.assert_close(x[1], (raw[1] - 0.2) / 0.25)


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"a.jpg: not a readable picture"):
        PictureProcessor(size=8).load(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg", 1)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:300])
    with pytest.raises(DataError, match=r"b.jpg: not a readable picture"):
        PictureProcessor(size=8).load(Pictures(tmp_path / "b.jpg"))
    with pytest.raises(ConfigError, match="size 0"):
        PictureProcessor(size=0)
