"""CromSS checkpoints, as synthetic ones with the public layout: the loaded model answers as their U-Nets."""

import pytest
import torch

from core.encoders import ConvNet
from core.errors import CheckpointError, ConfigError
from core.models import DualEncoder, UNetHead
from core.types import ModalityInput
from domains.remote_sensing.encoders import load_cromss

smp = pytest.importorskip("segmentation_models_pytorch")
BANDS = {"s1": 2, "s2": 13}
WIDTHS = [16, 16, 8, 8, 4]  # the published ones are 256, 128, 64, 32, 16


def unet(channels, seed):
    torch.manual_seed(seed)
    made = smp.Unet("resnet18", encoder_weights=None, in_channels=channels, classes=9, decoder_channels=WIDTHS)
    for module in made.modules():  # statistics that were never trained would hide a swap of them
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    return made.eval()


def under(prefix, module):
    return {f"net.{prefix}.{key}": value for key, value in module.state_dict().items()}


def checkpoint(fusion):
    """The file and the networks behind it, by modality."""
    nets = {m: unet(channels, seed) for seed, (m, channels) in enumerate(BANDS.items())}
    if fusion == "middle":
        nets["s1"].decoder, nets["s1"].segmentation_head = nets["s2"].decoder, nets["s2"].segmentation_head
        state = {
            **under("encoder1", nets["s1"].encoder), **under("encoder", nets["s2"].encoder),
            **under("decoder", nets["s2"].decoder), **under("segmentation_head", nets["s2"].segmentation_head),
        }  # fmt: skip
    else:
        state = {**under("model1", nets["s1"]), **under("model2", nets["s2"])}
    return {"epoch": 199, "state_dict": state}, nets


def fresh(heads, modalities=("s1", "s2"), **options):
    head = {"classes": 9, "channels": [64, 64, 128, 256, 512], "widths": WIDTHS}
    return DualEncoder(
        encoders={m: ConvNet(name="resnet18", channels=BANDS[m], norm="own", **options) for m in modalities}, dim=4,
        modalities={m: m for m in modalities}, heads={name: UNetHead(**head) for name in heads},
    ).eval()  # fmt: skip


@pytest.mark.parametrize("fusion", ["middle", "late"])
@torch.no_grad()
def test_the_loaded_model_answers_as_the_networks_of_the_file(fusion):
    saved, nets = checkpoint(fusion)
    heads = {"s1": "labels", "s2": "labels"} if fusion == "middle" else {"s1": "radar", "s2": "optical"}
    model = fresh(set(heads.values()))
    assert load_cromss(model, saved, heads=heads) == []
    for modality, net in nets.items():
        x = torch.randn(2, BANDS[modality], 64, 96)
        pyramid = model.encode(modality, ModalityInput(x)).pyramid
        torch.testing.assert_close(model.heads[heads[modality]](pyramid, (64, 96)), net(x), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_encoder_alone_is_loaded_and_the_rest_is_told():
    saved, nets = checkpoint("middle")
    model = fresh([], modalities=("s2",))
    unused = load_cromss(model, saved)
    assert {key.split(".")[1] for key in unused} == {"encoder1", "decoder", "segmentation_head"}
    x = torch.randn(1, 13, 64, 64)
    for found, expected in zip(model.encode("s2", ModalityInput(x)).pyramid, nets["s2"].encoder(x)[1:], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_named_and_nothing_is_copied():
    saved, _ = checkpoint("middle")
    model = fresh(["labels"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    saved["state_dict"]["net.segmentation_head.0.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"'net.segmentation_head.0.weight' is \(3,\)"):
        load_cromss(model, saved, heads={"s2": "labels"})
    del saved["state_dict"]["net.encoder.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"'net.encoder.conv1.weight' is missing"):
        load_cromss(model, saved)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(ConfigError, match="heads: 's2: label'; did you mean 'labels'"):
        load_cromss(model, saved, heads={"s2": "label"})
