"""The command line of the suites, and the entries that drive whole commands, with a stand-in for the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.commands import run_command
from benchmarks.medical import ENTRIES, LONG, pretraining_seeds, segmentation_label_efficiency
from benchmarks.output import comparison_rows
from benchmarks.result import Options
from benchmarks.suite import suites
from core.errors import ConfigError, DataError

PRETRAIN = {
    "test/retrieval/image_to_text/R@5": 0.5, "test/retrieval/image_to_text/R@5_chance": 0.025,
    "test/retrieval/text_to_image/R@5": 0.25, "test/retrieval/text_to_image/R@5_chance": 0.025,
    "test/zero_shot/macro_auroc": 0.85, "test/probe_10pct/macro_auroc": 0.8,
    "test/probe_10pct_untrained/macro_auroc": 0.7, "wall_s": 300.0, "train_wall_s": 200.0, "peak_rss_mb": 3000.0,
    "samples_per_s": 90.0, "data": "Phantom", "data_simulated": 1,
}  # fmt: skip


class Stand:
    """Writes the summary that `answer(arguments)` gives, as the real command would, and keeps what it was asked."""

    def __init__(self, answer, code=0):
        self.answer, self.code, self.asked = answer, code, []

    def __call__(self, arguments, log):
        self.asked.append(arguments)
        log.write_text("first line\nlast line\n")
        values = dict(zip(arguments[2::2], arguments[3::2], strict=False))
        folder = Path(values.get("--run_dir") or values["--resume"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text("{}")
        if self.code == 0:
            (folder / "summary.json").write_text(json.dumps(self.answer(values)))
        return self.code


def dice(values):
    gain = 0.05 if values["--init"] == "pretrained" else 0.0
    seed = int(values["--seed"])
    return {
        "test/organs/mean_dice": 0.8 + gain + seed * 0.01, "test/lesions/mean_dice": 0.3 + gain * (seed - 1),
        "train_wall_s": 10, "data": "Phantom", "data_simulated": 1,
    }  # fmt: skip


def test_segmentation_pairs_the_arms_of_each_seed(tmp_path):
    stand = Stand(dice)
    options = Options(seeds=(0, 1, 2), folder=tmp_path / "out", run=tmp_path, overrides=("--trainer.max_steps", "2"))
    result = segmentation_label_efficiency.run(options, start=stand)
    assert len(stand.asked) == 6
    assert all(asked[:2] == ["-m", "domains.medical.finetune"] for asked in stand.asked)
    assert all("--trainer.max_steps" in asked for asked in stand.asked)
    organs, lesions = result.effects
    assert organs.difference.values == pytest.approx((0.05, 0.05, 0.05))
    assert organs.verdict == "reproduced"
    assert lesions.difference.values == pytest.approx((-0.05, 0.0, 0.05))
    assert lesions.verdict == "not reproduced"
    assert result.simulated
    assert result.reached(result.goals[0])  # 0.85 + 0.86 + 0.87
    assert [row[-1] for row in comparison_rows([result])] == ["reproduced", "not reproduced", "reached"]


def test_finished_runs_are_not_repeated_and_others_are_refused(tmp_path):
    stand = Stand(dice)
    options = Options(seeds=(0,), folder=tmp_path / "out", run=tmp_path)
    first = segmentation_label_efficiency.run(options, start=stand)
    again = segmentation_label_efficiency.run(options, start=stand)
    assert len(stand.asked) == 2
    assert first.values == again.values
    other = Options(seeds=(0,), folder=tmp_path / "out", run=tmp_path, overrides=("--trainer.max_steps", "3"))
    with pytest.raises(ConfigError, match=r"holds a run with other arguments; give another folder with --out"):
        segmentation_label_efficiency.run(other, start=stand)


def test_a_stopped_run_is_resumed(tmp_path):
    folder = tmp_path / "seed0"
    with pytest.raises(DataError, match=r"ended with exit code 3; its last lines .*\n.*\nlast line"):
        run_command("medical", "pretrain", ["--seed", "0"], folder, start=Stand(dict, code=3))
    stand = Stand(lambda values: {"steps": 2})
    assert run_command("medical", "pretrain", ["--seed", "0"], folder, start=stand) == {"steps": 2}
    assert stand.asked == [["-m", "domains.medical.pretrain", "--resume", str(folder)]]


def test_segmentation_without_a_pretrained_run_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"give one with --run RUN_DIR, or run `python -m domains.medical.pretrain`"):
        segmentation_label_efficiency.run(Options(seeds=(0,), folder=tmp_path))


def test_pretraining_figures_and_goals(tmp_path):
    result = pretraining_seeds.run(Options(seeds=(0, 1), folder=tmp_path), start=Stand(lambda values: PRETRAIN))
    arm = result.values["pretrained"]
    assert arm["image to text R@5 / chance"] == pytest.approx((20.0, 20.0))
    assert arm["probe gain over untrained"] == pytest.approx((0.1, 0.1))
    assert [result.reached(goal) for goal in result.goals] == [True, False, True, True]  # 0.25 / 0.025 is 10, not 12
    assert result.effects[0].verdict == "reproduced"


def test_a_figure_that_a_run_does_not_give_is_named(tmp_path):
    lacking = {k: v for k, v in PRETRAIN.items() if k != "test/zero_shot/macro_auroc"}
    with pytest.raises(DataError, match=r"summary.json: has no figure 'test/zero_shot/macro_auroc'"):
        pretraining_seeds.run(Options(seeds=(0,), folder=tmp_path), start=Stand(lambda values: lacking))


def test_every_entry_has_a_module_and_a_claim():
    medical = suites()["medical"]
    assert medical.entries == ENTRIES
    assert medical.long == LONG
    for name in ENTRIES + LONG:
        assert medical.claim(name).endswith(".")
    scripts = ("contrastive", "kg_embeddings", "molecule_graphs", "objectives", "raster_windows", "scene_map")
    assert suites()["speed"].scripts == scripts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["medcal"], "no suite 'medcal'; did you mean 'medical'?"),
        (["medical", "--only", "convirt"], "suite 'medical' has no such entry; did you mean 'convirt_probe'?"),
        (["medical", "--only", "convirt_probe", "--seeds", "1", "1"], r"--seeds: [1, 1] must be different numbers"),
        (["medical", "--threads", "0"], "--threads: is 0; give 1 or more"),
        (["medical", "--trainer.max_steps", "2"], "--trainer.max_steps: unknown option; only segmentation"),
        (["speed", "--suite", "objectivs"], "'speed' has no such script; did you mean 'objectives'?"),
        (["medical", "--run", "nowhere"], "--run: no such folder: nowhere"),
    ],
)
def test_mistakes_end_in_one_message(arguments, message, capsys):
    assert command.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_help_and_listing_do_not_import_torch():
    code = (
        "import sys, contextlib\nfrom benchmarks.__main__ import main\n"
        "main([])\n"
        "with contextlib.suppress(SystemExit): main(['medical', '--help'])\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in (*ENTRIES, *LONG, "contrastive"):
        assert name in done.stdout
