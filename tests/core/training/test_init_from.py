"""A run that begins with a saved model: its weights, its tokenizer, its checks, and how it is resumed."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import processes
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.hub import SavedModel
from core.objectives import FrozenTeacher
from core.training import cli

QUICK = ["--evaluation.retrieval", "false", "--evaluation.zero_shot", "false", "--evaluation.probe", "null"]


@pytest.fixture(scope="module")
def first(toy_configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the first task."""
    folder = tmp_path_factory.mktemp("first")
    argv = ["--run_dir", str(folder / "run"), "--trainer.max_steps", "4", *QUICK]
    assert processes.run(toy_configs, "pretrain", argv, folder / "log") == 0, (folder / "log").read_text()
    return folder / "run"


@pytest.fixture
def main(toy_domain_known, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def run(*argv: object) -> tuple[int, str]:
        code = cli.main("toy", "pretrain", [str(word) for word in argv] + QUICK)
        return code, capfd.readouterr().err

    return run


def test_it_begins_with_the_saved_weights_and_its_tokenizer_whatever_its_seed(first, main, tmp_path):
    code, log = main(
        "--init_from", first, "--run_dir", tmp_path / "next", "--trainer.max_steps", 1, "--optim.lr", 1e-12,
        "--optim.weight_decay", 0, "--seed", 7, "--data.limit", "{train: 12}",
    )  # fmt: skip
    assert code == 0, log
    assert f"begins with the weights and tokenizers of {first}" in log
    before, after = (load_file(run / "model" / "model.safetensors") for run in (first, tmp_path / "next"))
    for name, tensor in after.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-6)
    one, two = (run / "model/processors/words/tokenizer.json" for run in (first, tmp_path / "next"))
    assert one.read_bytes() == two.read_bytes()
    assert len(json.loads((tmp_path / "next" / "summary.json").read_text())["init_from"]) == 16


def test_weights_that_do_not_fit_are_named_before_data_is_read(first, main, tmp_path):
    code, log = main("--init_from", first, "--run_dir", tmp_path / "next", "--model.init_args.dim", 4)
    assert code == 1
    assert "does not fit the model" in log
    assert "projections.picture.linear.weight is (8, 32), the model's is (4, 32)" in log
    assert "reading" not in log
    assert "Traceback" not in log


def test_a_folder_that_is_no_run_is_refused(main, tmp_path):
    code, log = main("--init_from", tmp_path / "nothing", "--run_dir", tmp_path / "next")
    assert code == 2
    assert "init_from: no such file or folder" in log
    (tmp_path / "empty").mkdir()
    code, log = main("--init_from", tmp_path / "empty", "--run_dir", tmp_path / "next2")
    assert code == 1
    assert "holds no saved model" in log


def test_killed_and_resumed_it_ends_in_the_same_bits_and_other_weights_are_refused(first, toy_configs, tmp_path):
    source = Path(shutil.copytree(first, tmp_path / "first"))
    teachers = (
        "{old: {class_path: core.objectives.FrozenTeacher}, slow: {class_path: core.objectives.CompatibleMomentum}}"
    )
    objectives = (
        "[{class_path: core.objectives.Pair, init_args: {rows: picture, keys: words}},"
        " {class_path: core.objectives.TopologyPreservation, init_args: {first: picture, second: words, teacher: old}}]"
    )
    argv = ["--init_from", str(source), "--teachers", teachers, "--objectives", objectives, *QUICK]
    assert processes.run(toy_configs, "pretrain", ["--run_dir", str(tmp_path / "whole"), *argv], tmp_path / "log") == 0
    run = tmp_path / "run"
    code = processes.run(
        toy_configs, "pretrain", ["--run_dir", str(run), *argv], tmp_path / "log2",
        ("signal_at_step", signal.SIGKILL, 6),
    )  # fmt: skip
    assert code == -signal.SIGKILL, (tmp_path / "log2").read_text()
    stopped = Path(shutil.copytree(run, tmp_path / "stopped"))
    code = processes.run(toy_configs, "pretrain", ["--resume", str(run)], tmp_path / "log3")
    assert code == 0, (tmp_path / "log3").read_text()
    end = "checkpoints/step-00000012/weights.safetensors"
    assert (run / end).read_bytes() == (tmp_path / "whole" / end).read_bytes()
    weights = load_file(run / end)
    old = load_file(source / "model" / "model.safetensors")
    for name, tensor in old.items():  # the old model is what the run began with
        assert torch.equal(weights[f"objective.teachers.old.model.{name}"], tensor), name
        assert torch.equal(weights[f"objective.teachers.slow.start.{name}"], tensor), name

    changed = {name: t + 1 if t.is_floating_point() else t for name, t in old.items()}
    save_file(changed, source / "model" / "model.safetensors")
    (source / "model" / "manifest.json").unlink()
    code = processes.run(toy_configs, "pretrain", ["--resume", str(stopped)], tmp_path / "log4")
    assert code == 1
    assert "  - init_from: was" in (tmp_path / "log4").read_text()


def test_a_frozen_teacher_of_a_saved_model_gives_its_vectors(first, toy_domain_known):
    saved = SavedModel.from_pretrained(first)
    teacher = FrozenTeacher(saved=first)
    teacher.attach(torch.nn.Linear(1, 1))
    for name, tensor in saved.model.state_dict().items():
        assert torch.equal(teacher.model.state_dict()[name], tensor), name
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher.model.training


def test_a_longer_text_encoder_begins_with_the_stretch_of_a_shorter_one(first, main, tmp_path):
    """Long-CLIP as a configuration: another max_length and stretched positions, and nothing else."""
    code, log = main(
        "--init_from", first, "--run_dir", tmp_path / "long", "--trainer.max_steps", 2,
        "--model.init_args.encoders.reader.init_args.max_length", 40,
        "--model.init_args.encoders.reader.init_args.positions.class_path", "core.encoders.StretchedPositions",
        "--model.init_args.encoders.reader.init_args.positions.init_args",
        "{length: 40, width: 16, kept: 8, factor: 4}", "--data.processors.words.init_args.max_length", 40,
    )  # fmt: skip
    assert code == 0, log
    old, new = (load_file(run / "model" / "model.safetensors") for run in (first, tmp_path / "long"))
    table = "encoders.reader.positions.table"
    assert torch.equal(new["encoders.reader.positions.first"], old[table][:8])
    assert table not in new
    moved = (new["encoders.reader.positions.rest"][::4] - old[table][8:]).abs()
    assert moved.max() < 0.1  # two steps away from where the rule put them
    assert SavedModel.from_pretrained(tmp_path / "long").model.encoders["reader"].max_length == 40
