"""Every verb on the toy domain, in this process: what a run folder holds, and what comes next to it."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file

from core.config.tree import load_yaml
from core.errors import CheckpointError
from core.hub import SavedModel, load_encoder
from core.training import cli
from core.training.finetuned import load_finetuned


@pytest.fixture(autouse=True)
def _toy(toy_domain_known, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pretrained(toy_configs, tmp_path_factory):
    """A finished pretraining run of the toy domain."""
    with pytest.MonkeyPatch.context() as patch:
        from core import hub
        from core.training import finetune

        patch.setattr(cli, "CONFIGS", toy_configs)
        patch.setattr(finetune, "CONFIGS", toy_configs)
        patch.setattr(hub, "TRUSTED", (*hub.TRUSTED, "toy_domain."))
        run = tmp_path_factory.mktemp("runs") / "pretrain"
        assert cli.main("toy", "pretrain", ["--run_dir", str(run), "--evaluation.untrained_baseline", "true"]) == 0
    return run


def main(verb, *argv):
    return cli.main("toy", verb, [str(word) for word in argv])


def test_a_pretraining_run_leaves_what_is_promised(pretrained):
    for name in ("config.yaml", "metrics.jsonl", "summary.json", "report.html", "model/config.json", "model/README.md",
                 "model/model.safetensors", "model/processors/words/tokenizer.json"):  # fmt: skip
        assert (pretrained / name).stat().st_size > 0, name
    summary = json.loads((pretrained / "summary.json").read_text())
    for name in ("test/retrieval/image_to_text/R@5", "test/retrieval/text_to_image/R@5",
                 "test/probe_100pct/macro_auroc", "test/retrieval/rsum", "test/retrieval/mean_recall_low",
                 "test/alignment/gap", "test/alignment/separability", "test/alignment/alignment_high",
                 "test/alignment/uniformity_text", "test/alignment/hubness_image_to_text", "test/space/modality_gap",
                 "test/probe_100pct_untrained/macro_auroc", "wall_s", "train_wall_s", "peak_rss_mb", "samples_per_s",
                 "steps", "parameters", "records/train", "data_simulated"):  # fmt: skip
        assert isinstance(summary[name], (int, float)), name
        assert math.isfinite(summary[name])
    assert summary["steps"] == 12
    assert summary["test/alignment/gap"] == pytest.approx(summary["test/space/modality_gap"], abs=1e-5)
    recalls = [summary[f"test/retrieval/{d}/R@{k}"] for d in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    assert summary["test/retrieval/rsum"] == pytest.approx(100 * sum(recalls))
    assert summary["test/retrieval/mean_recall"] == pytest.approx(sum(recalls) / 6)
    page = (pretrained / "report.html").read_text()
    assert "linear separability" in page
    assert "RSUM" in page
    assert list(summary) == sorted(summary)
    config = load_yaml(pretrained / "config.yaml")
    assert config["system"] == "pair"
    assert config["optim"]["warmup"] == 0.1  # resolved: defaults are written out
    card = (pretrained / "model" / "README.md").read_text()
    assert "SIMULATED" in card
    assert "Not a medical device" in card


def test_metrics_have_training_and_validation_values_at_each_step(pretrained):
    lines = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))
    assert [line["step"] for line in lines if "val/mean_recall" in line] == [6, 12]
    first = lines[0]
    assert first["loss"] == pytest.approx(first["picture-words/loss"] + 0.5 * first["masked_words/loss"], rel=1e-5)
    assert {"lr", "grad_norm", "samples_per_s"} <= set(first)


def test_evaluate_finds_the_figures_of_the_run_again(pretrained, toy_root, tmp_path, capsys):
    argv = [
        "--model",
        pretrained,
        "--data.root",
        toy_root,
        "--run_dir",
        tmp_path / "again",
        "--evaluation.bootstrap",
        10,
    ]
    assert main("evaluate", *argv, "--trainer.threads", 1) == 0, capsys.readouterr().err
    again = json.loads((tmp_path / "again" / "summary.json").read_text())
    first = json.loads((pretrained / "summary.json").read_text())
    for name in (
        "test/retrieval/image_to_text/R@5",
        "test/retrieval/text_to_image/median_rank",
        "test/retrieval/rsum",
        "test/alignment/gap",
        "test/space/uniformity_a",
    ):
        if name in first:
            assert again[name] == pytest.approx(first[name], abs=1e-6), name
    assert again["test/retrieval/image_to_text/R@5"] == first["test/retrieval/image_to_text/R@5"]
    shown = capsys.readouterr().out
    assert f"{first['modality/image']} -> {first['modality/text']} R@5" in shown
    assert str(tmp_path / "again" / "summary.json") in shown


def test_evaluate_takes_no_other_processors_and_says_when_there_is_no_run(toy_root, pretrained, capsys):
    assert main("evaluate", "--data.root", toy_root) == 2
    assert "no pretrained run under runs/toy; give a run or saved model with --model DIR" in capsys.readouterr().err
    node = "{class_path: toy_domain.PictureProcessor}"
    assert main("evaluate", "--model", pretrained, "--data.root", toy_root, "--data.processors.picture", node) == 2
    assert "evaluation reads data as the model was trained to" in capsys.readouterr().err


@pytest.mark.parametrize("start", [[], ["--init", "scratch"], ["--freeze", "true"]], ids=["", "scratch", "frozen"])
def test_finetune_learns_labels_from_the_pretrained_encoder_or_from_scratch(start, pretrained, tmp_path, capsys):
    run = tmp_path / "tuned"
    assert main("finetune", "--from_run", pretrained, "--run_dir", run, *start) == 0, capsys.readouterr().err
    summary = json.loads((run / "summary.json").read_text())
    assert 0 <= summary["test/macro_auroc"] <= 1
    assert summary["steps"] == 6
    weights, before = load_file(run / "finetuned.safetensors"), load_file(pretrained / "model/model.safetensors")
    own = {name.removeprefix("head.encoder."): w for name, w in weights.items() if name.startswith("head.encoder.")}
    same = [np.array_equal(w, before[f"encoders.eye.{name}"]) for name, w in own.items()]
    assert all(same) if "--freeze" in start else not all(same)
    assert (run / "report.html").is_file()
    assert load_yaml(run / "config.yaml")["from_run"] == str(pretrained)


def test_finetune_without_a_run_says_how_to_get_one_or_builds_the_systems_encoder(tmp_path, capsys):
    assert main("finetune") == 2
    said = capsys.readouterr().err
    assert "run `python -m domains.toy.pretrain` first, give one with --from_run DIR, or train without one" in said
    assert main("finetune", "--init", "scratch", "--run_dir", tmp_path / "scratch") == 0
    assert load_yaml(tmp_path / "scratch" / "config.yaml")["from_run"] is None


def test_finetune_on_words_uses_the_saved_tokenizer_and_trains_one_without_a_run(pretrained, tmp_path, capsys):
    base = ["--modality", "words", "--task.labels", "[bright]"]
    assert main("finetune", "--from_run", pretrained, "--run_dir", tmp_path / "a", *base) == 0, capsys.readouterr().err
    assert main("finetune", "--init", "scratch", "--run_dir", tmp_path / "b", *base) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (["--task.labels", "[brigt]"], "task.labels: the dataset has no label 'brigt'; did you mean 'bright'?"),
        (["--modality", "pictur"], "has no 'pictur'; did you mean 'picture'?"),
        (["--task.class_path", "core.training.tasks.Clasification"], "did you mean 'Classification'?"),
        (["--data.processors.words.max_length", "9"], "fine-tuning reads picture, not 'words'"),
        (["--data.processors.picture.gian", "2"], "picture.init_args.gian: PictureProcessor has no such"),
        (["--label_fraction", "0"], "label_fraction: is 0; should be greater than 0"),
        (["--task.class_path", "core.training.tasks.Segmentation", "--task.groups", "{organs: {liver: [6]}}"],
         "task.groups: no training record has masks 'organs'"),
    ],
)  # fmt: skip
def test_mistakes_in_a_finetuning_are_one_message(pretrained, argv, fault, tmp_path, capsys):
    assert main("finetune", "--from_run", pretrained, "--run_dir", tmp_path / "run", *argv) == 2
    said = capsys.readouterr().err
    assert fault in said
    assert "Traceback" not in said


def test_a_processor_may_be_changed_in_part(pretrained, tmp_path, capsys):
    argv = ["--from_run", pretrained, "--run_dir", tmp_path / "run", "--data.processors.picture.gain", 2]
    assert main("finetune", *argv) == 0, capsys.readouterr().err


def test_finetuning_resumes_although_a_newer_run_came_since(pretrained, tmp_path, capsys):
    run = tmp_path / "tuned"
    assert main("finetune", "--from_run", pretrained, "--run_dir", run) == 0
    before = (run / "finetuned.safetensors").read_bytes()
    newest = sorted((run / "checkpoints").iterdir())[-1]
    for path in newest.iterdir():
        path.unlink()
    os.rmdir(newest)
    assert main("finetune", "--resume", run) == 0, capsys.readouterr().err
    assert (run / "finetuned.safetensors").read_bytes() == before


def test_embed_writes_a_row_per_readable_file_and_names_the_others(pretrained, toy_root, tmp_path, capsys):
    folder = tmp_path / "new"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.npy").write_bytes((toy_root / f"test-{number}.npy").read_bytes())
    (folder / "3.npy").write_bytes(b"junk")
    (folder / "notes.txt").write_text("not an input")
    argv = ["--model", pretrained, "--inputs", folder, "--batch_size", 2, "--run_dir", tmp_path / "run"]
    assert main("embed", *argv) == 0, capsys.readouterr().err
    table = pq.read_table(tmp_path / "run" / "embeddings.parquet")
    assert table.column_names == ["file", "modality", "vector"]
    assert [os.path.basename(f) for f in table["file"].to_pylist()] == ["0.npy", "1.npy", "2.npy", "4.npy"]
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    expected = load_encoder(pretrained, "picture").encode([folder / f"{n}.npy" for n in (0, 1, 2, 4)])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert "4 vectors of 8 numbers, 1 skipped" in capsys.readouterr().out
    assert str(folder / "3.npy") in (tmp_path / "run" / "bad_records.csv").read_text()


@pytest.mark.parametrize(
    ("argv", "code", "fault"),
    [
        (["--on_bad_record", "raise"], 1, "junk.npy: not a readable picture"),
        ([], 1, "none of the 1 inputs could be read; see bad_records.csv"),
        (["--modality", "volume"], 2, "reads picture, the inputs are volume"),
        (["--inputs", "/no/such"], 2, "inputs: no such file or folder: /no/such"),
        (["--model", "/no/such"], 2, "model: no such file or folder: /no/such"),
    ],
)
def test_mistakes_in_embedding_are_one_message_and_leave_no_table(pretrained, argv, code, fault, tmp_path, capsys):
    (tmp_path / "junk.npy").write_bytes(b"junk")
    base = ["--model", pretrained, "--inputs", tmp_path / "junk.npy", "--run_dir", tmp_path / "run"]
    assert main("embed", *base, *argv) == code
    said = capsys.readouterr().err
    assert fault in said
    assert "Traceback" not in said
    assert not (tmp_path / "run" / "embeddings.parquet").exists()


def test_an_empty_folder_has_nothing_to_embed(pretrained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main("embed", "--model", pretrained, "--inputs", tmp_path / "empty") == 1
    assert "no readable kind of file under" in capsys.readouterr().err


def test_the_saved_model_gives_the_vectors_of_the_run(pretrained, toy_root):
    saved = SavedModel.from_pretrained(pretrained)
    assert saved.about["system"] == "pair"
    assert saved.about["simulated"] is True
    one = saved.encoder("picture").encode(toy_root / "test-0.npy")
    assert one.shape == (8,)
    assert np.linalg.norm(one) == pytest.approx(1, rel=1e-5)


@pytest.mark.slow
def test_two_processes_train_together_on_different_rows(toy_configs, toy_root, tmp_path):
    """`--trainer.devices 2` through the real command: DDP over gloo, one folder, one summary."""
    import subprocess
    import sys

    script = tmp_path / "toy_main.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport processes\nfrom core.training import cli, module\n"
        "real = module.TrainingModule.training_step\n"
        "def told(self, batch, i):\n"
        f"    with open({str(tmp_path)!r} + f'/rows-{{self.global_rank}}', 'a') as out:\n"
        "        print(self.done, *batch.ids, file=out)\n"
        "    return real(self, batch, i)\n"
        "module.TrainingModule.training_step = told\n"
        f"if __name__ == '__main__':\n    processes.use_toy_domain(Path({str(toy_configs)!r}))\n"
        "    sys.exit(cli.main('toy', 'pretrain', sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "--run_dir", str(tmp_path / "run"), "--trainer.devices", "2",
         "--trainer.accelerator", "cpu", "--data.batch_size", "6", "--trainer.max_steps", "4"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {}
    for rank in (0, 1):
        for line in (tmp_path / f"rows-{rank}").read_text().splitlines():
            step, *ids = line.split()
            rows[rank, int(step)] = set(ids)
    assert len(rows) == 8
    for step in range(4):
        assert len(rows[0, step]) == len(rows[1, step]) == 6
        assert not rows[0, step] & rows[1, step]
    assert (tmp_path / "run" / "summary.json").is_file()
    assert not (tmp_path / "runs").exists()


def test_a_finetuned_run_is_loaded_without_its_data_and_gives_the_same_logits(pretrained, toy_root, tmp_path, capsys):
    run = tmp_path / "tuned"
    argv = ["--from_run", pretrained, "--run_dir", run, "--data.processors.picture.gain", 2]
    assert main("finetune", *argv) == 0, capsys.readouterr().err
    tuned = load_finetuned(run)
    assert tuned.model.modality == "picture"
    assert tuned.task.labels == ["bright", "striped"]
    assert not tuned.model.training
    saved = load_file(run / "finetuned.safetensors")
    own = tuned.model.state_dict()
    assert own.keys() == saved.keys()
    assert all(np.array_equal(own[name].numpy(), saved[name]) for name in saved)
    processor = tuned.processors["picture"]
    picture = np.load(toy_root / "test-1.npy")
    sample = processor.load(toy_root / "test-1.npy")
    np.testing.assert_array_equal(sample["x"], 2 * picture)  # the processor as it was changed for fine-tuning
    with torch.no_grad():
        assert tuned.model(processor.collate([sample])).shape == (1, 2)


def test_what_a_finetuned_run_cannot_be_loaded_for_is_said(pretrained, tmp_path, capsys):
    with pytest.raises(CheckpointError, match="holds no fine-tuned model"):
        load_finetuned(pretrained)
    run = tmp_path / "tuned"
    assert main("finetune", "--from_run", pretrained, "--run_dir", run) == 0, capsys.readouterr().err
    about = json.loads((run / "finetuned.json").read_text())
    for change, fault in (
        ({"format": 9}, "format 9, this version reads format 1"),
        ({"modalities": ["smell"]}, "the model reads no modality 'smell'"),
        ({"task": {"class_path": "os.system", "init_args": {"command": "ls"}}}, "names the class 'os.system'"),
        ({"facts": {}}, "the head cannot be built"),
        ({"facts": {"labels": ["bright"]}}, "does not fit the model"),
    ):
        (run / "finetuned.json").write_text(json.dumps(about | change))
        with pytest.raises(CheckpointError, match=fault):
            load_finetuned(run)
