"""Text search over folders of rasters: what is found, where and when it lies, filters, and what is read again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rs_files import radar_db, write_bands, write_tif

from core.config.build import build
from core.errors import ConfigError
from core.hub import SavedModel
from core.training import setup
from domains.remote_sensing.search.__main__ import main
from domains.remote_sensing.search.place import Filter, date_in, facts_of, lonlat_bounds, touch
from domains.remote_sensing.search.results import Result, geojson
from domains.remote_sensing.sensors import preset

CAPTIONS = ["en\ta river between green fields", "en\tdense streets of a city", "en\tsnow on steep mountains"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved dual encoder of radar and text with its first weights."""
    radar = {
        "class_path": "core.encoders.ConvNet",
        "init_args": {
            "name": "resnet18",
            "channels": 2,
            "options": {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]},
        },
    }
    text = {"class_path": "core.encoders.TextConvNet", "init_args": {"vocab_size": 300, "channels": 8}}
    node = {
        "class_path": "core.models.DualEncoder",
        "init_args": {"dim": 8, "modalities": {"s1": "s1", "text": "text"}, "encoders": {"s1": radar, "text": text}},
    }
    path = "domains.remote_sensing.processors."
    nodes = {
        "s1": {"class_path": path + "RadarProcessor", "init_args": {"size": [24, 24], "statistics": "ssl4eo_s1"}},
        "text": {"class_path": path + "CaptionProcessor", "init_args": {"vocab_size": 300, "max_length": 16}},
    }  # fmt: skip
    processors = {name: build(node) for name, node in nodes.items()}
    processors["text"].fit(CAPTIONS)
    saved = SavedModel(model=setup.build_model(node, 0), model_node=node, processors=processors, processor_nodes=nodes)
    return saved.save_pretrained(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def archive(tmp_path):
    """Three radar tiles of one place, two of them dated, and an optical one that the model does not read."""
    for i, name in enumerate(("S1A_20200417T053102.tif", "2021-08-01/VVVH.tif", "undated.tif")):
        transform = (10.0, 0.0, 500_000.0 + 10_000 * i, 0.0, -10.0, 5_300_000.0)
        write_tif(tmp_path / "archive" / name, radar_db(24, i) - 2 * i, transform=transform, names=("VV", "VH"))
    write_bands(tmp_path / "archive" / "optical")
    return tmp_path / "archive"


def search(*argv):
    return main([str(word) for word in argv])


def test_results_carry_file_place_and_date(model, archive, tmp_path, capsys):
    out, index = tmp_path / "out", tmp_path / "index.parquet"
    argv = ["a river", "a city", "--model", model, "--archive", archive, "--out", out, "--index", index, "--threads", 1]
    assert search(*argv) == 0
    said = capsys.readouterr().out
    assert "archive: 3 rasters, 1 are of sensors the model does not read" in said
    found = json.loads((out / "results.geojson").read_text())["features"]
    assert [f["properties"]["rank"] for f in found] == [1, 2, 3, 1, 2, 3]
    saved = SavedModel.from_pretrained(model)
    query = saved.encoder("text").encode("a river")
    cosine = {name: float(query @ saved.encoder("s1").encode(archive / name)) for name in
              ("S1A_20200417T053102.tif", "2021-08-01/VVVH.tif", "undated.tif")}  # fmt: skip
    expected = sorted(cosine, key=lambda name: -cosine[name])
    assert [f["properties"]["file"] for f in found[:3]] == [str(archive / name) for name in expected]
    assert [f["properties"]["score"] for f in found[:3]] == pytest.approx([cosine[n] for n in expected], abs=1e-4)
    dates = {f["properties"]["file"]: f["properties"]["date"] for f in found}
    assert sorted(dates.values()) == ["", "2020-04-17", "2021-08-01"]
    ring = np.array(next(f for f in found if "20200417" in f["properties"]["file"])["geometry"]["coordinates"][0])
    assert ring[:, 0].min() == pytest.approx(9.0, abs=1e-4)  # easting 500,000 is the middle of zone 32
    assert np.ptp(ring[:, 1]) == pytest.approx(240 / 111_200, rel=0.02)
    assert "a city" in (out / "report.html").read_text()
    assert len((out / "results.csv").read_text().splitlines()) == 7


def test_a_second_search_reads_what_is_new_and_forgets_what_is_gone(model, archive, tmp_path, capsys):
    argv = ["a river", "--model", model, "--archive", archive, "--index", tmp_path / "index.parquet", "--threads", 1]
    assert search(*argv) == 0
    assert "encoding 3/3" in capsys.readouterr().err
    assert search(*argv) == 0
    assert "encoding" not in capsys.readouterr().err
    (archive / "undated.tif").unlink()
    (archive / "broken.tif").write_bytes(b"no raster")
    write_tif(archive / "new_20220101.tif", radar_db(24, 9), transform=(10, 0, 500_000, 0, -10, 5_300_000))
    assert search(*argv) == 0
    said = capsys.readouterr()
    assert "encoding 1/1" in said.err  # what cannot be read counts as optical, which this model leaves alone
    assert "new_20220101.tif" in said.out
    assert "undated.tif" not in said.out


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--date_from", "2021-01-01"], {"VVVH.tif"}),
        (["--date_to", "2020-12-31"], {"S1A_20200417T053102.tif"}),
        (["--bbox", "9.25", "47", "10", "48"], {"undated.tif"}),
    ],
)
def test_filters_leave_out_what_does_not_pass_or_is_unknown(model, archive, tmp_path, argv, names):
    words = ["a river", "--model", model, "--archive", archive, "--index", tmp_path / "i.parquet", "--out", tmp_path]
    assert search(*words, "--threads", 1, *argv) == 0
    found = json.loads((tmp_path / "results.geojson").read_text())["features"]
    assert {f["properties"]["file"].rpartition("/")[2] for f in found} == names


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--modality", "s2"], 2, "--modality: the model reads s1, not 's2'"),
        (["--text", "words"], 2, "no text modality 'words'"),
        (["--date_from", "17.4.2020"], 2, "'17.4.2020' is no date; write it as 2020-04-17"),
        (["--bbox", "9", "48", "10", "47"], 2, "is not WEST SOUTH EAST NORTH"),
        (["--date_from", "2030-01-01"], 1, "none of the 3 rasters of the archive passes the filters"),
        (["--k", "0"], 2, "give at least 1"),
    ],
)
def test_what_cannot_be_searched_is_said(model, archive, tmp_path, capsys, argv, code, message):
    words = ["a river", "--model", model, "--archive", archive, "--index", tmp_path / "i.parquet", "--threads", 1]
    assert search(*words, *argv) == code
    assert message in capsys.readouterr().err


def test_a_raster_larger_than_what_the_model_reads_is_told(tmp_path):
    path = write_tif(tmp_path / "a.tif", radar_db(48), transform=(10, 0, 500_000, 0, -10, 5_300_000))
    spec = preset("sentinel1_db")
    assert facts_of(path, spec, size=(48, 48))["whole"] is True
    assert facts_of(path, spec, size=(24, 24))["whole"] is False
    plain = write_tif(tmp_path / "b.tif", radar_db(24), crs=None)
    assert facts_of(plain, spec, size=None)["bounds"] is None


def test_dates_are_read_from_names_and_not_from_other_numbers(tmp_path):
    assert date_in(tmp_path / "S2A_20200417T103031.tif") == "2020-04-17"
    assert date_in(tmp_path / "scene_2020_04_17.tif") == "2020-04-17"
    assert date_in(tmp_path / "20200417T103031_20200417T103425_T32TQM" / "B2.tif") == "2020-04-17"
    assert date_in(tmp_path.parent / "tiles" / "120200417.tif") == ""
    assert date_in(tmp_path.parent / "tiles" / "20201517.tif") == ""


def test_boxes_touch_also_across_the_antimeridian():
    assert touch((0, 0, 1, 1), [1, 1, 2, 2])
    assert not touch((0, 0, 1, 1), [1.1, 0, 2, 1])
    assert not touch((0, 0, 1, 1), [0, 1.1, 1, 2])
    fiji = [179.0, -18.0, -179.0, -17.0]
    assert touch((178.0, -18.0, 179.5, -17.0), fiji)
    assert touch((-179.5, -18.0, -178.0, -17.0), fiji)
    assert not touch((0.0, -18.0, 10.0, -17.0), fiji)
    assert not Filter(bounds=(0, 0, 1, 1)).passes({"bounds": None, "date": ""})
    with pytest.raises(ConfigError, match=r"--date_to: 'x' is no date"):
        Filter(last="x")


def test_an_outline_across_the_antimeridian_is_cut_in_two():
    from core.retrieval.archive import Entry

    about = {"bounds": [179.0, -18.0, -179.0, -17.0], "date": "", "whole": True}
    shape = geojson([Result("x", 1, 0.5, Entry("a", "s1", "", about))])["features"][0]["geometry"]
    assert shape["type"] == "MultiPolygon"
    assert [part[0][1][0] for part in shape["coordinates"]] == [180.0, -179.0]
    zone_60 = lonlat_bounds("EPSG:32760", [(810_000.0, 8_000_000.0), (830_000.0, 8_010_000.0)])
    assert zone_60[0] > zone_60[2]
