"""Maps of scenes: what a constant, a shift, a hole, another grid and a stop do to them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch

from core.errors import ConfigError, DataError
from domains.remote_sensing.predict import MapInput, map_scene
from domains.remote_sensing.predict import rows as rows_module
from domains.remote_sensing.predict.result import NODATA
from domains.remote_sensing.raster import Window

SMALL = {"window": 32, "overlap": 12, "margin": 3, "batch_size": 3}


@pytest.fixture(autouse=True)
def _small_reads(monkeypatch):
    """Reads of a part of even these scenes, so that their seams are tested."""
    monkeypatch.setattr(rows_module, "READ_ROWS", 24)
    monkeypatch.setattr(rows_module, "READ_COLUMNS", 40)


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def mapped(model, inputs, out, scenes, **settings):
    found = map_scene(model, inputs, out, classes=scenes.CLASSES, **(SMALL | settings))
    return read(found.class_map), read(found.confidence), found


def whole(model, inputs, scenes):
    """The same model on the whole scene at once: class and percent."""
    given = {}
    for name, part in inputs.items():
        processor = type(part.processor)(**(part.processor.config() | {"size": None}))
        given[name] = processor.collate([processor.load(part.source)])
    with torch.no_grad():
        prob = model(given).softmax(dim=1)[0].numpy()
    return prob.argmax(axis=0), np.rint(prob.max(axis=0) * 100)


@pytest.mark.parametrize("shape", [(75, 101), (32, 32), (20, 50), (33, 9)])
def test_a_constant_scene_gives_a_constant_map(shape, scenes, convolved, tmp_path):
    raster = scenes.optical(*shape)
    raster = replace(raster, values_CHW=np.full_like(raster.values_CHW, 0.3))
    classes, percent, _ = mapped(convolved(), scenes.s2(raster), tmp_path / "map", scenes)
    assert classes.shape == shape
    assert len(np.unique(classes)) == 1
    assert len(np.unique(percent)) == 1


@pytest.mark.parametrize("size", [1, 5], ids=["pointwise", "convolution"])
def test_a_tiled_map_is_the_map_of_the_scene_at_once(size, scenes, convolved, tmp_path):
    """Margins of 3 pixels hide the border of a 5 x 5 convolution, which sees padding at a window's border."""
    inputs, model = scenes.s2(scenes.optical(75, 101)), convolved(size)
    classes, percent, _ = mapped(model, inputs, tmp_path / "map", scenes)
    expected_classes, expected_percent = whole(model, inputs, scenes)
    np.testing.assert_array_equal(classes, expected_classes)
    assert (percent != expected_percent).mean() < 1e-3  # rounding of a percent that lies at a half
    np.testing.assert_allclose(percent, expected_percent, atol=1)


def test_without_margin_the_border_of_windows_shows(scenes, convolved, tmp_path):
    """The check above can fail: blending alone does not hide padding from a convolution."""
    inputs, model = scenes.s2(scenes.optical(75, 101)), convolved(5)
    classes, _, _ = mapped(model, inputs, tmp_path / "map", scenes, overlap=0, margin=0)
    assert (classes != whole(model, inputs, scenes)[0]).any()


def test_a_shifted_window_gives_a_shifted_map(scenes, convolved, tmp_path):
    raster, model = scenes.optical(90, 101), convolved(5)
    classes, percent, _ = mapped(model, scenes.s2(raster), tmp_path / "a", scenes)
    part = raster.window(Window(7, 11, 70, 80))
    shifted, shifted_percent, found = mapped(model, scenes.s2(part), tmp_path / "b", scenes)
    inner = np.s_[2:-2, 2:-2]  # at its own edge the part sees padding where the scene went on
    np.testing.assert_array_equal(shifted[inner], classes[7:77, 11:91][inner])
    np.testing.assert_allclose(shifted_percent[inner], percent[7:77, 11:91][inner].astype(float), atol=1)
    with rasterio.open(found.class_map) as file:
        assert tuple(file.transform[:6]) == (10, 0, 500_110, 0, -10, 5_399_930)


def test_a_map_has_the_grid_of_the_scene_its_classes_colours_and_overviews(scenes, convolved, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "READ_ROWS", 512)
    monkeypatch.setattr(rows_module, "READ_COLUMNS", 512)
    raster = scenes.optical(520, 530)
    raster.values_CHW[:, 5:9, :40] = np.nan
    path = scenes.write(raster, tmp_path / "scene.tif")
    colours = {0: (0, 0, 255), 1: (0, 100, 0), 2: (200, 150, 0)}
    settings = {"window": 256, "overlap": 64, "colours": colours}
    classes, percent, found = mapped(convolved(), scenes.s2(path), tmp_path / "map", scenes, **settings)
    for file_path in (found.class_map, found.confidence):
        with rasterio.open(file_path) as file:
            assert file.crs.to_epsg() == 32633
            assert tuple(file.transform[:6]) == scenes.TRANSFORM
            assert (file.nodata, file.dtypes, file.shape) == (NODATA, ("uint8",), (520, 530))
            assert file.block_shapes == [(512, 512)]
            assert file.overviews(1) == [2]
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert json.loads(file.tags()["CLASSES"]) == {"0": "water", "1": "trees", "2": "crops"}
    with rasterio.open(found.class_map) as file:
        table = file.colormap(1)
        assert [table[i][:3] for i in range(3)] == list(colours.values())
    hole = ~raster.valid_HW
    np.testing.assert_array_equal(classes == NODATA, hole)
    np.testing.assert_array_equal(percent == NODATA, hole)
    assert percent[~hole].min() >= 33
    assert percent[~hole].max() <= 100
    assert found.quick_look.read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "map" / ".strips").exists()


def test_missing_pixels_change_nothing_beside_them_for_a_pointwise_model(scenes, convolved, tmp_path):
    raster = scenes.optical(75, 101)
    full, _, _ = mapped(convolved(), scenes.s2(raster), tmp_path / "a", scenes)
    holed = replace(raster, values_CHW=raster.values_CHW.copy())
    holed.values_CHW[2, 10:60, 20:80] = np.nan  # one band is enough
    holed.values_CHW[:, 70, 3] = np.nan
    classes, _, _ = mapped(convolved(), scenes.s2(holed), tmp_path / "b", scenes)
    known = holed.valid_HW
    np.testing.assert_array_equal(classes[known], full[known])
    assert (classes[~known] == NODATA).all()


def test_a_scene_that_is_empty_is_a_map_of_nothing(scenes, convolved, tmp_path):
    raster = scenes.optical(40, 40)
    raster.values_CHW[:] = np.nan
    classes, _, found = mapped(convolved(), scenes.s2(raster), tmp_path / "map", scenes)
    assert (classes == NODATA).all()
    assert [area.pixels for area in found.areas] == [0, 0, 0]


@pytest.mark.parametrize("needs", ["all", "any"])
def test_radar_and_optical_are_mapped_together_where_all_or_any_were_recorded(needs, scenes, convolved, tmp_path):
    optical, radar = scenes.optical(60, 70), scenes.radar(60, 70)
    optical.values_CHW[:, :20] = np.nan
    radar.values_CHW[:, :, 50:] = np.nan
    paths = scenes.write(optical, tmp_path / "s2.tif"), scenes.write(radar, tmp_path / "s1.tif")
    model = convolved(channels=6)
    classes, _, _ = mapped(model, scenes.both(*paths), tmp_path / "map", scenes, needs=needs)
    both = optical.valid_HW & radar.valid_HW if needs == "all" else optical.valid_HW | radar.valid_HW
    np.testing.assert_array_equal(classes != NODATA, both)
    expected, _ = whole(model, scenes.both(optical, radar), scenes)
    np.testing.assert_array_equal(classes[both], expected[both])


def test_the_model_is_told_what_was_recorded_where_and_when(scenes, convolved, tmp_path):
    raster = scenes.optical(40, 70)
    raster.values_CHW[:, :5] = np.nan
    seen = []

    def model(inputs):
        seen.append(inputs["s2"])
        return convolved()(inputs)

    mapped(model, scenes.s2(raster), tmp_path / "map", scenes)
    first = seen[0]
    assert not first.extra["valid"][0, :5].any()
    assert first.extra["valid"][0, 5:].all()
    assert (first.x[0, :, :5] == 0).all()
    assert first.extra["day"][0] == 181  # 30 June
    assert first.extra["lonlat"][0].tolist() == pytest.approx([15.002, 48.75], abs=0.01)  # 500 km is 15 degrees east
    assert first.extra["lonlat"][1, 0] > first.extra["lonlat"][0, 0]


class StopHere(KeyboardInterrupt):
    pass


def test_a_run_that_was_stopped_continues_to_the_same_bytes(scenes, convolved, tmp_path):
    path, model = scenes.write(scenes.optical(130, 75), tmp_path / "scene.tif"), convolved(5)
    *_, expected = mapped(model, scenes.s2(path), tmp_path / "whole", scenes, overlap=20)

    for last in (2, 5):

        def stop(done, of, last=last):
            if done == last:
                raise StopHere

        with pytest.raises(StopHere):
            mapped(model, scenes.s2(path), tmp_path / "stopped", scenes, overlap=20, progress=stop)
        assert len(list((tmp_path / "stopped" / ".strips").glob("strip-*.npz"))) == last
        assert not (tmp_path / "stopped" / "class_map.tif").exists()
    told = []
    *_, found = mapped(
        model, scenes.s2(path), tmp_path / "stopped", scenes, overlap=20, progress=lambda *a: told.append(a)
    )
    assert told[0][0] == 5
    for name in ("class_map.tif", "confidence.tif", "areas.csv", "quicklook.png", "map.json"):
        assert (found.folder / name).read_bytes() == (expected.folder / name).read_bytes(), name


def test_a_changed_setting_model_or_file_refuses_to_continue_and_is_named(scenes, convolved, tmp_path):
    raster = scenes.optical(130, 75)
    path, out = scenes.write(raster, tmp_path / "scene.tif"), tmp_path / "map"

    def stop(done, of):
        if done == 2:
            raise StopHere

    with pytest.raises(StopHere):
        mapped(convolved(), scenes.s2(path), out, scenes, progress=stop)
    for changes, fault in (
        ({"overlap": 13}, "overlap: was 12, is 13"),
        ({"model": convolved(seed=1)}, "model: was"),
        ({"inputs": scenes.s2(path, high=0.9)}, "inputs.s2: was"),
        ({"needs": "any"}, "needs: was all, is any"),
    ):
        how = {"model": convolved(), "inputs": scenes.s2(path)} | changes
        with pytest.raises(ConfigError, match=f"(?s)begun with other settings.*{fault}"):
            mapped(how.pop("model"), how.pop("inputs"), out, scenes, **how)
    scenes.write(scenes.optical(130, 75, seed=5), path)
    with pytest.raises(ConfigError, match=r"inputs\.s2: was"):
        mapped(convolved(), scenes.s2(path), out, scenes)


def test_a_finished_map_is_returned_and_another_one_never_written_over_it(scenes, convolved, tmp_path):
    raster = scenes.optical(40, 50)
    *_, found = mapped(convolved(), scenes.s2(raster), tmp_path / "map", scenes)
    before = found.class_map.stat().st_mtime_ns
    *_, again = mapped(convolved(), scenes.s2(raster), tmp_path / "map", scenes)
    assert again == found
    assert again.class_map.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="begun with other settings"):
        mapped(convolved(seed=3), scenes.s2(raster), tmp_path / "map", scenes)
    model = convolved()
    with pytest.raises(ConfigError, match=r"model_id: .*nothing says which weights"):
        mapped(lambda inputs: model(inputs), scenes.s2(raster), tmp_path / "map", scenes)


def test_rasters_of_other_grids_are_refused_with_the_remedy(scenes, convolved, tmp_path):
    optical = scenes.optical(40, 50)
    moved = (10.0, 0.0, 500_010.0, 0.0, -10.0, 5_400_000.0)
    for radar, fault in (
        (scenes.radar(40, 50, transform=moved), r"lies on another grid .* from \(500010, 5.4e\+06\).*gdalwarp -te -tr"),
        (scenes.radar(40, 49), "40 x 49 pixels"),
        (scenes.radar(40, 50, crs="EPSG:32634"), "its CRS is EPSG:32634, that of .* is EPSG:32633"),
    ):
        with pytest.raises(DataError, match=fault):
            mapped(convolved(channels=6), scenes.both(optical, radar), tmp_path / "map", scenes)


def test_models_that_do_not_fit_are_one_message(scenes, convolved, tmp_path):
    inputs = scenes.s2(scenes.optical(40, 50))
    for model, error, fault in (
        (convolved(classes=5), ConfigError, r"logits of shape \(2, 5, 32, 32\).*expected \(2, 3, 32, 32\)"),
        (lambda given: convolved()(given) * torch.nan, DataError, "not finite in the windows from row 0, column 0"),
    ):
        with pytest.raises(error, match=fault):
            mapped(model, inputs, tmp_path / str(fault[:9]), scenes)
    with pytest.raises(ConfigError, match="colours: has none for crops"):
        mapped(convolved(), inputs, tmp_path / "c", scenes, colours={0: (0, 0, 0), 1: (1, 1, 1)})
    with pytest.raises(ConfigError, match="inputs: none is given"):
        mapped(convolved(), {}, tmp_path / "c", scenes)
    with pytest.raises(ConfigError, match="is read by a RasterProcessor, not by a str"):
        mapped(convolved(), {"s2": MapInput(inputs["s2"].source, "optical")}, tmp_path / "c", scenes)
