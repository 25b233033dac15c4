"""Legend: B = rows of the batch, D = width."""

import pytest
import torch

from core.errors import ConfigError, DataError
from core.fusion import ConcatFusion, DropMissing, LearnedMissing, MeanFusion, ProductOfExperts, ZeroMissing
from core.types import Tokens

INPUTS = {"image": 3, "text": 3}
PRESENT = {"image": torch.tensor([True, True, False]), "text": torch.tensor([True, False, True])}


@pytest.fixture
def vectors():
    rng = torch.Generator().manual_seed(0)
    return {name: torch.randn(2, 3, generator=rng, requires_grad=True) for name in INPUTS}


def test_mean_is_over_what_is_present(vectors):
    image, text = vectors["image"], vectors["text"]
    expected = torch.stack([(image[0] + text[0]) / 2, image[1], text[1]])
    torch.testing.assert_close(MeanFusion(inputs=INPUTS).fuse(vectors, PRESENT), expected)


def test_zero_filling_counts_the_missing(vectors):
    joint = MeanFusion(inputs=INPUTS, missing=ZeroMissing()).fuse(vectors, PRESENT)
    torch.testing.assert_close(joint[1], vectors["image"][1] / 2)


def test_identical_experts_average_to_the_expert():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    present = dict.fromkeys(INPUTS, torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close(MeanFusion(inputs=INPUTS).fuse({"image": logits, "text": logits}, present), logits)


def test_concat_puts_a_trained_vector_in_the_gap(vectors):
    fusion = ConcatFusion(inputs=INPUTS)
    joint = fusion.fuse(vectors, PRESENT)
    gap = fusion.missing.tokens
    expected = torch.stack(
        [
            torch.cat([vectors["image"][0], vectors["text"][0]]),
            torch.cat([vectors["image"][1], gap["text"]]),
            torch.cat([gap["image"], vectors["text"][1]]),
        ]
    )
    torch.testing.assert_close(joint, expected)
    joint.square().sum().backward()
    assert all(token.grad.abs().sum() > 0 for token in gap.values())
    assert fusion.joint_width == 6


def test_product_of_two_equal_experts_sharpens_them():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    present = dict.fromkeys(INPUTS, torch.ones(4, dtype=torch.bool))
    joint = ProductOfExperts(inputs=INPUTS).fuse({"image": logits, "text": logits}, present)
    torch.testing.assert_close(joint.exp(), (2 * logits).softmax(-1))


def test_product_of_experts_follows_bayes_with_a_prior(vectors):
    prior = torch.tensor([0.5, 0.3, 0.2])
    joint = ProductOfExperts(inputs=INPUTS, prior=[0.5, 0.3, 0.2]).fuse(vectors, PRESENT)
    p, q = vectors["image"][0].softmax(-1), vectors["text"][0].softmax(-1)
    torch.testing.assert_close(joint[0].exp(), (p * q / prior) / (p * q / prior).sum())
    torch.testing.assert_close(joint[1], vectors["image"][1].log_softmax(-1))  # alone: the expert, whatever the prior


@pytest.mark.parametrize(
    "fusion", [MeanFusion(inputs=INPUTS), ConcatFusion(inputs=INPUTS), ProductOfExperts(inputs=INPUTS)]
)
def test_gradients_of_missing_rows_are_finite(fusion, vectors):
    fusion.fuse(vectors, PRESENT).square().sum().backward()
    assert all(x.grad.isfinite().all() for x in vectors.values())
    nothing = {name: torch.zeros(0, 3) for name in INPUTS}
    absent = dict.fromkeys(INPUTS, torch.zeros(0, dtype=torch.bool))
    assert len(fusion.fuse(nothing, absent)) == 0


def test_a_modality_missing_in_all_rows_is_no_trouble():
    present = {"image": torch.ones(2, dtype=torch.bool), "text": torch.zeros(2, dtype=torch.bool)}
    image = torch.randn(2, 3)
    joint = MeanFusion(inputs=INPUTS).fuse({"image": image, "text": torch.zeros(0, 3)}, present)
    torch.testing.assert_close(joint, image)


def test_a_row_without_any_modality_is_named(vectors):
    nobody = {name: torch.cat([there, torch.tensor([False])]) for name, there in PRESENT.items()}
    with pytest.raises(DataError, match=r"rows \[3\] of the batch have none of image, text"):
        MeanFusion(inputs=INPUTS).fuse(vectors, nobody)
    with pytest.raises(DataError, match="'text' has 2 rows and is present in 1"):
        MeanFusion(inputs=INPUTS).fuse(vectors, {**PRESENT, "text": torch.tensor([True, False, False])})
    with pytest.raises(DataError, match="no 'text'"):
        MeanFusion(inputs=INPUTS).fuse({"image": vectors["image"]}, PRESENT)


def test_tokens_are_fused_by_their_masked_means():
    x = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    fused = MeanFusion(inputs=INPUTS)({"image": Tokens(x, mask=mask), "text": Tokens(x, prefix=1)})
    torch.testing.assert_close(fused.joint[0], (x[0, :2].mean(0) + x[0, 1:].mean(0)) / 2)


def test_settings_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigError, match=r"widths .* must be equal"):
        MeanFusion(inputs={"image": 3, "text": 4})
    with pytest.raises(ConfigError, match="cannot drop a modality; use LearnedMissing"):
        ConcatFusion(inputs=INPUTS, missing=DropMissing())
    with pytest.raises(ConfigError, match=r"prior is .* sum to 1"):
        ProductOfExperts(inputs=INPUTS, prior=[0.5, 0.5, 0.5])
    with pytest.raises(ConfigError, match="inputs is empty"):
        MeanFusion(inputs={})
    with pytest.raises(ConfigError, match="no layers"):
        ConcatFusion(inputs=INPUTS, missing=LearnedMissing(inputs=INPUTS))(
            dict.fromkeys(INPUTS, Tokens(torch.zeros(1, 1, 3))), want=(0,)
        )
