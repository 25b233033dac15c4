"""A tokenizer for several scripts: texts come back whole, marks stay on their letters, markers are one id."""

import pytest

from core.data.multilingual import train_multilingual_tokenizer
from core.data.text import SPECIAL_TOKENS, train_tokenizer
from core.errors import ConfigError, DataError

TEXTS = ["Iron is hard.", "लोहा कठोर है। दिल्ली में मिलता है।", "আর্ভাইট লাল রঙের।", "ಕನ್ನಡ ಪಠ್ಯ", "ക്ഷ ൻ"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_multilingual_tokenizer(TEXTS, vocab_size=420, markers=["<H>", "<R>"])


@pytest.mark.parametrize("text", [*TEXTS[:5], "Çelik 1811, नई ख़बर", "unseen: 鉄"])
def test_a_text_comes_back_as_it_was(tokenizer, text):
    import unicodedata

    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_the_english_tokenizer_would_lose_vowel_signs():
    lossy = train_tokenizer(TEXTS, vocab_size=420)
    said = lossy.decode(lossy.encode("दिल्ली कुल", add_special_tokens=False).ids)
    assert "ु" not in said  # what this tokenizer is for
    assert "्" not in said


def test_words_are_learned_whole_across_their_marks(tokenizer):
    many = train_multilingual_tokenizer(["दिल्ली में"] * 50, vocab_size=400)
    assert len(many.encode("दिल्ली", add_special_tokens=False).ids) == 1


def test_special_tokens_come_first_and_markers_are_never_cut(tokenizer):
    assert [tokenizer.token_to_id(t) for t in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert [tokenizer.token_to_id(t) for t in ("<H>", "<R>")] == [5, 6]
    assert 5 in tokenizer.encode("x <H> y", add_special_tokens=False).ids


def test_the_same_texts_give_the_same_vocabulary(tokenizer):
    again = train_multilingual_tokenizer(TEXTS, vocab_size=420, markers=["<H>", "<R>"])
    assert again.to_str() == tokenizer.to_str()


def test_faults_are_said():
    with pytest.raises(DataError, match="no text to learn from"):
        train_multilingual_tokenizer([" "], vocab_size=400)
    with pytest.raises(ConfigError, match="repeat one another"):
        train_multilingual_tokenizer(TEXTS, vocab_size=400, markers=["[PAD]"])
    with pytest.raises(ConfigError, match="need 261"):
        train_multilingual_tokenizer(TEXTS, vocab_size=262, markers=["<H>", "<R>"])
