"""Report parsing on made-up reports in the habits of the public releases."""

import time

import pytest

from domains.medical.reports import clean, findings_and_impression, joined, main_text, sections, sentences

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough // eval for pneumonia

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  Chest radiograph of ___.

 FINDINGS:

 There is a 1.2 cm nodule in the right upper lobe, described by
 Dr. J. Smith on ___.  It measures 3 x 4 mm in segment
 6. No effusion, e.g. none vs. the prior.

 IMPRESSION:

 1.  No acute process
 2.  Stable 3.5 mm nodule, see im. 34 and
 fig. 2.
 3)  Follow up at 9:30 a.m. on Monday.
"""


def test_sections_of_a_wrapped_report():
    found = sections(MIMIC)
    assert list(found) == ["examination", "indication", "technique", "comparison", "findings", "impression"]
    assert found["technique"] == "Chest PA and lateral"
    assert found["findings"].startswith("There is a 1.2 cm nodule in the right upper lobe, described by Dr. J. Smith")
    assert "\n" not in "".join(found.values())


def test_sentences_keep_decimals_titles_measurements_and_abbreviations():
    assert sentences(sections(MIMIC)["findings"]) == [
        "There is a 1.2 cm nodule in the right upper lobe, described by Dr. J. Smith on ___.",
        "It measures 3 x 4 mm in segment 6.",
        "No effusion, e.g. none vs. the prior.",
    ]


LISTED = [
    "No acute process",
    "Stable 3.5 mm nodule, see im. 34 and fig. 2.",
    "Follow up at 9:30 a.m. on Monday.",
]


def test_list_numbers_are_no_sentences_also_once_the_lines_are_joined():
    assert sentences(MIMIC.split("IMPRESSION:")[1]) == LISTED
    assert sentences(sections(MIMIC)["impression"]) == ["No acute process.", *LISTED[1:]]


def test_the_sentences_of_a_whole_report_have_no_headers():
    whole = sentences(MIMIC)
    assert not any(":" in s and s.split(":")[0].isupper() for s in whole)
    assert "It measures 3 x 4 mm in segment 6." in whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heart normal. Lungs clear.", ["Heart normal.", "Lungs clear."]),
        ("the heart is normal . lungs are clear .", ["the heart is normal .", "lungs are clear ."]),
        ("Nodule (see image 3). New?  Yes!", ["Nodule (see image 3).", "New?", "Yes!"]),
        ("Node of 12 mm. Next, no. 3 of 4.", ["Node of 12 mm.", "Next, no. 3 of 4."]),
        ("Seen approx. 3 cm from the carina, i.e. above it.", ["Seen approx. 3 cm from the carina, i.e. above it."]),
        ("- clear lungs\n- no effusion\n", ["clear lungs", "no effusion"]),
        ("First paragraph\n\nSecond one", ["First paragraph", "Second one"]),
        ("Mediastinal lymph nodes up to 1.5x0.8 cm. T12. vertebra", None),
        (" . .. 12. ", []),
        ("", []),
    ],
)
def test_sentence_boundaries(text, expected):
    if expected is not None:
        assert sentences(text) == expected
    assert all(s.strip() and any(c.isalpha() for c in s) for s in sentences(text))


def test_sentences_lose_no_word():
    words = "".join(c for c in " ".join(sentences(sections(MIMIC)["findings"])) if c.isalpha())
    assert words == "".join(c for c in sections(MIMIC)["findings"] if c.isalpha())


def test_headers_on_one_line_as_in_ct_rate():
    text = "Findings: Lungs clear. No nodule. Impression: Normal."
    assert sections(text) == {"findings": "Lungs clear. No nodule.", "impression": "Normal."}
    assert findings_and_impression(text) == text
    assert sentences(text) == ["Lungs clear.", "No nodule.", "Normal."]


def test_a_word_in_a_sentence_is_no_header():
    assert sections("The impression: of a mass persists.") == {"text": "The impression: of a mass persists."}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIMIC, "No acute process. 2."),
        ("FINDINGS: Clear lungs.\n\nIMPRESSION: ___", "Clear lungs."),
        ("INDICATION: cough\n\nPA and lateral views.\n\nThe lungs are clear.\n", "The lungs are clear."),
        ("CHEST, AP:  One view.\n\n The heart is big.\n", "The heart is big."),
        ("COMPARISON: None available.\n", "None available."),
        ("The heart is normal.\n\nNo effusion.", "The heart is normal. No effusion."),
        ("  ___  \n", ""),
        ("", ""),
    ],
)
def test_the_main_text_is_the_conclusion_or_what_comes_closest(text, expected):
    assert main_text(text).removeprefix("1. ").startswith(expected)
    assert bool(main_text(text)) == bool(expected)


def test_wet_reads_addenda_and_unknown_headers_have_names():
    text = """WET READ: ___ ___ 9:38 AM
 No pneumothorax.
______________________________________________________________________________
                                 FINAL REPORT
 PROVISIONAL FINDINGS IMPRESSION (PFI):  Small effusion.
 PORTABLE AP CHEST FILM:  Tube in place.
 CONCLUSION:  Effusion is stable.

 ADDENDUM  Discussed by phone.
"""
    found = sections(text)
    assert found["wet_read"].startswith("___ ___ 9:38 AM No pneumothorax.")
    assert found["impression"] == "Small effusion. Effusion is stable."
    assert found["portable ap chest film"] == "Tube in place."
    assert found["addendum"] == "Discussed by phone."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Compared to ___, the (___) heart is normal.", "Compared to, the heart is normal."),
        ("XXXX-year-old with XXXX XXXX. Heart is XXXX normal .", "-year-old with. Heart is normal."),
        ("Seen on [**2001-01-01**] by [**Name (NI)**].", "Seen on by."),
        ("a\n b\t c", "a b c"),
        ("___", ""),
        ("XXX and XX and MIXX", "and XX and MIXX"),
    ],
)
def test_de_identification_marks_are_removed_with_what_they_leave(text, expected):
    assert clean(text) == expected


def test_cleaning_twice_changes_nothing():
    assert clean(clean(MIMIC)) == clean(MIMIC)


def test_joined_sections_announce_themselves():
    assert joined("a.", "b.") == "Findings: a. Impression: b."
    assert joined("", "b.") == "Impression: b."
    assert joined("", "") == ""


@pytest.mark.parametrize(
    "text", [" " * 50_000 + "x", "\n \n" * 20_000, "A B C " * 10_000, "1. " * 20_000, "_" * 50_000]
)
def test_no_text_takes_quadratic_time(text):
    start = time.process_time()
    sections(text)
    sentences(text)
    clean(text)
    assert time.process_time() - start < 3
