"""Every verb and every packaged system of the medical domain, briefly, on a handful of simulated studies.

The phantom is built once per test session into its own cache; models run two steps.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import core
from core.config.tree import load_yaml
from core.training import cli
from domains.medical import layout_class, load_encoder

STUDIES = {"train": 12, "val": 6, "test": 8}
DEFAULT = "radclip"
CONFIGS = Path(core.__file__).parents[1] / "configs" / "medical"
PRETRAIN = ["clip", "convirt", "m3ae", "radclip"]  # the others in test_systems.py, without the whole command
FINETUNE = sorted(p.stem for p in (CONFIGS / "finetune").glob("[!_]*.yaml"))
DATA = ["--data.layout_args", json.dumps({"studies": STUDIES}), "--data.prepare_workers", 0, "--data.batch_size", 4]
BRIEF = ["--trainer.max_steps", 2, "--trainer.log_every", 1, "--trainer.threads", 1, "--trainer.precision", 32]
SMALL = [
    "--data.processors.ct.size", "[4, 32, 32]", "--evaluation.bootstrap", 10, "--evaluation.gallery", 2,
    "--evaluation.probe.seeds", 1, "--evaluation.probe.fractions", "[0.1, 1.0]", "--evaluation.probe.neighbours", 3,
]  # fmt: skip


def main(verb: str, *argv: object) -> int:
    return cli.main("medical", verb, [str(word) for word in argv])


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """The command works from anywhere, and leaves nothing where it is called from."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def studies():
    """The test split of the phantom."""
    return layout_class("thorax_phantom")(split="test", studies=STUDIES)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, studies):
    """System -> its finished run; each is run when first asked for."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}

    def run(system: str) -> Path:
        if system not in runs:
            runs[system] = folder / system
            baseline = ["--evaluation.untrained_baseline", system == DEFAULT]
            argv = ["--config", system, "--run_dir", runs[system], *DATA, *BRIEF, *SMALL, *baseline]
            assert main("pretrain", *argv) == 0
            shutil.rmtree(runs[system] / "checkpoints")  # two copies of the model and the optimizer, for every system
        return runs[system]

    return run


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.mark.parametrize("system", PRETRAIN)
def test_every_pretraining_system_runs_and_leaves_a_model(system, pretrained):
    run = pretrained(system)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines if "loss" in line)
    assert summary(run)["data_simulated"] == 1
    assert {"config.yaml", "summary.json", "report.html", "model"} <= set(os.listdir(run))
    assert "SIMULATED" in (run / "model" / "README.md").read_text()
    assert "SIMULATED" in (run / "report.html").read_text()
    for modality in load_yaml(run / "config.yaml")["model"]["init_args"]["modalities"]:
        assert load_encoder(run, modality).dim > 0


def test_the_default_system_measures_what_the_summary_promises(pretrained):
    assert cli.domain_info("medical")["default"]["pretrain"] == DEFAULT
    found = summary(pretrained(DEFAULT))
    for name in ("test/retrieval/image_to_text/R@5", "test/retrieval/text_to_image/R@5", "test/zero_shot/macro_auroc",
                 "test/probe_10pct/macro_auroc", "test/probe_10pct_untrained/macro_auroc", "wall_s", "train_wall_s",
                 "peak_rss_mb", "samples_per_s", "steps", "parameters"):  # fmt: skip
        assert isinstance(found[name], (int, float)), name


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_yaml_says_at_its_top_what_it_is(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20


@pytest.mark.parametrize("task", FINETUNE)
def test_every_finetuning_runs_from_the_pretrained_encoder(task, pretrained, studies, tmp_path):
    run = tmp_path / "tuned"
    argv = ["--config", task, "--from_run", pretrained(DEFAULT), "--run_dir", run, *DATA, *BRIEF, "--bootstrap", 10]
    assert main("finetune", *argv, "--trainer.validate_every", 1) == 0
    found = summary(run)
    assert found["steps"] == 2
    assert (run / "finetuned.safetensors").is_file()
    if task != "segmentation":
        assert 0 <= found["test/macro_auroc"] <= 1
        return
    for name in ("organs", "lesions"):
        assert f"test/{name}/mean_dice" in found
    written = sorted((run / "predictions").iterdir())
    assert len(written) == 2 * min(8, len(studies))
    scan = nibabel.load(studies.record(0).sources["ct"])
    labels = nibabel.load(next(path for path in written if path.name == "0000-organs.nii.gz"))
    assert labels.shape == scan.shape
    np.testing.assert_allclose(labels.affine, scan.affine)
    assert set(np.unique(np.asarray(labels.dataobj))) <= set(range(11))


def test_evaluate_reads_a_run_and_repeats_its_figures(pretrained, tmp_path):
    run = pretrained(DEFAULT)
    argv = ["--model", run, "--run_dir", tmp_path / "again", *DATA, *BRIEF[4:]]
    assert main("evaluate", *argv, *SMALL[2:], "--evaluation.untrained_baseline", False) == 0
    first, again = summary(run), summary(tmp_path / "again")
    for name in ("test/retrieval/image_to_text/R@5", "test/retrieval/text_to_image/R@5", "test/zero_shot/macro_auroc",
                 "test/probe_10pct/macro_auroc"):  # fmt: skip
        assert again[name] == pytest.approx(first[name], abs=1e-6), name


def test_embed_and_encode_give_the_same_vectors_for_files_arrays_and_lists(pretrained, studies, tmp_path):
    run = pretrained(DEFAULT)
    scans = [studies.record(i).sources["ct"] for i in range(3)]
    folder = tmp_path / "inbox"
    folder.mkdir()
    for path in scans:
        (folder / path.name).symlink_to(path)
    (folder / "notes.txt").write_text("not an input")
    (folder / "broken.nii.gz").write_bytes(b"junk")
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(folder / "z.png")
    argv = ["--model", run, "--inputs", folder, "--run_dir", tmp_path / "run", "--trainer.precision", 32]
    assert main("embed", *argv) == 0
    table = pq.read_table(tmp_path / "run" / "embeddings.parquet").to_pydict()
    names = [Path(name).name for name in table["file"]]
    assert names == [*sorted(path.name for path in scans), "z.png"]
    assert table["modality"] == ["ct", "ct", "ct", "xray"]
    assert "broken.nii.gz" in (tmp_path / "run" / "bad_records.csv").read_text()

    encoder = load_encoder(run, "ct")
    batch = encoder.encode([str(path) for path in sorted(scans, key=lambda p: p.name)])
    np.testing.assert_allclose(batch, np.array(table["vector"][:3], np.float32), atol=1e-5)
    one = encoder.encode(scans[0])
    assert one.shape == (encoder.dim,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    image = nibabel.load(scans[0])
    same = encoder.encode((np.asarray(image.dataobj, np.float32), image.affine))
    np.testing.assert_allclose(same, one, atol=1e-5)


def test_embed_without_inputs_takes_the_sample_data(pretrained, monkeypatch, tmp_path, studies):
    monkeypatch.setattr("domains.medical.data.samples.STUDIES", STUDIES)
    assert main("embed", "--model", pretrained("convirt"), "--run_dir", tmp_path / "run") == 0
    table = pq.read_table(tmp_path / "run" / "embeddings.parquet").to_pydict()
    assert set(table["modality"]) == {"xray"}  # this model reads no volumes
    assert len(table["file"]) == len(studies)


def write_folder(root: Path, count: int = 12) -> Path:
    """Radiographs only, as somebody's own folder with a table."""
    root.mkdir()
    rows = ["file,report,patient,split,Fluid"]
    for n in range(count):
        pixels = np.random.default_rng(n).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{n}.png")
        split = ("train", "train", "val", "test")[n % 4]
        rows.append(f"{n}.png,Film number {n} with some words.,p{n},{split},{n // 4 % 2}")
    (root / "data.csv").write_text("\n".join(rows) + "\n")
    return root


def test_the_same_command_pretrains_on_a_folder_of_ones_own(tmp_path):
    root = write_folder(tmp_path / "own", 40)
    argv = [
        "--data.layout",
        "folder_csv",
        "--data.root",
        root,
        "--run_dir",
        tmp_path / "run",
        *DATA[2:],
        *BRIEF,
        *SMALL,
    ]
    assert main("pretrain", *argv) == 0
    found = summary(tmp_path / "run")
    assert found["records/train"] == 20
    assert found["data_simulated"] == 0
    assert "test/retrieval/xray_to_report/R@5" in found
    assert "SIMULATED" not in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("ruin", "fault"),
    [
        (lambda root: (root / "data.csv").write_text("name,report\na.png,x\n"), "column"),
        (lambda root: (root / "data.csv").write_text("file,report\n"), "the table has a header and no rows"),
        (lambda root: (root / "data.csv").unlink(), "data.csv"),
        (lambda root: [p.unlink() for p in root.glob("*.png")], "none of the files it names exists"),
        (lambda root: [p.write_bytes(b"x") for p in root.glob("*.png")], "cannot be used, more than the share"),
    ],
    ids=["no column", "no rows", "no table", "no files", "only damaged files"],
)
def test_a_folder_that_cannot_be_used_is_one_message(ruin, fault, tmp_path, capsys):
    root = write_folder(tmp_path / "own")
    ruin(root)
    argv = ["--data.layout", "folder_csv", "--data.root", root, "--run_dir", tmp_path / "run", *DATA[2:], *BRIEF]
    assert main("pretrain", *argv) == 1
    said = capsys.readouterr().err
    assert fault in said
    assert str(root) in said
    assert "Traceback" not in said


def test_an_absent_folder_and_a_wrong_layout_are_one_message(tmp_path, capsys):
    assert main("pretrain", "--data.layout", "folder_csw", "--data.root", tmp_path / "none") == 2
    said = capsys.readouterr().err
    assert "2 faults" in said
    assert "data.layout: there is no layout 'folder_csw'; did you mean 'folder_csv'?" in said.replace(
        "data.layout: data", "data"
    )
    assert f"data.root: no such file or folder: {tmp_path / 'none'}" in said
