"""Two fine-tuned runs become one adapted model, through the commands; CROMA through the land cover task and `embed`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.training import cli
from core.training.finetuned import load_finetuned
from core.types import ModalityInput

OTHER = '{"a": "#000000", "b": "#ffffff"}'
PLACES = {"train": 3, "val": 2, "test": 2}
ARGUMENTS = [
    "--data.prepare_workers", 0, "--data.batch_size", 4, "--trainer.max_steps", 2, "--trainer.log_every", 1,
    "--trainer.threads", 1, "--trainer.precision", 32, "--bootstrap", 2,
]  # fmt: skip


def main(verb: str, *argv: object) -> int:
    return cli.main("remote_sensing", verb, [str(word) for word in argv])


def dates(*numbers: int) -> list[str]:
    return ["--data.layout_args", json.dumps({"places": PLACES, "workers": 0, "dates": numbers})]


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One run of each sensor, on images of June."""
    folder = tmp_path_factory.mktemp("sources")
    for sensor in ("s1", "s2"):
        own = ["--modality", sensor, "--init", "scratch", "--pretrain_system", "multimae", "--run_dir", folder / sensor]
        assert main("finetune", "--config", "landcover", *own, *dates(2), *ARGUMENTS) == 0
    return folder


@pytest.fixture(scope="module")
def adapted(sources, tmp_path_factory):
    run = tmp_path_factory.mktemp("adapted") / "run"
    towers = ["--towers.s1", sources / "s1", "--towers.s2", sources / "s2"]
    assert main("finetune", "--config", "summit", *towers, "--run_dir", run, *dates(0), *ARGUMENTS) == 0
    return run


def windows(count=2):
    rng = torch.Generator().manual_seed(0)
    x = {"s1": torch.randn(count, 2, 48, 48, generator=rng), "s2": torch.randn(count, 12, 48, 48, generator=rng)}
    return {m: ModalityInput(v) for m, v in x.items()}, {m: torch.ones(count, dtype=torch.bool) for m in x}


def test_figures_before_and_after_come_from_both_sensors_and_each(adapted):
    found = summary(adapted)
    for seen in ("s1+s2", "s1", "s2"):
        assert 0 <= found[f"test/unadapted/{seen}/mean_iou"] <= 1
        assert 0 <= found[f"test/{seen}/mean_iou"] <= 1
    assert found["test/mean_iou"] == found["test/s1+s2/mean_iou"]
    assert 0 <= found["target/agreed"] <= 1
    assert "mean IoU before and after adaptation" in (adapted / "report.html").read_text()


def test_the_towers_begin_as_the_runs_ended(sources, adapted, tmp_path):
    """With a rate of almost nothing, the adapted model answers with the mean of the two runs; but for the running means
    of its batch norms, which move with any step in training mode."""
    run = tmp_path / "still"
    towers = ["--towers.s1", sources / "s1", "--towers.s2", sources / "s2", "--optim.lr", 1e-12]
    assert main("finetune", "--config", "summit", *towers, "--run_dir", run, *dates(0), *ARGUMENTS) == 0
    inputs, present = windows()
    with torch.no_grad():
        runs = {m: load_finetuned(sources / m).model for m in ("s1", "s2")}
        singles = [model({m: inputs[m]}, {m: present[m]}).softmax(1) for m, model in runs.items()]
        still = load_finetuned(run).model
        for m, model in runs.items():
            still.head.encoder.decoders[m].standardise.load_state_dict(model.head.decoder.standardise.state_dict())
        found = still(inputs, present).softmax(1)
        torch.testing.assert_close(found, (singles[0] + singles[1]) / 2, rtol=1e-4, atol=1e-5)
        moved = load_finetuned(adapted).model(inputs, present).softmax(1)
    assert not torch.allclose(moved, found, atol=1e-5)


def test_processors_come_with_what_the_source_runs_learned(sources, adapted):
    kept, original = load_finetuned(adapted).processors["s2"], load_finetuned(sources / "s2").processors["s2"]
    assert kept.fingerprint() == original.fingerprint()
    assert kept.normalisation.known == original.normalisation.known


def test_labels_of_the_target_change_no_weight(sources, adapted, tmp_path):
    """Noisy labels to score against in place of clean ones: the same weights, other figures."""
    run = tmp_path / "noisy"
    towers = ["--towers.s1", sources / "s1", "--towers.s2", sources / "s2", "--task.init_args.mask", "dw"]
    assert main("finetune", "--config", "summit", *towers, "--run_dir", run, *dates(0), *ARGUMENTS) == 0
    assert (run / "finetuned.safetensors").read_bytes() == (adapted / "finetuned.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--towers.s1", "{s1}"], 2, "no fine-tuned run for 's2'"),
        (["--towers.s1", "{s2}", "--towers.s2", "{s2}"], 2, "reads s2; give one of --modality s1"),
        (["--towers.s1", "{s1}", "--towers.s2", "nowhere"], 1, "holds no fine-tuned model"),
        (
            ["--towers.s1", "{s1}", "--towers.s2", "{s2}", "--task.init_args.classes", OTHER],
            2,
            "name the same classes",
        ),
        (["--from_run", "{s1}"], 1, "holds no saved model"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_adapted_are_refused(argv, code, said, sources, capsys):
    filled = [word.replace("{", f"{sources}/").replace("}", "") if word in ("{s1}", "{s2}") else word for word in argv]
    assert main("finetune", "--config", "summit", *filled, "--run_dir", "run", *dates(0), *ARGUMENTS) == code
    assert said in capsys.readouterr().err


def test_adaptation_without_towers_says_what_is_missing(capsys):
    argv = ["--init", "scratch", "--pretrain_system", "multimae", "--run_dir", "run", *dates(0), *ARGUMENTS]
    assert main("finetune", "--config", "summit", *argv) == 2
    assert "give their runs with --towers.MODALITY RUN" in capsys.readouterr().err


def test_croma_and_dofa_learn_land_cover_and_croma_answers_without_a_sensor(tmp_path):
    small = ["--init", "scratch", *dates(2), *ARGUMENTS]
    croma = ["--pretrain_system", "croma", "--modality", "[s1, s2]", "--run_dir", "croma", *small]
    assert main("finetune", "--config", "landcover", *croma) == 0
    found = summary(tmp_path / "croma")
    assert all(0 <= found[f"test/{seen}/mean_iou"] <= 1 for seen in ("s1+s2", "s1", "s2"))
    model = load_finetuned("croma").model
    inputs, present = windows()
    with torch.no_grad():
        alone = model({"s2": inputs["s2"]}, {"s2": present["s2"]})
        some = {**present, "s1": torch.tensor([True, False])}
        both = model({"s1": inputs["s1"].rows(some["s1"]), "s2": inputs["s2"]}, some)
    torch.testing.assert_close(both[1], alone[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both[0], alone[0], atol=1e-4)
    dofa = ["--pretrain_system", "dofa", "--modality", "s1", "--run_dir", "dofa", *small]
    assert main("finetune", "--config", "landcover", *dofa) == 0
    assert np.isfinite(summary(tmp_path / "dofa")["test/mean_iou"])
