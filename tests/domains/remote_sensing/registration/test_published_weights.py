"""Folders in the layout of the published checkpoints, with random weights of a small network."""

import json

import pytest
import torch
from safetensors.torch import save_file

from core.errors import CheckpointError
from domains.remote_sensing.registration.checkpoint import load_matcher, load_published
from domains.remote_sensing.registration.matcher import LoFTRMatcher


def publish(folder, change=None, **config):
    """What `save_pretrained` of transformers leaves."""
    torch.manual_seed(0)
    matcher = LoFTRMatcher(widths=(4, 8, 8, 16), blocks=(1, 1, 1, 1), depth=1, heads=2, slice_dim=2)
    matcher.net.save_pretrained(folder)
    if change is not None:
        state = {k: v.clone() for k, v in matcher.net.state_dict().items()}
        change(state)
        save_file(state, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return matcher


def test_names_are_those_of_the_published_weights(tmp_path):
    names = set(publish(tmp_path).net.state_dict())
    for name in (
        "efficientloftr.backbone.stages.0.blocks.0.conv1.conv.weight",
        "efficientloftr.local_feature_transformer.layers.0.self_attention.attention.q_proj.weight",
        "refinement_layer.out_conv.weight",
        "refinement_layer.out_conv_layers.0.out_conv1.weight",
        "refinement_layer.out_conv_layers.1.batch_norm.weight",
    ):
        assert name in names


def test_a_folder_of_transformers_gives_the_same_matcher_with_the_released_second_stage(tmp_path):
    given = publish(tmp_path).eval()
    loaded = load_matcher(tmp_path)
    assert loaded.second_stage == "released"
    x = torch.rand(1, 2, 1, 64, 64)
    with torch.no_grad():
        a, b = (m.pair(x[:, 0], x[:, 1]).coarse_B2ND for m in (given, loaded))
    assert torch.equal(a, b)


def test_the_report_lists_every_key_that_does_not_fit(tmp_path):
    def change(state):
        state["extra.weight"] = torch.zeros(1)
        del state["refinement_layer.out_conv.weight"]
        name = "refinement_layer.out_conv_layers.0.out_conv1.weight"
        state[name] = state[name][:1].clone()

    publish(tmp_path, change)
    _, report = load_published(tmp_path)
    assert report.unexpected == ("extra.weight",)
    assert report.missing == ("refinement_layer.out_conv.weight",)
    assert report.misshapen == ("refinement_layer.out_conv_layers.0.out_conv1.weight",)
    assert "1 missing: refinement_layer.out_conv.weight" in str(report)
    with pytest.raises(CheckpointError, match=r"1 unexpected: extra\.weight"):
        load_matcher(tmp_path)


def test_another_architecture_is_refused(tmp_path):
    publish(tmp_path, fine_kernel_size=10)
    with pytest.raises(CheckpointError, match="fine_kernel_size is 10; supported is 8"):
        load_matcher(tmp_path)


def test_no_folder_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_matcher(tmp_path / "absent")
