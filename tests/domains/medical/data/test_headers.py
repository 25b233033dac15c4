"""The folder of real scans that the installed packages ship: readable, captioned, without identifiers."""

import csv

import pytest

from core.data.layout import verify
from core.errors import DataError
from domains.medical.data.folder_csv import FolderCSV
from domains.medical.data.headers import Facts, write
from domains.medical.geometry import Volume
from domains.medical.io import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    count, left_out = write(out)
    assert count >= 40
    assert left_out  # plans, reports and dose grids are no scans
    return out


def test_it_is_a_folder_csv_dataset_of_several_modalities_with_every_split(folder):
    splits = [FolderCSV(root=folder, split=split) for split in ("train", "val", "test")]
    assert all(len(data) > 0 for data in splits)
    assert verify(splits) == []
    captions = " ".join(r.sources["report"] for data in splits for r in data)
    for kind in ("Computed tomography", "Magnetic resonance", "Ultrasound", "Computed radiograph"):
        assert kind in captions
    assert any("ct" in r.sources for data in splits for r in data)


def test_every_file_is_read_and_its_caption_states_its_size(folder):
    with open(folder / "data.csv", newline="") as rows:
        for row in csv.DictReader(rows):
            scan = read(folder / row["file"])
            deep = isinstance(scan, Volume) and min(scan.shape) > 1
            assert row["modality"] == ("ct" if deep else "xray")
            if deep:
                assert " x ".join(str(n) for n in scan.shape) in row["report"]


def test_no_identifier_of_a_header_is_kept(folder):
    text = (folder / "data.csv").read_text()
    for identifier in ("CQ500", "1CT1", "4MR1", "8NM1", "77654033", "98890234", "CompressedSamples", "JXD", "2004"):
        assert identifier not in text
    assert not any("77654033" in p.name or "9889" in p.name for p in folder.rglob("*"))


def test_writing_again_gives_the_same_table_and_a_foreign_folder_is_refused(folder, tmp_path):
    write(tmp_path / "again")
    assert (tmp_path / "again" / "data.csv").read_bytes() == (folder / "data.csv").read_bytes()
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="holds other files; give a new or empty folder"):
        write(tmp_path)


def test_a_caption_says_what_the_header_says_and_no_more():
    facts = Facts("CT", "CHEST", (64, 32), (0.6614, 0.6614), 120.0, "MONOCHROME2")
    assert facts.caption() == (
        "Computed tomography of the chest, 64 x 32 pixels. Spacing 0.661 x 0.661 mm. Tube voltage 120 kV. "
        "Stored as monochrome2."
    )
    assert Facts("US", "", (3, 4, 5), (), None, "").caption() == "Ultrasound image, 3 x 4 x 5 voxels."
