"""Zero-shot scores and embedding figures by closed form. Legend: N = rows, L = labels, P = phrasings, E = width."""

import math

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation.alignment import alignment, hubness, modality_gap, uniformity
from core.evaluation.embeddings import alignment_figures, effective_rank
from core.evaluation.zero_shot import PromptPair, prompt_prototype, prompt_variance, zero_shot_scores


@pytest.fixture
def space():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(40, 8, generator=rng), {
        name: PromptPair(torch.randn(3, 8, generator=rng), torch.randn(3, 8, generator=rng)) for name in ("a", "b")
    }


def test_the_prototype_is_unit_and_ignores_the_length_of_phrasings():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = torch.full((2,), math.sqrt(0.5), dtype=torch.float64)
    torch.testing.assert_close(prompt_prototype(x), expected)
    torch.testing.assert_close(prompt_prototype(x * torch.tensor([[9.0], [0.1]])), expected)
    with pytest.raises(DataError, match="cancel out"):
        prompt_prototype(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))


def test_swapping_the_prompts_negates_the_score(space):
    image, prompts = space
    swapped = {name: PromptPair(p.negative, p.positive) for name, p in prompts.items()}
    one, other = zero_shot_scores(image, prompts, scale=7.0), zero_shot_scores(image, swapped, scale=7.0)
    np.testing.assert_allclose(one.score, -other.score, atol=1e-12)
    np.testing.assert_allclose(one.probability, 1 - other.probability, atol=1e-12)


def test_the_probability_is_the_softmax_of_the_scaled_cosines(space):
    image, prompts = space
    result = zero_shot_scores(image, prompts, scale=14.0)
    unit = torch.nn.functional.normalize(image.double())
    pair = torch.stack([prompt_prototype(prompts["b"].positive), prompt_prototype(prompts["b"].negative)])
    expected = (14.0 * unit @ pair.T).softmax(dim=1)[:, 0]
    np.testing.assert_allclose(result.probability[:, 1], expected.numpy(), atol=1e-12)
    assert result.names == ("a", "b")


def test_identical_phrasings_have_no_spread(space):
    image, prompts = space
    same = {n: PromptPair(p.positive[:1].repeat(4, 1), p.negative[:1].repeat(4, 1)) for n, p in prompts.items()}
    labels = (np.random.default_rng(0).random((40, 2)) < 0.5).astype(float)
    found = prompt_variance(image, same, labels)
    assert found.std == pytest.approx(0, abs=1e-12)
    assert found.ensemble == pytest.approx(found.mean)
    assert len(found.per_phrasing) == 4


def test_the_spread_is_over_single_phrasings(space):
    image, prompts = space
    labels = (zero_shot_scores(image, prompts).score > 0).astype(float)
    found = prompt_variance(image, prompts, labels)
    assert found.ensemble == 1
    assert found.mean == pytest.approx(np.mean(found.per_phrasing))
    assert found.std == pytest.approx(np.std(found.per_phrasing, ddof=1))
    assert found.std > 0
    with pytest.raises(ConfigError, match=r"labels have \[1, 3\] phrasings"):
        prompt_variance(image, {**prompts, "c": PromptPair(image[:1], image[:1])}, labels)


def test_errors(space):
    image, prompts = space
    with pytest.raises(ConfigError, match="no labels"):
        zero_shot_scores(image, {})
    with pytest.raises(ConfigError, match="scale is 0"):
        zero_shot_scores(image, prompts, scale=0)


def test_the_gap_of_equal_sets_is_zero_and_of_antipodes_two():
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    one = torch.eye(6)[:1].repeat(5, 1)
    assert modality_gap(x, x) == 0
    assert modality_gap(one, -one) == pytest.approx(2)
    assert modality_gap(x, 3 * x) == pytest.approx(0, abs=1e-6)
    assert alignment(x, -x) == pytest.approx(4, rel=1e-5)


def test_uniformity_and_rank_by_closed_form():
    assert uniformity(torch.ones(4, 3)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.eye(5)) == pytest.approx(-4, abs=1e-5)  # every pair at squared distance 2
    assert math.isnan(uniformity(torch.eye(5)[:1]))
    assert effective_rank(torch.eye(5)) == pytest.approx(5, rel=1e-5)
    assert effective_rank(torch.ones(6, 4)) == pytest.approx(1, abs=1e-4)


def test_the_mean_cosines_equal_those_of_the_whole_matrix():
    rng = torch.Generator().manual_seed(2)
    a, b = torch.randn(12, 5, generator=rng), torch.randn(12, 5, generator=rng)
    sim = torch.nn.functional.normalize(a) @ torch.nn.functional.normalize(b).T
    found = alignment_figures(a, b)
    assert found["positive_cosine"] == pytest.approx(float(sim.diagonal().mean()), abs=1e-6)
    off = sim[~torch.eye(12, dtype=torch.bool)]
    assert found["negative_cosine"] == pytest.approx(float(off.mean()), abs=1e-6)


def test_a_hub_skews_the_neighbour_counts():
    x = torch.eye(12)
    assert hubness(x, x, k=1) == 0
    gallery = torch.cat([x.mean(dim=0, keepdim=True), -x[:11]])
    assert hubness(x, gallery, k=1) > 2
