"""Vectors of frozen encoders, on small files in the layout of SEMI."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

pytest.importorskip("rdkit")

from core.data.layout import verify
from core.errors import DataError
from core.training import cli
from domains.molecules.data.embedded import EmbeddedMolecules, EmbeddingProcessor, EmbeddingRow

RNG = np.random.default_rng(0)
CAPTIONS = ["an alcohol", "an alkane", "an acid"]
SMILES = ["CCO", "CC", "CC(=O)O"]


def write(root, split, encoder, *, width=6, ids=("1", "2", "3"), **change):
    content = {"ids": list(ids), "emb": RNG.normal(size=(len(ids), width)).astype(np.float32),
               "caption": CAPTIONS[: len(ids)], "smiles": SMILES[: len(ids)]}  # fmt: skip
    content |= change
    np.savez(root / f"{split}_embs_{encoder}.npz", **{k: v for k, v in content.items() if v is not None})
    return content["emb"]


def test_encoders_meet_by_id_and_what_one_lacks_is_absent(tmp_path):
    first = write(tmp_path, "train", "molca")
    write(tmp_path, "train", "unimol", width=4, ids=["2", "9"], caption=None, smiles=None)
    layout = EmbeddedMolecules(root=tmp_path, split="train", encoders=["molca", "unimol"])
    records = {record.id: record for record in layout}
    assert set(records) == {"1", "2", "3", "9"}
    assert set(records["2"].sources) == {"molca", "unimol", "text", "graph"}
    assert set(records["9"].sources) == {"unimol"}
    assert records["3"].sources["text"] == "an acid"
    assert verify(layout) == []
    processor = EmbeddingProcessor(width=8)
    inp = processor.collate([processor.load(records[i].sources["molca"]) for i in "123"])
    np.testing.assert_array_equal(inp.x[:, :6].numpy(), first)
    assert (inp.x[:, 6:] == 0).all()
    with pytest.raises(DataError, match="vectors of 6 numbers, the processor's width is 5"):
        EmbeddingProcessor(width=5).load(records["1"].sources["molca"])
    with pytest.raises(DataError, match="is no stored vector"):
        processor.load("CCO")


def test_safetensors_hold_the_same(tmp_path):
    emb = RNG.normal(size=(2, 5)).astype(np.float32)
    rows = [{"id": 7, "caption": "a", "smiles": "C"}, {"id": 8}]
    save_file({"emb": emb}, tmp_path / "valid_embs_x.safetensors", metadata={"rows": json.dumps(rows)})
    layout = EmbeddedMolecules(root=tmp_path, split="val", encoders=["x"])
    assert [r.id for r in layout] == ["7", "8"]
    assert set(layout.record(1).sources) == {"x"}
    source = layout.record(1).sources["x"]
    assert isinstance(source, EmbeddingRow)
    np.testing.assert_array_equal(EmbeddingProcessor(width=5).load(source)["vector"], emb[1])


def test_a_pickle_is_never_read_and_the_way_out_is_said(tmp_path):
    (tmp_path / "train_embs_molca.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(DataError, match=r"train_embs_molca\.pkl: a pickle is not read.*numpy\.savez"):
        EmbeddedMolecules(root=tmp_path, split="train", encoders=["molca"])
    with pytest.raises(DataError, match=r"test_embs_molca\.npz: no such file"):
        EmbeddedMolecules(root=tmp_path, split="test", encoders=["molca"])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"emb": np.zeros((2, 4), np.float32)}, r"emb is \(2, 4\) for 3 ids"),
        ({"emb": np.full((3, 4), np.nan, np.float32)}, "the vector of '1' is not finite"),
        ({"ids": ["1", "1", "2"]}, "an id stands there twice"),
        ({"emb": None}, "cannot be read"),
        ({"emb": np.array([object()] * 3)}, "cannot be read"),  # a pickle inside
    ],
)
def test_faulty_files_are_named(tmp_path, change, fault):
    write(tmp_path, "train", "x", **change)
    with pytest.raises(DataError, match=r"train_embs_x\.npz.*" + fault):
        EmbeddedMolecules(root=tmp_path, split="train", encoders=["x"])


def test_a_projector_learns_from_stored_vectors(tmp_path):
    ids = [str(i) for i in range(24)]
    for split in ("train", "val", "test"):
        captions = [f"number {i} of {split}" for i in ids]
        write(tmp_path, split, "molca", ids=ids, caption=captions, smiles=["CCO"] * 24)
    pair = {"class_path": "core.objectives.Pair", "init_args": {"rows": "molca", "keys": "text"}}
    vector = "domains.molecules.data.embedded.EmbeddingProcessor"
    text = {"vocab_size": 300, "max_length": 16, "width": 16, "depth": 1, "heads": 2}
    model = {
        "class_path": "core.models.DualEncoder",
        "init_args": {
            "dim": 16,
            "encoders": {
                "stored": {"class_path": "core.encoders.VectorMLP", "init_args": {"features": 8}},
                "text": {"class_path": "core.encoders.TextTransformer", "init_args": text},
            },
            "modalities": {"molca": "stored", "text": "text"},
            "projections": {"molca": {"class_path": "core.models.Projector", "init_args": {"width": 8, "dim": 16}}},
        },
    }
    wording = {"class_path": "domains.molecules.processors.WordingProcessor",
               "init_args": {"vocab_size": 300, "max_length": 16}}  # fmt: skip
    system = {
        "model": model, "objectives": [pair],
        "data": {
            "layout": "embedded_molecules", "root": str(tmp_path), "layout_args": {"encoders": ["molca"]},
            "batch_size": 8, "prepare_workers": 0,
            "processors": {"molca": {"class_path": vector, "init_args": {"width": 8}}, "text": wording},
        },
        "trainer": {"max_steps": 2, "threads": 1, "progress": False},
        "evaluation": {"zero_shot": False, "probe": None, "bootstrap": 2, "gallery": 0},
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(json.dumps(system))
    run = tmp_path / "run"
    assert cli.main("molecules", "pretrain", ["--config", str(tmp_path / "own.yaml"), "--run_dir", str(run)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["modality/image"] == "molca"
    assert np.isfinite(summary["test/retrieval/molca_to_text/R@10"])
