"""Rules that make a report wrong in one detail."""

from __future__ import annotations

import numpy as np
import pytest

from domains.medical.contradictions import asserted, contradictions, denied, with_other_side
from domains.medical.phantom import simulate
from domains.medical.reports import sentences


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("A small left pleural effusion is seen.", "A small right pleural effusion is seen."),
        ("Right-sided port catheter.", "Left-sided port catheter."),
        ("RIGHT upper lobe nodule.", "LEFT upper lobe nodule."),
        ("On the left, fluid; the left lung is smaller.", "On the right, fluid; the right lung is smaller."),
        ("The heart is enlarged.", None),  # no side
        ("Effusion, right 15 mm, left 47 mm.", None),  # both sides
        ("Both lungs, the left more, show emphysema.", None),
        ("No left pleural effusion.", None),  # may be as true of the other side
    ],
)
def test_a_finding_moves_to_the_other_side(said, wrong):
    assert with_other_side(said) == wrong


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("There is a small pericardial effusion.", "There is no small pericardial effusion."),
        ("There are enlarged nodes.", "There are no enlarged nodes."),
        ("A 5 mm nodule is seen.", "A 5 mm nodule is not seen."),
        ("The left lower lobe shows atelectasis.", "The left lower lobe does not show atelectasis."),
        ("Both lungs show emphysema.", "Both lungs do not show emphysema."),
        ("A mass occupies the lobe.", "A mass does not occupy the lobe."),
        ("Minimal right pleural effusion.", "No minimal right pleural effusion."),
        ("Heart size is normal.", "Heart size is not normal."),
        ("No pneumothorax.", None),
    ],
)
def test_a_finding_is_denied(said, wrong):
    assert denied(said) == wrong


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("There is no pleural effusion.", "There is pleural effusion."),
        ("No evidence of hiatal hernia.", "Hiatal hernia."),
        ("No pneumothorax on either side.", "Pneumothorax on either side."),
        ("The heart is not enlarged.", "The heart is enlarged."),
        ("The mediastinum is without lymphadenopathy.", "The mediastinum is with lymphadenopathy."),
        ("The lungs are free of nodules.", "The lungs are affected by nodules."),
        ("Emphysema is absent.", "Emphysema is present."),
        ("A nodule is seen.", None),
        ("There is no nodule and no mass.", None),  # taking one away leaves a sentence that is neither
    ],
)
def test_a_denied_finding_is_asserted(said, wrong):
    assert asserted(said) == wrong


def test_a_version_differs_in_one_sentence_and_says_nothing_that_is_said_elsewhere():
    text = "Left pleural effusion. Right pleural effusion. No mass."
    made = contradictions(text)
    assert made == [
        "No left pleural effusion. Right pleural effusion. No mass.",
        "Left pleural effusion. No right pleural effusion. No mass.",
        "Left pleural effusion. Right pleural effusion. Mass.",
    ]  # neither effusion moves to the other side, where the report has one
    assert contradictions("") == []


def test_reports_of_the_phantom_have_many_ways_to_be_wrong():
    for seed in range(4):
        text = simulate(np.random.SeedSequence(seed), shape=(32, 32, 16), spacing=(12.0, 12.0, 20.0)).report.findings
        made = contradictions(text)
        assert len(made) >= 3
        for version in made:
            changed = [a != b for a, b in zip(sentences(text), sentences(version), strict=True)]
            assert sum(changed) == 1
        assert len(set(made)) == len(made)
