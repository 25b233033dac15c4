"""Indic scripts written in Devanagari and back, by the order that their Unicode blocks share (that of ISCII).

Nine blocks of 128 characters lie side by side, and a letter has the same place in each; all 128 places of Devanagari
are taken, so the change of block loses nothing, and goes back when the language is known. It is no romanisation and
no pronunciation: letters that only one script has (Assamese ৰ, chillus of Malayalam) land on a sign that means
something else, consistently. Dandas (। ॥) belong to the Devanagari block in all scripts and stay.
"""

from __future__ import annotations

from core.errors import DataError

BLOCKS = {
    "hi": 0x0900, "mr": 0x0900, "bn": 0x0980, "as": 0x0980, "pa": 0x0A00, "gu": 0x0A80, "or": 0x0B00, "ta": 0x0B80,
    "te": 0x0C00, "kn": 0x0C80, "ml": 0x0D00,
}  # fmt: skip
DEVANAGARI, SIZE = 0x0900, 0x80
DANDAS = (0x0964, 0x0965)


def to_devanagari(text: str, language: str) -> str:
    """`text` with the letters of the language's script moved to Devanagari; all else, such as Latin, is kept."""
    block = _block(language)
    return text if block is None else text.translate(_table(block, DEVANAGARI))


def from_devanagari(text: str, language: str) -> str:
    """The inverse of `to_devanagari`, for texts whose original held no Devanagari letters."""
    block = _block(language)
    return text if block is None else text.translate(_table(DEVANAGARI, block))


def _block(language: str) -> int | None:
    """Where the script of a language begins; None where there is nothing to change (English, Hindi, Marathi)."""
    if language == "en":
        return None
    if language not in BLOCKS:
        raise DataError(f"script: no block is known for language '{language}'; known: {', '.join(BLOCKS)}, en")
    return None if BLOCKS[language] == DEVANAGARI else BLOCKS[language]


def _table(start: int, to: int) -> dict[int, int]:
    return {start + i: to + i for i in range(SIZE) if DEVANAGARI + i not in DANDAS}
