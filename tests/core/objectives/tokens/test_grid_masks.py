"""Random and block masks: exact shares, connected boxes, padding; losses of patches; MAE in one to three axes."""

from __future__ import annotations

import math

import pytest
import torch

from core.encoders import PatchAdapter
from core.errors import ConfigError
from core.models import DualEncoder
from core.objectives import (
    BlockMask,
    ClassCE,
    MaskedImage,
    MaskedImageDecoder,
    NormPixelMSE,
    PixelL1,
    PixelMSE,
    RandomMask,
    Step,
)
from core.objectives.tokens.patch_losses import mean_over_samples
from core.objectives.tokens.patches import patchify, standardise_middle
from core.types import Batch, ModalityInput


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grid", [(14, 14), (40,), (6, 8, 8)])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.75])
@pytest.mark.parametrize("kind", [RandomMask, BlockMask])
def test_the_share_is_exact_for_every_row(kind, ratio, grid):
    plan = kind(ratio=ratio).draw(9, grid, generator=gen())
    tokens = math.prod(grid)
    visible = int(tokens * (1 - ratio) + 1e-9)
    assert plan.keep.shape == (9, visible)
    assert (plan.hidden.sum(1) == tokens - visible).all()
    assert not plan.hidden.gather(1, plan.keep).any()


def neighbours(hidden_VHW: torch.Tensor) -> float:
    """Mean number of hidden tokens to the right of a hidden token."""
    pairs = (hidden_VHW[:, :, 1:] & hidden_VHW[:, :, :-1]).sum()
    return float(pairs / hidden_VHW[:, :, :-1].sum())


def test_blocks_hang_together_and_random_masks_do_not():
    block = BlockMask(ratio=0.3).draw(200, (14, 14), generator=gen()).hidden.unflatten(1, (14, 14))
    random = RandomMask(ratio=0.3).draw(200, (14, 14), generator=gen()).hidden.unflatten(1, (14, 14))
    assert neighbours(random) == pytest.approx(0.3, abs=0.02)  # independent: the share itself
    assert neighbours(block) > 0.6


def test_blocks_lie_everywhere():
    share_HW = BlockMask(ratio=0.3).draw(3000, (8, 8), generator=gen()).hidden.float().mean(0).unflatten(0, (8, 8))
    assert share_HW.min() > 0.05  # corners are in fewer boxes, none is left out
    torch.testing.assert_close(share_HW, share_HW.flip(0), rtol=0, atol=0.06)
    torch.testing.assert_close(share_HW, share_HW.T, rtol=0, atol=0.06)


def test_a_spread_draws_one_ratio_per_step_within_its_bounds():
    counts = [
        int(BlockMask(ratio=0.3, spread=0.2).draw(2, (10, 10), generator=gen(s)).hidden[0].sum()) for s in range(60)
    ]
    assert min(counts) >= 10
    assert max(counts) <= 50
    assert len(set(counts)) > 15


@pytest.mark.parametrize("kind", [RandomMask, BlockMask])
def test_padding_is_neither_visible_nor_hidden(kind):
    real = torch.arange(40) < torch.tensor([[40], [20], [8], [1]])
    plan = kind(ratio=0.5).draw(4, (40,), generator=gen(), real_VN=real)
    assert not (plan.hidden & ~real).any()
    assert plan.hidden.sum(1).tolist() == [20, 10, 4, 0]


def test_the_draw_is_a_function_of_the_generator():
    one, two, other = (BlockMask().draw(3, (6, 6), generator=gen(s)).hidden for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match=r"BlockMask: ratio is -0\.1"):
        BlockMask(ratio=0.1, spread=0.2)
    with pytest.raises(ConfigError, match=r"RandomMask: ratio is 1\.0"):
        RandomMask(ratio=1.0)
    with pytest.raises(ConfigError, match="aspect 0"):
        BlockMask(aspect=0)


# Losses of patches


def test_losses_of_patches_against_their_definitions():
    x, y = torch.randn(2, 3, 8, generator=gen(), dtype=torch.float64), torch.randn(2, 3, 8, generator=gen(1)).double()
    torch.testing.assert_close(PixelMSE()(x, y)[0], ((x - y) ** 2).mean(-1))
    torch.testing.assert_close(PixelL1()(x, y)[0], (x - y).abs().mean(-1))
    z = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(NormPixelMSE()(x, y)[0], ((x - z) ** 2).mean(-1))
    assert PixelMSE()(x.bfloat16(), y.bfloat16())[0].dtype == torch.float32


def test_classes_are_averaged_over_the_labelled_pixels_of_a_patch():
    loss = ClassCE(classes=4)
    logits = torch.randn(1, 2, 3 * 4, generator=gen(), dtype=torch.float64)
    target = torch.tensor([[[1, -1, 3], [-1, -1, -1]]]).double()
    error, weight = loss(logits, target)
    log_p = logits.unflatten(-1, (3, 4)).log_softmax(-1)
    assert error[0, 0].item() == pytest.approx(-(log_p[0, 0, 0, 1] + log_p[0, 0, 2, 3]).item() / 2)
    assert error[0, 1] == 0
    assert weight.tolist() == [[1, 0]]
    assert loss(torch.zeros_like(logits), target)[0][0, 0].item() == pytest.approx(math.log(4))
    assert loss.outputs(3) == 12


def test_a_row_without_weight_gets_no_nan_gradient():
    """The released code of MultiMAE divides first and skips NaN afterwards: finite forward, NaN gradient."""
    error = torch.rand(3, 5, generator=gen(), dtype=torch.float64).requires_grad_()
    weight = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]).double()
    loss = mean_over_samples(error, weight)
    assert loss.item() == pytest.approx(((error[0, 0] + error[0, 1]) / 2 + error[2, 0]).item() / 2)
    loss.backward()
    torch.testing.assert_close(error.grad, torch.tensor([[0.25, 0.25, 0, 0, 0], [0] * 5, [0.5, 0, 0, 0, 0]]).double())
    leaf = error.detach().clone().requires_grad_()
    ((leaf * weight).sum(1) / weight.sum(1)).nanmean().backward()
    assert leaf.grad.isnan().any()  # what ours must not do
    assert mean_over_samples(error, weight * 0) is None


def test_depth_is_standardised_by_its_middle_values():
    x = torch.randn(2, 1, 10, 10, generator=gen(), dtype=torch.float64) * 3 + 5
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 1e6, -1e6  # outliers on either side are among the tenth that is put aside
    out = standardise_middle(x)
    middle = x.flatten(1).sort(1).values[:, 10:90]
    expected = (x - middle.mean(1)[:, None, None, None]) / (middle.var(1) + 1e-6).sqrt()[:, None, None, None]
    torch.testing.assert_close(out, expected)


# MAE in any number of axes


@pytest.mark.parametrize(("size", "patch"), [((24,), (3,)), ((8, 6), (2, 3)), ((4, 4, 6), (2, 2, 3))])
def test_mae_covers_one_to_three_axes(size, patch, slopes_agree, seeded):
    grid = tuple(s // p for s, p in zip(size, patch, strict=True))
    adapter = PatchAdapter(size=size, patch=patch, channels=2, width=12)
    model = DualEncoder(encoders={"x": adapter}, modalities={"x": "x"}, dim=4).double()
    decoder = MaskedImageDecoder(input_width=12, patch=patch, grid=grid, channels=2, width=12, depth=1, heads=2)
    term = MaskedImage(modality="x", decoder=decoder, ratio=0.5, patch_loss=PixelMSE()).double()
    x = torch.randn(2, 2, *size, generator=gen(), dtype=torch.float64)
    present = torch.ones(2, dtype=torch.bool)

    def step() -> Step:
        batch = Batch(["a", "b"], {"x": ModalityInput(x)}, {"x": present})
        return Step(model=model, batch=batch, index=0, generator=gen())

    slopes_agree(lambda: term(step())["loss"], [*model.parameters(), *term.parameters()])
    torch.nn.init.zeros_(decoder.predict.weight)
    plan = term.hide(step().input("x"), gen()).plan
    zeros_cost = patchify(x, patch)[plan.hidden].square().mean()
    torch.testing.assert_close(term(step())["loss"].detach(), zeros_cost)


def test_a_series_of_odd_length_is_filled_up_and_its_padding_not_predicted(seeded):
    adapter = PatchAdapter(size=(24,), patch=(4,), channels=1, width=12)
    model = DualEncoder(encoders={"x": adapter}, modalities={"x": "x"}, dim=4)
    decoder = MaskedImageDecoder(input_width=12, patch=(4,), grid=(6,), channels=1, width=12, depth=1, heads=2)
    term = MaskedImage(modality="x", decoder=decoder, ratio=0.5)
    inp = ModalityInput(torch.randn(2, 1, 22), torch.arange(22) < torch.tensor([[22], [9]]))
    task = term.hide(inp, gen())
    assert task.grid == (6,)
    assert task.real.sum(1).tolist() == [6, 3]
    assert task.plan.hidden.sum(1).tolist() == [3, 2]
    batch = Batch(["a", "b"], {"x": inp}, {"x": torch.ones(2, dtype=torch.bool)})
    one = term(Step(model=model, batch=batch, index=0, generator=gen()))["loss"]
    inp.x[1, :, 12:] = 77.0  # patches of padding alone
    assert term(Step(model=model, batch=batch, index=0, generator=gen()))["loss"] == one


def test_nothing_to_hide_does_not_divide_by_zero(seeded):
    adapter = PatchAdapter(size=(8,), patch=(2,), channels=1, width=12)
    model = DualEncoder(encoders={"x": adapter}, modalities={"x": "x"}, dim=4)
    decoder = MaskedImageDecoder(input_width=12, patch=(2,), grid=(4,), channels=1, width=12, depth=1, heads=2)
    batch = Batch(["a"], {"x": ModalityInput(torch.randn(1, 1, 8))}, {"x": torch.ones(1, dtype=torch.bool)})
    loss = MaskedImage(modality="x", decoder=decoder, ratio=0.0)(
        Step(model=model, batch=batch, index=0, generator=gen())
    )["loss"]
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
