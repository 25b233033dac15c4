"""Scales: start values, ranges, weight-decay marks."""

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.objectives import FixedScale, LogScale, Temperature


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
