"""The commands of the molecule domain, as a person runs them, on a few of the shipped molecules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

import core
from core.config.tree import load_system
from core.errors import ConfigError, DataError
from core.hub import SavedModel
from core.training import cli
from domains.molecules.properties.run import run as properties

FOLDER = Path(core.__file__).parents[1] / "configs" / "molecules" / "pretrain"
READ_HERE = {"graph", "triple"}  # systems of other modalities have run tests of their own beside their data
ELSEWHERE = {"ring_graph"}  # nodes of one graph: text_graphs/test_attributed_graph_systems.py
SYSTEMS = sorted(
    p.stem
    for p in FOLDER.glob("[!_]*.yaml")
    for data in [load_system(p)["data"]]
    if READ_HERE & set(data["processors"]) and data.get("layout") not in ELSEWHERE
)
BRIEF = [
    "--data.batch_size", "8", "--trainer.max_steps", "2", "--trainer.log_every", "1", "--trainer.threads", "1",
    "--trainer.progress", "false", "--evaluation.bootstrap", "5", "--evaluation.gallery", "1",
]  # fmt: skip
TRIPLES = {
    "train": "a\tlikes\tb\nb\tlikes\tc\nc\tknows\ta\na\tknows\td\nd\tlikes\ta\n",
    "valid": "b\tknows\td\n", "test": "c\tlikes\td\n", "entity2text": "a\tred apple\nb\tpear\n",
}  # fmt: skip
MOLECULES = ["--data.layout_args", json.dumps({"most": 100})]


def few_measured(system: str) -> list[str]:
    """Options that let the probes of a system read few molecules."""
    figures = load_system(FOLDER / f"{system}.yaml").get("evaluation", {}).get("figures", [])
    places = [i for i, node in enumerate(figures) if node["class_path"].endswith("MeasuredProperties")]
    return [word for i in places for word in (f"--evaluation.figures.{i}.init_args.most", "60")]


def pretrain(folder: Path, *argv: str) -> int:
    return cli.main("molecules", "pretrain", ["--run_dir", str(folder), *BRIEF, *(argv or MOLECULES)])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "default"
    assert pretrain(folder, *MOLECULES, *few_measured("graph_text")) == 0
    return folder


def test_pretraining_without_a_system_is_the_default_one(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["records/train"] == 80
    assert summary["data_simulated"] == 0
    assert "made by rule" in summary["data"]
    assert np.isfinite(summary["test/retrieval/graph_to_text/R@10"])
    found = [f"test/properties/chembl_series/{kind}/RMSE" for kind in ("pretrained", "untrained", "morgan")]
    assert all(0 < summary[name] < 3 for name in found)
    assert summary["modality/image"] == "graph"
    report = (run / "report.html").read_text()
    assert "graph → text R@5" in report
    assert "data:image/png" in report  # drawn molecules
    assert "A molecule of" in report  # and their descriptions


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_trains_and_its_model_is_loaded_and_encodes(system, tmp_path):
    links = "triple" in load_system(FOLDER / f"{system}.yaml")["data"]["processors"]
    for split, lines in TRIPLES.items():
        (tmp_path / f"{split}.txt").write_text(lines)
    graph = ["--data.layout", "triples", "--data.root", str(tmp_path)]
    given = graph if links else [*MOLECULES, *few_measured(system)]
    assert pretrain(tmp_path / "run", "--config", system, *given) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    saved = SavedModel.from_pretrained(tmp_path / "run")
    modality, source = ("triple", "a\tlikes\tb") if links else ("graph", "CC(=O)Oc1ccccc1C(=O)O")
    vector = saved.encoder(modality).encode(source)
    assert vector.shape == (saved.model.dim,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_a_saved_model_reads_strings_and_files(run, tmp_path):
    encoder = SavedModel.from_pretrained(run).encoder("graph")
    vector = encoder.encode("CC(=O)Oc1ccccc1C(=O)O")
    (tmp_path / "a.smi").write_text("CC(=O)Oc1ccccc1C(=O)O aspirin\n")
    np.testing.assert_allclose(encoder.encode(tmp_path / "a.smi"), vector, atol=1e-5)
    with pytest.raises(DataError, match=r"C1CC.*not a SMILES"):
        encoder.encode("C1CC")


def test_graphs_of_another_vocabulary_are_refused_before_training(tmp_path, capsys):
    assert pretrain(tmp_path / "run", *MOLECULES, "--data.processors.graph.init_args.vocabulary", "ogb9") != 0
    said = capsys.readouterr().err
    assert "the processor makes graphs of vocabulary 'ogb9', the encoder reads 'hu2'" in said


def test_embedding_a_table_gives_a_vector_per_molecule(run, tmp_path):
    import pyarrow.parquet as pq

    (tmp_path / "own.csv").write_text("smiles\nCCO\nnonsense\nCCN\n")
    out = tmp_path / "vectors.parquet"
    words = ["--model", run, "--inputs", tmp_path / "own.csv", "--out", out, "--run_dir", tmp_path / "embed"]
    assert cli.main("molecules", "embed", list(map(str, words))) == 0
    table = pq.read_table(out)
    assert [name.rsplit(":", 1)[1] for name in table["file"].to_pylist()] == ["2", "4"]
    assert "nonsense" in (tmp_path / "embed" / "bad_records.csv").read_text()


def test_property_probes_compare_with_fingerprints_and_no_training(run, capsys):
    figures = properties(run, "graph", ["chembl_series"], seeds=1, most=200)
    assert set(figures["chembl_series"]) == {
        "pretrained", "untrained", "pretrained, all layers", "untrained, all layers", "morgan", "pretrained + morgan",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "measured; the series CHEMBL2321810" in said
    assert "of 1 splits" in said
    with pytest.raises(ConfigError, match="property set 'colour'"):
        properties(run, "graph", ["colour"], seeds=1)
