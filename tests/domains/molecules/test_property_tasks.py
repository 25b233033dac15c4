"""Fine-tuning on properties and predicting them, as a person does."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

from benchmarks.molecules import property_prediction
from benchmarks.result import Options
from core.errors import CheckpointError, ConfigError, DataError
from core.training import cli
from domains.molecules.data.measured import MeasuredMolecules
from domains.molecules.data.moleculenet import MoleculeNet
from domains.molecules.data.shipped import chembl_series, nci
from domains.molecules.data.smiles_csv import SmilesCSV
from domains.molecules.fingerprints import morgan_bits, nearest_tanimoto
from domains.molecules.graphs.fragments import scaffold
from domains.molecules.io.parse import read_many
from domains.molecules.predict import predict
from domains.molecules.predict.__main__ import main as predict_main
from domains.molecules.tasks import Properties
from domains.molecules.tasks.known import KnownMolecules
from domains.molecules.tasks.ridge import ALPHAS, ridge

SPLITS = ("train", "val", "test")
SMILES = [text for _, text in nci()][20:120]
TINY = ["--init", "scratch", "--trainer.threads", "1", "--trainer.progress", "false", "--bootstrap", "5",
        "--data.batch_size", "16"]  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def finetune(folder, *argv, steps=4, every=2):
    words = ["--run_dir", folder, *TINY, "--trainer.max_steps", steps, "--trainer.validate_every", every, *argv]
    return cli.main("molecules", "finetune", list(map(str, words)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on 150 molecules of the shipped series, of two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in (0, 1):
            assert finetune(folder / str(seed), "--seed", seed, "--data.layout_args.most", 150) == 0
    return folder / "0", folder / "1"


def test_a_run_on_values_stands_beside_fingerprints_and_keeps_what_it_saw(runs):
    summary = json.loads((runs[0] / "summary.json").read_text())
    own, morgan = summary["test/chembl_series/RMSE"], summary["test/morgan/chembl_series/RMSE"]
    assert 0.1 < morgan < 3
    assert 0.1 < own < 3
    same = summary["test/morgan/chembl_series/deviation"]
    assert summary["test/chembl_series/deviation"] == pytest.approx(same, rel=1e-5)  # labels of batches are float32
    assert summary["best_step"] in (2, 4)
    assert len(summary["split"]) == 16
    known = KnownMolecules.load(runs[0])
    assert len(known.ids) == summary["records/train"]
    layout = MeasuredMolecules(split="train", most=150)
    assert [r.id for r in layout] == known.ids.tolist()
    assert summary["split"] == json.loads((runs[1] / "summary.json").read_text())["split"]


def test_the_weights_that_are_kept_are_those_of_the_best_validation(runs):
    lines = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text().splitlines()]
    reached = {line["step"]: line["val/mean_R2"] for line in lines if "val/mean_R2" in line}
    best = max(reached, key=reached.__getitem__)
    assert json.loads((runs[0] / "summary.json").read_text())["best_step"] == best
    val = MeasuredMolecules(split="val", most=150)
    found = predict([runs[0]], [r.sources["graph"] for r in val])
    y = np.array([r.labels["chembl_series"] for r in val])
    r2 = 1 - ((found.values[:, 0] - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert r2 == pytest.approx(reached[best], abs=1e-4)


def test_predicting_keeps_rows_and_names_those_that_fail(runs, tmp_path, capsys):
    first = chembl_series().smiles[0]
    (tmp_path / "in.csv").write_text(f'name,SMILES,note\na,{first},"x, y"\nb,C1CC,\n\nc,CCO,z\n')
    words = ["--model", *map(str, runs), "--data.root", "in.csv", "--out", "out/table.csv", "--batch_size", "1"]
    assert predict_main(words) == 0
    with open("out/table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b", "", "c"]
    assert rows[0]["note"] == "x, y"
    assert [row["predicted_chembl_series"] == "" for row in rows] == [False, True, True, False]
    assert "'C1CC': not a SMILES" in rows[1]["error"]
    assert "the string is empty" in rows[2]["error"]
    assert rows[0]["error"] == ""
    assert (rows[0]["nearest_tanimoto"], rows[0]["nearest_training"]) in {("1", "chembl_series-0"), *_near(first, runs)}
    one, other = (predict([run], [first]).values[0, 0] for run in runs)
    assert float(rows[0]["predicted_chembl_series"]) == pytest.approx((one + other) / 2, rel=1e-4)
    assert float(rows[0]["spread_chembl_series"]) == pytest.approx(abs(one - other) / 2**0.5, rel=1e-3)
    assert "2 of 4 molecules predicted" in capsys.readouterr().err


def _near(smiles, runs):
    known = KnownMolecules.load(runs[0])
    near, which = nearest_tanimoto(morgan_bits(read_many([smiles])), known.bits)
    return {(f"{near[0]:.3g}", str(known.ids[which[0]]))}


def test_predictions_do_not_depend_on_the_batch_nor_on_the_order(runs):
    texts = [*SMILES[:9], "C"]
    whole = predict([runs[0]], texts).values
    np.testing.assert_allclose(predict([runs[0]], texts[::-1], batch_size=3).values[::-1], whole, atol=1e-5)
    assert np.isfinite(whole).all()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("name,structur\na,C\n", "no column of SMILES"),
        ("smiles\n", "a header and no rows"),
        ("smiles,n\nC,1,2\n", "line 2 has 3 cells, the header 2"),
        ("smiles,predicted_chembl_series\nC,1\n", "already has a column 'predicted_chembl_series'"),
    ],
)
def test_tables_that_cannot_be_predicted_are_one_message(runs, content, fault, tmp_path, capsys):
    (tmp_path / "in.csv").write_text(content)
    assert predict_main(["--model", str(runs[0]), "--data.root", "in.csv", "--out", "out.csv"]) != 0
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_files_of_molecules_are_predicted_as_well(runs, tmp_path):
    (tmp_path / "a.smi").write_text("CCO ethanol\nC1CC broken\n")
    assert predict_main(["--model", str(runs[0]), "--data.root", "a.smi", "--out", "out.csv"]) == 0
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], bool(row["error"])) for row in rows] == [("ethanol", False), ("broken", True)]


def test_a_run_without_training_molecules_or_of_another_kind_is_refused(runs, tmp_path):
    import shutil

    shutil.copytree(runs[0], tmp_path / "copy")
    (tmp_path / "copy" / "training_molecules.npz").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match=r"training_molecules\.npz: cannot be read"):
        predict([tmp_path / "copy"], ["C"])
    (tmp_path / "copy" / "training_molecules.npz").unlink()
    with pytest.raises(CheckpointError, match="no such file; give a run of `finetune` with the task Properties"):
        predict([tmp_path / "copy"], ["C"])
    with pytest.raises(ConfigError, match="Properties takes"):
        Properties(task=torch.nn.Identity())


def test_several_labels_with_unknown_ones_are_learned_from_a_public_table(tmp_path):
    def label(i, column):
        return "" if (i + column) % 3 == 0 else str((i // (column + 1)) % 2)

    lines = [f"{label(i, 0)},{label(i, 1)},1,T{i},{s}" for i, s in enumerate(SMILES)]
    (tmp_path / "tox21.csv").write_text("NR-AR,SR-p53,NR-ER,mol_id,smiles\n" + "\n".join(lines))
    words = ["--config", "property_labels", "--data.layout", "moleculenet", "--data.root", tmp_path,
             "--data.layout_args", '{"dataset": "tox21", "split_by": "hash", "split_seed": 3}',
             "--task.init_args.task.init_args.watch", "macro_auprc"]  # fmt: skip
    assert finetune(tmp_path / "run", *words) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    test = MoleculeNet(root=tmp_path, split="test", dataset="tox21", split_by="hash", split_seed=3)
    classes = [{r.labels[name] for r in test if np.isfinite(r.labels[name])} for name in test.label_names]
    assert classes[2] == {1.0}  # NR-ER has one class, and is left out of the mean
    scored = sum(len(found) == 2 for found in classes)
    assert summary["test/labels_scored"] == summary["test/morgan/labels_scored"] == scored == 2
    assert 0 <= summary["test/macro_auroc"] <= 1
    names = predict([tmp_path / "run"], ["CCO"]).names
    assert names == ["NR-AR", "SR-p53", "NR-ER"]
    values = predict([tmp_path / "run"], ["CCO"]).values
    assert ((values > 0) & (values < 1)).all()


def test_several_values_with_unknown_ones_are_learned_from_ones_own_table(tmp_path):
    lines = [f"m{i},{s},{i / 10},{'' if i % 2 else 100 + i}" for i, s in enumerate(SMILES)]
    (tmp_path / "mine.csv").write_text("id,smiles,logS,weight\n" + "\n".join(lines))
    part = ["train", "train", "train", "val", "test"]
    (tmp_path / "parts.txt").write_text("id,split\n" + "\n".join(f"m{i},{part[i % 5]}" for i in range(90)))
    arguments = {"values": ["logS", "weight"], "split_file": str(tmp_path / "parts.txt"), "table": "mine.csv"}
    words = ["--data.layout", "smiles_csv", "--data.root", tmp_path, "--data.layout_args", json.dumps(arguments)]
    assert finetune(tmp_path / "run", *words) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["records/train"], summary["records/test"]) == (54, 18)
    assert summary["test/weight/rows"] == sum(i % 2 == 0 for i in range(90) if i % 5 == 4)
    about = json.loads((tmp_path / "run" / "finetuned.json").read_text())
    train = [i for i in range(90) if i % 5 < 3]
    assert about["facts"]["mean"][0] == pytest.approx(np.mean([i / 10 for i in train]))  # of training rows alone
    assert about["facts"]["mean"][1] == pytest.approx(np.mean([100 + i for i in train if i % 2 == 0]))


def test_splits_come_from_a_file_or_a_seed(tmp_path):
    first, again, other = ([r.id for r in MeasuredMolecules(split="train", most=80, split_seed=s)] for s in (0, 0, 1))
    assert first == again != other
    parts = {s: list(MeasuredMolecules(split=s, most=80, split_seed=1)) for s in SPLITS}
    assert sum(map(len, parts.values())) == 80 - MeasuredMolecules(split="val", most=80).absent
    scaffolds = {s: {scaffold(m) for m in read_many([r.sources["graph"] for r in part])} for s, part in parts.items()}
    assert scaffolds["train"] & scaffolds["test"] <= {""}
    assert scaffolds["train"] & scaffolds["val"] <= {""}
    (tmp_path / "s.csv").write_text("id,split\nchembl_series-3,test\nchembl_series-1,training\nchembl_series-2,dev\n")
    own = {"split_file": tmp_path / "s.csv", "most": 20}
    layouts = {s: MeasuredMolecules(split=s, at_least=[7.5], **own) for s in SPLITS}
    assert {s: [r.id for r in part] for s, part in layouts.items()} == {
        "train": ["chembl_series-1"], "val": ["chembl_series-2"], "test": ["chembl_series-3"],
    }  # fmt: skip
    record = layouts["test"].record(0)
    assert record.labels["chembl_series >= 7.5"] == float(record.labels["chembl_series"] >= 7.5)
    for line, fault in (("chembl_series-x,test", "the data has no molecule"), ("chembl_series-1,middle", "split 'mid")):
        (tmp_path / "s.csv").write_text(f"id,split\n{line}\n")
        with pytest.raises(DataError, match=fault):
            MeasuredMolecules(split="train", **own)
    (tmp_path / "s.csv").write_text("id,split\nchembl_series-1,test\nchembl_series-1,test\n")
    with pytest.raises(DataError, match="'chembl_series-1' is named twice"):
        MeasuredMolecules(split="test", **own)


def test_moleculenet_gives_values_as_quantities_and_takes_other_splits(tmp_path):
    column = "measured log solubility in mols per litre"
    rows = "\n".join(f"{i / 7},{s}" for i, s in enumerate(SMILES))
    (tmp_path / "delaney-processed.csv").write_text(f"{column},smiles\n{rows}\n")
    layout = MoleculeNet(root=tmp_path, split="train", dataset="esol")
    assert (layout.label_names, layout.quantity_names) == ((), (column,))
    assert layout.record(0).labels[column] == pytest.approx(int(layout.record(0).id[5:]) / 7)
    hashed = [MoleculeNet(root=tmp_path, split=s, dataset="esol", split_by="hash", split_seed=3) for s in SPLITS]
    assert sum(map(len, hashed)) == len(SMILES)
    (tmp_path / "parts").write_text("id,split\nesol-5,train\n")
    one = MoleculeNet(root=tmp_path, split="train", dataset="esol", split_by="file", split_file=tmp_path / "parts")
    assert [r.id for r in one] == ["esol-5"]
    with pytest.raises(ConfigError, match="file together with split_file"):
        MoleculeNet(root=tmp_path, split="train", dataset="esol", split_by="file")
    with pytest.raises(ConfigError, match="give one of them"):
        SmilesCSV(root=tmp_path, split="train", split_seed=1, split_file=tmp_path / "parts")


def test_the_nearest_molecule_is_that_of_rdkit():
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    mols = read_many(SMILES)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    near, which = nearest_tanimoto(morgan_bits(mols[:7]), morgan_bits(mols[7:]))
    for row in range(7):
        expected = DataStructs.BulkTanimotoSimilarity(prints[row], prints[7:])
        assert near[row] == pytest.approx(max(expected), abs=1e-6)
        assert expected[which[row]] == pytest.approx(max(expected))
    with pytest.raises(ValueError, match="no known fingerprint"):
        nearest_tanimoto(morgan_bits(mols[:1]), morgan_bits([]))


@pytest.mark.parametrize("features", [5, 60])
def test_ridge_is_its_closed_form_at_the_strength_that_validates_best(features):
    rng = np.random.default_rng(features)
    x, weights = rng.normal(3, 2, (60, features)), rng.normal(size=features)
    x[:, -1] = 1.0  # never varies in training
    x[50:, -1] = 7.0
    y = x[:, :-1] @ weights[:-1] + rng.normal(size=60)
    train, val, test = slice(0, 30), slice(30, 45), slice(45, 60)
    found, alpha = ridge(x[train], y[train], x[val], y[val], x[test])
    z = (x - x[train].mean(0)) / np.maximum(x[train].std(0), 1e-9)
    z[:, -1] = 0

    def told(strength):
        gram = z[train].T @ z[train] + strength * np.eye(features)
        return z @ np.linalg.solve(gram, z[train].T @ (y[train] - y[train].mean())) + y[train].mean()

    errors = {a: np.mean((told(a)[val] - y[val]) ** 2) for a in ALPHAS}
    assert alpha == min(errors, key=errors.get)
    np.testing.assert_allclose(found, told(alpha)[test], rtol=1e-6)


def test_the_benchmark_compares_arms_of_the_same_seeds(tmp_path):
    def start(arguments, log):
        words = arguments[arguments.index("-m") + 2 :]
        folder = tmp_path / "out" / words[words.index("--run_dir") + 1]
        verb = arguments[1].rsplit(".", 1)[1]
        extra = TINY[2:6] if verb == "finetune" else ["--trainer.threads", "1", "--evaluation.bootstrap", "2"]
        log.write_text("")
        return cli.main("molecules", verb, [*words[: words.index("--run_dir")], "--run_dir", str(folder), *extra])

    design = property_prediction.Design(sets=("chembl_series",), steps=2, most=120, pretrain_steps=1, bootstrap=2)
    result = property_prediction.run(Options(seeds=(0,), folder=tmp_path / "out"), design, start=start)
    assert set(result.values) == {
        "chembl_series, fine-tuned", "chembl_series, from scratch", "chembl_series, Morgan + linear",
    }  # fmt: skip
    assert [(c.contender, c.better) for c in result.comparisons] == [("chembl_series, fine-tuned", "lower")] * 2
    assert all(np.isfinite(v).all() for figures in result.values.values() for v in figures.values())
