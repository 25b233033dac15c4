"""A language model with graphs in it: what depends on what, and which gradients there are."""

import pytest
import torch

pytest.importorskip("rdkit")

from core.errors import ConfigError
from core.models import DualEncoder, TransformerLM
from core.nn import QueryFormer
from core.objectives.base import Step
from core.types import Batch
from domains.molecules.encoders import GIN
from domains.molecules.language import ContextProcessor, GraphPromptedLM, NextToken
from domains.molecules.language.processor import NOT_TOLD
from domains.molecules.language.telling import Beams, tell, weigh, with_targets
from domains.molecules.reactions.context import Context, Member

Q = 2
CONTEXTS = [
    Context((Member("CC(=O)O", "Reactant", abstract="An acid."), Member("CCOC(C)=O", "Product"))),
    Context((Member("C/C=C/Cl"),)),
]


@pytest.fixture(scope="module")
def processor():
    made = ContextProcessor(vocab_size=300, queries=Q, max_length=128)
    made.fit(CONTEXTS)
    return made


@pytest.fixture
def model():
    torch.manual_seed(0)
    lm = TransformerLM(vocab_size=300, width=16, depth=1, heads=2, max_length=128)
    former = QueryFormer(width=12, depth=2, heads=2, queries=Q, context_width=10)
    return GraphPromptedLM(lm=lm, graph=GIN(width=10, depth=2), former=former).eval()


def batch_of(processor, contexts=CONTEXTS):
    return processor.collate([processor.encode_context(context) for context in contexts])


def step_of(model, inp):
    whole = DualEncoder(encoders={"lm": model}, modalities={"context": "lm"}, dim=4)
    present = torch.ones(len(inp), dtype=torch.bool)
    batch = Batch([str(i) for i in range(len(inp))], {"context": inp}, {"context": present})
    return Step(model=whole, batch=batch, index=0, generator=torch.Generator())


def test_queries_that_are_the_placeholders_word_give_the_model_of_text_alone(model, processor):
    inp = batch_of(processor)
    mol = processor.tokenizer.token_to_id("<mol>")
    with torch.no_grad():
        model.to_words.weight.zero_()
        model.to_words.bias.copy_(model.lm.token_embedding.weight[mol])
    alone = GraphPromptedLM(lm=model.lm).eval()
    torch.testing.assert_close(model(inp).tokens.x, alone(inp).tokens.x, rtol=0, atol=0)


def test_a_graph_acts_from_its_placeholders_on_and_in_its_own_context_alone(model, processor):
    inp = batch_of(processor)
    before = model(inp).tokens.x
    changed = inp.apply(torch.clone)
    changed.extra["graph_x"][0, 1, 0, 0] = 15  # another element in the product of the first context
    after = model(changed).tokens.x
    first = int((inp.extra["slots"][0] == Q).nonzero()[0])
    torch.testing.assert_close(after[0, :first], before[0, :first])
    assert not torch.allclose(after[0, first:], before[0, first:])
    torch.testing.assert_close(after[1], before[1])


def test_states_do_not_depend_on_the_rest_of_the_batch_or_the_order_of_atoms(model, processor):
    inp = batch_of(processor)
    alone = batch_of(processor, CONTEXTS[1:])
    length = alone.x.shape[1]
    torch.testing.assert_close(model(inp).tokens.x[1, :length], model(alone).tokens.x[0])
    turned = alone.apply(torch.clone)
    order = torch.tensor([2, 0, 3, 1])
    turned.extra["graph_x"] = alone.extra["graph_x"][:, :, order]
    turned.extra["graph_edges"] = order.argsort()[alone.extra["graph_edges"]]
    torch.testing.assert_close(model(turned).tokens.x, model(alone).tokens.x)


def test_bond_features_are_directions_of_three_kinds_and_atoms_have_a_bond_to_themselves(model, processor):
    """The released code reads a column of six stereo kinds with a table of three rows, and self loops as single."""
    tables = model.graph.gnns[0]
    assert tables.self_loop == 4
    for smiles in ("C/C=C/Cl", "C/C=C\\Cl", "CC=NO", "C1CCC/C=C/CC1"):
        bonds = batch_of(processor, [Context((Member(smiles),))]).extra["graph_bonds"]
        assert int(bonds[..., 1].max()) < tables.edge_embedding2.num_embeddings == 3
    east, west = (model(batch_of(processor, [Context((Member(s),))])).pooled for s in ("C/C=C/Cl", "C/C=C\\Cl"))
    assert not torch.allclose(east, west)


def test_the_loss_is_that_of_a_plain_loop_and_leaves_placeholders_out(model, processor):
    inp = batch_of(processor)
    found = NextToken()(step_of(model, inp))
    log_p = (model(inp).tokens.x @ model.lm.token_embedding.weight.T).log_softmax(-1)
    values = [
        -log_p[row, t, label].item()
        for row, labels in enumerate(inp.extra["labels"].tolist())
        for t, label in enumerate(labels[1:])
        if label != NOT_TOLD
    ]
    assert found["loss"].item() == pytest.approx(sum(values) / len(values), abs=1e-5)
    assert len(values) == int(inp.mask.sum()) - 2 - 3 * Q  # neither the first tokens nor placeholders


def test_what_is_not_told_has_no_gradient(model, processor):
    inp = batch_of(processor, CONTEXTS[1:])
    states = model(inp).tokens.x.detach().requires_grad_()
    from core.types import Encoded, Tokens
    from domains.molecules.language.terms import token_errors, told

    inp.extra["labels"][:, 5:] = NOT_TOLD
    encoded = Encoded(pooled=states[:, 0], tokens=Tokens(x=states))
    token_errors(model, inp, encoded, told(inp)).loss.sum().backward()
    assert states.grad[:, :4].abs().sum(dim=2).gt(0).all()
    assert states.grad[:, 4:].abs().max() == 0
    inp.extra["labels"][:] = NOT_TOLD
    silent = NextToken()(step_of(model, inp))["loss"]
    silent.backward()
    assert silent.item() == 0


def test_gradients_of_graphs_are_those_of_finite_differences(model, processor):
    model.double()
    inp = batch_of(processor, CONTEXTS[1:])
    weight = model.graph.x_embedding1.weight
    NextToken()(step_of(model, inp))["loss"].backward()
    for row, column in ((5, 0), (16, 3)):  # carbon, chlorine
        values = []
        for shift in (1e-5, -1e-5):
            with torch.no_grad():
                weight[row, column] += shift
            values.append(NextToken()(step_of(model, inp))["loss"].item())
            with torch.no_grad():
                weight[row, column] -= shift
        assert weight.grad[row, column].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-9)


def test_told_texts_have_the_weight_that_given_ones_have(model, processor):
    asked = Context((Member("CCO"),), ask="Description: ")
    ((best, *others),) = tell(model, processor, [asked], Beams(count=4, length=5, batch=2), _compute())
    assert best[1] >= max(score for _, score in others)
    given = with_targets(asked, ["An acid.", "An acid. An acid."])
    weights = weigh(model, processor, given, _compute(), batch=1)
    assert weights == pytest.approx(weigh(model, processor, given, _compute()), abs=1e-4)
    assert weights[0] > weights[1]


def _compute():
    from core.training.precision import Compute

    return Compute(torch.device("cpu"), "32", 1)


def test_parts_that_do_not_fit_are_named(model, processor):
    model.check(processor)
    with pytest.raises(ConfigError, match="3 placeholders for a graph, the model has 2 queries"):
        model.check(ContextProcessor(queries=3, max_length=128))
    with pytest.raises(ConfigError, match="up to 512 tokens, the language model takes 128"):
        model.check(ContextProcessor(queries=2))
    with pytest.raises(ConfigError, match="vocabulary 'ogb9', the encoder reads 'hu2'"):
        model.check(ContextProcessor(queries=2, max_length=128, graphs="ogb9"))
    with pytest.raises(ConfigError, match="both `graph` and `former`"):
        GraphPromptedLM(lm=model.lm, graph=model.graph)
    with pytest.raises(ConfigError, match=r"context_width is 12, graphs have width 10"):
        GraphPromptedLM(lm=model.lm, graph=model.graph, former=QueryFormer(width=12, depth=1, heads=2, queries=2))


def test_losses_are_float32_under_bf16(model, processor):
    inp = batch_of(processor)
    plain = NextToken()(step_of(model, inp))["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        found = NextToken()(step_of(model, inp))["loss"]
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(plain.item(), abs=0.05)
