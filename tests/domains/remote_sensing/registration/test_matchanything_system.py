"""The system through the real commands, briefly: pretraining, its figures, the run as a checkpoint."""

import json
import math

import pytest
from rs_files import north_up, write_tif

from core.encoders import ImageTransformer
from core.errors import CheckpointError, ConfigError
from core.models import DualEncoder
from core.training import cli
from domains.remote_sensing.coregister.__main__ import main as coregister
from domains.remote_sensing.registration import LoFTRMatcher, RegistrationError, load_matcher

PLACES = {"train": 2, "val": 1, "test": 1}
TINY = {"widths": [4, 8, 8, 16], "blocks": [1, 1, 1, 1], "depth": 1, "heads": 2, "slice_dim": 2, "side": 64}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    argv = [
        "--config", "matchanything", "--run_dir", run, "--data.layout_args",
        json.dumps({"places": PLACES, "size": 96, "dates": [0, 2], "workers": 0}),
        "--data.processors.s1.init_args.size", "[96, 96]", "--data.processors.s2.init_args.size", "[96, 96]",
        "--data.prepare_workers", 0, "--data.batch_size", 2, "--trainer.max_steps", 2, "--trainer.validate_every", 2,
        "--trainer.threads", 1, "--trainer.precision", 32, "--objectives.0.init_args.size", 64,
        "--evaluation.figures.0.init_args.size", 64,
        "--model.init_args.encoders.matcher.init_args", json.dumps(TINY),
    ]  # fmt: skip
    assert cli.main("remote_sensing", "pretrain", [str(word) for word in argv]) == 0
    return run


def test_figures_stand_beside_the_baselines_in_pixels_and_metres(trained):
    found = json.loads((trained / "summary.json").read_text())
    for method in ("matcher", "phase_correlation", "identity"):
        name = f"test/registration/{method}"
        assert found[f"{name}/pairs"] == 2
        assert found[f"{name}/median_m"] == pytest.approx(10 * found[f"{name}/median_px"])
        assert 0 <= found[f"{name}/auc_5px"] <= 1
    assert 0 < found["test/registration/identity/median_px"] < 2 * math.hypot(16, 16)
    assert found["test/registration_auc_5px"] == found["test/registration/matcher/auc_5px"]
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert any("val/registration_auc_5px" in line for line in lines)
    assert "registration/phase_correlation/median_px" in (trained / "report.html").read_text()


def test_a_run_is_a_checkpoint_and_a_matcher_that_has_learned_nothing_is_refused(trained, tmp_path, capsys):
    matcher = load_matcher(trained)
    assert matcher.side == 64
    assert not matcher.training
    import numpy as np

    rng = np.random.default_rng(0)
    paths = [
        write_tif(tmp_path / name, rng.standard_normal((160, 160)).astype(np.float32), transform=north_up())
        for name in ("a.tif", "b.tif")
    ]
    out = tmp_path / "out.tif"
    code = coregister([str(paths[0]), "--to", str(paths[1]), "--out", str(out), "--checkpoint", str(trained),
                       "--levels", "1", "--threads", "1", "--windows", "4"])  # fmt: skip
    assert code == 1
    assert "a.tif and b.tif" in capsys.readouterr().err
    assert not out.exists()


def test_a_model_without_a_matcher_is_refused_before_data_is_read():
    plain = ImageTransformer(image_size=32, patch=8, width=16, depth=1, heads=2)
    model = DualEncoder(encoders={"e": plain}, modalities={"s1": "e", "s2": "e"}, dim=8)
    with pytest.raises(ConfigError, match="LoFTRMatcher"):
        RegistrationError(first="s1", second="s2").check(model)


def test_an_elastic_warp_has_no_corner_error():
    with pytest.raises(ConfigError, match="elastic"):
        RegistrationError(first="s1", second="s2", warp={"elastic": 2})


def test_the_face_is_light_and_whole(tmp_path):
    assert LoFTRMatcher.__name__ == "LoFTRMatcher"
    with pytest.raises(CheckpointError):
        load_matcher(tmp_path)


PICTURES = """
model:
  class_path: core.models.DualEncoder
  init_args:
    dim: 8
    encoders:
      matcher:
        class_path: domains.remote_sensing.registration.LoFTRMatcher
        init_args: {widths: [4, 8, 8, 16], blocks: [1, 1, 1, 1], depth: 1, heads: 2, slice_dim: 2, side: 64}
    modalities: {rgb: matcher}
objectives:
  - class_path: domains.remote_sensing.registration.MatchPairs
    init_args: {first: rgb, second: rgb, size: 64, kinds: [tone, radar]}
data:
  layout: folder_geotiff
  batch_size: 2
  prepare_workers: 0
  processors:
    rgb:
      class_path: domains.remote_sensing.processors.OpticalProcessor
      init_args: {sensor: rgb, normalise: none, size: [96, 96]}
trainer: {max_steps: 1, threads: 1, precision: "32"}
evaluation:
  {retrieval: false, probe: null, figures: [{class_path: domains.remote_sensing.registration.RegistrationError,
   init_args: {first: rgb, second: rgb, size: 64}}]}
"""


def test_any_folder_of_pictures_gives_pairs_of_one_sensor_and_a_pseudo_modality(tmp_path):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    rows = ["file,split"]
    for i, split in enumerate(["train", "train", "val", "test"]):
        Image.fromarray(rng.integers(0, 255, (100, 96, 3), np.uint8)).save(tmp_path / "pictures" / f"{i}.png")
        rows.append(f"{i}.png,{split}")
    (tmp_path / "pictures" / "data.csv").write_text("\n".join(rows))
    (tmp_path / "own.yaml").write_text(PICTURES)
    argv = ["--config", tmp_path / "own.yaml", "--data.root", tmp_path / "pictures", "--run_dir", tmp_path / "run"]
    assert cli.main("remote_sensing", "pretrain", [str(word) for word in argv]) == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert found["test/registration/identity/pairs"] == 1
    assert "test/registration/identity/median_m" not in found  # pictures have no metres
    assert found["data_simulated"] == 0
