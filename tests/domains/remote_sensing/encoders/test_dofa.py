"""Legend: V = rows, C = bands, D = width."""

import pytest
import torch

from core.errors import CheckpointError, ConfigError, DataError
from core.types import ModalityInput
from domains.remote_sensing.bands import Band, BandSpec
from domains.remote_sensing.encoders import DOFA, load_dofa
from domains.remote_sensing.encoders.tower import dofa_wavelengths
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor
from domains.remote_sensing.sensors import preset

torchgeo = pytest.importorskip("torchgeo.models")
RADAR = [5.405, 5.405]
OPTICAL = [0.443, 0.492, 0.56, 0.665, 0.704, 0.74, 0.783, 0.833, 0.865, 0.945, 1.614, 2.202]
SMALL = {"image_size": 16, "patch": 4, "width": 32, "depth": 2, "heads": 2}


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return DOFA(sensors=["sentinel1_db", "sentinel2_l2a"], **SMALL).eval()


def images(channels, rows=3, size=16):
    return torch.randn(rows, channels, size, size, generator=torch.Generator().manual_seed(channels))


def test_wavelengths_are_those_of_the_bands_and_a_radar_band_is_its_frequency_in_ghz():
    assert dofa_wavelengths(preset("sentinel1_db")) == RADAR
    assert dofa_wavelengths(preset("sentinel2_l2a")) == OPTICAL
    with pytest.raises(ConfigError, match="band elevation of dem has no wavelength"):
        dofa_wavelengths(BandSpec("dem", (Band("elevation"),), "metre"))


@pytest.mark.parametrize(("channels", "waves"), [(2, RADAR), (12, OPTICAL)])
def test_the_vector_is_what_torchgeo_gives(encoder, channels, waves):
    x = images(channels)
    with torch.no_grad():
        expected = encoder.body(x, waves)  # no classes: its head is the identity
        found = encoder(ModalityInput(x))
    torch.testing.assert_close(found.pooled, expected, rtol=1e-5, atol=1e-6)
    assert found.tokens.x.shape == (3, 17, 32)
    assert found.pyramid[0].shape == (3, 32, 4, 4)
    torch.testing.assert_close(found.pyramid[0].flatten(2).transpose(1, 2), found.tokens.x[:, 1:])


def test_a_whole_torchgeo_model_loads_and_answers_the_same():
    torch.manual_seed(1)
    source = torchgeo.DOFA(img_size=16, patch_size=4, embed_dim=32, depth=2, num_heads=2, num_classes=5).eval()
    torch.nn.init.normal_(source.pos_embed, std=0.1)
    encoder = DOFA(sensors=["sentinel2_l2a"], **SMALL).eval()
    load_dofa(encoder, source.state_dict())
    x = images(12)
    with torch.no_grad():
        torch.testing.assert_close(encoder(ModalityInput(x)).pooled, source.forward_features(x, OPTICAL))


def test_weights_without_the_last_norm_load_and_other_sizes_have_their_positions_resampled(encoder):
    state = {k: v for k, v in encoder.body.state_dict().items() if not k.startswith("fc_norm.")}
    larger = DOFA(sensors=["sentinel1_db"], **{**SMALL, "image_size": 32})
    load_dofa(larger, {"model": state})
    torch.testing.assert_close(larger.body.pos_embed[:, 0], encoder.body.pos_embed[:, 0])
    # A model that resamples when it meets the larger image has the same positions as one that was loaded larger
    torch.testing.assert_close(encoder.place((8, 8)), larger.place((8, 8)))
    x = images(2, size=32)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(ModalityInput(x)).pooled, larger.eval()(ModalityInput(x)).pooled)


def test_hidden_tokens_are_never_seen(encoder):
    x = images(12)
    keep = torch.tensor([[0, 5, 6]]).expand(3, -1)
    changed = x.clone()
    changed[:, :, 12:, 12:] += 7  # the last patch
    with torch.no_grad():
        a, b = (encoder(ModalityInput(y), keep=keep).tokens.x for y in (x, changed))
    assert a.shape == (3, 4, 32)
    torch.testing.assert_close(a, b)


def test_weights_that_do_not_fit_are_named(encoder):
    state = encoder.body.state_dict()
    with pytest.raises(CheckpointError, match=r"'cls_token' is missing"):
        load_dofa(encoder, {k: v for k, v in state.items() if k != "cls_token"})
    with pytest.raises(CheckpointError, match=r"'blocks.0.norm1.weight' is \(3,\), the model's is \(32,\)"):
        load_dofa(encoder, {**state, "blocks.0.norm1.weight": torch.ones(3)})
    with pytest.raises(CheckpointError, match=r"'blocks.2.norm1.weight' is unknown"):
        load_dofa(encoder, {**state, "blocks.2.norm1.weight": torch.ones(32)})
    with pytest.raises(CheckpointError, match="not finite"):
        load_dofa(encoder, {**state, "cls_token": state["cls_token"] * torch.nan})


def test_bands_that_it_was_not_made_for_are_refused_with_both_orders(encoder):
    encoder.check(OpticalProcessor(statistics="ssl4eo_s2a"))
    encoder.check(RadarProcessor(statistics="ssl4eo_s1"))
    with pytest.raises(DataError, match=r"the order differs(.|\n)*VH, VV(.|\n)*VV, VH"):
        encoder.check(RadarProcessor(sensor="sentinel1_db_vh_vv", statistics="ssl4eo_s1"))
    with pytest.raises(DataError, match=r"2 \(sentinel1 GRD\), 12 \(sentinel2 L2A\)"):
        encoder(ModalityInput(images(13)))
    with pytest.raises(ConfigError, match="same"):
        DOFA(sensors=["sentinel1_db", "sentinel1_db_vh_vv"], **SMALL)
    with pytest.raises(ConfigError, match="no weights are published for width 32"):
        DOFA(sensors=["sentinel1_db"], pretrained=True, **SMALL)
