"""A report says what the facts say: present findings are mentioned, absent ones are never asserted."""

import re

import numpy as np
import pytest

from domains.medical.phantom import LABELS, normals, phrases, simulate
from domains.medical.phantom.cohort import History, sample_findings, sample_history
from domains.medical.phantom.facts import Finding, sample_body
from domains.medical.phantom.report import labels_of, millimetres, where, write_report

WORDS = {
    "Lung nodule": r"nodul",
    "Lung mass": r"\bmass(es)?\b",
    "Consolidation": r"consolidat",
    "Lung opacity": r"ground-glass",
    "Pleural effusion": r"pleural (effusion|fluid)",
    "Pneumothorax": r"pneumothora",
    "Emphysema": r"emphysem",
    "Cardiomegaly": r"cardiomegaly|heart is (not )?enlarged|enlargement of the heart",
    "Atelectasis": r"atelecta",
    "Coronary artery wall calcification": r"coronary",
    "Rib fracture": r"fracture",
    "Hiatal hernia": r"hernia",
    "Lymphadenopathy": r"lymphadenopathy|enlarged .*node|enlarged lymph",
    "Arterial wall calcification": r"(aort|arterial).*(calcif|plaque|ather)|(calcif|plaque|ather).*(aort|arterial)",
    "Pericardial effusion": r"pericardial (effusion|fluid|space contains)",
    "Medical material": r"pacemaker|port catheter|sternotomy|venous catheter|device|no catheter",
}
NEGATED = re.compile(r"\b(no|not|without|free of|absent|resolved|resolution|normal)\b", re.I)


def sentences(text):
    return [s for s in re.split(r"\. |\.$", text) if s.strip()]


def facts(seed):
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    history, found = sample_history(rng, sample_findings(rng, body))
    return body, history, found, write_report(body, found, history, 4.7, rng)


@pytest.mark.parametrize("block", range(4))
def test_present_findings_are_mentioned_and_absent_ones_are_not_asserted(block):
    for seed in range(100 * block, 100 * block + 100):
        _, _, found, report = facts(seed)
        labels = labels_of(found)
        for label in LABELS:
            hits = [s for s in sentences(report.findings) if re.search(WORDS[label], s, re.I)]
            asserted = [s for s in hits if not NEGATED.search(s) or ("prior" in s and "not present on the prior" in s)]
            if labels[label]:
                assert asserted, f"{label} is not mentioned in: {report.findings}"
                assert not [s for s in hits if re.match(r"(there is |there are )?no\b", s, re.I)]
            else:
                assert not asserted, f"{label} is absent but asserted: {asserted}"
        concluded = [s for s in sentences(report.impressions) if not s.startswith(("No ", "Normal"))]
        said = [label for label in LABELS if any(re.search(WORDS[label], s, re.I) for s in concluded)]
        assert all(labels[label] for label in said), report.impressions


def test_every_template_names_its_finding_and_there_are_enough():
    for label in LABELS:
        assert len(phrases.POSITIVE[label]) >= 6
        assert len(normals.NEGATIVE[label]) >= 4
        for text in normals.NEGATIVE[label]:
            assert re.search(WORDS[label], text, re.I), text
            assert NEGATED.search(text), text


def test_sizes_sides_and_lobes_are_those_of_the_facts():
    rng = np.random.default_rng(0)
    body = sample_body(rng)
    nodule = Finding("Lung nodule", "left", "upper", 12.0, "moderate", detail="solid")
    for seed in range(30):
        report = write_report(body, [nodule], History(False), 4.7, np.random.default_rng(seed))
        sentence = next(s for s in sentences(report.findings) if re.search("nodul", s, re.I))
        assert "12 mm" in sentence
        assert "left upper lobe" in sentence.lower()
        assert "solid" in sentence


def test_a_prior_is_compared_only_where_there_is_one():
    compared = 0
    for seed in range(200):
        _, history, found, report = facts(seed)
        mentions = bool(re.search(r"\bprior\b|previously", report.findings))
        if not history.has_prior:
            assert not mentions
        elif any(f.change for f in found):
            compared += mentions
        for label in history.resolved:
            assert label not in {f.label for f in found}
            assert normals.RESOLVED_NAMES[label] in report.findings
    assert compared > 20


def test_growth_and_shrinking_agree_with_the_numbers():
    for seed in range(300):
        _, _, found, _ = facts(seed)
        for f in found:
            if f.change == "increased":
                assert 0 < f.prior_size_mm < f.size_mm
            if f.change == "decreased":
                assert f.prior_size_mm > f.size_mm


def test_the_cardiothoracic_ratio_in_the_text_is_the_body_s():
    seen = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        body = sample_body(rng)
        for model_ratio in re.findall(
            r"ratio (?:of |is )?(\d\.\d\d)", write_report(body, [], History(False), 4.7, rng).findings
        ):
            assert float(model_ratio) == pytest.approx(body.ctr, abs=0.005)
            seen += 1
    assert seen > 3


def test_words_for_places_and_lengths():
    rng = np.random.default_rng(0)
    assert where(Finding("Lung nodule", "right", "middle")) == "right middle lobe"
    assert where(Finding("Lung opacity", "bilateral")) == "both lungs"
    assert millimetres(7.0, rng) == "7 mm"
    assert {millimetres(52.0, np.random.default_rng(i)) for i in range(20)} == {"52 mm", "5.2 cm"}


def test_reports_have_four_sections_and_a_usual_length():
    lengths, texts = [], set()
    for seed in range(200):
        report = facts(seed)[-1]
        assert all((report.clinical_information, report.technique, report.findings, report.impressions))
        assert "{" not in report.text
        assert "  " not in report.text.replace("\n", "")
        assert " a a" not in report.text
        lengths.append(len(report.text.split()))
        texts.add(report.findings)
    assert 60 < np.median(lengths) < 130
    assert len(texts) > 190


def test_the_report_of_a_study_follows_its_drawn_findings():
    study = simulate(21)
    assert study.labels == labels_of(list(study.findings))
