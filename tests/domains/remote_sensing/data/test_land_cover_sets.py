"""BigEarthNet v2, SEN12MS, DFC2020, Sen1Floods11, EuroSAT, So2Sat: tiny copies in their public layout."""

import h5py
import numpy as np
import pandas as pd
import pytest
from rs_files import north_up, radar_db, write_bands, write_tif

from core.data.layout import verify
from core.errors import DataError
from domains.remote_sensing.data.bigearthnet import CLASSES as BEN_CLASSES
from domains.remote_sensing.data.bigearthnet import MAPPING, BigEarthNetV2
from domains.remote_sensing.data.eurosat import CLASSES as EUROSAT_CLASSES
from domains.remote_sensing.data.eurosat import NESTED, EuroSAT
from domains.remote_sensing.data.sen1floods11 import Sen1Floods11
from domains.remote_sensing.data.sen12ms import DFC2020, SEN12MS
from domains.remote_sensing.data.so2sat import CLASSES as LCZ_CLASSES
from domains.remote_sensing.data.so2sat import So2Sat
from domains.remote_sensing.io import read
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor
from domains.remote_sensing.sensors import preset

S1, S2 = RadarProcessor(normalise="none"), OpticalProcessor(normalise="none")
L1C = OpticalProcessor(sensor="sentinel2_l1c", normalise="none")
TILE, SCENE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP", "S1A_IW_GRDH_1SDV_20170613T165043"


def l1c(side=12, seed=0):
    return np.random.default_rng(seed).integers(100, 3000, (13, side, side)).astype(np.uint16)


@pytest.fixture(scope="module")
def bigearthnet(tmp_path_factory):
    root, rows = tmp_path_factory.mktemp("ben"), []
    for i, split in enumerate(("train", "validation", "test")):
        patch, radar = f"{TILE}_26_{i:02d}", f"{SCENE}_33UUP_26_{i:02d}"
        folder = root / "BigEarthNet-S2" / TILE / patch
        write_bands(folder, 120, seed=i)
        for path in list(folder.iterdir()):
            path.rename(folder / f"{patch}_{path.name}")
        for name, plane in zip(("VV", "VH"), radar_db(120, i), strict=True):
            write_tif(root / "BigEarthNet-S1" / SCENE / radar / f"{radar}_{name}.tif", plane, transform=north_up())
        codes = np.tile(np.array([111, 312, 523, 999, 335], np.uint16), (120, 24))
        write_tif(root / "Reference_Maps" / TILE / patch / f"{patch}_reference_map.tif", codes, transform=north_up())
        rows.append((patch, ["Urban fabric", "Marine waters"], split, "Austria", radar))
    columns = ["patch_id", "labels", "split", "country", "s1_name"]
    pd.DataFrame(rows, columns=columns).to_parquet(root / "metadata.parquet")
    return root


def test_bigearthnet_reads_both_sensors_labels_and_maps(bigearthnet):
    layouts = [BigEarthNetV2(root=bigearthnet, split=split) for split in ("train", "val", "test")]
    assert [len(layout) for layout in layouts] == [1, 1, 1]
    assert verify(layouts) == []
    record = layouts[0].record(0)
    assert S2.load(record.sources["s2"])["x"].shape == (12, 120, 120)
    assert record.sources["s2"].time == record.sources["s1"].time == "2017-06-13"
    assert [name for name, value in record.labels.items() if value] == ["Urban fabric", "Marine waters"]
    mask = S2.load_mask(record.masks["corine"], record.sources["s2"])
    assert mask[0, :5].tolist() == [0, 9, 18, -1, -1]
    assert len(MAPPING) == len({code for code, _ in MAPPING}) == 32


@pytest.mark.slow  # importing torchgeo takes seconds
def test_what_torchgeo_gets_wrong_here_is_right(bigearthnet):
    """torchgeo 0.8.1 casts dB to whole numbers and gives VH before VV; the optical bands agree."""
    torchgeo = pytest.importorskip("torchgeo.datasets")
    theirs = torchgeo.BigEarthNetV2(root=bigearthnet, split="train", bands="all")[0]
    record = BigEarthNetV2(root=bigearthnet, split="train").record(0)
    ours = read(record.sources["s1"], preset("sentinel1_db")).values_CHW
    np.testing.assert_allclose(ours, radar_db(120, 0), rtol=1e-6)
    whole = theirs["image_s1"].numpy()[::-1]
    np.testing.assert_array_equal(whole, np.rint(whole))
    np.testing.assert_allclose(whole, ours, atol=0.5 + 1e-5)
    optical = read(record.sources["s2"], preset("sentinel2_l2a")).values_CHW
    ten = [1, 2, 3, 7]
    np.testing.assert_allclose(theirs["image_s2"].numpy()[ten] / 1e4, optical[ten], atol=1e-6)
    middle = np.s_[:, 4:-4, 4:-4]  # both interpolate linearly; they differ at the edge and by rounding to counts
    twenty = [4, 5, 6, 8, 10, 11]
    np.testing.assert_allclose(theirs["image_s2"].numpy()[twenty][middle] / 1e4, optical[twenty][middle], atol=1.01e-4)


def test_bigearthnet_names_what_is_missing_and_an_unknown_label(bigearthnet, tmp_path):
    with pytest.raises(DataError, match=r"(?s)not a complete BigEarthNet v2.*metadata.parquet.*BigEarthNet-S2"):
        BigEarthNetV2(root=tmp_path, split="train")
    (tmp_path / "BigEarthNet-S2").mkdir()
    table = pd.DataFrame(
        [("p_1_2", ["Urban fabrik"], "train", "x_1_2_3")], columns=["patch_id", "labels", "split", "s1_name"]
    )
    table.to_parquet(tmp_path / "metadata.parquet")
    with pytest.raises(DataError, match=r"label 'Urban fabrik' is not known; did you mean 'Urban fabric'"):
        BigEarthNetV2(root=tmp_path, split="train").record(0)
    with pytest.raises(DataError, match=r"'val' split of BigEarthNet v2 dataset is empty.*split 'validation'"):
        BigEarthNetV2(root=tmp_path, split="val")
    (tmp_path / "metadata.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"metadata.parquet: not a readable Parquet table"):
        BigEarthNetV2(root=tmp_path, split="train")
    assert len(BEN_CLASSES) == 19


def write_sen12ms(root, season, scene, patch):
    for kind, array in (("s1", radar_db(16)), ("s2", l1c(16)), ("lc", np.full((4, 16, 16), 5, np.uint16))):
        path = root / season / f"{kind}_{scene}" / f"{season}_{kind}_{scene}_p{patch}.tif"
        write_tif(path, array, transform=north_up())


def test_sen12ms_follows_the_official_lists(tmp_path):
    names = [f"ROIs1158_spring_s2_{scene}_p{patch}.tif" for scene in range(1, 21) for patch in (30, 31)]
    for name in names:
        scene, patch = name.split("_")[3], name.split("_p")[1].removesuffix(".tif")
        write_sen12ms(tmp_path, "ROIs1158_spring", scene, patch)
    write_sen12ms(tmp_path, "ROIs2017_winter", "99", "1")
    (tmp_path / "train_list.txt").write_text("\r\n".join([*names, "ROIs1158_spring_s2_77_p1.tif"]))
    (tmp_path / "test_list.txt").write_text("ROIs2017_winter_s2_99_p1.tif\n")
    train, val, test = (SEN12MS(root=tmp_path, split=split) for split in ("train", "val", "test"))
    assert len(train) + len(val) == 40
    assert len(val) >= 2
    assert train.absent + val.absent == 1
    assert verify([train, val, test]) == []
    record = test.record(0)
    assert record.group == "ROIs2017_winter_99"
    assert L1C.load(record.sources["s2"])["x"].shape == (13, 16, 16)
    assert (S1.load_mask(record.masks["igbp"], record.sources["s1"]) == 4).all()
    (tmp_path / "test_list.txt").write_text("a.tif\n")
    with pytest.raises(DataError, match=r"test_list.txt: 'a.tif' is no s2 file such as ROIs1158_spring_s2_1_p30.tif"):
        SEN12MS(root=tmp_path, split="test")


@pytest.mark.parametrize("layout", ["{split}/{kind}_{split}", "ROIs0000_{split}/{kind}_0"])
def test_dfc2020_is_found_in_either_of_its_layouts(tmp_path, layout):
    labels = np.tile(np.arange(1, 11, dtype=np.uint8), (20, 2))
    for split, count in (("test", 12), ("validation", 3)):
        for i in range(count):
            for kind, array in (("s1", radar_db(20)), ("s2", l1c(20)), ("dfc", labels)):
                folder = tmp_path / layout.format(split=split, kind=kind)
                write_tif(folder / f"ROIs0000_{split}_{kind}_0_p{i}.tif", array, transform=north_up())
    train, test = DFC2020(root=tmp_path, split="train"), DFC2020(root=tmp_path, split="test")
    assert len(test) == 3
    assert 6 <= len(train) <= 12
    record = train.record(0)
    assert set(record.sources) == {"s1", "s2"}
    world = S1.load_mask(record.masks["dw"], record.sources["s1"])[0, :10]
    assert world.tolist() == [1, 5, -1, 2, 3, 4, 6, -1, 7, 0]
    assert S1.load_mask(record.masks["dfc"], record.sources["s1"])[0, :10].tolist() == list(range(10))
    (tmp_path / "dfc-train-new.csv").write_text("ROIs0000_test_dfc_0_p5.tif\n")
    assert [r.id for r in DFC2020(root=tmp_path, split="train")] == ["ROIs0000_test_0_p5"]


def write_floods(root, header=False):
    base = root / "v1.1"
    hand = base / "data" / "flood_events" / "HandLabeled"
    degrees = (1e-4, 0.0, -1.5, 0.0, -1e-4, 9.5)
    for i, event in enumerate(("Ghana", "India", "Spain", "Bolivia")):
        db = radar_db(16, i)
        db[:, 0, 0] = np.nan
        label = np.ones((16, 16), np.int16)
        label[0, 0], label[1] = -1, 0
        for kind, array in (("S1Hand", db), ("S2Hand", l1c(16)), ("LabelHand", label)):
            write_tif(hand / kind / f"{event}_{i}_{kind}.tif", array, transform=degrees, crs="EPSG:4326")
    splits = base / "splits" / "flood_handlabeled"
    splits.mkdir(parents=True)
    for i, (name, event) in enumerate(
        (("train", "Ghana"), ("valid", "India"), ("test", "Spain"), ("bolivia", "Bolivia"))
    ):
        head = "S1,LabelHand\r\n" if header else ""
        (splits / f"flood_{name}_data.csv").write_text(f"{head}{event}_{i}_S1Hand.tif,{event}_{i}_LabelHand.tif\r\n")
    return root


@pytest.mark.parametrize("header", [False, True])
def test_sen1floods11_reads_its_lists_with_and_without_a_header(tmp_path, header):
    root = write_floods(tmp_path, header)
    layouts = [Sen1Floods11(root=root, split=split) for split in ("train", "val", "test")]
    assert [layout.record(0).id for layout in layouts] == ["Ghana_0", "India_1", "Spain_2"]
    assert verify(layouts) == []
    assert Sen1Floods11(root=root / "v1.1", split="test", held_out="bolivia").record(0).id == "Bolivia_3"
    record = layouts[0].record(0)
    batch = S1.collate([S1.load(record.sources["s1"])])
    assert not batch.extra["valid"][0, 0, 0]
    assert abs(batch.extra["lonlat"][0, 0] + 1.4992) < 1e-3
    mask = S1.load_mask(record.masks["flood"], record.sources["s1"])
    assert (mask[0, 0], mask[1, 0], mask[2, 0]) == (-1, 0, 1)


def test_sen1floods11_names_an_empty_list_and_a_missing_one(tmp_path):
    root = write_floods(tmp_path)
    path = root / "v1.1" / "splits" / "flood_handlabeled" / "flood_test_data.csv"
    path.write_text("\n")
    with pytest.raises(DataError, match=r"flood_test_data.csv: is empty"):
        Sen1Floods11(root=root, split="test")
    path.unlink()
    with pytest.raises(DataError, match=r"flood_test_data.csv  \(list of the split\)"):
        Sen1Floods11(root=root, split="test")


@pytest.fixture
def eurosat(tmp_path):
    for i, name in enumerate(("Forest", "River", "SeaLake")):
        bands = l1c(64, i)
        bands[12] = 9000 + i  # B8A comes last
        write_tif(tmp_path / NESTED / name / f"{name}_{i + 1}.tif", bands, transform=north_up())
        write_tif(tmp_path / "all_imgs" / name / f"{name}_{i + 1}.tif", radar_db(64), transform=north_up())
    for split, name in (("train", "Forest_1"), ("val", "River_2"), ("test", "SeaLake_3")):
        (tmp_path / f"eurosat-{split}.txt").write_text(f"{name}.jpg\n")
    return tmp_path


def test_eurosat_puts_b8a_where_models_expect_it(eurosat):
    layouts = [EuroSAT(root=eurosat, split=split) for split in ("train", "val", "test")]
    assert [layout.record(0).id for layout in layouts] == ["Forest_1", "River_2", "SeaLake_3"]
    assert verify(layouts) == []
    record = layouts[1].record(0)
    assert set(record.sources) == {"s1", "s2"}
    assert [name for name, value in record.labels.items() if value] == ["River"]
    x = L1C.load(record.sources["s2"])["x"]
    assert (x[8] == 9001).all()
    assert (x[9] == l1c(64, 1)[8]).all()
    assert len(EUROSAT_CLASSES) == 10


@pytest.mark.slow
def test_eurosat_agrees_with_torchgeo_band_by_band(eurosat):
    torchgeo = pytest.importorskip("torchgeo.datasets")
    (eurosat / "eurosat-train.txt").write_text("Forest_1.jpg\nRiver_2.jpg\nSeaLake_3.jpg\n")  # a chip of each class
    theirs = torchgeo.EuroSAT(root=eurosat, split="train")[0]["image"].numpy()
    ours = read(EuroSAT(root=eurosat, split="train").record(0).sources["s2"], preset("eurosat_l1c"))
    np.testing.assert_allclose(theirs / 1e4, ours.values_CHW, rtol=1e-6)
    assert ours.spec.names == torchgeo.EuroSAT.all_band_names


def test_eurosat_without_lists_or_images_says_what_to_do(eurosat, tmp_path_factory):
    with pytest.raises(DataError, match=r"eurosat-spatial-train.txt: the list of the spatial split is not there"):
        EuroSAT(root=eurosat, split="train", splits="spatial")
    assert sum(len(EuroSAT(root=eurosat, split=s, splits="hash")) for s in _filled(eurosat)) == 3
    with pytest.raises(DataError, match=r"neither EuroSAT .* nor EuroSAT-SAR"):
        EuroSAT(root=tmp_path_factory.mktemp("empty"), split="train")


def _filled(root):
    """Splits that the hash gives at least one of the three chips."""
    for split in ("train", "val", "test"):
        try:
            EuroSAT(root=root, split=split, splits="hash")
        except DataError:
            continue
        yield split


def write_so2sat(root, count=4):
    rng = np.random.default_rng(0)
    for name in ("training.h5", "validation.h5", "testing.h5"):
        with h5py.File(root / name, "w") as file:
            sen1 = rng.normal(0, 0.1, (count, 32, 32, 8))
            sen1[..., 4], sen1[..., 5] = 0.01, 0.1  # Lee-filtered VH and VV
            file["sen1"], file["sen2"] = sen1, rng.random((count, 32, 32, 10)) * 0.3
            file["label"] = np.eye(17)[[0, 3, 16, 7]][:count]
    return root


def test_so2sat_reads_power_as_db_and_reflectance_as_it_is(tmp_path):
    layout = So2Sat(root=write_so2sat(tmp_path), split="val")
    assert len(layout) == 4
    record = layout.record(2)
    assert [name for name, value in record.labels.items() if value] == ["Water"]
    db = S1.collate([S1.load(record.sources["s1"])]).x
    assert db[0, 0].numpy() == pytest.approx(-10, abs=0.01)
    assert db[0, 1].numpy() == pytest.approx(-20, abs=0.01)
    optical = OpticalProcessor(sensor="so2sat_sen2", normalise="none")
    with h5py.File(tmp_path / "validation.h5") as file:
        expected = np.moveaxis(file["sen2"][2], -1, 0)
    np.testing.assert_allclose(optical.collate([optical.load(record.sources["s2"])]).x[0], expected, atol=6e-5)
    assert len(LCZ_CLASSES) == 17


def test_hdf5_files_that_hold_something_else_are_refused(tmp_path):
    write_so2sat(tmp_path)
    layout = So2Sat(root=tmp_path, split="test")
    with h5py.File(tmp_path / "testing.h5", "r+") as file:
        del file["sen1"], file["sen2"]
        file["sen1"] = np.zeros((4, 32, 32, 3))
        file["sen2"] = h5py.ExternalLink("../elsewhere.h5", "sen2")
    with pytest.raises(DataError, match=r"testing.h5: 'sen1' has 3 channels, band 5 is wanted"):
        S1.load(layout.record(0).sources["s1"])
    with pytest.raises(DataError, match=r"testing.h5: 'sen2' links to '../elsewhere.h5', which is not beside it"):
        OpticalProcessor(sensor="so2sat_sen2").load(layout.record(0).sources["s2"])
    (tmp_path / "training.h5").write_bytes(b"not HDF5")
    with pytest.raises(DataError, match=r"training.h5: not a readable HDF5 file"):
        So2Sat(root=tmp_path, split="train")
    with h5py.File(tmp_path / "validation.h5", "w") as file:
        file["label"] = np.zeros((3, 4))
    with pytest.raises(DataError, match=r"'label' has shape \(3, 4\), expected \(N, 17\)"):
        So2Sat(root=tmp_path, split="val")
