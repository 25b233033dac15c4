"""Training pairs, the objective on them, and what is measured of a matcher."""

import math

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from core.models import DualEncoder
from core.objectives.base import Step
from core.types import Batch, ModalityInput
from domains.remote_sensing.registration.matcher import LoFTRMatcher
from domains.remote_sensing.registration.pairs import PairMaker
from domains.remote_sensing.registration.term import MatchPairs
from domains.remote_sensing.registration.warps import WarpRange

STILL = {"shift": 0, "rotation": 0, "scale": 0, "shear": 0}


def tile(bands, rows=2, side=96, seed=0):
    x = torch.rand(rows, bands, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear")
    return ModalityInput(x, None, {"valid": torch.ones(rows, side, side, dtype=torch.bool)})


def batch(rows=2, present=None, side=96):
    present = torch.ones(rows, dtype=torch.bool) if present is None else present
    both = {"s1": tile(2, int(present.sum()), side, 1), "s2": tile(4, rows, side, 2)}
    inputs = {k: v for k, v in both.items() if len(v)}
    return Batch([str(i) for i in range(rows)], inputs, {"s1": present, "s2": torch.ones(rows, dtype=torch.bool)})


def model(**changes):
    torch.manual_seed(0)
    tiny = {"widths": (4, 8, 8, 16), "blocks": (1, 1, 1, 1), "depth": 1, "heads": 2, "slice_dim": 2}
    matcher = LoFTRMatcher(**{**tiny, **changes})
    return DualEncoder(encoders={"matcher": matcher}, modalities={"s1": "matcher", "s2": "matcher"}, dim=8)


def step(of, given, seed=0):
    return Step(model=of, batch=given, index=0, generator=torch.Generator().manual_seed(seed))


def test_aligned_tiles_without_a_warp_give_aligned_pictures():
    inp = tile(1)
    make = PairMaker(size=64, warp=WarpRange(**STILL))
    pairs = make(inp, inp, torch.Generator().manual_seed(0))
    torch.testing.assert_close(pairs.first_B1HW, pairs.second_B1HW, atol=1e-4, rtol=0)
    assert pairs.first_B1HW.shape == (2, 1, 64, 64)
    assert pairs.second_BHW.all()


def test_a_tile_that_is_larger_fills_what_the_warp_brings_in_and_one_that_is_not_leaves_it_invalid():
    warp = WarpRange(shift=12, rotation=0, scale=0, shear=0)
    large = PairMaker(size=64, warp=warp)(tile(1, side=96), tile(1, side=96), torch.Generator().manual_seed(0))
    small = PairMaker(size=64, warp=warp)(tile(1, side=64), tile(1, side=64), torch.Generator().manual_seed(0))
    assert large.second_BHW.all()
    assert not small.second_BHW.all()
    assert (small.second_B1HW[~small.second_BHW[:, None]] == 0).all()


def test_equal_generators_make_equal_pairs():
    make = PairMaker(size=64, pseudo=0.5, kinds=("radar", "tone"))
    a, b = (make(tile(2), tile(4, seed=5), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a.second_B1HW, b.second_B1HW)


def test_one_sensor_with_itself_always_gets_another_look():
    make = PairMaker(size=64, pseudo=0.0, kinds=("invert",), warp=WarpRange(**STILL))
    pairs = make(tile(1), tile(1), torch.Generator().manual_seed(0), alone=True)
    correlation = np.corrcoef(pairs.first_B1HW.flatten().numpy(), pairs.second_B1HW.flatten().numpy())[0, 1]
    assert correlation < -0.8


def test_tiles_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match=r"tiles of 32 x 32 .* make no pairs of 64"):
        PairMaker(size=64)(tile(1, side=32), tile(1, side=32), torch.Generator())
    with pytest.raises(ConfigError, match="multiples of 32"):
        PairMaker(size=50)


def test_the_loss_is_the_weighted_sum_of_its_parts_and_reaches_the_matcher():
    term = MatchPairs(first="s1", second="s2", size=64, coarse_weight=2.0, fine_weight=0.5)
    of = model()
    values = term(step(of, batch()))
    expected = 2 * values["coarse"] + 0.5 * values["fine"] + 0.25 * values["subpixel"]
    assert values["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    values["loss"].backward()
    norm = sum(float(p.grad.norm()) for p in of.encoders["matcher"].parameters() if p.grad is not None)
    assert math.isfinite(norm)
    assert norm > 0


def test_a_single_pair_and_rows_without_radar():
    term = MatchPairs(first="s1", second="s2", size=64)
    assert torch.isfinite(term(step(model(), batch(rows=1)))["loss"])
    assert torch.isfinite(term(step(model(), batch(rows=3, present=torch.tensor([False, True, False]))))["loss"])


def test_a_batch_without_pairs_costs_an_exact_zero():
    of = model()
    value = MatchPairs(first="s1", second="s2", size=64)(step(of, batch(present=torch.zeros(2, dtype=torch.bool))))
    assert value["loss"].item() == 0
    value["loss"].backward()


def test_tiles_without_a_valid_pixel_cost_an_exact_zero():
    given = batch()
    for inp in given.inputs.values():
        inp.extra["valid"][:] = False
    values = MatchPairs(first="s1", second="s2", size=64)(step(model(), given))
    assert values["loss"].item() == 0
    values["loss"].backward()


def test_one_matcher_reads_both_sensors_or_the_config_is_wrong():
    torch.manual_seed(0)
    two = DualEncoder(
        encoders={"a": model().encoders["matcher"], "b": model().encoders["matcher"]},
        modalities={"s1": "a", "s2": "b"}, dim=8,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="are to be read by one"):
        MatchPairs(first="s1", second="s2", size=64)(step(two, batch()))


def test_a_few_steps_lower_the_loss_on_pairs_that_stay():
    of = model(widths=(8, 12, 16, 32))
    term, given = MatchPairs(first="s1", second="s1", size=64, pseudo=0, kinds=("invert",), warp=STILL), batch()
    optimizer = torch.optim.Adam(of.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = term(step(of, given))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
