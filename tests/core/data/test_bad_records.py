"""Bad records: raised, or counted, written down without identifiers, and too many of them stop the run."""

import csv
from pathlib import Path

import pytest

from core.data.bad_records import BadRecords, reference, scrub
from core.data.layout import Record
from core.errors import DataError

RECORD = Record(
    id="train_7_a_1", group="train_7",
    sources={"ct": Path("/data/JANE_DOE/train_7_a_1.nii.gz"), "report": "text"},
)  # fmt: skip
FAULT = DataError("/data/JANE_DOE/train_7_a_1.nii.gz: cut short after 12 of 90 slices; fetch it again")


def rows_of(path):
    with open(path, newline="") as rows:
        return list(csv.reader(rows))


def test_the_policy_raise_passes_the_error_on():
    with pytest.raises(DataError) as caught:
        BadRecords(policy="raise").report(RECORD, FAULT)
    assert caught.value is FAULT


def test_a_row_holds_a_reference_suffix_and_reason_and_no_identifier(tmp_path, caplog):
    out = tmp_path / "run" / "bad_records.csv"
    bad = BadRecords(policy="skip", out_csv=out, max_share=1.0, salt="s")
    bad.report(RECORD, FAULT)
    header, row = rows_of(out)
    assert header == ["ref", "suffix", "reason"]
    assert row[0] == reference("train_7_a_1", salt="s")
    assert row[1] == ".nii.gz"
    assert "cut short after 12 of 90 slices; fetch it again" in row[2]
    for kept in (out.read_text(), caplog.text):
        for identifier in ("JANE", "train_7", "/data"):
            assert identifier not in kept
    assert row[0] in caplog.text


def test_a_record_is_written_once_however_often_it_is_met(tmp_path):
    out = tmp_path / "bad.csv"
    for _ in range(2):  # two workers
        bad = BadRecords(policy="skip", out_csv=out, max_share=1.0, salt="s")
        for _ in range(2):  # two epochs
            bad.report(RECORD, FAULT)
        assert bad.bad == bad.seen == 2
    assert len(rows_of(out)) == 2


def test_paths_are_kept_only_when_asked(tmp_path):
    bad = BadRecords(policy="skip", out_csv=tmp_path / "bad.csv", max_share=1.0, keep_paths=True, salt="s")
    bad.report(RECORD, FAULT)
    assert rows_of(tmp_path / "bad.csv")[1][3] == "/data/JANE_DOE/train_7_a_1.nii.gz"


def test_more_than_the_allowed_share_stops_the_run(tmp_path):
    bad = BadRecords(policy="skip", max_share=0.1, patience=3, salt="s")
    for _ in range(20):
        bad.good()
    for _ in range(2):
        bad.report(RECORD, FAULT)
    with pytest.raises(DataError, match=r"3 of the 23 records seen .* more than the share 0.1 .*cut short"):
        bad.report(RECORD, FAULT)


def test_settings_are_checked():
    with pytest.raises(DataError, match="policy is 'drop'; valid: raise, skip"):
        BadRecords(policy="drop")
    with pytest.raises(DataError, match="max_share is 0"):
        BadRecords(max_share=0)


def test_a_reference_depends_on_the_salt_and_the_machines_salt_is_kept(tmp_path, monkeypatch):
    assert reference("x", salt="a") != reference("x", salt="b")
    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path))
    assert reference("x") == reference("x")
    assert reference("x").startswith("ref:")
    assert len(reference("x")) == 14


def test_any_other_path_in_a_reason_is_taken_out():
    text = scrub("cannot open /home/judith/secret/scan.nii (see C:\\judith\\x\\y)", RECORD, salt="s")
    assert "judith" not in text
