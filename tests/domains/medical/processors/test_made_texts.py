"""Texts made of a report: wrong versions, position prompts; and pictures as codes."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from domains.medical.data.source import LocatedReport
from domains.medical.geometry import Volume
from domains.medical.processors import PictureCodesProcessor, PromptedReportProcessor, WrongReportProcessor
from domains.medical.processors.frontal_boxes import frontal_boxes

TEXT = "Findings: There is a small left pleural effusion. No mass. Impression: Left effusion."
OTHERS = [
    "There is a small right pleural effusion. No mass. Left effusion.",
    "There is a small left pleural effusion. No mass. Right effusion.",
    "There is no small left pleural effusion. No mass. Left effusion.",
    "There is a small left pleural effusion. No mass. No left effusion.",
    "There is a small left pleural effusion. Mass. Left effusion.",
]


def wrong(**settings) -> WrongReportProcessor:
    made = WrongReportProcessor(vocab_size=320, **settings)
    made.fit([TEXT, *OTHERS])
    return made


def texts(made, sample, draws: int = 40) -> set[str]:
    rng = np.random.default_rng(0)
    return {made.decode(made.augment(sample, rng)["ids"]) for _ in range(draws)}


class TestWrongReports:
    def test_the_ways_to_be_wrong_are_dealt_out_in_turn(self):
        dealt = [wrong(number=number, count=2) for number in range(2)]
        found = [texts(made, made.load(TEXT)) for made in dealt]
        assert found == [{t.lower() for t in OTHERS[::2]}, {t.lower() for t in OTHERS[1::2]}]
        first = dealt[0].load(TEXT)
        assert dealt[0].decode(first["ids"]) == OTHERS[0].lower()

    def test_every_version_has_a_content_id_of_its_own(self):
        made = wrong()
        sample, rng = made.load(TEXT), np.random.default_rng(1)
        drawn = [made.augment(sample, rng) for _ in range(30)]
        assert len({int(s["text_id"]) for s in drawn}) == len({s["ids"].tobytes() for s in drawn}) == len(OTHERS)

    def test_a_report_with_too_few_ways_leaves_the_modality_out(self):
        assert wrong(number=6, count=8).load(TEXT) == {}

    def test_what_is_cut_off_is_no_version(self):
        made = wrong(max_length=8)  # the first sentence has more pieces than that
        true = made.encode(made.text(TEXT))["ids"]
        for ids in {made.augment(made.load(TEXT), np.random.default_rng(n))["ids"].tobytes() for n in range(20)}:
            assert ids != true.tobytes()

    def test_the_sample_is_left_as_it_is_and_batches_as_any_text(self):
        made = wrong()
        sample = made.load(TEXT)
        for array in sample.values():
            array.setflags(write=False)
        drawn = [made.augment(sample, np.random.default_rng(n)) for n in range(3)]
        assert made.collate(drawn).x.shape[0] == 3

    def test_settings_and_texts_are_checked(self):
        with pytest.raises(ConfigError, match="number, count: are 2 and 2"):
            WrongReportProcessor(number=2, count=2)
        with pytest.raises(DataError, match="the text is empty"):
            wrong().load("  ")


def label_map(shape=(12, 4, 12), spacing=(2.0, 3.0, 2.0), **boxes) -> Volume:
    """Axes to the right, to the front and to the head (RAS is the mirror of how a radiograph is seen)."""
    array = np.zeros(shape, np.int16)
    for label, (x, z) in boxes.items():
        array[slice(*x), 1:3, slice(*z)] = int(label[1:])
    return Volume(array, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]), "raw")


class TestBoxes:
    def test_the_patients_right_and_the_head_are_left_and_up(self):
        (lesion,) = frontal_boxes(label_map(_3=((0, 3), (9, 12))))
        assert lesion.label == 3
        np.testing.assert_allclose(lesion.box, (0.0, 0.0, 0.25, 0.25))

    def test_the_view_is_a_square_in_the_middle_of_the_field(self):
        (lesion,) = frontal_boxes(label_map(shape=(20, 4, 12), _1=((4, 16), (0, 12))))
        np.testing.assert_allclose(lesion.box, (0.0, 0.0, 1.0, 1.0))
        (beyond,) = frontal_boxes(label_map(shape=(20, 4, 12), _1=((0, 2), (0, 12))))
        assert beyond.box[2] < 0

    def test_the_largest_shadows_of_each_label_come_first(self):
        volume = label_map(_1=((0, 3), (0, 3)), _2=((0, 1), (6, 7)))
        array = np.array(volume.array_XYZ)
        array[6:8, 1, 0:2], array[10:11, 1, 10:11] = 1, 1
        found = frontal_boxes(Volume(array, volume.affine, "raw"))
        assert [lesion.label for lesion in found] == [1, 1, 2]
        widths = [lesion.box[2] - lesion.box[0] for lesion in found]
        np.testing.assert_allclose(widths, [3 / 12, 2 / 12, 1 / 12])

    def test_the_axes_of_the_file_do_not_matter(self):
        volume = label_map(_3=((0, 3), (9, 12)))
        flipped = np.diag([2.0, -3.0, 2.0, 1.0])
        flipped[0, 3] = -22.0
        other = Volume(np.array(volume.array_XYZ)[::-1], flipped, "raw")
        np.testing.assert_allclose(frontal_boxes(other)[0].box, frontal_boxes(volume)[0].box)


@pytest.fixture
def located(tmp_path):
    volume = label_map(_1=((0, 3), (9, 12)), _2=((5, 7), (5, 7)))
    nibabel.save(nibabel.Nifti1Image(np.array(volume.array_XYZ), volume.affine), tmp_path / "lesions.nii.gz")
    return LocatedReport(tmp_path / "lesions.nii.gz", "Findings: A nodule and a hernia.")


def prompted(**settings) -> PromptedReportProcessor:
    made = PromptedReportProcessor(vocab_size=320, lesions=("Lung nodule", "Hiatal hernia"), **settings)
    made.fit(["A nodule and a hernia.", "The block 4 has a lung nodule."])
    return made


class TestPrompts:
    def test_a_drawn_prompt_stands_behind_the_report_in_training_alone(self, located):
        made = prompted()
        sample = made.load(located)
        assert made.decode(sample["ids"]) == "a nodule and a hernia."
        assert texts(made, sample) == {
            "a nodule and a hernia. the block 0 has a lung nodule.",
            "a nodule and a hernia. the block 4 has a hiatal hernia.",
        }

    def test_words_are_counted_on_and_the_content_stays_that_of_the_report(self, located):
        made = prompted()
        drawn = made.augment(made.load(located), np.random.default_rng(0))
        words = drawn["word_ids"][1:-1]
        assert (np.diff(words) >= 0).all()
        assert drawn["text_id"] == made.load("Findings: A nodule and a hernia.")["text_id"]

    def test_a_long_report_is_cut_so_that_the_prompt_fits(self, located):
        made = prompted(max_length=64)
        drawn = made.augment(made.load(LocatedReport(located.path, "A nodule. " * 60)), np.random.default_rng(0))
        assert len(drawn["ids"]) == 64
        assert made.decode(drawn["ids"]).startswith("a nodule")
        assert made.decode(drawn["ids"]).endswith(("lung nodule.", "hiatal hernia."))

    def test_a_report_alone_has_no_prompt(self):
        made = prompted()
        sample = made.load("A nodule and a hernia.")
        assert texts(made, sample) == {"a nodule and a hernia."}

    def test_labels_without_a_name_are_named(self, located):
        made = PromptedReportProcessor(vocab_size=320, lesions=("Lung nodule",))
        made.fit(["x"])
        with pytest.raises(DataError, match=r"lesions\.nii\.gz: holds the label 2, and `lesions` names 1 to 1"):
            made.load(located)
        with pytest.raises(ConfigError, match="name the labels"):
            PromptedReportProcessor()


def test_codes_are_grey_levels_of_a_coarse_grid():
    made = PictureCodesProcessor(size=(2, 2), levels=4)
    picture = np.array([[0.0, 0.26], [0.74, 1.0]], np.float32).repeat(3, 0).repeat(3, 1)
    out = made.collate([made.load(picture)])
    assert out.x.dtype == torch.int64
    assert out.x.tolist() == [[[0, 1], [2, 3]]]
    assert made.fingerprint() == PictureCodesProcessor(size=(2, 2), levels=8).fingerprint()
    with pytest.raises(ConfigError, match="levels: is 1"):
        PictureCodesProcessor(levels=1)
