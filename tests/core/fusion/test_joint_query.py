"""One shared transformer, and a stream that asks another."""

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.fusion import JointTransformer, QueryFusion
from core.types import Tokens


def streams() -> dict[str, Tokens]:
    rng = torch.Generator().manual_seed(0)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    return {
        "a": Tokens(torch.randn(2, 3, 6, generator=rng)),
        "b": Tokens(torch.randn(2, 4, 8, generator=rng), mask),
    }


def joint(**kwargs) -> JointTransformer:
    return JointTransformer(**{"width": 8, "depth": 2, "heads": 2, "inputs": {"a": 6, "b": 8}, **kwargs}).eval()


def query() -> QueryFusion:
    return QueryFusion(width=8, depth=2, heads=2, inputs={"a": 6, "b": 8}).eval()


@pytest.mark.parametrize("make", [joint, query])
def test_shapes_padding_and_layers(make):
    fusion, given = make(), streams()
    fused = fusion(given, want=(0,))
    assert fused.joint.shape == (2, fusion.joint_width)
    assert fused.streams["b"].x.shape == (2, 4, 8)
    assert fused.layers[0]["a"].shape == (2, 3, 8)
    given["b"].x[1, 2:] = 50.0  # padding
    again = fusion(given)
    torch.testing.assert_close(again.joint, fused.joint)
    torch.testing.assert_close(again.streams["a"].x, fused.streams["a"].x)
    stopped = fusion(given, stop_after=0)
    assert not torch.equal(stopped.streams["a"].x, again.streams["a"].x)
    with pytest.raises(ConfigError, match="layer 2 was asked for"):
        fusion(given, want=(2,))


def test_every_stream_reads_every_other_in_the_joint_transformer():
    fusion, given = joint(), streams()
    before = fusion(given)
    given["a"].x[0] += 1
    after = fusion(given)
    assert not torch.equal(before.streams["b"].x[0], after.streams["b"].x[0])
    assert torch.equal(before.streams["b"].x[1], after.streams["b"].x[1])


def test_only_the_asking_stream_reads_the_other():
    fusion, given = query(), streams()
    before = fusion(given)
    given["a"].x[0] += torch.randn(3, 6)
    after = fusion(given)
    assert torch.equal(before.streams["b"].x, after.streams["b"].x)
    given["b"].x[0] += torch.randn(4, 8)
    assert not torch.equal(fusion(given).streams["a"].x, after.streams["a"].x)


def test_without_global_tokens_the_joint_vector_is_the_mean_of_real_tokens():
    fused = joint(global_tokens=0)(streams())
    every = torch.cat([fused.streams["a"].x[1], fused.streams["b"].x[1, :2]])
    torch.testing.assert_close(fused.joint[1], every.mean(0))


def test_wrong_inputs_are_named():
    with pytest.raises(ConfigError, match="give two, the asking one first"):
        QueryFusion(width=8, depth=1, heads=2, inputs={"a": 6})
    with pytest.raises(ConfigError, match="tokens of 'a' with width 5"):
        joint().enter("a", torch.zeros(1, 1, 5))
