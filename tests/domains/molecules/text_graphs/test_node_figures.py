"""Answers of node classification: class texts, probes, prompts; what each may and may not change."""

import numpy as np
import pytest
import torch
from graph_inputs import features_of, path_graph
from torch import nn

pytest.importorskip("torch_geometric")

from core.encoders import VectorMLP
from core.errors import ConfigError
from core.models import DualEncoder
from domains.molecules.text_graphs import NodeClassification, PersonalisedPageRank, PromptTuning, SubgraphTower
from domains.molecules.text_graphs.classify import probe_answers
from domains.molecules.text_graphs.hashing import hashed_words
from domains.molecules.text_graphs.prompt_tuning import few_of_each, prompted
from domains.molecules.text_graphs.vectors import NodeVectors, neighbour_words

HOW = {"modalities": {"text": 16}, "positions": 4, "sampler": PersonalisedPageRank(most=4)}


def model():
    torch.manual_seed(0)
    tower = SubgraphTower(features=16, width=16, depth=1, heads=2, positions=4, position_width=4)
    return DualEncoder(
        encoders={"graph": tower, "text": VectorMLP(features=8)}, modalities={"graph": "graph", "text": "text"}, dim=8,
        projections={"text": nn.Identity()},
    ).eval()  # fmt: skip


def test_a_tuned_prompt_lowers_the_loss_and_leaves_the_model_alone(tmp_path):
    found, inp = model(), features_of(path_graph(9), range(8), tmp_path, **HOW)
    before = {name: p.clone() for name, p in found.state_dict().items()}
    names, label = torch.eye(8)[:2], torch.tensor([0, 1] * 4)
    figure = PromptTuning(shots=4, steps=40, lr=0.05)
    prompt = figure.tuned(found, inp, label, names)
    assert prompt.shape == (16,)
    assert prompt.abs().max() > 0
    for name, p in found.state_dict().items():
        assert torch.equal(p, before[name]), name
    assert all(p.grad is None for p in found.parameters())

    def right(x):
        vector, _ = found.embed("graph", x)
        return (nn.functional.cross_entropy(14.3 * vector @ names.T, label)).item()

    assert right(prompted(inp, prompt)) < right(inp)
    torch.testing.assert_close(prompted(inp, prompt).x[~inp.mask], inp.x[~inp.mask])


def test_shots_are_drawn_per_class():
    label = np.array([0, 0, 0, 1, 1, -1, 2])
    rows = few_of_each(label, 2, seed=0)
    assert np.bincount(label[rows]).tolist() == [2, 2, 1]
    assert few_of_each(label, 2, seed=0).tolist() == rows.tolist()


def test_the_order_of_classes_permutes_the_scores():
    x, texts = np.random.default_rng(0).normal(size=(5, 8)), ["It contains nitro.", "It contains furan.", "plain ester"]
    scores = x @ hashed_words(texts, 8).T
    np.testing.assert_allclose(x @ hashed_words(texts[::-1], 8).T, scores[:, ::-1])


def test_words_of_neighbours_are_their_mean():
    graph = path_graph(4)
    found = neighbour_words(graph, np.array([1, 3]))
    words = hashed_words(graph.texts, 384)
    np.testing.assert_allclose(found, [(words[0] + words[2]) / 2, words[2]], atol=1e-6)


def test_hashed_words_are_unit_rows_and_an_empty_text_is_zero():
    found = hashed_words(["acid base", "", "acid acid acid base"], 64)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 1], atol=1e-6)


def test_a_probe_answers_what_its_vectors_tell():
    label = np.arange(30) % 3
    pooled = (
        np.eye(3, dtype=np.float32)[label] * 4 + np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32) / 4
    )
    noise = np.random.default_rng(1).normal(size=(30, 3)).astype(np.float32)
    side = NodeVectors(pooled, pooled, label, noise, noise, ("a", "b", "c"), ("a", "b", "c"))
    rows = np.arange(30)
    assert (probe_answers(side, side, side, rows, of="pooled") == label).mean() == 1
    assert (probe_answers(side, None, side, rows, of="own") == label).mean() < 0.9


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="has no place"):
        NodeClassification(template="a molecule")
    with pytest.raises(ConfigError, match="modality 'words'"):
        PromptTuning(text="words").check(model())
    with pytest.raises(ConfigError, match="modality 'grap'; did you mean 'graph'"):
        NodeClassification(modality="grap").check(model())
