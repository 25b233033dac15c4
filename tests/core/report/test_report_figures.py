"""Outlines by geometry, and the overview picture."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from core.errors import DataError
from core.evaluation.bootstrap import Interval
from core.report.charts import smoothed
from core.report.figures import key_figure_png, project_2d
from core.report.pictures import data_uri, outline_path


def points_of(path):
    return np.array([[float(v) for v in p.split()] for p in re.findall(r"[\d.-]+ [\d.-]+", path)])


def test_the_outline_of_a_box_surrounds_its_pixels():
    mask = np.zeros((10, 12), bool)
    mask[3:6, 2:9] = True
    xy = points_of(outline_path(mask))
    np.testing.assert_allclose([xy[:, 0].min(), xy[:, 0].max()], [2, 9])
    np.testing.assert_allclose([xy[:, 1].min(), xy[:, 1].max()], [3, 6])


def test_a_mask_that_fills_the_picture_is_outlined_at_its_edge_and_an_empty_one_is_not():
    xy = points_of(outline_path(np.ones((4, 5), bool)))
    np.testing.assert_allclose([xy.min(axis=0), xy.max(axis=0)], [[0, 0], [5, 4]])
    assert outline_path(np.zeros((4, 5), bool)) == ""
    ring = np.ones((9, 9), bool)
    ring[3:6, 3:6] = False
    assert outline_path(ring).count("M") == 2


def test_large_pictures_are_made_smaller():
    small, large = (len(data_uri(np.random.default_rng(0).integers(0, 255, (n, n), np.uint8))) for n in (512, 2000))
    assert large < 1.2 * small


def test_smoothing_keeps_a_constant_and_starts_at_the_first_point():
    assert smoothed([(0, 2.0), (1, 2.0), (2, 2.0)], span=3) == [(0, 2.0), (1, 2.0), (2, pytest.approx(2.0))]
    assert smoothed([(0, 5.0), (1, 0.0)], span=2)[0] == (0, 5.0)


def test_the_map_separates_what_differs_and_ignores_the_gap():
    rng = np.random.default_rng(0)
    centre = np.repeat(np.eye(8)[:2], 20, axis=0)
    a = centre + 0.05 * rng.normal(size=(40, 8))
    found = project_2d(a=a, b=a)
    np.testing.assert_allclose(found["a"], found["b"])
    assert abs(found["a"][:20, 0].mean() - found["a"][20:, 0].mean()) > 1


def test_the_overview_picture(tmp_path):
    records = [{"step": i, "train/loss": 1 / (i + 1)} for i in range(60)]
    rows = {"one": Interval(0.8, 0.7, 0.9), "two": Interval(0.6, float("nan"), float("nan"))}
    path = key_figure_png(
        tmp_path / "a.png", title="t", records=records, intervals=rows, similarity_QG=np.eye(80), banner="SIMULATED"
    )
    width, height = Image.open(path).size
    assert (width > 1500, 600 < height < 800) == (True, True)
    key_figure_png(
        tmp_path / "b.png", title="t", records=[], intervals={}, points={"x": np.zeros((3, 2)), "y": np.ones((3, 2))}
    )
    with pytest.raises(DataError, match="either similarity_QG or points"):
        key_figure_png(tmp_path / "c.png", title="t", records=[], intervals={})


def test_importing_the_report_loads_no_plotting_library_and_no_torch():
    code = "import sys, core.report; print([m for m in ('matplotlib', 'torch', 'jinja2', 'PIL') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_drawing_leaves_pyplot_and_its_settings_alone(tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    key_figure_png(tmp_path / "a.png", title="t", records=[], intervals={}, similarity_QG=np.eye(3))
    assert dict(mpl.rcParams) == before
