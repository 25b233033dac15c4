"""One script for all: letters go to the same place of the Devanagari block and come back."""

import pytest

from core.errors import DataError
from domains.molecules.facts.script import BLOCKS, from_devanagari, to_devanagari

SENTENCES = {  # "India is a country" and the like, in each script
    "bn": "ভারত একটি দেশ।", "as": "ভাৰত এখন দেশ।", "pa": "ਭਾਰਤ ਇੱਕ ਦੇਸ਼ ਹੈ।", "gu": "ભારત એક દેશ છે.", "or": "ଭାରତ ଏକ ଦେଶ।",
    "ta": "இந்தியா ஒரு நாடு.", "te": "భారతదేశం ఒక దేశం.", "kn": "ಭಾರತ ಒಂದು ದೇಶ.", "ml": "ഇന്ത്യ ഒരു രാജ്യമാണ്.",
    "hi": "भारत एक देश है।", "mr": "भारत हा एक देश आहे.",
}  # fmt: skip


@pytest.mark.parametrize("language", BLOCKS)
def test_a_sentence_comes_back_in_its_script(language):
    text = f"{SENTENCES[language]} (H2O, 1958)"
    moved = to_devanagari(text, language)
    assert from_devanagari(moved, language) == text
    letters = [c for c in moved if ord(c) > 0x7F]
    assert all(0x0900 <= ord(c) <= 0x097F for c in letters)
    assert "(H2O, 1958)" in moved


@pytest.mark.parametrize("language", BLOCKS)
def test_every_place_of_a_block_comes_back(language):
    letters = "".join(chr(BLOCKS[language] + i) for i in range(0x80) if i not in (0x64, 0x65))
    assert from_devanagari(to_devanagari(letters, language), language) == letters
    assert len(set(to_devanagari(letters, language))) == len(letters)


def test_the_same_letter_of_several_scripts_becomes_one():
    ka = {"bn": "ক", "pa": "ਕ", "gu": "ક", "or": "କ", "ta": "க", "te": "క", "kn": "ಕ", "ml": "ക", "hi": "क"}
    assert {to_devanagari(letter, code) for code, letter in ka.items()} == {"क"}
    assert to_devanagari("ভারত", "bn") == "भारत"


def test_dandas_latin_and_english_stay():
    assert to_devanagari("ক।", "bn") == "क।"
    assert from_devanagari("क।", "bn") == "ক।"
    assert to_devanagari("India, ক", "en") == "India, ক"
    with pytest.raises(DataError, match="'ur'"):
        to_devanagari("x", "ur")
