"""A checkpoint in the public layout, made here, against a plain transcription of what such weights compute.

Legend: V = rows, N = tokens, D = width.
"""

import pytest
import torch
import torch.nn.functional as F

from core.encoders import ClassPatchAdapter, PatchAdapter
from core.errors import CheckpointError, ConfigError
from core.fusion import JointTransformer
from core.models import JointModel, load_multimae
from core.types import ModalityInput

WIDTH, DEPTH, HEADS, GRID = 16, 2, 4, 3
CHANNELS = {"rgb": 3, "depth": 1}
SHAPES = {
    "norm1": (WIDTH,), "attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH), "norm2": (WIDTH,),
    "mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH),
}  # fmt: skip


def position_table():
    """(1, D, h, w): sin, cos of the row number, then of the column number, as the released tables are."""
    omega = 1 / 10000 ** (torch.arange(WIDTH // 4) / (WIDTH // 4))
    row, column = torch.meshgrid(torch.arange(GRID).float(), torch.arange(GRID).float(), indexing="ij")
    parts = [f(x[..., None] * omega) for x in (row, column) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=-1).permute(2, 0, 1)[None]


@pytest.fixture
def checkpoint():
    rng = torch.Generator().manual_seed(0)

    def some(*shape):
        return 0.3 * torch.randn(shape, generator=rng)

    weights = {"global_tokens": some(1, 1, WIDTH)}
    for name, channels in CHANNELS.items():
        weights |= {
            f"input_adapters.{name}.pos_emb": position_table(),
            f"input_adapters.{name}.proj.weight": some(WIDTH, channels, 4, 4),
            f"input_adapters.{name}.proj.bias": some(WIDTH),
        }
    weights |= {
        "input_adapters.semseg.pos_emb": position_table(),
        "input_adapters.semseg.class_emb.weight": some(5, 6),
        "input_adapters.semseg.proj.weight": some(WIDTH, 6, 4, 4),
        "input_adapters.semseg.proj.bias": some(WIDTH),
    }
    for i in range(DEPTH):
        for part, shape in SHAPES.items():
            weights |= {f"encoder.{i}.{part}.weight": some(*shape), f"encoder.{i}.{part}.bias": some(shape[0])}
    weights["output_adapters.rgb.mask_token"] = some(1, 1, 8)
    return {"model": weights, "epoch": 3}


def make_model(**kwargs):
    inputs = {"s2": WIDTH, "dem": WIDTH, "dw": WIDTH}
    size = [4 * GRID, 4 * GRID]
    adapters = {
        "s2": PatchAdapter(size=size, patch=[4, 4], channels=3, width=WIDTH),
        "dem": PatchAdapter(size=size, patch=[4, 4], channels=1, width=WIDTH),
        "dw": ClassPatchAdapter(size=size, patch=[4, 4], classes=5, embedding=6, width=WIDTH),
    }
    how = {"plain": True, "norm_eps": 1e-6, "depth": DEPTH} | kwargs
    fusion = JointTransformer(width=WIDTH, heads=HEADS, inputs=inputs, **how)
    return JointModel(encoders=adapters, modalities={m: m for m in adapters}, dim=4, fusion=fusion).eval()


NAMES = {"s2": "rgb", "dem": "depth", "dw": "semseg"}


def plain_multimae(w, inputs):
    """The released encoder in a few lines: adapters, concatenation, global token last, pre-norm, no last norm."""
    tokens = []
    for name, x in inputs.items():
        if name == "semseg":
            x = w["input_adapters.semseg.class_emb.weight"][x[:, 0].long()].permute(0, 3, 1, 2)
        front = f"input_adapters.{name}"
        y = F.conv2d(x, w[f"{front}.proj.weight"], w[f"{front}.proj.bias"], stride=4) + w[f"{front}.pos_emb"]
        tokens.append(y.flatten(2).transpose(1, 2))
    h = torch.cat([*tokens, w["global_tokens"].expand(len(tokens[0]), -1, -1)], dim=1)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    for i in range(DEPTH):
        qkv = linear(f"encoder.{i}.attn.qkv", norm(f"encoder.{i}.norm1", h))
        q, k, v = qkv.reshape(*h.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        score = (q @ k.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        h = h + linear(f"encoder.{i}.attn.proj", (score @ v).transpose(1, 2).flatten(2))
        inner = F.gelu(linear(f"encoder.{i}.mlp.fc1", norm(f"encoder.{i}.norm2", h)))
        h = h + linear(f"encoder.{i}.mlp.fc2", inner)
    return h


@pytest.mark.parametrize("used", [["s2"], ["s2", "dem"], ["dw", "dem", "s2"]])
def test_loaded_weights_give_the_released_encoders_tokens(checkpoint, used):
    model = make_model()
    unused = load_multimae(model, checkpoint, names=NAMES)
    assert unused == ["output_adapters.rgb.mask_token"]
    rng = torch.Generator().manual_seed(1)
    x = {
        "s2": torch.randn(2, 3, 12, 12, generator=rng),
        "dem": torch.randn(2, 1, 12, 12, generator=rng),
        "dw": torch.randint(0, 5, (2, 1, 12, 12), generator=rng).float(),
    }
    present = {name: torch.ones(2, dtype=torch.bool) for name in used}
    found = model.encoder_of_all(used).encode({m: ModalityInput(x[m]) for m in used}, present)
    expected = plain_multimae(checkpoint["model"], {NAMES[m]: x[m] for m in used})
    torch.testing.assert_close(found.tokens.x, expected[:, :-1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.pooled, expected.mean(1), rtol=1e-4, atol=1e-5)


def test_modalities_that_the_file_lacks_keep_their_weights(checkpoint):
    model = make_model()
    before = model.encoders["dem"].stem.project.weight.clone()
    assert "input_adapters.depth.proj.weight" in load_multimae(model, checkpoint, names={"s2": "rgb"})
    torch.testing.assert_close(model.encoders["dem"].stem.project.weight, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("encoder.1.mlp.fc2.bias"), "'encoder.1.mlp.fc2.bias' is missing"),
        (
            lambda w: w.update({"global_tokens": torch.zeros(1, 2, WIDTH)}),
            r"'global_tokens' has the shape \(1, 2, 16\)",
        ),
        (lambda w: w.update({"encoder.2.norm1.weight": torch.ones(WIDTH)}), "beyond the model's 2 blocks"),
        (
            lambda w: w.update({"input_adapters.rgb.pos_emb": position_table().transpose(2, 3)}),
            "positions in 'input_adapters.rgb.pos_emb' differ",
        ),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(checkpoint, change, message):
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    change(checkpoint["model"])
    with pytest.raises(CheckpointError, match=message):
        load_multimae(model, checkpoint, names=NAMES)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_of_another_form_is_refused(checkpoint):
    with pytest.raises(ConfigError, match="plain: true"):
        load_multimae(make_model(plain=False), checkpoint, names=NAMES)
    with pytest.raises(CheckpointError, match="give `names`"):
        load_multimae(make_model(), checkpoint)
