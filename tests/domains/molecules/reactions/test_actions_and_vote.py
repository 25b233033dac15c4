"""Placeholders of procedures, what makes a procedure valid, and votes over augmentations."""

import pytest

pytest.importorskip("rdkit")

from core.errors import ConfigError
from domains.molecules.data.reactions import restored
from domains.molecules.reactions.actions import is_valid, placeholders, steps, substituted
from domains.molecules.reactions.vote import canonical, ranked, valid_once

GIVEN = {"$1$": "CCO", "$2$": "CCOC", "$-1$": "CC(=O)OCC", "#1#": "20 °C", "@1@": "2 hours", "@2@": "12 hours"}
STEPS = "ADD $1$ ; ADD $2$ ; STIR for @2@ at #1# ; STIR for @1@ ; YIELD $-1$"


def test_placeholders_are_restored_and_substituted_exactly():
    whole = restored(STEPS, GIVEN)
    assert whole == "ADD CCO ; ADD CCOC ; STIR for 12 hours at 20 °C ; STIR for 2 hours ; YIELD CC(=O)OCC"
    assert substituted(whole, GIVEN) == STEPS
    assert placeholders(STEPS) == set(GIVEN)
    assert restored("ADD $9$", GIVEN) == "ADD $9$"  # what is not given stays
    assert substituted("ADD CCO", {}) == "ADD CCO"


def test_validity_needs_known_actions_and_placeholders():
    assert is_valid(STEPS, GIVEN)
    assert not is_valid(STEPS, {"$1$"})
    assert not is_valid("ADD $1$ ; DANCE for @1@")
    assert not is_valid("ADD $1")  # half a placeholder
    assert not is_valid("")
    assert not is_valid("ADD $1$ ;")
    assert steps("ADD $1$ ;STIR") == ["ADD $1$", "STIR"]


def plain(text):
    return None if "!" in text else (text, text)


def test_one_list_keeps_its_order_without_invalid_and_repeated_strings():
    found = ranked([["CC", "x!", "CO", "CC", "CN"]], input_length=9, key=plain)
    assert [vote.key[0] for vote in found] == ["CC", "CO", "CN"]
    assert [vote.score for vote in found] == [1, 1 / 2, 1 / 3]  # ranks count after invalid ones are out


def test_a_string_of_more_augmentations_overtakes():
    votes = ranked([["A", "B"], ["B", "C"], ["B", "A"]], input_length=1, key=plain)
    assert votes[0].key[0] == "B"
    by_name = {vote.key[0]: vote for vote in votes}
    # 1/2 + 1 + 1, best rank 0, no difference of length, 0.2 for its one character
    assert by_name["B"].score == pytest.approx(2.5 - 0.2)
    assert by_name["A"].score == pytest.approx(1 + 1 / 2 - 0.2)
    assert by_name["C"].score == pytest.approx(1 / 2 - 1 - 0.2)
    assert by_name["B"].votes == 3


def test_length_counts_against_the_input():
    votes = {v.key[0]: v for v in ranked([["AAAA"], ["AAAA"]], input_length=1, alpha=1.0, by_length=0.2, key=plain)}
    assert votes["AAAA"].score == pytest.approx(2 - 0.2 * 3 - 0.2 * 4)
    with pytest.raises(ConfigError, match="alpha: is 0"):
        ranked([["A"]], input_length=1, alpha=0)


def test_equal_molecules_are_one_key_with_their_largest_fragment():
    assert canonical("OCC.c1ccccc1") == canonical("C1=CC=CC=C1.CCO") == ("CCO.c1ccccc1", "c1ccccc1")
    assert canonical("C(C") is None
    assert canonical("C[C@H](N)O") != canonical("C[C@@H](N)O")
    assert canonical("C[C@H](N)O", stereo=False) == canonical("C[C@@H](N)O", stereo=False)
    assert valid_once(["CCO", "OCC", "C("]) == [("CCO", "CCO")]
