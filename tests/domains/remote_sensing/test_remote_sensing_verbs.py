"""Every verb and every packaged system of the domain, briefly, on a handful of simulated places."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import pytest

import core
from core.training import cli
from core.training.finetuned import load_finetuned
from domains.remote_sensing import load_encoder

PLACES = {"train": 3, "val": 2, "test": 2}
CONFIGS = Path(core.__file__).parents[1] / "configs" / "remote_sensing"
PICTURES = {"rs_m_clip_rgb"}  # not of the sample data: tests/domains/remote_sensing/test_caption_systems.py
PRETRAIN = sorted({p.stem for p in (CONFIGS / "pretrain").glob("[!_]*.yaml")} - PICTURES)
DATA = ["--data.layout_args", json.dumps({"places": PLACES, "workers": 0}), "--data.prepare_workers", 0]
BRIEF = [
    "--data.batch_size", 4, "--trainer.max_steps", 2, "--trainer.log_every", 1, "--trainer.threads", 1,
    "--trainer.precision", 32,
]  # fmt: skip
EVALUATION = [
    "--evaluation.bootstrap", 10, "--evaluation.gallery", 1, "--evaluation.probe", "null",
]  # fmt: skip


def main(verb: str, *argv: object) -> int:
    return cli.main("remote_sensing", verb, [str(word) for word in argv])


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """System -> its finished run; each is run when first asked for."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}

    def run(system: str) -> Path:
        if system not in runs:
            runs[system] = folder / system
            assert main("pretrain", "--config", system, "--run_dir", runs[system], *DATA, *BRIEF, *EVALUATION) == 0
            shutil.rmtree(runs[system] / "checkpoints")  # two copies of the model and the optimizer, for every system
        return runs[system]

    return run


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.mark.parametrize("system", PRETRAIN)
def test_every_pretraining_system_runs_and_leaves_a_model(system, pretrained):
    run = pretrained(system)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert summary(run)["data_simulated"] == 1
    assert {"config.yaml", "summary.json", "report.html", "model"} <= set(os.listdir(run))


@pytest.mark.parametrize("modality", ["[s1, s2]", "s1"])
def test_land_cover_is_learned_from_one_sensor_or_both_and_scored_from_each(modality, pretrained, tmp_path):
    argv = ["--modality", modality, "--from_run", pretrained("multimae"), "--run_dir", tmp_path / "run", *DATA, *BRIEF]
    assert main("finetune", "--config", "landcover", "--bootstrap", 10, *argv) == 0
    found = summary(tmp_path / "run")
    parts = ["s1+s2", "s1", "s2"] if "," in modality else ["s1"]
    assert all(0 <= found[f"test/{seen}/mean_iou"] <= 1 for seen in parts)
    assert found["test/mean_iou"] == found[f"test/{parts[0]}/mean_iou"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "SIMULATED" in report
    assert "Held-out maps" in report


@pytest.mark.parametrize(
    ("config", "figures"),
    [
        ("multilabel", ["macro_map", "micro_map", "macro_f1", "micro_f1", "macro_auroc"]),
        ("scene_class", ["accuracy", "average_accuracy", "macro_f1"]),
        ("change", ["iou/changed", "f1/changed", "recall/changed", "changed_share"]),
    ],
)
def test_other_tasks_run_and_their_figures_are_finite(config, figures, pretrained, tmp_path):
    places = {**PLACES, "train": 6, "test": 4}  # enough that something changes at one of them
    argv = [
        "--data.layout_args.places", json.dumps(places), "--data.layout_args.workers", 0, "--data.prepare_workers", 0,
        "--from_run", pretrained("multimae"), "--run_dir", tmp_path / "run", "--bootstrap", 10, *BRIEF,
    ]  # fmt: skip
    assert main("finetune", "--config", config, *argv) == 0
    found = summary(tmp_path / "run")
    assert all(0 <= found[f"test/{name}"] <= 1 for name in figures)
    assert all(f"test/{figures[0]}_{end}" in found for end in ("low", "high"))
    assert found["data_simulated"] == 1


def test_two_dates_share_one_encoder_and_it_is_loaded_again(pretrained, tmp_path):
    from core.training.finetuned import load_finetuned

    run = tmp_path / "run"
    argv = [
        "--data.layout_args.places", json.dumps({**PLACES, "train": 6, "test": 4}), "--data.layout_args.workers", 0,
        "--data.prepare_workers", 0, "--from_run", pretrained("multimae"), "--run_dir", run, "--bootstrap", 10, *BRIEF,
    ]  # fmt: skip
    assert main("finetune", "--config", "change", *argv) == 0
    found = load_finetuned(run)
    assert found.model.modalities == ("s2", "s2_before")
    assert list(found.model.encoders["encoder"].modalities) == ["s2"]
    assert set(found.processors) == {"s2", "s2_before"}


@pytest.mark.parametrize("init", ["pretrained", "scratch"])
def test_simulated_indicators_are_learned_from_an_image_and_scored_in_their_units(init, pretrained, tmp_path):
    argv = ["--from_run", pretrained("urbanclip"), "--init", init, "--run_dir", tmp_path / "run", *DATA, *BRIEF]
    assert main("finetune", "--config", "indicators", "--bootstrap", 10, *argv) == 0
    found = summary(tmp_path / "run")
    names = ["simulated_population", "simulated_carbon", "simulated_night_light"]
    assert all(found[f"test/{name}/RMSE"] > 0 and found[f"test/{name}/rows"] == 8 for name in names)
    assert found["test/mean_R2"] == pytest.approx(sum(found[f"test/{name}/R2"] for name in names) / 3)
    again = load_finetuned(tmp_path / "run")
    assert again.task.quantities == names
    assert "Quantities of held-out rows" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("system", ["closp", "rs_m_clip"])
def test_retrieval_is_reported_by_sensor_language_and_worth(system, pretrained):
    run = pretrained(system)
    found, report = summary(run), (run / "report.html").read_text()
    for sensor in ("s1", "s2") if system == "closp" else ("s2",):
        name = f"test/retrieval/text_to_{sensor}/nDCG@10"
        assert 0 <= found[f"{name}_low"] <= found[name] <= found[f"{name}_high"] <= 1
        assert found[f"test/retrieval/{sensor}_to_text/R@5_chance"] > 0
        assert f"text → {sensor}" in report or "text → image" in report
    assert "Retrieval by worth" in report
    assert "en\t" not in report  # queries are shown as they are read
    for name in ("other_view", "local_1"):
        assert f"test/retrieval/text_to_{name}/R@5" not in found


def test_a_task_of_one_modality_refuses_two(pretrained, tmp_path, capsys):
    argv = ["--from_run", pretrained("multimae"), "--run_dir", tmp_path / "run", *DATA, *BRIEF]
    node = '{"class_path": "core.training.tasks.Classification"}'
    assert main("finetune", "--config", "landcover", "--task", node, *argv) == 2
    assert "Classification reads one modality, not s1, s2" in capsys.readouterr().err


def test_a_saved_encoder_gives_the_vector_of_adapter_and_transformer(pretrained):
    from domains.remote_sensing.data.samples import SyntheticScenes

    encoder = load_encoder(pretrained("multimae"), "s2")
    scenes = SyntheticScenes(split="test", places=PLACES, workers=0)
    vector = encoder.encode(scenes.record(0).sources["s2"])
    assert vector.shape == (64,)
    assert math.isclose(float((vector**2).sum()), 1, rel_tol=1e-4)


@pytest.mark.parametrize(("system", "modality"), [("cromss", "s2"), ("ssma_experts", "s1")])
def test_encoders_that_learned_from_noisy_labels_are_fine_tuned(system, modality, pretrained, tmp_path):
    argv = ["--modality", modality, "--from_run", pretrained(system), "--run_dir", tmp_path / "run", *DATA, *BRIEF]
    assert main("finetune", "--config", "landcover", "--bootstrap", 10, "--task.cells", 8, *argv) == 0
    assert 0 <= summary(tmp_path / "run")[f"test/{modality}/mean_iou"] <= 1


def test_fusion_begins_with_the_experts_and_leaves_them_as_they_are(pretrained, tmp_path):
    from safetensors.torch import load_file

    argv = ["--init_from", pretrained("ssma_experts"), "--run_dir", tmp_path / "run", *DATA, *BRIEF, *EVALUATION]
    assert main("pretrain", "--config", "ssma", *argv) == 0
    experts, fused = (
        load_file(run / "model" / "model.safetensors") for run in (pretrained("ssma_experts"), tmp_path / "run")
    )
    encoders = [name for name in experts if name.startswith("encoders.")]
    assert len(encoders) > 100
    assert all(bool((experts[name] == fused[name]).all()) for name in encoders)


def test_labels_that_the_data_does_not_have_are_named(tmp_path, capsys):
    argv = ["--objectives.0.mask", "dv", "--run_dir", tmp_path / "run", *DATA, *BRIEF, *EVALUATION]
    assert main("pretrain", "--config", "cromss", *argv) == 2
    assert (
        "no training record of SyntheticScenes (simulated) has masks 'dv'; valid: clean, cloud, dw"
        in capsys.readouterr().err
    )
