"""A file of published weights becomes a saved model; here files of random weights in the same layout."""

import json

import numpy as np
import pytest
import torch

from core.types import ModalityInput
from domains.remote_sensing import load_encoder
from domains.remote_sensing.published import main

torchgeo = pytest.importorskip("torchgeo.models")


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    day = {"lonlat": np.zeros(2), "day": np.array(1.0, np.float32)}
    return {
        "s1": {"x": rng.integers(-2500, -500, (2, 24, 24)).astype(np.int16), **day},
        "s2": {"x": rng.integers(0, 4000, (12, 24, 24)).astype(np.int16), **day},
    }


def converted(system, state, folder, suffix=".pth"):
    torch.save(state, folder / f"weights{suffix}")
    argv = [system, "--weights", str(folder / f"weights{suffix}"), "--out", str(folder / "model"), "--size", "24"]
    assert main(argv) == 0
    return folder / "model"


def vectors(folder, samples):
    found = {}
    for name, sample in samples.items():
        encoder = load_encoder(folder, name)
        found[name] = (encoder.encode_samples([sample])[0], encoder.processor.collate([sample]).x)
    return found


def test_dofa_weights_give_the_vectors_of_torchgeo(tmp_path, samples, capsys):
    torch.manual_seed(0)
    source = torchgeo.DOFA(img_size=24, patch_size=8, embed_dim=64, depth=2, num_heads=1, num_classes=0).eval()
    found = vectors(converted("dofa", source.state_dict(), tmp_path), samples)
    waves = {
        "s1": [5.405] * 2,
        "s2": [0.443, 0.492, 0.56, 0.665, 0.704, 0.74, 0.783, 0.833, 0.865, 0.945, 1.614, 2.202],
    }
    for name, (vector, x) in found.items():
        with torch.no_grad():
            expected = torch.nn.functional.normalize(source(x, waves[name]), dim=-1)[0]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


def test_croma_weights_give_the_vectors_of_torchgeo_and_channels_lie_between_0_and_1(tmp_path, samples, capsys):
    torch.manual_seed(0)
    source = torchgeo.CROMA(encoder_dim=32, encoder_depth=2, num_heads=16, image_size=24).eval()
    parts = ("s1_encoder", "s1_GAP_FFN", "s2_encoder", "s2_GAP_FFN", "joint_encoder")
    state = {part: dict(getattr(source, part).state_dict()) for part in parts}
    found = vectors(converted("croma", state, tmp_path, ".pt"), samples)
    assert all(0 <= float(x.min()) <= float(x.max()) <= 1 for _, x in found.values())
    with torch.no_grad():
        expected = source(x_sar=found["s1"][1], x_optical=found["s2"][1])
    for name, kind in (("s1", "sar"), ("s2", "optical")):
        unit = torch.nn.functional.normalize(expected[f"{kind}_GAP"], dim=-1)[0]
        np.testing.assert_allclose(found[name][0], unit.numpy(), atol=1e-5)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["about"]["system"] == "croma"


def test_files_that_are_no_such_weights_are_refused(tmp_path, capsys):
    assert main(["dofa", "--weights", str(tmp_path / "none.pth"), "--out", str(tmp_path / "m")]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "text.pth").write_text("no weights")
    assert main(["croma", "--weights", str(tmp_path / "text.pth"), "--out", str(tmp_path / "m")]) == 2
    assert "cannot be read as weights alone" in capsys.readouterr().err
    torch.save({"x": torch.ones(2)}, tmp_path / "other.pth")
    for system, named in (("dofa", "not DOFA's"), ("croma", "not CROMA's")):
        assert main([system, "--weights", str(tmp_path / "other.pth"), "--out", str(tmp_path / "m")]) == 2
        assert named in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


class Danger:
    def __reduce__(self):
        return print, ("ran",)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, capsys):
    torch.save({"model": Danger()}, tmp_path / "evil.pth")
    assert main(["dofa", "--weights", str(tmp_path / "evil.pth"), "--out", str(tmp_path / "m")]) == 2
    told = capsys.readouterr()
    assert "ran" not in told.out.split()
    assert "weights alone" in told.err


def test_inputs_of_other_sizes_have_vectors_too(samples):
    from domains.remote_sensing.encoders import DOFA

    encoder = DOFA(sensors=["sentinel1_db"], image_size=24, patch=8, width=32, depth=1, heads=2).eval()
    assert encoder(ModalityInput(torch.zeros(1, 2, 48, 24))).pyramid[0].shape == (1, 32, 6, 3)
