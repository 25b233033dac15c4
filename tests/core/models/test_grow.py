"""Growth keeps the function: outputs before and after, the configuration, gradients that differ, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.config.build import build
from core.encoders import ConvNet, ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.models import DualEncoder
from core.models.grow import Growth, choose, grow, grown_node, inherit
from core.nn import ClsPool, ConvStem, LearnedPositions, PartsPool
from core.types import ModalityInput

SIZE = {"width": 12, "depth": 2, "heads": 3}


def learned(*grid: int) -> dict:
    return {"class_path": "core.nn.LearnedPositions", "init_args": {"grid": list(grid), "width": 12}}


def node(drop: float = 0.0) -> dict:
    return {
        "class_path": "core.models.DualEncoder",
        "init_args": {
            "dim": 6,
            "encoders": {
                "reader": {"class_path": "core.encoders.TextTransformer",
                           "init_args": {"vocab_size": 20, "max_length": 9, **SIZE,
                                         "pool": {"class_path": "core.nn.AttentionPool",
                                                  "init_args": {"width": 12, "heads": 2, "hidden": 5}}}},
                "eye": {"class_path": "core.encoders.ImageTransformer",
                        "init_args": {"image_size": 16, "patch": 8, "channels": 1, "drop_path": drop,
                                      **SIZE, "positions": learned(2, 2)}},
                "body": {"class_path": "core.encoders.VolumeTransformer",
                         "init_args": {"volume_size": [4, 8, 8], "patch": [2, 4, 4], "channels": 1, **SIZE,
                                       "class_token": False, "positions": learned(2, 2, 2),
                                       "pool": {"class_path": "core.nn.MeanMaxPool", "init_args": {"width": 12}}}},
            },
            "modalities": {"words": "reader", "more": "reader", "picture": "eye", "volume": "body"},
            "projections": {
                "more": {"class_path": "core.models.MLPProjection", "init_args": {"width": 12, "dim": 6}},
                "picture": {"class_path": "core.models.StandardisedProjection", "init_args": {"width": 12, "dim": 6}},
            },
        },
    }  # fmt: skip


def trained(drop: float = 0.0) -> DualEncoder:
    """A model whose every parameter and statistic has moved away from its initialisation."""
    torch.manual_seed(0)
    model = build(node(drop))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
        model.projections["picture"].norm.running_mean.normal_()
        model.projections["picture"].norm.running_var.uniform_(0.5, 2)
    return model.eval()


def inputs() -> dict[str, ModalityInput]:
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(20, (3, 7), generator=g)
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    return {
        "words": ModalityInput(ids, mask),
        "more": ModalityInput(ids.flip(0), mask),
        "picture": ModalityInput(torch.randn(3, 1, 16, 16, generator=g)),
        "volume": ModalityInput(torch.randn(3, 1, 4, 8, 8, generator=g)),
    }


def assert_same(one: DualEncoder, two: DualEncoder) -> None:
    with torch.no_grad():
        a, b = one(inputs()), two(inputs())
    for modality in a:
        torch.testing.assert_close(b[modality], a[modality], rtol=1e-5, atol=1e-6 * float(a[modality].abs().max()))


@pytest.mark.parametrize("encoder", ["reader", "eye", "body"])
@pytest.mark.parametrize(("blocks", "factor"), [(1, 1), (3, 1), (0, 2), (0, 3), (2, 2)])
def test_the_output_stays_and_the_configuration_builds_the_grown_model(encoder, blocks, factor):
    model, growth = trained(), Growth(encoder, blocks=blocks, factor=factor)
    larger = grow(model, growth)
    assert_same(model, larger)
    assert larger.encoders[encoder].depth == 2 + blocks
    assert larger.encoders[encoder].width == 12 * factor
    assert sum(p.numel() for p in larger.parameters()) > sum(p.numel() for p in model.parameters())
    again = build(grown_node(node(), growth))
    again.load_state_dict(larger.state_dict())  # strict: same names, same shapes
    assert torch.equal(again.eval()(inputs())["words"], larger(inputs())["words"])
    assert again.encoders[encoder].pyramid_channels == larger.encoders[encoder].pyramid_channels


def test_in_float64_it_is_exact_to_rounding():
    model = trained().double()
    larger = grow(model, Growth("reader", blocks=1, factor=2))
    texts = {name: inp for name, inp in inputs().items() if name in ("words", "more")}
    with torch.no_grad():
        for modality in texts:
            a, b = (m(texts)[modality] for m in (model, larger))
            torch.testing.assert_close(b, a, rtol=0, atol=1e-12 * float(a.abs().max()))


def test_the_old_model_is_left_as_it_was_and_growth_is_seeded():
    model = trained()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    one, two = (grow(model, Growth("eye", blocks=1, factor=2)) for _ in range(2))
    other = grow(model, Growth("eye", blocks=1, factor=2), generator=torch.Generator().manual_seed(5))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(torch.equal(t, two.state_dict()[name]) for name, t in one.state_dict().items())
    assert any(not torch.equal(t, other.state_dict()[name]) for name, t in one.state_dict().items())


def test_copies_get_different_gradients_and_new_blocks_get_some():
    larger = grow(trained(), Growth("reader", blocks=1, factor=2)).train()
    larger(inputs())["words"].square().sum().backward()
    reader = larger.encoders["reader"]
    gradient = reader.blocks[0].ffn[0].weight.grad
    assert (gradient[0::2] - gradient[1::2]).abs().max() > 1e-3 * gradient.abs().max()
    assert reader.blocks[2].attn.out.weight.grad.abs().max() > 0
    assert reader.blocks[2].ffn[3].weight.grad.abs().max() > 0


def test_the_drop_path_of_a_deeper_encoder_is_that_of_its_depth():
    larger = grow(trained(drop=0.2), Growth("eye", blocks=2))
    want = [
        block.drop_path.rate for block in build(grown_node(node(0.2), Growth("eye", blocks=2))).encoders["eye"].blocks
    ]
    assert [block.drop_path.rate for block in larger.encoders["eye"].blocks] == pytest.approx(want)


def test_inheriting_everything_keeps_the_output_and_nothing_is_the_fresh_model():
    model, growth = trained(), Growth("reader", blocks=1, factor=2)
    larger, fresh = grow(model, growth), build(grown_node(node(), growth)).eval()
    assert_same(model, inherit(larger, fresh, 1.0))
    none = inherit(larger, fresh, 0.0)
    for name, p in none.named_parameters():
        torch.testing.assert_close(p, dict(fresh.named_parameters())[name], rtol=0, atol=1e-7)
    half = dict(inherit(larger, fresh, 0.5).named_parameters())
    for name, p in larger.named_parameters():
        torch.testing.assert_close(half[name], (p + dict(fresh.named_parameters())[name]) / 2, rtol=0, atol=1e-6)


def test_what_cannot_be_mixed_is_refused():
    model = trained()
    with pytest.raises(ConfigError, match=r"the models differ in encoders\.eye"):
        inherit(grow(model, Growth("eye", blocks=1)), model, 0.5)
    with pytest.raises(ConfigError, match=r"share is 1\.5; give a value in"):
        inherit(model, model, 1.5)


def one_encoder(encoder, **more) -> DualEncoder:
    return DualEncoder(encoders={"x": encoder}, modalities={"x": "x"}, dim=4, **more)


class Other(nn.Module):
    """A projection of somebody else."""


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (lambda: one_encoder(ImageTransformer(image_size=16, patch=8, **SIZE)), "SinCosPositions: fixed sines of"),
        (
            lambda: one_encoder(ImageTransformer(
                image_size=16, patch=8, **SIZE, positions=LearnedPositions(grid=(2, 2), width=12),
                stem=ConvStem(patch=(8, 8), channels=3, width=12))),
            "has a ConvStem; only the plain PatchEmbed",
        ),
        (lambda: one_encoder(TextTransformer(vocab_size=9, **SIZE, pool=PartsPool(width=12, parts=2))), "a PartsPool"),
        (lambda: one_encoder(TextTransformer(vocab_size=9, **SIZE), projections={"x": Other()}), "is a Other"),
        (lambda: one_encoder(TextTransformer(vocab_size=9, **SIZE), heads={"h": nn.Linear(12, 3)}), "further heads"),
        (lambda: one_encoder(ConvNet(name="resnet18")), "is a ConvNet; only transformers"),
    ],
)  # fmt: skip
def test_what_cannot_grow_exactly_in_width_is_refused(model, fault):
    with pytest.raises(ConfigError, match=fault):
        grow(model(), Growth("x", factor=2))


def test_depth_grows_where_width_cannot():
    model = one_encoder(ImageTransformer(image_size=16, patch=8, pool=ClsPool(), **SIZE)).eval()
    x = {"x": ModalityInput(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))}
    torch.testing.assert_close(grow(model, Growth("x", blocks=2))(x)["x"], model(x)["x"], rtol=0, atol=1e-6)


def test_bad_growths_say_what_is_expected():
    with pytest.raises(ConfigError, match="give blocks >= 0 and a whole factor >= 1"):
        Growth("x")
    with pytest.raises(ConfigError, match=r"no encoder 'reeder'; did you mean 'reader'"):
        grow(trained(), Growth("reeder", blocks=1))
    bare = node()
    del bare["init_args"]["encoders"]["eye"]["init_args"]["heads"]
    with pytest.raises(ConfigError, match="leaves out heads; write it down"):
        grown_node(bare, Growth("eye", factor=2))
    bare["init_args"]["encoders"]["reader"]["init_args"]["mlp_ratio"] = 2.55
    with pytest.raises(ConfigError, match=r"mlp_ratio 2\.55 of width 12 is no whole number"):
        grown_node(bare, Growth("reader", factor=2))


def test_choosing_by_short_training_keeps_the_better_half_and_is_seeded():
    candidates = [Growth("a", blocks=1), Growth("b", blocks=1), Growth("c", blocks=1), Growth("d", blocks=1)]
    asked = []

    def score(candidate, steps, seed):
        asked.append((candidate.encoder, steps, seed))
        return {"a": 1.0, "b": 3.0, "c": float("nan"), "d": 2.0}[candidate.encoder] * (1 if steps < 50 else -1)

    best, trials = choose(candidates, score, steps=(10, 100), keep=0.5, seed=7)
    assert asked == [("a", 10, 7), ("b", 10, 7), ("c", 10, 7), ("d", 10, 7), ("b", 100, 8), ("d", 100, 8)]
    assert best is candidates[3]  # after 100 steps the order has turned
    assert [(t.candidate, t.steps) for t in trials] == [(0, 10), (1, 10), (2, 10), (3, 10), (1, 100), (3, 100)]
    assert choose(candidates[:2], lambda *_: 0.0)[0] is candidates[0]
    with pytest.raises(ConfigError, match="0 candidates"):
        choose([], score)
