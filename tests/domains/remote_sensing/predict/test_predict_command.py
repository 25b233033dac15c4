"""The command on a fine-tuned run: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from core import hub
from core.config.build import build
from core.training.finetuned import save_finetuned
from core.training.tasks import Downstream, Task
from domains.remote_sensing.predict.__main__ import main
from domains.remote_sensing.predict.result import NODATA

CLASSES = ("water", "trees", "crops")
ENCODER = {
    "class_path": "core.models.DualEncoder",
    "init_args": {
        "dim": 8,
        "encoders": {
            "eye": {
                "class_path": "core.encoders.ConvNet",
                "init_args": {
                    "name": "resnet18", "channels": 4, "options": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
                },
            }
        },
        "modalities": {"s2": "eye"},
    },
}  # fmt: skip
PROCESSOR = {
    "class_path": "domains.remote_sensing.processors.OpticalProcessor",
    "init_args": {"sensor": "sentinel2_10m", "size": [48, 48]},
}


class Pixels(nn.Module):
    """Logits of every pixel; the encoder is carried along."""

    def __init__(self, encoder, classes):
        super().__init__()
        self.encoder = encoder
        self.layer = nn.Conv2d(4, classes, 1)

    def forward(self, inp):
        return self.layer(inp.x)


class LandCover(Task):
    """A task with a class per pixel, as small as can be."""

    def __init__(self, *, names: list[str]) -> None:
        self.classes = tuple(names)

    def head(self, encoder, modality, data):
        raise NotImplementedError

    def head_from(self, encoder, facts):
        return Pixels(encoder, len(self.classes) or 3)

    def terms(self):
        return []

    def validate(self, model, data, compute):
        return {}

    def evaluate(self, model, data, compute, *, folder, n_bootstrap, seed):
        raise NotImplementedError


@pytest.fixture
def run(tmp_path, scenes, monkeypatch):
    """A fine-tuned run, and the raster whose statistics its processor learned."""
    monkeypatch.setitem(sys.modules, "land_cover_task", sys.modules[__name__])
    monkeypatch.setattr(hub, "TRUSTED", (*hub.TRUSTED, "land_cover_task."))
    task_node = {"class_path": "land_cover_task.LandCover", "init_args": {"names": [*CLASSES]}}
    torch.manual_seed(0)
    folder = tmp_path / "run"
    processor = build(PROCESSOR)
    processor.fit([scenes.optical(60, 60)])
    encoder = build(ENCODER).encoder_of("s2")
    model = Downstream(Pixels(encoder, 3), encoder=encoder, modality="s2")
    folder.mkdir()
    save_finetuned(
        folder, model, encoder_node=ENCODER, task_node=task_node, facts={}, processors={"s2": processor},
        processor_nodes={"s2": PROCESSOR},
    )  # fmt: skip
    return folder, model, processor


def command(*words):
    return main([str(word) for word in [*words, "--threads", 1]])


def test_a_finetuned_run_maps_a_file_and_says_the_areas(run, scenes, tmp_path, capsys):
    folder, model, processor = run
    raster = scenes.optical(70, 90)
    raster.values_CHW[:, :10, :10] = np.nan
    scene = scenes.write(raster, tmp_path / "scene.tif")
    out = tmp_path / "map"
    assert command("--model", folder, "--inputs", scene, "--out", out) == 0, capsys.readouterr().err
    with rasterio.open(out / "class_map.tif") as file:
        classes = file.read(1)
        assert tuple(file.transform[:6]) == scenes.TRANSFORM
    processor.size = None
    with torch.no_grad():
        expected = model(processor.collate([processor.load(raster)]))[0].argmax(dim=0).numpy()
    known = raster.valid_HW
    np.testing.assert_array_equal(classes[known], expected[known])
    assert (classes[~known] == NODATA).all()
    said = capsys.readouterr()
    assert str(out / "class_map.tif") in said.out
    assert " ha " in said.out
    assert "mapping: strip" in said.err
    settings = json.loads((out / "map.json").read_text())["settings"]
    assert (settings["window"], settings["overlap"], settings["margin"]) == (48, 12, 6)  # as large as in training
    assert command("--model", folder, "--inputs", f"s2={scene}", "--out", out) == 0  # finished: said again


@pytest.mark.parametrize(
    ("change", "code", "fault"),
    [
        (["--inputs", "s1=a.tif"], 2, "the model reads no 's1'; valid: s2"),
        (["--inputs", "a.tif", "s2=b.tif"], 2, "'s2' is given twice"),
        (["--inputs", "nowhere.tif"], 1, "nowhere.tif: there is no such file"),
        (["--overlap", "48"], 2, "overlap: is 48; give pixels from 0 to 47"),
        (["--model", "nowhere"], 1, "nowhere: holds no fine-tuned model"),
    ],
)
def test_mistakes_are_one_message(run, change, code, fault, scenes, tmp_path, capsys):
    scene = scenes.write(scenes.optical(50, 50), tmp_path / "scene.tif")
    words = ["--model", run[0], "--inputs", scene, "--out", tmp_path / "map", *change]
    assert command(*words) == code
    said = capsys.readouterr().err
    assert fault in said
    assert "Traceback" not in said


def test_a_run_that_labels_no_pixels_is_refused(run, tmp_path, capsys):
    folder, *_ = run
    about = json.loads((folder / "finetuned.json").read_text())
    about["task"]["init_args"]["names"] = []
    (folder / "finetuned.json").write_text(json.dumps(about))
    assert command("--model", folder, "--inputs", "a.tif", "--out", tmp_path / "map") == 2
    assert "its task, LandCover, gives no class per pixel" in capsys.readouterr().err


def test_help_answers_without_torch():
    code = "import sys\nfrom domains.remote_sensing.predict.__main__ import main\n" \
           "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n" \
           "assert 'torch' not in sys.modules and 'rasterio' not in sys.modules"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--model RUN" in done.stdout
