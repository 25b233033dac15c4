"""Hidden atoms: what is drawn, what the encoder sees, what a prediction costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

from core.errors import ConfigError
from core.models.dual_encoder import DualEncoder
from core.objectives.base import Step
from core.objectives.scaled_cosine import scaled_cosine_error
from core.types import Batch
from domains.molecules.encoders import GIN
from domains.molecules.encoders.packed import pack
from domains.molecules.objectives import (
    AtomCrossEntropy,
    AtomMasking,
    AtomScaledCosine,
    GINDecoder,
    HiddenAtomAccuracy,
    HiddenAtoms,
    LinearAtoms,
)
from domains.molecules.processors import GraphProcessor

TEXTS = ["C", "CCO", "c1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)O", "F[C@H](Cl)Br", "CCCCCCCCCCCCCCCCCCCC"]
SIZES = [1, 3, 9, 13, 4, 20]


@pytest.fixture(scope="module")
def graphs():
    processor = GraphProcessor()
    return processor.collate([processor.load(text) for text in TEXTS])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch_of(inp):
    rows = len(inp)
    return Batch(
        ids=list(map(str, range(rows))), inputs={"graph": inp} if rows else {},
        present={"graph": torch.ones(rows, dtype=torch.bool)}, keys={"sample": torch.arange(rows)},
    )  # fmt: skip


def model_with(head):
    torch.manual_seed(0)
    encoder = GIN(width=16, depth=2)
    return DualEncoder(
        encoders={"graph": encoder}, modalities={"graph": "graph"}, dim=16, heads={"atoms": head},
        projections={"graph": torch.nn.Identity()},
    )  # fmt: skip


@pytest.mark.parametrize("ratio", [0.0, 0.15, 0.25, 1.0])
def test_the_number_of_hidden_atoms_is_that_of_hu(graphs, ratio):
    hidden = AtomMasking(ratio=ratio).hide(graphs, generator())
    expected = [min(n, int(ratio * n + 1)) for n in SIZES]
    assert hidden.atoms.sum(1).tolist() == expected
    assert not (hidden.atoms & ~graphs.mask).any()


def test_a_hidden_atom_shows_the_token_and_nothing_else_of_itself(graphs):
    hidden = AtomMasking(ratio=0.5).hide(graphs, generator(1))
    assert (hidden.inp.x[hidden.atoms] == torch.tensor([119, 0])).all()
    assert torch.equal(hidden.inp.x[~hidden.atoms], graphs.x[~hidden.atoms])
    assert torch.equal(hidden.kinds, graphs.x[..., 0])
    assert (graphs.x[..., 0] < 119).all()  # the batch itself is left as it was
    again = AtomMasking(ratio=0.5).hide(graphs, generator(1))
    assert torch.equal(again.atoms, hidden.atoms)


def test_shares_of_replaced_and_kept_atoms_are_exact_and_round_down_to_none(graphs):
    for replace, keep in ((0.0, 0.0), (0.02, 0.0), (0.3, 0.0), (0.0, 0.4), (0.5, 0.5)):
        hidden = AtomMasking(ratio=0.5, replace=replace, keep=keep).hide(graphs, generator(2))
        total = int(hidden.atoms.sum())
        covered = int((hidden.inp.x[..., 0] == 119).sum())
        assert covered == total - int(replace * total) - int(keep * total)  # 0.02 of them: nothing, and not everything
    kept = AtomMasking(ratio=0.5, keep=1.0).hide(graphs, generator(2))
    assert torch.equal(kept.inp.x, graphs.x)
    swapped = AtomMasking(ratio=1.0, replace=1.0).hide(graphs, generator(2))
    real = {tuple(row) for row in graphs.x[graphs.mask].tolist()}
    assert {tuple(row) for row in swapped.inp.x[graphs.mask].tolist()} <= real


def test_elements_that_are_hidden_cannot_be_seen_by_the_model(graphs):
    """Another element of a hidden atom makes the same input."""
    masking = AtomMasking(ratio=0.25)
    hidden = masking.hide(graphs, generator(3))
    other = graphs.apply(torch.clone)
    other.x[..., 0] = torch.where(hidden.atoms, (other.x[..., 0] + 7) % 119, other.x[..., 0])
    again = masking.hide(other, generator(3))
    assert torch.equal(again.inp.x, hidden.inp.x)
    assert not torch.equal(again.kinds, hidden.kinds)


def test_equal_logits_cost_the_log_of_the_number_of_kinds():
    kinds = torch.tensor([5, 0, 118])
    assert AtomCrossEntropy()(torch.zeros(3, 119), kinds).tolist() == pytest.approx([math.log(119)] * 3)


@pytest.mark.parametrize("gamma", [1.0, 1.5, 2.0, 3.0])
def test_scaled_cosine_error_at_its_marks(gamma):
    x = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    target = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    expected = [0.0, 1.0, 2.0**gamma]
    assert scaled_cosine_error(x, target, gamma=gamma).tolist() == pytest.approx(expected, abs=1e-6)
    own = x.clone().requires_grad_()
    scaled_cosine_error(own, target, gamma=gamma).sum().backward()
    assert torch.isfinite(own.grad).all()  # also where the directions agree
    one_hot = AtomScaledCosine(gamma=gamma)(torch.eye(4)[:2] * 3, torch.tensor([0, 2]))
    assert one_hot.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


def test_scaled_cosine_error_has_the_gradient_of_its_values():
    x = torch.randn(4, 5, dtype=torch.float64, generator=generator(), requires_grad=True)
    target = torch.randn(4, 5, dtype=torch.float64, generator=generator(1))
    assert torch.autograd.gradcheck(lambda a: scaled_cosine_error(a, target, gamma=2.5), x)
    assert scaled_cosine_error(torch.ones(2, 3, dtype=torch.bfloat16), torch.ones(2, 3)).dtype == torch.float32


def test_the_decoder_cannot_read_the_state_of_a_hidden_atom(graphs):
    """Masked a second time: the prediction of an atom changes with its neighbours' states, not with its own."""
    torch.manual_seed(0)
    decoder, packed = GINDecoder(width=8, kinds=119), pack(graphs)
    hidden = torch.zeros(len(packed.x), dtype=torch.bool)
    hidden[1] = True  # the middle atom of ethanol has neighbours 2 and 3... in packed order: atoms 1, 2, 3 are C, C, O
    h = torch.randn(len(packed.x), 8, generator=generator())
    first = decoder(h, packed, hidden)
    own = h.clone()
    own[1] += 5.0
    assert torch.equal(decoder(own, packed, hidden), first)
    own[2] += 5.0
    assert not torch.allclose(decoder(own, packed, hidden), first)
    assert first.shape == (1, 119)


@pytest.mark.parametrize("head", [LinearAtoms(width=16), GINDecoder(width=16), GINDecoder(width=16, depth=2)])
def test_the_term_is_the_mean_over_hidden_atoms_and_learns(graphs, head):
    model = model_with(head)
    term = HiddenAtoms(masking=AtomMasking(ratio=0.25))
    values = term(Step(model=model.eval(), batch=batch_of(graphs), index=0, generator=generator(5)))
    hidden = AtomMasking(ratio=0.25).hide(graphs, generator(5))
    states = model.encode("graph", hidden.inp).tokens.x
    packed = pack(hidden.inp)
    logits = head(states[packed.mask], packed, hidden.atoms[packed.mask])
    truth = torch.cat([graphs.x[v, :, 0][hidden.atoms[v]] for v in range(len(TEXTS))])
    torch.testing.assert_close(values["loss"], F.cross_entropy(logits, truth))
    assert values["accuracy"] == (logits.argmax(1) == truth).float().mean()
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(25):
        loss = term(Step(model=model, batch=batch_of(graphs), index=0, generator=generator(5)))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.5 * values["loss"]


def test_no_molecule_is_an_exact_zero_with_a_graph(graphs):
    model = model_with(LinearAtoms(width=16))
    empty = batch_of(graphs.rows(torch.zeros(0, dtype=torch.int64)))
    loss = HiddenAtoms()(Step(model=model, batch=empty, index=0, generator=generator()))["loss"]
    assert loss == 0
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_a_single_atom_is_a_batch(graphs):
    model = model_with(GINDecoder(width=16)).train()
    values = HiddenAtoms()(Step(model=model, batch=batch_of(graphs.rows(torch.tensor([0]))), index=0,
                                generator=generator()))  # fmt: skip
    assert torch.isfinite(values["loss"])


def test_what_does_not_fit_is_said():
    with pytest.raises(ConfigError, match="'ogb9' has no row for a hidden atom; take hu2"):
        AtomMasking(vocabulary="ogb9")
    with pytest.raises(ConfigError, match="sum to at most 1"):
        AtomMasking(replace=0.7, keep=0.5)
    with pytest.raises(ConfigError, match="gamma is 0"):
        AtomScaledCosine(gamma=0)
    with pytest.raises(ConfigError, match=r"an AtomHead as model\.heads\.decoder"):
        HiddenAtomAccuracy(head="decoder").check(model_with(LinearAtoms(width=16)))


def test_layers_of_the_encoder_are_its_states(graphs):
    encoder = GIN(width=16, depth=3).eval()
    found = encoder(graphs, want=[0, 2])
    assert set(found.layers) == {0, 2}
    torch.testing.assert_close(found.layers[2], found.tokens.x)
    assert not torch.allclose(found.layers[0], found.layers[2])
    one, same, other = (encoder.fresh(seed).state_dict()["gnns.0.mlp.0.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert np.isfinite(one.numpy()).all()
