"""Captions: one of several, in the languages that are asked for."""

import numpy as np
import pytest

from core.errors import ConfigError
from domains.remote_sensing.processors import CaptionProcessor
from domains.remote_sensing.processors.captions import caption_lines, caption_source

SOURCE = caption_source({"en": ["a river between fields", "green  fields\nand a river"], "de": ["ein Fluss"]})


@pytest.fixture
def reader():
    processor = CaptionProcessor(vocab_size=300, max_length=16)
    processor.fit([SOURCE, "en\tsnow on mountains"])
    return processor


def test_lines_carry_their_language():
    assert caption_lines(SOURCE) == [
        ("en", "a river between fields"), ("en", "green fields and a river"), ("de", "ein Fluss")]  # fmt: skip
    assert caption_lines("no language stated\n\n") == [("", "no language stated")]


def test_evaluation_reads_the_first_and_training_any_of_them(reader):
    sample = reader.load(SOURCE)
    assert reader.decode(sample["ids"]) == "a river between fields"
    drawn = {reader.decode(reader.augment(sample, np.random.default_rng(i))["ids"]) for i in range(20)}
    assert drawn == {"a river between fields", "green fields and a river"}
    identities = {int(reader.augment(sample, np.random.default_rng(i))["text_id"]) for i in range(20)}
    assert identities == set(sample["caption_text_ids"].tolist())


def test_another_language_shares_the_vocabulary_and_may_be_missing(reader):
    german = CaptionProcessor(vocab_size=300, max_length=16, languages=("de",), of="text")
    german.adopt(reader)
    assert german.decode(german.load(SOURCE)["ids"]) == "ein fluss"
    assert german.load("en\tonly English") == {}
    assert german.decode(german.load("green river")["ids"]) == "green river"


def test_which_chooses_the_caption_of_the_evaluation(reader):
    second = CaptionProcessor(vocab_size=300, max_length=16, which=1)
    second.adopt(reader)
    assert second.decode(second.load(SOURCE)["ids"]) == "green fields and a river"
    assert second.decode(second.load("en\tone")["ids"]) == "one"
    assert second.fingerprint() != reader.fingerprint()
    with pytest.raises(ConfigError, match=r"names at least one"):
        CaptionProcessor(languages=())
