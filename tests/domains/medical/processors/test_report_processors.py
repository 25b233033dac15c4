"""Reports as token ids, whole and sentence by sentence."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.text import CLS, SEP, text_id
from core.errors import ConfigError
from domains.medical.processors import ReportProcessor, SentenceReportProcessor

REPORT = """FINAL REPORT
INDICATION: ___ year old with cough.
FINDINGS: The heart is normal in size. There is a small left pleural effusion.
No pneumothorax.
IMPRESSION: Small left pleural effusion."""
OTHER = "FINDINGS: Clear lungs. No pneumothorax.\nIMPRESSION: Normal chest."


def fitted(cls, **settings):
    processor = cls(vocab_size=400, min_frequency=1, **settings)
    processor.fit([REPORT, OTHER])
    return processor


def test_the_chosen_sections_are_read_and_marks_removed():
    processor = fitted(ReportProcessor)
    text = processor.decode(processor.load(REPORT)["ids"])
    assert text.startswith("the heart is normal in size.")
    assert text.endswith("small left pleural effusion.")
    assert "cough" not in text
    both = fitted(ReportProcessor, sections=("indication", "impression"))
    assert both.decode(both.load(REPORT)["ids"]) == "year old with cough. small left pleural effusion."


def test_a_report_without_these_sections_is_taken_whole():
    processor = fitted(ReportProcessor)
    assert processor.decode(processor.load("Clear lungs. XXXX heart.")["ids"]) == "clear lungs. heart."


def test_one_sentence_is_drawn_uniformly():
    processor = fitted(SentenceReportProcessor)
    sample = processor.load(REPORT)
    rng = np.random.default_rng(0)
    drawn = [processor.decode(processor.augment(sample, rng)["ids"]) for _ in range(2000)]
    texts, counts = np.unique(drawn, return_counts=True)
    assert set(texts) == {
        "the heart is normal in size.",
        "there is a small left pleural effusion.",
        "no pneumothorax.",
        "small left pleural effusion.",
    }
    # binomial standard deviation sqrt(2000 * 1/4 * 3/4) = 19
    assert np.abs(counts - 500).max() < 5 * 19.4


def test_evaluation_sees_the_whole_text():
    processor, whole = fitted(SentenceReportProcessor), fitted(ReportProcessor)
    a, b = processor.collate([processor.load(REPORT)]), whole.collate([whole.load(REPORT)])
    np.testing.assert_array_equal(a.x, b.x)
    assert a.extra["text_id"] == b.extra["text_id"]


def test_a_sentence_shared_by_two_reports_has_one_identity():
    processor = fitted(SentenceReportProcessor)
    ids = []
    for report in (REPORT, OTHER):
        sample, rng = processor.load(report), np.random.default_rng(0)
        varied = [processor.augment(sample, rng) for _ in range(50)]
        ids.append({processor.decode(v["ids"]): int(v["text_id"]) for v in varied})
    assert ids[0]["no pneumothorax."] == ids[1]["no pneumothorax."] == text_id("No pneumothorax.")
    assert len({*ids[0].values(), *ids[1].values()}) == len({*ids[0], *ids[1]})


def test_subsets_keep_the_order_of_the_report_and_number_words_on():
    processor = fitted(SentenceReportProcessor, most=3)
    sample, rng = processor.load(REPORT), np.random.default_rng(0)
    whole = processor.decode(sample["ids"])
    sizes = set()
    for _ in range(100):
        varied = processor.augment(sample, rng)
        assert varied["ids"][0] == CLS
        assert varied["ids"][-1] == SEP
        words = varied["word_ids"][1:-1]
        assert set(np.diff(words)) <= {0, 1}
        pieces = [p.strip() for p in processor.decode(varied["ids"]).split(".") if p.strip()]
        places = [whole.index(p) for p in pieces if p != "small left pleural effusion"]
        assert places == sorted(places)
        sizes.add(len(pieces))
    assert sizes == {1, 2, 3}


def test_samples_hold_numpy_arrays_only_and_drawing_needs_no_tokenizer():
    processor = fitted(SentenceReportProcessor)
    sample = processor.load(REPORT)
    assert all(isinstance(array, np.ndarray) for array in sample.values())
    processor._tokenizer = None
    assert len(processor.augment(sample, np.random.default_rng(0))["ids"]) > 2


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="most: is 0"):
        SentenceReportProcessor(most=0)
