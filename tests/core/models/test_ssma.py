"""AdapNet++ and the gates of SSMA. Legend: V = rows, C = channels, K = classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.encoders import AdapNet
from core.encoders.adapnet import EfficientASPP, MultiScaleUnit
from core.errors import ConfigError, DataError
from core.models import AdapNetHead, DualEncoder, SSMABlock, SSMAHead
from core.objectives import FusedLogits, Objective, PixelLabels, Step
from core.types import Batch, ModalityInput

UNITS = [[None], [(1, 2)], [(1, 2)], [(2, 4)]]
SMALL = {"base": 4, "dilations": UNITS, "context": 8, "narrow": 4, "skip": 6}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def conv_weights(module):
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


def test_the_efficient_context_module_has_the_published_count_of_weights():
    module = EfficientASPP(2048)
    assert conv_weights(module) == 2_039_808
    assert all(m.bias is None for m in module.modules() if isinstance(m, nn.Conv2d))


def test_the_published_units_have_the_published_widths_and_about_the_published_size():
    encoder = AdapNet(channels=3)
    assert [len(stage) for stage in encoder.stages] == [3, 4, 6, 3]
    assert [stage[-1].expand[-1].out_channels for stage in encoder.stages] == [256, 512, 1024, 2048]
    split = [[len(unit.parts) for unit in stage] for stage in encoder.stages]
    assert split == [[1, 1, 1], [1, 1, 1, 2], [1, 1, 2, 2, 2, 2], [2, 2, 2]]
    head = AdapNetHead(classes=12, channels=encoder.pyramid_channels)
    total = sum(p.numel() for p in [*encoder.parameters(), *head.parameters()])
    assert total == pytest.approx(30.20e6, rel=0.03)


def test_a_split_unit_has_half_of_its_channels_at_each_dilation():
    unit = MultiScaleUnit(8, 6, 8, dilations=(1, 3)).eval()
    x = torch.randn(1, 8, 9, 9)
    h = unit.reduce(F.relu(unit.norm(x)))
    parts = [F.conv2d(h, unit.parts[i].weight, padding=r, dilation=r) for i, r in enumerate((1, 3))]
    assert [p.shape[1] for p in parts] == [3, 3]
    torch.testing.assert_close(unit(x), x + unit.expand(torch.cat(parts, dim=1)))


def test_maps_have_strides_4_8_and_16_and_logits_the_size_of_the_picture():
    encoder = AdapNet(channels=2, **SMALL)
    encoded = encoder(ModalityInput(torch.randn(2, 2, 48, 32)))
    assert [tuple(m.shape[1:]) for m in encoded.pyramid] == [(6, 12, 8), (6, 6, 4), (8, 3, 2)]
    assert encoder.pyramid_channels == (6, 6, 8)
    assert encoded.pooled.shape == (2, 8)
    outputs = AdapNetHead(classes=5, channels=(6, 6, 8), width=8)(encoded.pyramid, (48, 32))
    assert [tuple(x.shape) for x in outputs] == [(2, 5, 48, 32)] * 3


def test_a_size_that_16_does_not_divide_is_an_error():
    with pytest.raises(DataError, match="40 x 48 pixels; rows and columns must be multiples of 16"):
        AdapNet(channels=2, **SMALL)(ModalityInput(torch.randn(1, 2, 40, 48)))


def test_gates_lie_between_0_and_1_and_without_weights_they_are_half():
    block = SSMABlock(5, eta=2).eval()
    a, b = torch.randn(2, 2, 5, 4, 4)
    gate = block.weights(a, b)
    assert gate.shape == (2, 10, 4, 4)
    assert 0 < gate.min() < gate.max() < 1
    for layer in block.gate:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert bool((block.weights(a, b) == 0.5).all())
    torch.testing.assert_close(block(a, b), block.norm(block.join(torch.cat([a, b], 1) / 2)))


def test_swapping_the_modalities_is_permuting_the_channels_of_gate_and_output():
    block, other = SSMABlock(4, eta=2).eval(), SSMABlock(4, eta=2).eval()
    swap = torch.tensor([4, 5, 6, 7, 0, 1, 2, 3])
    other.load_state_dict(block.state_dict())
    with torch.no_grad():
        other.gate[0].weight.copy_(block.gate[0].weight[:, swap])
        other.gate[2].weight.copy_(block.gate[2].weight[swap])
        other.gate[2].bias.copy_(block.gate[2].bias[swap])
        other.join.weight.copy_(block.join.weight[:, swap])
    a, b = torch.randn(2, 3, 4, 6, 6)
    torch.testing.assert_close(other(b, a), block(a, b))


def test_published_bottlenecks_have_32_channels_at_the_context_and_8_at_the_skips():
    head = SSMAHead(classes=12, channels=(24, 24, 256))
    assert [block.gate[0].out_channels for block in head.blocks] == [8, 8, 32]


def test_skips_of_the_fused_decoder_are_weighted_by_the_mean_feature():
    head = AdapNetHead(classes=3, channels=(2, 2, 4), width=4, gated=True).eval()
    nn.init.zeros_(head.gates[0].weight)
    nn.init.zeros_(head.gates[0].bias)
    maps = [torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4), torch.randn(1, 4, 2, 2)]
    shut = head(maps, (32, 32))[0]
    maps[1] = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(head(maps, (32, 32))[0], shut)
    maps[0] = torch.randn(1, 2, 8, 8)
    assert not torch.allclose(head(maps, (32, 32))[0], shut)


def test_the_last_doubling_begins_as_interpolation():
    head = AdapNetHead(classes=2, channels=(1, 1, 1), width=1)
    x = torch.rand(1, 2, 6, 6)
    expected = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(head.last(x)[inside], expected[inside])


def fused_model():
    return DualEncoder(
        encoders={"a": AdapNet(channels=2, **SMALL), "b": AdapNet(channels=3, **SMALL)}, dim=4,
        modalities={"a": "a", "b": "b"}, frozen=["a", "b"],
        heads={"fused": SSMAHead(classes=3, channels=(6, 6, 8), width=8, eta=(3, 3, 4))},
    )  # fmt: skip


def fused_step(model, labels):
    rows = len(labels)
    inputs = {m: ModalityInput(torch.randn(rows, c, 32, 32)) for m, c in (("a", 2), ("b", 3))}
    present = {m: torch.ones(rows, dtype=torch.bool) for m in "ab"}
    batch = Batch([str(i) for i in range(rows)], inputs, present, masks={"labels": labels})
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(0))


def fused_loss():
    view = FusedLogits(modalities=["a", "b"], head="fused")
    return Objective(terms=[PixelLabels(view=view, mask="labels", dice=0.0, auxiliary=[0.6, 0.5])])


def test_frozen_experts_keep_weights_and_statistics_while_the_fusion_learns():
    model = fused_model().train()
    before = {k: v.clone() for k, v in model.encoders.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    loss, _ = fused_loss()(fused_step(model, torch.randint(0, 3, (2, 32, 32))))
    loss.backward()
    optimizer.step()
    assert all(p.grad is None for p in model.encoders.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.encoders.state_dict().items())
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for b in model.heads["fused"].blocks for p in b.join.parameters()
    )


def test_void_pixels_change_nothing():
    model = fused_model().eval()
    labels = torch.randint(0, 3, (2, 32, 32))
    labels[:, :10] = -1
    torch.manual_seed(1)
    step = fused_step(model, labels)
    loss, _ = fused_loss()(step)
    outputs = FusedLogits(modalities=["a", "b"], head="fused")(step).logits
    ce = [F.cross_entropy(z[:, :, 10:], labels[:, 10:]) for z in outputs]
    torch.testing.assert_close(loss, ce[0] + 0.6 * ce[1] + 0.5 * ce[2])


def test_one_row_can_be_trained_on():
    model = DualEncoder(
        encoders={"a": AdapNet(channels=2, **SMALL), "b": AdapNet(channels=3, **SMALL)}, dim=4,
        modalities={"a": "a", "b": "b"},
        heads={"fused": SSMAHead(classes=3, channels=(6, 6, 8), width=8, eta=(3, 3, 4))},
    ).train()  # fmt: skip
    loss, _ = fused_loss()(fused_step(model, torch.randint(0, 3, (1, 32, 32))))
    loss.backward()
    assert bool(loss.isfinite())


def test_bad_arguments_are_named():
    with pytest.raises(ConfigError, match="dilations has 1 stages"):
        AdapNet(channels=2, dilations=[[None]])
    with pytest.raises(ConfigError, match="joins two modalities, not 3"):
        SSMAHead(classes=2, channels=(2, 2, 2), eta=(1, 1, 1))([[]] * 3, (4, 4))
    with pytest.raises(ConfigError, match="eta is 9"):
        SSMABlock(4, eta=9)
