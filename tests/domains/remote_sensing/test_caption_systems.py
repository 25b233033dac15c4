"""Systems on the public caption layouts: two steps through the real command, and figures of a tiny test split."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
from rs_files import radar_db

from core.training import cli

BRIEF = [
    "--data.batch_size", 4, "--trainer.max_steps", 2, "--trainer.log_every", 1, "--trainer.threads", 1,
    "--trainer.precision", 32, "--data.prepare_workers", 0, "--evaluation.bootstrap", 5, "--evaluation.gallery", 1,
    "--evaluation.probe", "null",
]  # fmt: skip
WORDS = ("pond", "trees", "road", "houses", "field", "river")


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def run(system, layout, root, folder, *argv):
    words = ["--config", system, "--data.layout", layout, "--data.root", root, "--run_dir", folder, *BRIEF, *argv]
    assert cli.main("remote_sensing", "pretrain", [str(word) for word in words]) == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    return json.loads((folder / "summary.json").read_text())


def write_set(root, name, folder, suffix, splits):
    (root / folder).mkdir(parents=True)
    rng, images = np.random.default_rng(0), []
    for i, split in enumerate(splits):
        file = f"{WORDS[i % 6]}_{i}{suffix}"
        raws = [f"a {WORDS[i % 6]} beside a {WORDS[j]} number {i}" for j in range(5)]
        images.append({"filename": file, "imgid": i, "split": split, "sentences": [{"raw": raw} for raw in raws]})
        options = {"driver": {".jpg": "JPEG", ".tif": "GTiff"}[suffix], "count": 3, "dtype": "uint8"}
        with rasterio.open(root / folder / file, "w", height=32, width=32, **options) as out:
            out.write(rng.integers(0, 255, (3, 32, 32)).astype(np.uint8))
    (root / name).write_text(json.dumps({"images": images}), encoding="utf-8")
    return root


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("layout", "name", "folder", "suffix"),
    [
        ("rsicd", "dataset_rsicd.json", "RSICD_images", ".jpg"),
        ("rsitmd", "dataset_rsitmd.json", "images", ".tif"),
        ("ucm_captions", "dataset.json", "imgs", ".tif"),
    ],
)
def test_the_picture_system_runs_on_sets_of_captions(tmp_path, layout, name, folder, suffix):
    splits = ["train"] * (40 if layout == "rsitmd" else 6) + ([] if layout == "rsitmd" else ["val"] * 4) + ["test"] * 5
    root = write_set(tmp_path / "data", name, folder, suffix, splits)
    views = [
        word
        for view in ("rgb", "other_view", "local_1", "local_2")
        for word in (f"--data.processors.{view}.size", "[32, 32]", f"--data.processors.{view}.side", 32)
    ]
    found = run("rs_m_clip_rgb", layout, root, tmp_path / "run", *views)
    assert found["data_simulated"] == 0
    assert found["test/retrieval/text_to_rgb/pool_size"] == 5
    assert found["test/retrieval/text_to_rgb/R@5"] == 1


def test_closp_runs_on_sensors_that_meet_in_text_alone(tmp_path):
    root, rng, rows = tmp_path / "data", np.random.default_rng(0), []
    root.mkdir()
    labels = ["Arable land", "Mixed forest", "Water bodies", "burned_area"]
    with h5py.File(root / "crisislandmark.h5", "w") as file:
        for i in range(40):
            radar, split = i % 2 == 0, "train" if i < 28 else "test"
            key = f"{'mmflood' if radar else 'cabuar'}_{i}"
            image = radar_db(120, i) if radar else rng.integers(100, 3000, (12, 120, 120)).astype(np.uint16)
            file.create_dataset(f"{key}/image", data=image)
            rows.append((key, sorted({labels[i % 4], labels[(i // 2) % 4]}), split))
    pd.DataFrame(rows, columns=["key", "labels", "split"]).to_parquet(root / "metadata.parquet")
    found = run("closp", "crisislandmark", root, tmp_path / "run")
    for sensor in ("s1", "s2"):  # separate galleries, as published
        assert found[f"test/retrieval/text_to_{sensor}/pool_size"] == 6
        assert 0 <= found[f"test/retrieval/text_to_{sensor}/nDCG@10"] <= 1
    assert not [name for name in found if name.startswith("test/languages")]
