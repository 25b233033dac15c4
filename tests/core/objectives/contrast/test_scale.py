"""Scales: start values, ranges, weight-decay marks."""

from __future__ import annotations

import math

import pytest
import torch

from core.errors import ConfigError
from core.objectives import FixedScale, LogScale, Pair, PrototypeSoft, ScheduledTemperature, TeacherPair, Temperature


def test_the_three_parametrisations_start_at_the_published_values():
    for scale in (LogScale(), Temperature(), FixedScale()):
        assert scale.value().item() == pytest.approx(14.2857, abs=1e-4)


def test_a_start_outside_the_range_is_lifted_at_once():
    assert LogScale(minimum=20.0).value().item() == pytest.approx(20, rel=1e-6)


def test_a_scale_of_one_is_a_valid_lower_limit():
    scale = LogScale(init=1.0)  # its logarithm is 0, which is not "no limit"
    with torch.no_grad():
        scale.log_scale.fill_(-3.0)
    scale.clamp_()
    assert scale.value() == 1


def test_no_upper_limit():
    scale = LogScale(maximum=None)
    with torch.no_grad():
        scale.log_scale.fill_(7.0)
    scale.clamp_()
    assert scale.log_scale == 7


def test_temperature_is_clamped_itself():
    scale = Temperature()
    with torch.no_grad():
        scale.temperature.fill_(-1.0)
    scale.clamp_()
    assert scale.value().item() == pytest.approx(1000)


def test_every_parameter_is_marked_against_weight_decay():
    for scale in (LogScale(bias=-10.0), Temperature(bias=0.0), FixedScale(bias=-1.0)):
        assert scale.bias is not None
        assert all(p.no_weight_decay for p in scale.parameters())


def test_a_fixed_scale_has_no_parameters_and_is_saved():
    assert not list(FixedScale().parameters())
    assert FixedScale(temperature=0.5).state_dict()["stored"] == 2


def test_a_frozen_scale_is_not_learned():
    assert not LogScale(learn=False).log_scale.requires_grad


def test_logs_name_scale_and_bias():
    assert set(LogScale(bias=-10.0).logs()) == {"scale", "bias"}


def test_errors_state_the_values_and_the_rule():
    with pytest.raises(ConfigError, match="temperature is 0; needs a value above 0"):
        FixedScale(temperature=0)
    with pytest.raises(ConfigError, match="init -1"):
        LogScale(init=-1)
    with pytest.raises(ConfigError, match=r"init 0.9 is outside \[0.001, 0.5\]"):
        Temperature(init=0.9)


def stored(scale) -> float:
    return scale.log_scale.item()


class TestPublishedParametrisations:
    """One test per row of the table of published systems: what is stored, where it starts, how it is limited."""

    def test_clip(self):
        scale = LogScale()
        assert stored(scale) == pytest.approx(2.6593, abs=1e-4)
        for value, kept in ((-1.0, 0.0), (9.0, math.log(100)), (3.0, 3.0)):
            with torch.no_grad():
                scale.log_scale.fill_(value)
            scale.clamp_()
            assert stored(scale) == pytest.approx(kept, abs=1e-6)

    def test_siglip(self, make_step, rng):
        scale = LogScale(init=10, bias=-10)
        assert (stored(scale), scale.bias.item()) == (pytest.approx(math.log(10)), -10)
        with torch.no_grad():
            scale.bias.fill_(-500.0)
        scale.clamp_()
        assert scale.bias == -500  # the bias has no limits

    @pytest.mark.parametrize("rows", [2, 8, 1024])
    def test_siglip_with_the_bias_of_a_small_batch(self, rows):
        """With that bias and equal features the gradient of the bias is zero: no other start is lower."""
        scale = LogScale(init=10, bias_batch=rows)
        bias = scale.bias.detach().double()
        assert bias.item() == pytest.approx(-math.log(rows - 1), abs=1e-6)
        assert (-torch.sigmoid(-bias) + (rows - 1) * torch.sigmoid(bias)).item() == pytest.approx(0, abs=1e-6)

    def test_filip_is_lifted_at_once_and_kept(self):
        scale = LogScale(minimum=math.exp(3), maximum=math.exp(6))
        assert stored(scale) == pytest.approx(3, abs=1e-6)
        assert scale.value().item() == pytest.approx(20.0855, abs=1e-3)

    def test_fdt_multiplies_by_at_most_100(self):
        scale = LogScale(minimum=math.exp(3), maximum=math.exp(6), cap=100)
        assert scale.value().item() == pytest.approx(20.0855, abs=1e-3)
        with torch.no_grad():
            scale.log_scale.fill_(5.5)
        scale.clamp_()
        assert (stored(scale), scale.value().item()) == (5.5, 100)
        scale.value().backward()
        assert scale.log_scale.grad == 0

    def test_albef_learns_the_temperature_itself(self):
        scale = Temperature()
        scale.value().backward()
        assert scale.temperature.grad.item() == pytest.approx(-1 / 0.07**2, rel=1e-5)
        for value, kept in ((0.0, 1e-3), (0.9, 0.5)):
            with torch.no_grad():
                scale.temperature.fill_(value)
            scale.clamp_()
            assert scale.temperature.item() == pytest.approx(kept)

    def test_ctp_has_a_temperature_that_is_not_learned(self):
        scale = Temperature(learn=False)
        assert not scale.value().requires_grad
        assert scale.value().item() == pytest.approx(1 / 0.07)

    def test_irra_multiplies_by_a_constant_that_is_part_of_the_state(self):
        scale = FixedScale(temperature=0.02)
        assert scale.value().item() == pytest.approx(50)
        assert "stored" in scale.state_dict()

    def test_long_clip_starts_at_100_without_a_limit(self):
        scale = LogScale(init=100, minimum=None, maximum=None)
        assert stored(scale) == pytest.approx(4.6052, abs=1e-4)
        with torch.no_grad():
            scale.log_scale.fill_(6.0)
        scale.clamp_()
        assert stored(scale) == 6

    def test_symile_may_start_below_one(self):
        scale = LogScale(init=math.exp(-0.3), minimum=None, maximum=None)
        assert stored(scale) == pytest.approx(-0.3, abs=1e-6)
        scale.clamp_()
        assert stored(scale) == pytest.approx(-0.3, abs=1e-6)
        assert not LogScale(init=math.exp(-0.3), minimum=None, learn=False).log_scale.requires_grad

    def test_cyclip(self):
        scale = LogScale(init=1 / 0.07, minimum=1, maximum=100)
        assert scale.high == pytest.approx(4.6052, abs=1e-4)

    @pytest.mark.parametrize("multiplier", [100, 70, 60])
    def test_mobileclip_teachers_are_constants(self, multiplier):
        pair = TeacherPair(rows="a", keys="b", temperature=1 / multiplier)
        assert 1 / pair.temperature == pytest.approx(multiplier)
        assert not list(pair.parameters())

    def test_creamfl(self):
        assert FixedScale(temperature=0.5).value() == 2

    def test_protoclip_targets_have_a_constant_of_their_own(self):
        assert PrototypeSoft().temperature == 0.01
        with pytest.raises(ConfigError, match="use Equality for hard labels"):
            PrototypeSoft(temperature=-1)

    def test_ibot_and_dino_warm_the_teachers_temperature(self):
        scale = ScheduledTemperature(start=0.04, end=0.07, steps=30)
        assert [1 / scale.at(i).item() for i in (0, 10, 30, 1000)] == pytest.approx([0.04, 0.05, 0.07, 0.07])
        assert not list(scale.parameters())

    def test_a_schedule_is_followed_by_the_term(self, make_step, rng):
        scale = ScheduledTemperature(start=0.1, end=0.2, steps=10)
        a, b = torch.randn(5, 3, generator=rng), torch.randn(5, 3, generator=rng)
        step = make_step(a, b)
        step.index = 5
        got = Pair(rows="a", keys="b", scale=scale)(step)
        want = Pair(rows="a", keys="b", scale=FixedScale(temperature=0.15))(step)
        assert got["loss"].item() == pytest.approx(want["loss"].item(), abs=1e-6)
        assert got["scale"].item() == pytest.approx(1 / 0.15)


def test_two_starts_of_one_bias_are_refused():
    with pytest.raises(ConfigError, match="bias -10 and bias_batch 8 are two starts of one bias"):
        LogScale(bias=-10, bias_batch=8)
    with pytest.raises(ConfigError, match="bias_batch is 1; give the rows of a batch"):
        LogScale(bias_batch=1)
    with pytest.raises(ConfigError, match="minimum 5, maximum 2"):
        LogScale(minimum=5, maximum=2)
    with pytest.raises(ConfigError, match="steps 0; needs"):
        ScheduledTemperature(start=0.04, end=0.07, steps=0)
