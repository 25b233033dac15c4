"""Fingerprints as encoders, and what a projector for a new one is worth."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.encoders import VectorMLP
from core.errors import ConfigError, DataError
from core.models import DualEncoder, Projector, ProjectorHypernet
from core.training.precision import Compute
from domains.molecules.data.shipped import nci
from domains.molecules.data.smiles_csv import SmilesCSV
from domains.molecules.io.parse import read_many
from domains.molecules.objectives import NewEncoder
from domains.molecules.objectives.new_encoder import recall
from domains.molecules.processors import FingerprintProcessor, WordingProcessor

SMILES = [text for _, text in nci()][20:90]
KINDS = ("morgan", "atom_pairs", "torsions", "paths", "maccs")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fingerprint_is_that_of_rdkit(kind):
    from rdkit.Chem import rdFingerprintGenerator as Generators
    from rdkit.Chem import rdMolDescriptors

    processor = FingerprintProcessor(kind=kind, size=256)
    found = processor.collate([processor.load(text) for text in SMILES[:5]]).x
    assert found.shape == (5, 256)
    assert found.dtype == torch.float32
    for row, mol in enumerate(read_many(SMILES[:5])):
        if kind == "maccs":
            bits = list(rdMolDescriptors.GetMACCSKeysFingerprint(mol).GetOnBits())
            assert found[row].nonzero()[:, 0].tolist() == bits
            continue
        made = {
            "morgan": Generators.GetMorganGenerator(radius=2, fpSize=256),
            "atom_pairs": Generators.GetAtomPairGenerator(fpSize=256),
            "torsions": Generators.GetTopologicalTorsionGenerator(fpSize=256),
            "paths": Generators.GetRDKitFPGenerator(fpSize=256),
        }[kind]
        counts = made.GetCountFingerprint(mol).GetNonzeroElements()
        np.testing.assert_allclose(
            found[row].numpy(), [np.log1p(counts.get(i, 0)) for i in range(256)], rtol=1e-6
        )  # fmt: skip


def test_fingerprint_processors_say_what_they_cannot_do_and_go_to_other_processes():
    with pytest.raises(ConfigError, match="no kind 'morgn'; did you mean 'morgan'"):
        FingerprintProcessor(kind="morgn")
    with pytest.raises(ConfigError, match="size is 64; give 1 or more, 167 for maccs"):
        FingerprintProcessor(kind="maccs", size=64)
    processor = FingerprintProcessor(kind="maccs", size=200)
    before = processor.load("CCO")["counts"]
    again = pickle.loads(pickle.dumps(processor))  # our own object: what loader processes do
    np.testing.assert_array_equal(again.load("CCO")["counts"], before)
    assert processor.fingerprint() != FingerprintProcessor(kind="maccs", size=201).fingerprint()
    with pytest.raises(DataError, match="not a SMILES"):
        processor.load("C1CC")


def test_recall_counts_ties_at_their_mean_rank():
    same = torch.ones(25, 4)
    assert recall(same, same) == 0.0  # all 25 share rank 13
    assert recall(torch.ones(19, 4), torch.ones(19, 4)) == 1.0  # rank 10
    assert recall(torch.eye(30), torch.eye(30)) == 1.0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("table")
    rows = [f"m{i},{s},a molecule of {len(s)} signs,{'test' if i < 30 else 'train'}" for i, s in enumerate(SMILES)]
    rows += ["v,CC,an ethane,val", "bad,C1CC,a ring that is not closed,test"]
    (root / "data.csv").write_text("id,smiles,text,split\n" + "\n".join(rows))
    layouts = {split: SmilesCSV(root=root, split=split) for split in ("train", "val", "test")}
    processors = {"graph": FingerprintProcessor(size=256), "text": WordingProcessor(vocab_size=300, max_length=16)}
    module = DataModule(layouts, processors, DataSettings(prepare_workers=0, max_bad_share=0.5), seed=0)
    module.fit_processors()
    module.prepare(("train", "val", "test"), bad_csv=root / "bad.csv")
    return module


class Words(VectorMLP):
    """A text encoder that needs no training: counts of its token ids."""

    def __init__(self):
        super().__init__(features=300)

    def forward(self, inp, **how):
        counts = torch.zeros(len(inp), 300).scatter_add(1, inp.x % 300, torch.ones_like(inp.x, dtype=torch.float))
        inp.x = counts
        return super().forward(inp, **how)


def model():
    torch.manual_seed(0)
    return DualEncoder(
        encoders={"vector": VectorMLP(features=256), "words": Words()},
        modalities={"graph": "vector", "text": "words"},
        dim=32,
        projections={"graph": Projector(width=256, dim=32)},
        heads={"hypernet": ProjectorHypernet(width=256, dim=32, text_width=32, rank=2, most=16)},
    ).eval()


def test_the_figure_scores_every_way_on_held_out_molecules(data):
    figure = NewEncoder(modality="graph", shots=(4, 32), steps=3)
    subject = model()
    figure.check(subject)
    before = {name: tensor.clone() for name, tensor in subject.state_dict().items()}
    how = {"compute": Compute(torch.device("cpu"), "32", 1), "seed": 0, "n_bootstrap": 1}
    with torch.no_grad():
        found = figure.measure(subject, data, split="test", **how)
        again = figure.measure(subject, data, split="test", **how)
        assert figure.measure(subject, data, split="val", **how) == {}
    assert found == again
    arms = {"unchanged", "written", "written_steps", "scratch", "ridge", "chance"}
    assert set(found) == {f"new_encoder/{k}/{arm}" for k in (4, 32) for arm in arms}
    assert found["new_encoder/4/chance"] == pytest.approx(10 / 30)
    assert all(0 <= value <= 1 for value in found.values())
    # a hypernetwork before its first step writes the unchanged projector
    assert found["new_encoder/32/written"] == found["new_encoder/32/unchanged"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.state_dict().items())
    assert all(p.requires_grad for p in subject.parameters())
    assert json.dumps(found)


def test_a_model_without_a_hypernetwork_is_refused():
    with pytest.raises(ConfigError, match=r"a ProjectorHypernet as model\.heads\.writer"):
        NewEncoder(modality="graph", hypernet="writer").check(model())
    with pytest.raises(ConfigError, match="needs the modalities 'morgan'"):
        NewEncoder(modality="morgan").check(model())
    with pytest.raises(ConfigError, match="two pairs and one step"):
        NewEncoder(modality="graph", shots=(1,))
