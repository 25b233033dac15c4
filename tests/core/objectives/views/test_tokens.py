"""Views of tokens: what they leave out, what they project, which forwards they share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.encoders import ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.models import DualEncoder, StandardisedProjection
from core.nn import TokenLearner
from core.objectives import FixedScale, Head, Objective, Pair, PrefixToken, Step, TokenMax, TokenView
from core.types import Batch, ModalityInput


def given(rng, rows=4, tokens=5, width=6, lengths=None, fill=None) -> ModalityInput:
    x = torch.randn(rows, tokens, width, generator=rng)
    mask = None if lengths is None else torch.arange(tokens) < torch.tensor(lengths)[:, None]
    if fill is not None:
        x[~mask] = fill
    return ModalityInput(x, mask)


def test_tokens_are_projected_one_by_one_without_the_prefix(make_token_step, rng):
    inp = given(rng)
    step = make_token_step({"a": inp}, prefixes={"a": 2})
    viewed = TokenView(modality="a")(step)
    assert viewed.mask is None
    torch.testing.assert_close(viewed.x, inp.x[:, 2:] @ step.model.projections["a"].weight.T, rtol=0, atol=1e-6)
    assert step.model.projected == [(12, 6)]


def test_padding_is_never_projected_and_gives_zeros(make_token_step, rng):
    inp = given(rng, lengths=[5, 2, 1, 3], fill=torch.nan)
    step = make_token_step({"a": inp})
    viewed = TokenView(modality="a")(step)
    assert torch.equal(viewed.mask, inp.mask)
    assert not viewed.x[~inp.mask].any()
    assert step.model.projected == [(11, 6)]
    viewed.x.sum().backward()
    assert step.model.projections["a"].weight.grad.isfinite().all()


def test_a_projection_with_statistics_sees_real_tokens_only(make_token_step, rng):
    inp = given(rng, lengths=[5, 2, 1, 3], fill=1e6)
    step = make_token_step({"a": inp}, heads={"standard": StandardisedProjection(width=6, dim=4)})
    TokenView(modality="a", head="standard")(step)
    mean = step.model.heads["standard"].norm.running_mean
    torch.testing.assert_close(mean, 0.1 * inp.x[inp.mask].mean(0), rtol=0, atol=1e-6)


def test_views_share_their_forward_only_when_they_are_equal(make_token_step, rng):
    step = make_token_step({"a": given(rng)}, heads={"other": nn.Linear(6, 3)})
    one, two = TokenView(modality="a"), TokenView(modality="a")
    assert one(step).x is two(step).x
    assert TokenView(modality="a", head="other")(step).x.shape == (4, 5, 3)


def test_tokens_can_be_reduced_before_they_are_projected(make_token_step, rng):
    inp = given(rng, lengths=[5, 2, 1, 0])
    learner = TokenLearner(width=6, tokens=2, groups=2)
    step = make_token_step({"a": inp}, heads={"fewer": learner})
    viewed = TokenView(modality="a", reduce="fewer")(step)
    assert viewed.x.shape == (4, 2, 4)
    assert viewed.mask.tolist() == [[True, True]] * 3 + [[False, False]]  # nothing was there to learn from
    want = learner(inp.x, inp.mask) @ step.model.projections["a"].weight.T
    torch.testing.assert_close(viewed.x, want.masked_fill(~viewed.mask[..., None], 0), rtol=0, atol=1e-6)


def test_a_prefix_token_is_read_by_its_number(make_token_step, rng):
    inp = given(rng)
    step = make_token_step({"a": inp}, prefixes={"a": 2}, heads={"second": nn.Linear(6, 3)})
    torch.testing.assert_close(PrefixToken(modality="a", index=1, head="second")(step).x,
                               step.model.heads["second"](inp.x[:, 1]), rtol=0, atol=0)  # fmt: skip
    torch.testing.assert_close(PrefixToken(modality="a")(step).x, step.model.projections["a"](inp.x[:, 0]))
    with pytest.raises(ConfigError, match="index is 2, but the encoder of 'a' has 2 tokens in front"):
        PrefixToken(modality="a", index=2)(step)
    with pytest.raises(ConfigError, match="count from 0"):
        PrefixToken(modality="a", index=-1)


def pair(rows, keys) -> Pair:
    return Pair(rows=rows, keys=keys, scale=FixedScale(temperature=0.1))


def test_two_class_tokens_with_equal_captions_are_clip_with_two_heads(make_token_step, rng):
    """TIPS: one class token contrasts with the noisy caption, the other with the synthetic one; the mean of both."""
    image, text = given(rng), given(rng)
    step = make_token_step(
        {"image": image, "noisy": text, "synthetic": text},
        prefixes={"image": 2},
        heads={"words": nn.Linear(6, 4), "one": nn.Linear(6, 4), "two": nn.Linear(6, 4)},
    )
    tips = Objective(
        terms=[
            pair(PrefixToken(modality="image", index=i, head=head), Head(modality=caption, head="words"))
            for i, head, caption in ((0, "one", "noisy"), (1, "two", "synthetic"))
        ],
        weights=[0.5, 0.5],
    )
    total, logs = tips(step)
    first, second = logs["image-noisy/loss"], logs["image-synthetic/loss"]
    torch.testing.assert_close(total, (first + second) / 2, rtol=0, atol=1e-6)
    with torch.no_grad():  # equal class tokens and equal heads: twice the same contrast
        image.x[:, 1] = image.x[:, 0]
        step.model.heads["two"].load_state_dict(step.model.heads["one"].state_dict())
        step._memo.clear()
    total, logs = tips(step)
    assert logs["image-noisy/loss"] == logs["image-synthetic/loss"]


def test_two_heads_on_one_modality_are_two_contrasts(make_token_step, rng):
    """M2-Encoder: a head for the features of one modality alone and one for those made for both."""
    step = make_token_step(
        {"image": given(rng), "text": given(rng)},
        heads={f"{m}_{kind}": nn.Linear(6, 4) for m in ("image", "text") for kind in ("itc", "vl")},
    )
    terms = [
        pair(Head(modality="image", head=f"image_{k}"), Head(modality="text", head=f"text_{k}")) for k in ("itc", "vl")
    ]
    total, logs = Objective(terms=terms)(step)
    assert logs["image-text/loss"] != logs["image-text_2/loss"]
    total.backward()
    assert all(p.grad.any() for head in step.model.heads.values() for p in [head.weight])


def test_pyramid_of_views_is_six_contrasts_in_three_groups(make_token_step, rng):
    """PyramidCLIP: crops, regions, summary, caption and tags are modalities of their own."""
    names = ("global", "local", "regions", "summary", "caption", "tags")
    step = make_token_step({m: given(rng) for m in names})
    groups = [[("global", "summary"), ("local", "caption")], [("global", "tags"), ("local", "tags")],
              [("regions", "summary"), ("regions", "caption")]]  # fmt: skip
    terms = [pair(a, b) for group in groups for a, b in group]
    total, logs = Objective(terms=terms, weights=[1 / 6] * 6)(step)
    assert len(logs) == 6 * 5
    want = sum(logs[f"{a}-{b}/loss"] for group in groups for a, b in group) / 6
    torch.testing.assert_close(total.detach(), want, rtol=0, atol=1e-6)


def test_token_views_run_in_a_pair_with_rows_that_lack_a_modality(make_token_step, rng):
    image, text = given(rng, rows=3), given(rng, rows=4, tokens=4, lengths=[4, 1, 2, 3])
    present = {"image": torch.tensor([1, 0, 1, 1, 0]).bool(), "text": torch.tensor([1, 1, 0, 1, 1]).bool()}
    step = make_token_step({"image": image, "text": text}, present)
    term = Pair(
        rows=TokenView(modality="image"), keys=TokenView(modality="text"), similarity=TokenMax(),
        scale=FixedScale(temperature=0.1),
    )  # fmt: skip
    whole = make_token_step(
        {"image": ModalityInput(image.x[[0, 2]]), "text": ModalityInput(text.x[[0, 2]], text.mask[[0, 2]])}
    )
    torch.testing.assert_close(term(step)["loss"], term(whole)["loss"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_encoder_has_as_many_class_tokens_as_it_was_asked_for(count):
    """From the real encoder to the contrast: two summaries of one image, each with a caption of its own."""
    eye = ImageTransformer(image_size=16, patch=8, channels=1, width=12, depth=1, heads=2, class_token=count)
    model = DualEncoder(
        encoders={"eye": eye, "reader": TextTransformer(vocab_size=9, width=12, depth=1, heads=2)},
        modalities={"image": "eye", "text": "reader"},
        dim=6,
    )
    tokens = eye(ModalityInput(torch.randn(3, 1, 16, 16))).tokens
    assert (tokens.prefix, tokens.x.shape[1]) == (count, 4 + count)
    batch = Batch(
        list("abc"),
        {"image": ModalityInput(torch.randn(3, 1, 16, 16)), "text": ModalityInput(torch.randint(9, (3, 5)))},
        {m: torch.ones(3).bool() for m in ("image", "text")},
        keys={"sample": torch.arange(3)},
    )
    step = Step(model=model, batch=batch, index=0, generator=torch.Generator())
    views = [PrefixToken(modality="image", index=i) for i in range(count)]
    vectors = [view(step).x for view in views]
    assert all(v.shape == (3, 6) for v in vectors)
    if count == 2:
        assert not torch.equal(*vectors)
    loss = sum(pair(view, "text")(step)["loss"] for view in views or ["image"])
    loss.backward()
    if count:
        assert eye.class_token.grad.abs().sum(-1).gt(0).all()
