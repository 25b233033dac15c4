"""SSL4EO-S12 and NoLDO-S12 as they are distributed."""

import csv

import numpy as np
import pytest
from rs_files import north_up, radar_db, write_bands, write_tif

from core.data.layout import verify
from core.errors import DataError
from domains.remote_sensing.data.ssl4eo import SSL4EOS12, NoLDOS12, day_of, file_name, paired
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor
from domains.remote_sensing.sensors import PRESETS

OPTICAL = [f"2020{m:02d}15T103031_2020{m:02d}15T103425_T32TPT" for m in (1, 4, 7, 10)]
RADAR = [f"S1A_IW_GRDH_1SDV_2020{m:02d}12T170502_2020{m:02d}12T170527_0309{m:02d}_039A0{m}_1234" for m in (1, 4, 7, 10)]


def write_place(root, place, *, optical=OPTICAL, radar=RADAR, product="s2a", labels=False):
    preset = {"s2a": "sentinel2_l2a", "s2c": "sentinel2_l1c"}[product]
    for name in optical:
        folder = root / product / place / name
        write_bands(folder, 12, product=preset)
        for band in PRESETS[preset].names:
            (folder / f"{band}.tif").rename(folder / f"{file_name(band)}.tif")
        if labels:
            classes = np.arange(144, dtype=np.uint8).reshape(12, 12) % 9
            write_tif(root / "dw_noisy_labels" / place / name / "label.tif", classes, transform=north_up())
    for name in radar:
        for polarisation, plane in zip(("VV", "VH"), radar_db(12), strict=True):
            write_tif(root / "s1" / place / name / f"{polarisation}.tif", plane, transform=north_up())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("ssl4eo")
    for place in ("0000000", "0000007", "0000012"):
        write_place(root, place, labels=True)
    with open(root / "dw_complete_ids.csv", "w", newline="") as out:
        csv.writer(out).writerows(
            [("ids", "sub1", "sub2", "sub3", "sub4"), *((p, *OPTICAL) for p in (0, 7, "0000012"))]
        )
    (root / "splits.csv").write_text("ids,split\n0,train\n7,val\n0000012,test\n")
    return root


def test_a_record_is_one_place_on_one_date(root):
    layout = SSL4EOS12(root=root, split="train")
    assert [record.id for record in layout] == [f"0000000/{i}" for i in range(4)]
    assert {record.group for record in layout} == {"0000000"}
    record = layout.record(2)
    assert record.sources["s2"].time == "2020-07-15"
    assert record.sources["s1"].time == "2020-07-12"
    assert OpticalProcessor(normalise="none").load(record.sources["s2"])["x"].shape == (12, 12, 12)
    assert RadarProcessor(normalise="none").load(record.sources["s1"])["x"].shape == (2, 12, 12)
    assert verify([SSL4EOS12(root=root, split=s) for s in ("train", "val", "test")]) == []


def test_noldo_adds_the_noisy_labels_of_all_four_dates(root):
    record = NoLDOS12(root=root, split="val").record(1)
    assert set(record.masks) == {"dw", "dw_0", "dw_1", "dw_2", "dw_3"}
    assert record.masks["dw"] == record.masks["dw_1"]
    mask = OpticalProcessor().load_mask(record.masks["dw"], record.sources["s2"])
    assert mask.tolist() == (np.arange(144).reshape(12, 12) % 9).tolist()


def test_places_are_dealt_by_hash_without_a_table_and_void_ones_left_out(root, tmp_path):
    for kind in ("s1", "s2a"):
        for number in range(400):
            (tmp_path / kind / f"{number:07d}").mkdir(parents=True)
    (tmp_path / "void_ids.csv").write_text("0\n1\n")
    splits = {split: SSL4EOS12(root=tmp_path, split=split) for split in ("train", "val", "test")}
    assert sum(map(len, splits.values())) == 398 * 4
    assert len(splits["train"]) > 380 * 4 * 0.98
    assert len(splits["val"]) > 0


def test_l1c_has_thirteen_bands(tmp_path):
    write_place(tmp_path, "0000003", product="s2c", radar=RADAR[:1], optical=OPTICAL[:1])
    (tmp_path / "splits.csv").write_text("id,split\n3,train\n")
    record = SSL4EOS12(root=tmp_path, split="train", optical="s2c").record(0)
    processor = OpticalProcessor(sensor="sentinel2_l1c", normalise="none")
    assert processor.load(record.sources["s2"])["x"].shape == (13, 12, 12)


def test_a_missing_product_is_a_missing_modality(tmp_path):
    write_place(tmp_path, "0000003", radar=RADAR[:2])
    (tmp_path / "splits.csv").write_text("id,split\n3,train\n")
    layout = SSL4EOS12(root=tmp_path, split="train")
    assert [sorted(record.sources) for record in layout] == [["s1", "s2"], ["s1", "s2"], ["s2"], ["s2"]]


def test_radar_and_optical_are_paired_by_date():
    late = ["S1A_X_20200120T000000_a", "S1A_X_20200410T000000_b", "S1A_X_20200710T000000_c", "S1A_X_20201020T000000_d"]
    assert paired(OPTICAL, late) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert paired(OPTICAL, late[2:]) == {2: 0, 3: 1}
    assert paired(OPTICAL[1:2], late) == {0: 1}
    assert paired(OPTICAL, []) == {}
    assert day_of("S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825_032904_03CFBA_D457") == "2020-06-07"
    assert day_of("nothing") == ""


def test_what_is_missing_is_listed_at_once(tmp_path, root):
    with pytest.raises(
        DataError, match=r"(?s)not a complete SSL4EO-S12 dataset, 2 of 2 parts.*s1.*s2a.*comes from github"
    ):
        SSL4EOS12(root=tmp_path, split="train")
    with pytest.raises(DataError, match=r"(?s)not a complete NoLDO-S12.*dw_noisy_labels.*dw_complete_ids.csv"):
        NoLDOS12(root=tmp_path, split="train")
    with pytest.raises(DataError, match=r"dates: is .5,.; each place has dates 0, 1, 2 and 3"):
        SSL4EOS12(root=root, split="train", dates=(5,))
    with pytest.raises(DataError, match=r"no split 'tset'; did you mean 'test'"):
        SSL4EOS12(root=root, split="tset")
