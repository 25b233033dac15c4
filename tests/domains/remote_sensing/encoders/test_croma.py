"""Legend: V = rows of a sensor, B = rows of the batch, D = width."""

import pytest
import torch

from core.errors import CheckpointError, ConfigError, DataError
from core.types import ModalityInput
from domains.remote_sensing.encoders import CROMAJoint, CROMAModel, load_croma
from domains.remote_sensing.encoders.croma import alibi
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor

torchgeo = pytest.importorskip("torchgeo.models")
SIZE, WIDTH, ROWS = 24, 32, 3


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    return torchgeo.CROMA(encoder_dim=WIDTH, encoder_depth=2, num_heads=16, image_size=SIZE).eval()


@pytest.fixture(scope="module")
def model(source):
    model = CROMAModel(width=WIDTH, depth=2, dim=8).eval()
    load_croma(model, source.state_dict())
    return model


@pytest.fixture(scope="module")
def x():
    rng = torch.Generator().manual_seed(1)
    return {m: torch.rand(ROWS, c, SIZE, SIZE, generator=rng) for m, c in (("s1", 2), ("s2", 12))}


def given(x, **present):
    """Inputs and presence as a batch has them."""
    present = {m: torch.tensor(rows, dtype=torch.bool) for m, rows in present.items()}
    return {m: ModalityInput(x[m][rows]) for m, rows in present.items() if rows.any()}, present


ALL = [1, 1, 1]


def test_distances_are_torchgeos(source):
    torch.testing.assert_close(alibi((3, 3)), source.attn_bias, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_each_sensor_alone_and_both_are_what_torchgeo_gives(model, source, x):
    expected = source(x_sar=x["s1"], x_optical=x["s2"])
    for name, kind in (("s1", "sar"), ("s2", "optical")):
        found = model.encode(name, ModalityInput(x[name]))
        torch.testing.assert_close(found.tokens.x, expected[f"{kind}_encodings"])
        torch.testing.assert_close(found.pooled, expected[f"{kind}_GAP"])
    joint = model.encoder_of_all(["s1", "s2"]).encode(*given(x, s1=ALL, s2=ALL))
    torch.testing.assert_close(joint.tokens.x, expected["joint_encodings"])
    torch.testing.assert_close(joint.pooled, expected["joint_GAP"])
    assert joint.pyramid[0].shape == (ROWS, WIDTH, 3, 3)
    assert torch.equal(joint.pyramid[0][0, :, 1, 2], joint.tokens.x[0, 5])


@torch.no_grad()
def test_a_row_without_one_sensor_has_the_encoding_of_the_other(model, source, x):
    joint = model.encoder_of_all(["s2", "s1"])  # in any order
    found = joint.encode(*given(x, s1=[1, 1, 0], s2=[0, 1, 1]))
    expected = source(x_sar=x["s1"], x_optical=x["s2"])
    for row, kind in enumerate(("sar", "joint", "optical")):
        torch.testing.assert_close(found.tokens.x[row], expected[f"{kind}_encodings"][row])
        torch.testing.assert_close(found.pooled[row], expected[f"{kind}_GAP"][row])
    only = joint.encode(*given(x, s2=ALL))
    torch.testing.assert_close(only.pooled, expected["optical_GAP"])
    nothing = joint.encode(*given(x, s1=[1, 0, 0], s2=[1, 0, 0]))
    assert bool((nothing.pooled[1:] == 0).all())
    disjoint = joint.encode(*given(x, s1=[1, 0, 0], s2=[0, 1, 0]))
    torch.testing.assert_close(disjoint.pooled[1], expected["optical_GAP"][1])


def test_both_layouts_of_the_file_load_and_faults_are_named(model, source, x):
    flat, nested = source.state_dict(), {}
    for part in ("s1_encoder", "s1_GAP_FFN", "s2_encoder", "s2_GAP_FFN", "joint_encoder"):
        nested[part] = getattr(source, part).state_dict()
    other = CROMAModel(width=WIDTH, depth=2, dim=8).eval()
    load_croma(other, nested)
    with torch.no_grad():
        pair = [m.encoder_of_all(["s1", "s2"]).encode(*given(x, s1=ALL, s2=ALL)).pooled for m in (model, other)]
    assert torch.equal(*pair)
    with pytest.raises(CheckpointError, match="'joint_encoder' is missing"):
        load_croma(other, {k: v for k, v in nested.items() if k != "joint_encoder"})
    with pytest.raises(CheckpointError, match=r"'s2_encoder.linear_input.weight' is \(3,\)"):
        load_croma(other, {**flat, "s2_encoder.linear_input.weight": torch.ones(3)})


@torch.no_grad()
def test_other_sizes_go_on_with_the_distances(model, x):
    larger = torchgeo.CROMA(encoder_dim=WIDTH, encoder_depth=2, num_heads=16, image_size=40).eval()
    state = {**model.fuser.state_dict(prefix="joint_encoder.")}
    for name, parts in (("s1", ("s1_encoder", "s1_GAP_FFN")), ("s2", ("s2_encoder", "s2_GAP_FFN"))):
        tower = model.encoders[name]
        state |= tower.body.state_dict(prefix=f"{parts[0]}.") | tower.head.state_dict(prefix=f"{parts[1]}.")
    larger.load_state_dict({"attn_bias": larger.attn_bias, **state})
    rng = torch.Generator().manual_seed(2)
    s1, s2 = torch.rand(2, 2, 40, 40, generator=rng), torch.rand(2, 12, 40, 40, generator=rng)
    found = model.encoder_of_all(["s1", "s2"]).encode(*given({"s1": s1, "s2": s2}, s1=[1, 1], s2=[1, 1]))
    torch.testing.assert_close(found.pooled, larger(x_sar=s1, x_optical=s2)["joint_GAP"], rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_joint_transformer_and_the_towers(x):
    model = CROMAModel(width=WIDTH, depth=2, dim=8)
    model.encoder_of_all(["s1", "s2"]).encode(*given(x, s1=[1, 1, 0], s2=[1, 0, 1])).tokens.x.square().sum().backward()
    for part in (model.fuser, model.encoders["s1"].body, model.encoders["s2"].body):
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in part.parameters())


def test_bands_and_sizes_that_it_was_not_made_for_are_refused(model, x):
    tower = model.encoder_of("s2")
    tower.check(OpticalProcessor(statistics="ssl4eo_s2a"))
    with pytest.raises(DataError, match="the bands differ"):
        tower.check(OpticalProcessor(sensor="sentinel2_l1c", statistics="ssl4eo_s2c"))
    with pytest.raises(DataError, match="the order differs"):
        model.encoder_of("s1").check(RadarProcessor(sensor="sentinel1_db_vh_vv", statistics="ssl4eo_s1"))
    with pytest.raises(DataError, match=r"expected \(V, 12, H, W\): B01, B02"):
        tower(ModalityInput(torch.zeros(1, 13, 24, 24)))
    with pytest.raises(DataError, match="no multiples of its patch"):
        tower(ModalityInput(torch.zeros(1, 12, 20, 24)))
    wide = {**x, "s1": torch.zeros(ROWS, 2, 24, 32)}
    with pytest.raises(DataError, match="same rows and columns"):
        model.encoder_of_all(["s1", "s2"]).encode(*given(wide, s1=ALL, s2=ALL))
    with pytest.raises(ConfigError, match="multiple of 16"):
        CROMAModel(width=40, depth=2)
    with pytest.raises(ConfigError, match="radar and an optical"):
        CROMAJoint(towers={"s1": model.encoder_of("s1")}, fuser=model.fuser)
