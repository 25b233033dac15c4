"""Tokenizer training and the text processor."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.text import CLS, PAD, SEP, SPECIAL_TOKENS, UNK, TextProcessor, text_id, train_tokenizer
from core.errors import CheckpointError, ConfigError, DataError

TEXTS = [
    f"The {size} stone lies {where} the {kind} wall, unremarkable otherwise."
    for size in ("small", "large", "rounded")
    for where in ("behind", "above", "before")
    for kind in ("northern", "southern", "unfinished")
]


@pytest.fixture
def processor() -> TextProcessor:
    made = TextProcessor(vocab_size=320, max_length=16)
    made.fit(TEXTS)
    return made


def test_special_tokens_have_the_first_ids_and_the_vocabulary_keeps_its_bound():
    tokenizer = train_tokenizer(TEXTS, vocab_size=300)
    assert [tokenizer.token_to_id(t) for t in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert tokenizer.get_vocab_size() <= 300


def test_training_is_the_same_in_another_process_with_another_thread_count():
    code = (
        "import hashlib; from tests_texts import TEXTS; from core.data.text import train_tokenizer;"
        "print(hashlib.sha256(train_tokenizer(TEXTS, vocab_size=310).to_str().encode()).hexdigest())"
    )
    code = code.replace("from tests_texts import TEXTS; ", f"TEXTS = {TEXTS!r}; ")
    root = Path(__file__).parents[3]
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"), ("3", "2"))
    }
    assert len(digests) == 1


def test_text_comes_back_lower_case_without_specials(processor):
    sample = processor.load("The SMALL stone, unremarkable")
    assert sample["ids"][0] == CLS
    assert sample["ids"][-1] == SEP
    assert processor.decode(sample["ids"]) == "the small stone, unremarkable"
    assert {array.dtype for array in sample.values()} == {np.dtype(np.int32), np.dtype(np.int64)}


def test_pieces_of_one_word_share_its_word_id(processor):
    sample = processor.load("stonewallish stone")
    words = sample["word_ids"]
    assert words[0] == words[-1] == -1
    assert (words[1:-1] == 0).sum() > 1
    assert words[-2] == 1


def test_cutting_keeps_the_separator_and_counts_what_was_dropped(processor):
    long = processor.load(" ".join(["stone"] * 40))
    assert len(long["ids"]) == 16
    assert long["ids"][-1] == SEP
    assert int(long["dropped"]) == 40 - 14
    assert int(processor.load("stone")["dropped"]) == 0


def test_collate_pads_to_the_longest_and_masks_the_rest(processor):
    inp = processor.collate([processor.load(t) for t in ("stone", "the small stone")])
    assert inp.x.shape == inp.mask.shape == inp.extra["word_ids"].shape == (2, 5)
    assert inp.mask.sum(1).tolist() == [3, 5]
    assert (inp.x[~inp.mask] == PAD).all()
    assert (inp.extra["word_ids"][~inp.mask] == -1).all()
    assert inp.x.dtype == torch.int64
    assert inp.extra["dropped"].tolist() == [0, 0]


def test_equal_content_has_equal_ids_and_other_content_has_not(processor):
    same = processor.collate([processor.load(t) for t in ("No stone.", "no  STONE.\n", "A stone.")]).extra["text_id"]
    assert same[0] == same[1] != same[2]
    assert 0 <= text_id("x") < 2**63


def test_no_character_is_unknown(processor):
    sample = processor.load("stone \u4e16 \u03bcm")
    assert UNK not in sample["ids"]
    assert processor.decode(sample["ids"]) == "stone \u4e16 \u03bcm"


def test_saved_and_restored_processors_agree(processor, tmp_path):
    processor.save(tmp_path)
    other = TextProcessor(max_length=16)
    other.restore(tmp_path)
    assert other.vocabulary == processor.vocabulary
    for text in TEXTS[:3]:
        np.testing.assert_array_equal(other.load(text)["ids"], processor.load(text)["ids"])


def test_the_fingerprint_changes_with_what_load_depends_on_and_with_nothing_else(processor, tmp_path):
    processor.save(tmp_path)
    same, longer, unfitted = TextProcessor(max_length=16, vocab_size=999), TextProcessor(max_length=17), TextProcessor()
    for other in (same, longer):
        other.restore(tmp_path)
    assert same.fingerprint() == processor.fingerprint()
    assert len({p.fingerprint() for p in (processor, longer, unfitted)}) == 3
    assert TextProcessor(**processor.config()).config() == processor.config()


def test_restore_names_the_file_and_the_fault(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is missing"):
        TextProcessor().restore(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a readable tokenizer"):
        TextProcessor().restore(tmp_path)


def test_files_are_read_as_utf8_and_faults_name_them(processor, tmp_path):
    good, bad = tmp_path / "a.txt", tmp_path / "b.txt"
    good.write_text("\ufeffsmall stone", encoding="utf-8")
    bad.write_bytes(b"\xff\xfe\x00")
    assert processor.decode(processor.load(good)["ids"]) == "small stone"
    with pytest.raises(DataError, match=r"b\.txt: not UTF-8"):
        processor.load(bad)
    with pytest.raises(DataError, match=r"c\.txt: cannot be read"):
        processor.load(tmp_path / "c.txt")


def test_without_vocabulary_or_text_the_error_says_what_to_do(processor):
    with pytest.raises(ConfigError, match="call fit"):
        TextProcessor().load("stone")
    with pytest.raises(DataError, match="text is empty"):
        processor.load("  \n")
    with pytest.raises(DataError, match="no text to learn from"):
        TextProcessor().fit(["", " "])
    with pytest.raises(ConfigError, match="max_length"):
        TextProcessor(max_length=2)
    with pytest.raises(ConfigError, match="vocab_size: is 200; special tokens and single bytes alone need 261"):
        TextProcessor(vocab_size=200)
