"""The graph isomorphism network against a dense reference, its symmetries, and the names of public checkpoints."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("rdkit")

from core.errors import CheckpointError, ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.encoders import GIN, MoleculeGPS, load_public, pack, read_public
from domains.molecules.processors import GraphProcessor

TEXTS = ["CC(=O)Nc1ccc(O)cc1", "[Na+].[Cl-]", "C/C=C/F", "[Na+]", "C[C@H](N)C(=O)O"]
PROCESSOR = GraphProcessor()


def batch(texts: list[str] = TEXTS) -> ModalityInput:
    return PROCESSOR.collate([PROCESSOR.load(text) for text in texts])


@pytest.fixture
def gin():
    torch.manual_seed(0)
    model = GIN(width=12, depth=3)
    for norm in model.batch_norms:  # statistics that do something
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.5, 2.0)
    return model.double().eval()


def dense(model: GIN, text: str) -> torch.Tensor:
    """Hu's equations with loops over atoms and bonds."""
    sample = PROCESSOR.load(text)
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    h = [state["x_embedding1.weight"][a] + state["x_embedding2.weight"][b] for a, b in sample["atoms"].tolist()]
    for i in range(model.depth):
        e1, e2 = state[f"gnns.{i}.edge_embedding1.weight"], state[f"gnns.{i}.edge_embedding2.weight"]
        new = []
        for v in range(len(h)):
            total = h[v] + e1[4] + e2[0]
            for (u, w), (kind, direction) in zip(sample["edges"].T.tolist(), sample["bonds"].tolist(), strict=True):
                if w == v:
                    total = total + h[u] + e1[kind] + e2[direction]
            total = F.linear(total, state[f"gnns.{i}.mlp.0.weight"], state[f"gnns.{i}.mlp.0.bias"]).relu()
            total = F.linear(total, state[f"gnns.{i}.mlp.2.weight"], state[f"gnns.{i}.mlp.2.bias"])
            norm = f"batch_norms.{i}."
            total = (total - state[norm + "running_mean"]) / (state[norm + "running_var"] + 1e-5).sqrt()
            total = total * state[norm + "weight"] + state[norm + "bias"]
            new.append(total.relu() if i < model.depth - 1 else total)
        h = new
    return torch.stack(h)


def test_states_equal_the_equations_written_out(gin):
    encoded = gin(batch())
    for row, text in enumerate(TEXTS):
        atoms = dense(gin, text)
        torch.testing.assert_close(encoded.tokens.x[row, : len(atoms)], atoms, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(encoded.pooled[row], atoms.mean(dim=0), rtol=1e-10, atol=1e-12)
        assert encoded.tokens.mask[row].sum() == len(atoms)


def test_padding_and_company_change_nothing(gin):
    together = gin(batch())
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(gin(batch([text])).pooled[0], together.pooled[row], rtol=1e-12, atol=1e-12)
    inp = batch()
    inp.x[~inp.mask] = 7
    inp.extra["bonds"][~inp.extra["edge_mask"]] = 5
    assert torch.equal(gin(inp).pooled, together.pooled)


def test_renumbered_atoms_give_the_same_molecule(gin):
    a, b = gin(batch(["CC(=O)Nc1ccc(O)cc1"])), gin(batch(["Oc1ccc(NC(C)=O)cc1"]))
    torch.testing.assert_close(a.pooled, b.pooled)


def test_ogb_graphs_have_an_encoder_of_their_own_and_others_are_refused():
    other = GraphProcessor(vocabulary="ogb9")
    inp = other.collate([other.load("CCO"), other.load("C#N")])
    assert GIN(vocabulary="ogb9", width=8, depth=2)(inp).pooled.shape == (2, 8)
    with pytest.raises(DataError, match="reads 2 atom and 2 bond columns, the graphs have 9 and 3"):
        GIN(width=8, depth=1)(inp)
    with pytest.raises(ConfigError, match=r"needs domains\.molecules\.processors\.GraphProcessor"):
        pack(ModalityInput(x=torch.zeros(2, 3, 2)))


def test_one_atom_can_be_trained_on():
    model = GIN(width=8, depth=2).train()
    model(batch(["[Na+]"])).pooled.sum().backward()
    assert torch.isfinite(model.x_embedding1.weight.grad).all()


def test_the_gradient_reaches_every_part():
    model = GIN(width=8, depth=2).train()
    model(batch()).pooled.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def hu_state(width: int, depth: int) -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of the public GIN checkpoints."""
    state = {"x_embedding1.weight": torch.randn(120, width), "x_embedding2.weight": torch.randn(3, width)}
    for i in range(depth):
        state |= {
            f"gnns.{i}.mlp.0.weight": torch.randn(2 * width, width), f"gnns.{i}.mlp.0.bias": torch.randn(2 * width),
            f"gnns.{i}.mlp.2.weight": torch.randn(width, 2 * width), f"gnns.{i}.mlp.2.bias": torch.randn(width),
            f"gnns.{i}.edge_embedding1.weight": torch.randn(6, width),
            f"gnns.{i}.edge_embedding2.weight": torch.randn(3, width),
            f"batch_norms.{i}.weight": torch.randn(width), f"batch_norms.{i}.bias": torch.randn(width),
            f"batch_norms.{i}.running_mean": torch.randn(width), f"batch_norms.{i}.running_var": torch.rand(width),
            f"batch_norms.{i}.num_batches_tracked": torch.tensor(3),
        }  # fmt: skip
    return state


@pytest.mark.parametrize("prefix", ["", "gnn.", "structure_encoder.", "module.graph_encoder."])
def test_public_checkpoints_load_by_name(prefix, tmp_path):
    state = hu_state(300, 5)
    torch.save(
        {prefix + name: value for name, value in state.items()} | {"mtm_head.weight": torch.zeros(2)},
        tmp_path / "a.pth",
    )
    model = GIN()  # the published size
    assert load_public(model, read_public(tmp_path / "a.pth")) == ["mtm_head.weight"]
    own = model.state_dict()
    assert set(own) == set(state)
    assert all(torch.equal(own[name], value) for name, value in state.items())


def test_a_checkpoint_that_does_not_fit_says_all_that_differs_and_changes_nothing(tmp_path):
    model = GIN(width=8, depth=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"missing: gnns\.2.*other shapes: x_embedding1\.weight: \(120, 10\) instead"
    ):
        load_public(model, hu_state(10, 2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"bad\.pth: not a file of tensors alone"):
        read_public(tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        read_public(tmp_path / "absent.pth")


@pytest.mark.parametrize("kind", [GIN, MoleculeGPS])
def test_graphs_of_another_vocabulary_are_refused_by_every_encoder(kind):
    other = GraphProcessor(vocabulary="ogb9")
    encoder = kind(vocabulary="hu2", width=8, depth=1)
    with pytest.raises(DataError, match="2 atom and 2 bond columns, the graphs have 9 and 3"):
        encoder(other.collate([other.load("CCO")]))
    with pytest.raises(ConfigError, match="give both the same `vocabulary`"):
        encoder.check(other)
