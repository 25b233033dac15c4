"""Caption sets and CrisisLandMark: tiny copies in their public layout."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
from rs_files import radar_db

from core.data.layout import verify
from core.errors import DataError
from domains.remote_sensing.data.caption_sets import RSICD, RSITMD, UCMCaptions
from domains.remote_sensing.data.crisislandmark import CLASSES, CORINE, CrisisLandMark
from domains.remote_sensing.processors import CaptionProcessor, OpticalProcessor, RadarProcessor, RasterProcessor


def write_set(
    root, *, name="dataset_rsicd.json", folder="RSICD_images", splits=("train", "val", "test"), suffix=".jpg"
):
    images = []
    for i, split in enumerate(splits):
        filename = f"place_{i}{suffix}"
        raws = [f"a pond number {i}", "ein kleiner See ü" if i == 0 else "many trees", "the same sentence"]
        images.append({
            "filename": filename, "imgid": i, "split": split, "sentids": [0, 1, 2],
            "sentences": [{"raw": raw, "tokens": raw.split(), "imgid": i, "sentid": j} for j, raw in enumerate(raws)],
        })  # fmt: skip
        (root / folder).mkdir(exist_ok=True)
        pixels = np.full((3, 20, 24), 40 * (i % 5 + 1), np.uint8)
        driver = {".jpg": "JPEG", ".tif": "GTiff"}[suffix]
        options = {"driver": driver, "count": 3, "height": 20, "width": 24, "dtype": "uint8"}
        with rasterio.open(root / folder / filename, "w", **options) as file:
            file.write(pixels)
    (root / name).write_text(json.dumps({"images": images, "dataset": "x"}), encoding="utf-8")
    return root


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("layout", [RSICD, UCMCaptions])
def test_pictures_and_all_their_captions(tmp_path, layout):
    tif = layout is UCMCaptions
    write_set(
        tmp_path, name=layout.json_name, folder="imgs" if tif else "RSICD_images", suffix=".tif" if tif else ".jpg"
    )
    layouts = [layout(root=tmp_path, split=split) for split in ("train", "val", "test")]
    assert [len(one) for one in layouts] == [1, 1, 1]
    assert verify(layouts) == []
    record = layouts[0].record(0)
    processor = RasterProcessor(sensor="rgb", normalise="none", size=(16, 16))
    x = processor.collate([processor.load(record.sources["rgb"])]).x
    assert x.shape == (1, 3, 16, 16)
    assert x.numpy() == pytest.approx(40 / 255, abs=0.01)
    reader = CaptionProcessor(vocab_size=400)
    reader.fit([record.sources["text"]])
    assert reader.captions(record.sources["text"]) == ["a pond number 0", "ein kleiner See ü", "the same sentence"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_set_without_validation_gives_a_tenth_of_its_training_part(tmp_path):
    write_set(tmp_path, name="dataset_rsitmd.json", folder="images", splits=["train"] * 60 + ["test"], suffix=".tif")
    train, val, test = (RSITMD(root=tmp_path, split=split) for split in ("train", "val", "test"))
    assert (len(train) + len(val), len(test)) == (60, 1)
    assert 1 <= len(val) <= 15
    assert not {record.id for record in train} & {record.id for record in val}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable JSON"),
        ('{"images": []}', "expected .'images'"),
        (
            '{"images": [{"filename": "a.jpg", "split": "tests", "sentences": []}]}',
            "image number 0: 'tests' is missing or",
        ),
        ('{"images": [{"filename": "../a.jpg", "split": "train", "sentences": []}]}', "leads out of the folder"),
        (
            '{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "x"}]}]}',
            "none of its pictures, for",
        ),
    ],
)
def test_annotations_that_do_not_fit_are_named(tmp_path, content, message):
    (tmp_path / "dataset_rsicd.json").write_text(content)
    with pytest.raises(DataError, match=rf"dataset_rsicd.json: .*{message}"):
        RSICD(root=tmp_path, split="train")


@pytest.fixture
def crisis(tmp_path):
    rng = np.random.default_rng(0)
    keys = {"benv2s2_part1": "benv2s2_0001", "mmflood": "mmflood_EMSR1", "cabuar": "cabuar_7"}
    with h5py.File(tmp_path / "crisislandmark.h5", "w") as main:
        for name, key in keys.items():
            optical = name != "mmflood"
            with h5py.File(tmp_path / f"{name}.h5", "w") as part:
                image = rng.integers(100, 3000, (12, 16, 16)).astype(np.uint16) if optical else radar_db(16)
                part.create_dataset(f"{key}/image", data=image)
                part[key].attrs["crs"] = "EPSG:32632"
            main[key] = h5py.ExternalLink(f"{name}.h5", f"/{key}")
    rows = [
        ("benv2s2_0001", ["Arable land", "Coniferous forest"], "train"), ("mmflood_EMSR1", ["Flooded area"], "test"),
        ("cabuar_7", ["burned_area"], "test"),
    ]  # fmt: skip
    pd.DataFrame(rows, columns=["key", "labels", "split"]).to_parquet(tmp_path / "metadata.parquet")
    return tmp_path


def test_crisislandmark_reads_what_the_file_links_to(crisis):
    train, test = CrisisLandMark(root=crisis, split="train"), CrisisLandMark(root=crisis, split="test")
    optical, flood, burned = train.record(0), test.record(0), test.record(1)
    assert optical.sources["text"] == "en\ttrees. crops"
    assert [name for name, value in burned.labels.items() if value] == ["burned area"]
    assert set(flood.sources) == {"s1", "text"}
    processor = OpticalProcessor(normalise="none")
    assert processor.load(optical.sources["s2"])["x"].shape == (12, 16, 16)
    radar = RadarProcessor(normalise="none")
    np.testing.assert_allclose(radar.collate([radar.load(flood.sources["s1"])]).x[0], radar_db(16), atol=0.006)
    assert set(CORINE.values()) <= set(CLASSES)


def test_crisislandmark_names_a_part_that_is_not_there_and_a_label_that_is_none(crisis):
    (crisis / "mmflood.h5").unlink()
    record = CrisisLandMark(root=crisis, split="test").record(0)
    with pytest.raises(DataError, match=r"'mmflood_EMSR1' links to .*mmflood.h5, which is not there; copy it beside"):
        RadarProcessor().load(record.sources["s1"])
    table = pd.read_parquet(crisis / "metadata.parquet")
    table["labels"] = [["Arable lend"]] * 3
    table.to_parquet(crisis / "metadata.parquet")
    with pytest.raises(DataError, match=r"label 'Arable lend' is not known; did you mean 'arable land'"):
        CrisisLandMark(root=crisis, split="train").record(0)
