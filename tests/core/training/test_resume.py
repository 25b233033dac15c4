"""A run that is killed, stopped, or finds its disk full, and is resumed, ends in the same bits as one that was not.

Every run here is a process of its own: killing is SIGKILL, a full disk is a failing system call or a file size limit.
"""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import processes
import pytest
import yaml

from core.errors import CheckpointError
from core.files import verify_manifest
from core.training import checkpoint

QUICK = ["--evaluation.retrieval", "false", "--evaluation.zero_shot", "false", "--evaluation.probe", "null"]


@pytest.fixture(scope="module")
def whole(toy_configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert processes.run(toy_configs, "pretrain", ["--run_dir", str(folder / "run"), *QUICK], folder / "log") == 0
    return folder / "run"


@pytest.fixture(scope="module")
def stopped(toy_configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed in step 10 (0-based); its checkpoints are of steps 4, 6 (the best) and 8."""
    folder = tmp_path_factory.mktemp("stopped")
    argv = ["--run_dir", str(folder / "run"), *QUICK]
    code = processes.run(toy_configs, "pretrain", argv, folder / "log", ("signal_at_step", signal.SIGKILL, 10))
    assert code == -signal.SIGKILL
    return folder / "run"


def copy_of(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def resume(configs: Path, run: Path, log: Path, *sabotage: object) -> tuple[int, str]:
    code = processes.run(configs, "pretrain", ["--resume", str(run)], log, sabotage)
    return code, log.read_text()


def assert_same_end(run: Path, whole: Path) -> None:
    for name in ("weights.safetensors", "optimizer.safetensors"):
        end = "checkpoints/step-00000012"
        assert (run / end / name).read_bytes() == (whole / end / name).read_bytes(), name
    assert (run / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()
    assert processes.metrics(run) == processes.metrics(whole)


INSIDE_A_WRITE = {
    "before the first checkpoint": ("core.training.checkpoint", "atomic_folder", 1),
    "inside the first checkpoint": ("core.files", "write_manifest", 1, "step-"),
    "inside the second checkpoint": ("core.files", "write_manifest", 2, "step-"),
    "before the rename": ("os", "rename", 2, "step-"),
    "while an old one is deleted": ("shutil", "rmtree", 1, "step-"),
    "in the last checkpoint": ("core.files", "write_manifest", 4, "step-"),
    "while the model is saved": ("core.files", "write_manifest", 1, "model"),
}


@pytest.mark.parametrize("where", INSIDE_A_WRITE)
def test_killed_inside_a_write_and_resumed_ends_in_the_same_bits(where, whole, toy_configs, tmp_path):
    run = tmp_path / "run"
    code = processes.run(
        toy_configs, "pretrain", ["--run_dir", str(run), *QUICK], tmp_path / "log",
        ("kill_at_call", *INSIDE_A_WRITE[where]),
    )  # fmt: skip
    assert code == -signal.SIGKILL, (tmp_path / "log").read_text()
    code, log = resume(toy_configs, run, tmp_path / "log2")
    assert code == 0, log
    assert "damaged" not in log
    assert_same_end(run, whole)
    assert [p.name for p in (run / "checkpoints").glob(".*")] == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_a_random_instant_and_resumed_ends_in_the_same_bits(seed, whole, toy_configs, tmp_path):
    run, delay = tmp_path / "run", random.Random(seed).uniform(0.4, 2.0)
    process = processes.start(toy_configs, "pretrain", ["--run_dir", str(run), *QUICK], tmp_path / "log")
    process.join(delay)
    process.kill()
    process.join()
    if not (run / "config.yaml").exists():
        return  # so early that there is no run to resume
    code, log = resume(toy_configs, run, tmp_path / "log2")
    assert code == 0, f"killed after {delay:.2f} s\n{log}"
    assert_same_end(run, whole)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_stop_leaves_a_checkpoint_and_says_how_to_go_on(number, expected, whole, toy_configs, tmp_path):
    run = tmp_path / "run"
    argv = ["--run_dir", str(run), *QUICK]
    code = processes.run(toy_configs, "pretrain", argv, tmp_path / "log", ("signal_at_step", number, 4))
    log = (tmp_path / "log").read_text()
    assert code == expected, log
    assert f"stopped at step 5 of 12; continue with --resume {run}" in log
    assert "Traceback" not in log
    assert verify_manifest(run / "checkpoints" / "step-00000005", full=True) == []
    code, log = resume(toy_configs, run, tmp_path / "log2")
    assert code == 0, log
    assert "continuing from step 5 of 12" in log
    assert_same_end(run, whole)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "name"),
    [(cut, "weights.safetensors"), (flip, "optimizer.safetensors"), (Path.unlink, "manifest.json")],
)
def test_a_damaged_checkpoint_is_passed_over_with_one_warning(damage, name, whole, stopped, toy_configs, tmp_path):
    run = copy_of(stopped, tmp_path)
    damage(run / "checkpoints" / "step-00000008" / name)
    code, log = resume(toy_configs, run, tmp_path / "log")
    assert code == 0, log
    assert log.count("step-00000008 is damaged") == 1
    assert "continuing from step 6 of 12" in log
    assert_same_end(run, whole)


def test_without_a_whole_checkpoint_the_run_is_not_begun_anew_in_silence(stopped, tmp_path):
    run = copy_of(stopped, tmp_path)
    for path in (run / "checkpoints").glob("step-*/weights.safetensors"):
        flip(path)
    with pytest.warns(RuntimeWarning, match="damaged"), pytest.raises(CheckpointError, match=r"none of its \d .*whole"):
        checkpoint.load_latest(run / "checkpoints")


def edit(run: Path, *keys: str, value: object) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    here = config
    for key in keys[:-1]:
        here = here[key]
    here[keys[-1]] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def test_a_resumed_run_refuses_what_would_change_its_end_and_names_it(stopped, toy_configs, tmp_path):
    run = copy_of(stopped, tmp_path)
    edit(run, "seed", value=3)
    edit(run, "trainer", "threads", value=2)
    edit(run, "optim", "lr", value=0.5)
    edit(run, "data", "limit", value={"train": 20})
    code, log = resume(toy_configs, run, tmp_path / "log", "claim", "9.9.9")
    assert code == 1
    assert "Traceback" not in log
    for line in ("seed: was 0, is 3", "threads: was 1, is 2", "config.optim.lr: was 0.01, is 0.5", "is 9.9.9"):
        assert line in log, log
    assert "data: was" in log
    assert "Restore it, or start a new run" in log
    assert (run / "metrics.jsonl").read_text() == (stopped / "metrics.jsonl").read_text()  # nothing was touched


def test_another_content_of_the_data_is_refused(stopped, toy_configs, toy_root, tmp_path):
    run = copy_of(stopped, tmp_path)
    data = Path(shutil.copytree(toy_root, tmp_path / "data"))
    (data / "train-0.npy").unlink()
    edit(run, "data", "root", value=str(data))
    code, log = resume(toy_configs, run, tmp_path / "log")
    assert code == 1
    assert "  - data: was" in log


def test_a_finished_run_resumed_keeps_its_weights(whole, toy_configs, tmp_path):
    run = copy_of(whole, tmp_path)
    code, log = resume(toy_configs, run, tmp_path / "log")
    assert code == 0, log
    assert "continuing from step 12 of 12" in log
    assert_same_end(run, whole)


def test_workers_give_the_same_run_also_when_resumed(whole, toy_configs, tmp_path):
    run = tmp_path / "run"
    argv = ["--run_dir", str(run), *QUICK, "--data.workers", "2"]
    code = processes.run(toy_configs, "pretrain", argv, tmp_path / "log", ("signal_at_step", signal.SIGKILL, 6))
    assert code == -signal.SIGKILL, (tmp_path / "log").read_text()
    code, log = resume(toy_configs, run, tmp_path / "log2")
    assert code == 0, log
    assert_same_end(run, whole)


FULL = {
    "the disk is full when a checkpoint ends": ("full_disk_at_call", "core.files", "write_manifest", 2, "step-"),
    "files may not grow": ("file_size_limit", 5_000, 6),
}


@pytest.mark.parametrize("how", FULL)
def test_a_full_disk_is_one_message_and_the_last_checkpoint_stays_whole(how, whole, toy_configs, tmp_path):
    run = tmp_path / "run"
    code = processes.run(toy_configs, "pretrain", ["--run_dir", str(run), *QUICK], tmp_path / "log", FULL[how])
    log = (tmp_path / "log").read_text()
    assert code == 1, log
    assert "Traceback" not in log
    assert log.count("\nerror: ") == 1
    assert "step-00000006: cannot be written" in log
    assert "bytes are free there" in log
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000004"]
    assert verify_manifest(run / "checkpoints" / "step-00000004", full=True) == []
    code, log = resume(toy_configs, run, tmp_path / "log2")
    assert code == 0, log
    assert_same_end(run, whole)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_one_message_and_the_last_checkpoint_stays_whole(value, toy_configs, tmp_path):
    run = tmp_path / "run"
    argv = ["--run_dir", str(run), *QUICK]
    code = processes.run(toy_configs, "pretrain", argv, tmp_path / "log", ("loss_becomes", value, 5))
    log = (tmp_path / "log").read_text()
    assert code == 1, log
    assert "Traceback" not in log
    assert f"error: step 5: the loss is {value} (" in log
    assert "no update was made. The last checkpoint is whole" in log
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000004"]
    assert verify_manifest(run / "checkpoints" / "step-00000004", full=True) == []
