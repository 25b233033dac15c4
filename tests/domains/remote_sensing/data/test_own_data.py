"""Data of one's own: folders of rasters, CSV tables, STAC item collections; and the table of layouts."""

import json
import subprocess
import sys

import numpy as np
import pytest
from rs_files import north_up, radar_db, write_bands, write_tif

from core.data.layout import Layout, verify
from core.errors import ConfigError, DataError
from domains.remote_sensing.data import LAYOUTS, layout_class
from domains.remote_sensing.data.folder_geotiff import FolderGeoTIFF
from domains.remote_sensing.data.stac import STACItems
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_name_is_a_layout_with_licence_and_source(name):
    layout = layout_class(name)
    assert issubclass(layout, Layout)
    assert layout.name
    assert layout.licence
    assert layout.source
    assert layout.simulated == name.startswith("synthetic_")


def test_a_wrong_name_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"there is no layout 'bigearthnet'; did you mean 'bigearthnet_v2'"):
        layout_class("bigearthnet")


def test_the_table_itself_imports_no_layout_and_no_torch():
    code = (
        "import sys, domains.remote_sensing.data as d; d.layout_class; "
        "print([m for m in ('torch', 'pandas', 'numpy', 'rasterio', 'domains.remote_sensing.data.stac') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def all_records(cls, root, **how):
    found = []
    for split in ("train", "val", "test"):
        try:
            found += list(cls(root=root, split=split, **how))
        except DataError as err:
            assert "is empty here" in str(err)  # noqa: PT017
    return found


def test_a_folder_without_a_table_is_one_record_per_raster(tmp_path):
    write_bands(tmp_path / "a")
    write_tif(tmp_path / "b.tif", radar_db(8), transform=north_up())
    records = sorted(all_records(FolderGeoTIFF, tmp_path), key=lambda record: record.id)
    assert [(record.id, set(record.sources)) for record in records] == [("a", {"s2"}), ("b.tif", {"s1"})]
    assert OpticalProcessor(normalise="none").load(records[0].sources["s2"])["x"].shape == (12, 24, 24)


@pytest.fixture
def table(tmp_path):
    for i in range(3):
        write_bands(tmp_path / f"s2_{i}", seed=i)
        write_tif(tmp_path / f"s1_{i}.tif", radar_db(24, i), transform=north_up())
        write_tif(tmp_path / f"l_{i}.tif", np.full((24, 24), i, np.uint8), transform=north_up())
    (tmp_path / "data.csv").write_text(
        "ID,Radar,s2,label,caption,caption_de,scene,date,split,cover,note\n"
        "a,s1_0.tif,s2_0,l_0.tif,a lake | some trees,ein See,A,2021-06-01,train,0.25,x\n"
        "b,,s2_1,,a town,,A,2021-07-01,train,,y\n"
        "c,s1_2.tif,,l_2.tif,,,B,,validation,1,z\n"
    )
    return tmp_path


def test_a_table_names_modalities_labels_captions_groups_and_splits(table):
    train, val = FolderGeoTIFF(root=table, split="train", classes=9), FolderGeoTIFF(root=table, split="val")
    assert [record.id for record in train] == ["a", "b"]
    first, second = train.record(0), train.record(1)
    assert set(first.sources) == {"s1", "s2", "text"}
    assert set(second.sources) == {"s2", "text"}
    assert first.sources["text"] == "en\ta lake\nen\tsome trees\nde\tein See"
    assert first.sources["s2"].time == "2021-06-01"
    assert first.group == second.group == "A"
    assert (train.label_names, train.quantity_names) == ((), ("cover",))
    assert first.labels == {"cover": 0.25}
    assert np.isnan(second.labels["cover"])
    radar = RadarProcessor(normalise="none")
    assert (radar.load_mask(first.masks["label"], first.sources["s1"]) == 0).all()
    assert val.record(0).group == "B"
    assert verify([train, val]) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("id,s1\na,../x.tif\n", "row 2: '../x.tif' leads out of"),
        ("id,s1\na,x.tif\na,y.tif\n", "row 3: id 'a' is used twice"),
        ("id,s1,split\na,x.tif,tran\n", "row 2: split is 'tran'; did you mean 'train'"),
        ("id,s1,split,place\na,x.tif,train,P\nb,y.tif,test,P\n", "group 'P' is in both train and test"),
        ("id,radr\na,x.tif\n", "no column names a raster: one of s1, s2, rgb, dem or file"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path, rows, message):
    (tmp_path / "data.csv").write_text(rows)
    with pytest.raises(DataError, match=rf"data.csv: .*{message}"):
        FolderGeoTIFF(root=tmp_path, split="train")


def item(number, *, platform="sentinel-2a", assets=None, **properties):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"item-{number}", "geometry": None, "links": [],
        "properties": {"datetime": "2021-06-15T10:00:00Z", "platform": platform, **properties}, "assets": assets or {},
    }  # fmt: skip


@pytest.fixture
def stac(tmp_path):
    write_bands(tmp_path / "s2", 24)
    write_tif(tmp_path / "s1.tif", radar_db(24), transform=north_up())
    write_tif(tmp_path / "label.tif", np.full((24, 24), 3, np.uint8), transform=north_up())
    names = [path.stem for path in sorted((tmp_path / "s2").iterdir())]
    optical = {f"asset{i}": {"href": f"./s2/{name}.tif", "eo:bands": [{"name": name}]} for i, name in enumerate(names)}
    optical["thumbnail"] = {"href": "https://example.org/x.webp"}
    optical["truth"] = {"href": "label.tif", "roles": ["labels"]}
    radar = {"data": {"href": "s1.tif", "bands": [{"name": "vv"}, {"name": "vh"}]}}
    return tmp_path, optical, radar


def write_items(root, *items):
    (root / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))


def test_items_of_two_sensors_of_one_place_are_one_record(stac):
    root, optical, radar = stac
    write_items(
        root, item(1, assets=optical, place="P", split="test"),
        item(2, platform="sentinel-1b", assets=radar, place="P", split="test"),
    )  # fmt: skip
    layout = STACItems(root=root, split="test", group_by="place")
    assert len(layout) == 1
    record = layout.record(0)
    assert record.group == "P"
    assert set(record.sources) == {"s1", "s2"}
    assert record.sources["s2"].time == "2021-06-15"
    processor = OpticalProcessor(normalise="none")
    assert processor.load(record.sources["s2"])["x"].shape == (12, 24, 24)
    assert (processor.load_mask(record.masks["label"], record.sources["s2"]) == 3).all()
    assert verify(layout) == []
    assert len(STACItems(root=root, split="test")) == 2


def test_offsets_come_from_the_assets_or_the_baseline(stac):
    root, optical, _ = stac

    def offset(**changes):
        write_items(root, item(1, assets=changes.pop("assets", optical), split="train", **changes))
        return STACItems(root=root, split="train").record(0).sources["s2"].spec.offset

    assert offset() == 0
    assert offset(**{"s2:processing_baseline": "05.09"}) == pytest.approx(-0.1)
    assert offset(**{"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}) == 0
    told = {key: {**asset, "raster:bands": [{"scale": 1e-4, "offset": -0.1}]} for key, asset in optical.items()
            if key.startswith("asset")}  # fmt: skip
    assert offset(assets=told) == pytest.approx(-0.1)
    told["asset0"] = {**told["asset0"], "raster:bands": [{"scale": 1e-4, "offset": 0.0}]}
    with pytest.raises(DataError, match=r"item 'item-1': its assets state different scales, offsets or nodata"):
        offset(assets=told)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            [item(1, assets={"B02": {"href": "https://x.org/B02.tif"}}, split="train")],
            "lies at https://x.org/B02.tif; nothing is fetched",
        ),
        ([item(1, assets={"B02": {"href": "../../B02.tif"}}, split="train")], "'../../B02.tif' leads out of"),
        ([item(1, platform="landsat-9", split="train")], "name neither Sentinel-1 nor Sentinel-2"),
        ([item(1, split="train")], "no asset holds a band of sentinel2 L2A"),
        ([{"type": "Feature"}], "feature number 0 is no STAC item: it needs id, properties and assets"),
        ([], "expected a FeatureCollection with at least one item"),
        ([item(1, assets={}, split="tset")], "no split 'tset'"),
    ],
)
def test_items_that_do_not_fit_are_named(tmp_path, features, message):
    write_items(tmp_path, *features)
    with pytest.raises(DataError, match=rf"items.json.*{message}"):
        STACItems(root=tmp_path, split="train")
