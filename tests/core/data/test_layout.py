"""Layout helpers and tables: every error names the file, the fault and the remedy."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from core.data.layout import Layout, Record, check_split, refuse_empty, require, verify
from core.data.tables import first_column, hash_share, hash_split, label_matrix, read_table
from core.errors import DataError


class Listed(Layout):
    name, licence, source = "listed", "CC0", "here"

    def __init__(self, *, root, split, records, label_names=()):
        super().__init__(root=root, split=split)
        self.records, self.label_names = records, tuple(label_names)

    def __len__(self):
        return len(self.records)

    def record(self, index):
        return self.records[index]


def test_all_missing_parts_are_listed_at_once(tmp_path):
    (tmp_path / "images").mkdir()
    wanted = {n: tmp_path / n for n in ("images", "reports.csv", "labels.csv")}
    with pytest.raises(DataError, match=r"2 of 3 parts are missing:\n.*reports.csv.*\n.*labels.csv.*\n.*https://x"):
        require(tmp_path, wanted, owner="demo", source="https://x")


def test_an_absent_root_and_a_wrong_split_are_named(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder; give the root of the listed dataset"):
        Listed(root=tmp_path / "gone", split="train", records=[])
    with pytest.raises(DataError, match=r"no split 'trian'; did you mean 'train'\? \(splits: train, val, test\)"):
        check_split("trian", owner="listed")
    with pytest.raises(DataError, match="the listed dataset is empty here; expected a scan"):
        refuse_empty(0, owner="listed", where=tmp_path, expected="a scan")


def test_a_missing_column_names_file_columns_and_the_nearest(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("VolumeNam,Findings\na,b\n")
    with pytest.raises(DataError, match=r"t.csv: missing column 'VolumeName'; did you mean 'VolumeNam'\?.*: VolumeNam"):
        read_table(path, ["VolumeName"])
    with pytest.raises(DataError, match=r"no column for the file: one of path, image is needed"):
        first_column(read_table(path), ["path", "image"], path, what="file")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"a,b\n", "a header and no rows"),
        (b'a,b\n1,2,3,4\n1\n"open', "not a readable CSV table"),
        (b"a,b\n\xff\xfe\x00,1\n", "not a readable CSV table"),
    ],
)
def test_an_unusable_table_is_a_clear_error(tmp_path, content, text):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=text):
        read_table(path, ["a"])


def test_an_absent_and_a_damaged_archive_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv\.gz: no such file; expected a table with columns a, b"):
        read_table(tmp_path / "t.csv.gz", ["a", "b"])
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n")[:-12])
    with pytest.raises(DataError, match="not a readable CSV table"):
        read_table(tmp_path / "t.csv.gz", ["a"])


def test_cells_stay_text_and_a_byte_order_mark_is_dropped(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("﻿id,text\n007,NA\n8,\n", encoding="utf-8")
    table = read_table(path, ["id"])
    assert table.values.tolist() == [["007", "NA"], ["8", ""]]


def test_labels_are_numbers_or_blank(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,a,b\nx,1,\ny,0.5,-1\n")
    table = read_table(path)
    np.testing.assert_array_equal(label_matrix(table, ["a", "b"], path), [[1, np.nan], [0.5, -1]])
    path.write_text("id,a\nx,1\ny,yes\n")
    with pytest.raises(DataError, match="column 'a', row 3: 'yes' is not a number"):
        label_matrix(read_table(path), ["a"], path)


def test_a_hash_split_keeps_its_shares_and_never_moves_a_group():
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    dealt = [hash_split(f"p{i}", shares) for i in range(5000)]
    for name, share in shares.items():
        assert dealt.count(name) / 5000 == pytest.approx(share, abs=0.02)
    point = int(hashlib.sha256(b"\0p7").hexdigest()[:16], 16) / 16**16  # written down, so that no machine differs
    assert hash_share("p7") == point
    assert hash_split("p7", shares) == ("train" if point < 0.8 else "val" if point < 0.9 else "test")


def test_verify_finds_what_a_split_must_not_have(tmp_path):
    (tmp_path / "full").write_text("x")
    (tmp_path / "empty").write_text("")

    def record(name, group, file, **labels):
        return Record(id=name, group=group, sources={"a": tmp_path / file, "t": "text"}, labels=labels)

    train = Listed(root=tmp_path, split="train", label_names=["ok"], records=[
        record("1", "p1", "full", ok=1.0), record("2", "p2", "gone"), record("2", "p2", "full"),
        record("3", "p3", "empty", odd=1.0), Record(id="4", group="p4", sources={}),
    ])  # fmt: skip
    test = Listed(root=tmp_path, split="test", records=[record("5", "p1", "full")])
    assert verify([train, test]) == [
        f"train: '2': {tmp_path / 'gone'} is missing",
        "train: id '2' was already used in train",
        f"train: '3': {tmp_path / 'empty'} is empty",
        "train: '3': label 'odd' is not in label_names",
        "train: '4': no modality at all",
        "group 'p1' is in both train and test",
    ]
    assert verify(test) == []
    assert not any("missing" in line for line in verify(train, sample=1))


def test_a_record_lists_files_behind_sources_and_masks():
    record = Record(id="1", group="1", sources={"a": Path("a.nii"), "t": "text"}, masks={"organs": Path("m.nii")})
    assert list(record.files()) == [Path("a.nii"), Path("m.nii")]
