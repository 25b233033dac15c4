"""Legend: V = rows of a modality, B = rows of the batch, D = width, h, w = cells."""

import pytest
import torch

from core.encoders import ConvNet, PatchAdapter
from core.errors import ConfigError
from core.fusion import CoAttention, JointTransformer
from core.models import DualEncoder, JointEncoder, JointModel
from core.types import ModalityInput

ROWS = 4


def make_model(**kwargs):
    torch.manual_seed(0)
    encoders = {
        "radar": PatchAdapter(size=[8, 8], patch=[4, 4], channels=2, width=12),
        "optical": PatchAdapter(size=[8, 8], patch=[4, 4], channels=3, width=12),
    }
    fusion = JointTransformer(width=16, depth=2, heads=2, inputs={"radar": 12, "optical": 12}, **kwargs)
    return JointModel(encoders=encoders, modalities={m: m for m in encoders}, dim=8, fusion=fusion).eval()


@pytest.fixture
def inputs():
    rng = torch.Generator().manual_seed(1)
    return {
        "radar": ModalityInput(torch.randn(ROWS, 2, 8, 8, generator=rng)),
        "optical": ModalityInput(torch.randn(ROWS, 3, 8, 8, generator=rng)),
    }


def everywhere(names=("radar", "optical"), rows=ROWS):
    return {name: torch.ones(rows, dtype=torch.bool) for name in names}


def test_a_modality_alone_is_encoded_by_its_adapter_and_the_transformer(inputs):
    model = make_model()
    vector, pooled = model.embed("radar", inputs["radar"])
    assert vector.shape == (ROWS, 8)
    assert pooled.shape == (ROWS, 16) == (ROWS, model.width("radar"))
    fusion, tokens = model.fusion, model.encoders["radar"](inputs["radar"]).tokens.x
    x, global_ = fusion.run(fusion.enter("radar", tokens))
    torch.testing.assert_close(pooled, torch.cat([x, global_], dim=1).mean(1))


def test_a_row_that_lacks_a_modality_is_encoded_as_if_nobody_had_it(inputs):
    encoder = make_model().encoder_of_all(["radar", "optical"])
    present = everywhere() | {"optical": torch.tensor([True, False, True, False])}
    some = {"radar": inputs["radar"], "optical": inputs["optical"].rows(present["optical"])}
    found = encoder.encode(some, present)
    alone = encoder.encode({"radar": inputs["radar"]}, everywhere(["radar"]))
    both = encoder.encode(inputs, everywhere())
    lacks = ~present["optical"]
    torch.testing.assert_close(found.pooled[lacks], alone.pooled[lacks])
    torch.testing.assert_close(found.pyramid[0][lacks], alone.pyramid[0][lacks])
    torch.testing.assert_close(found.pooled[~lacks], both.pooled[~lacks])
    assert not torch.allclose(both.pooled, alone.pooled)


def test_the_order_of_modalities_changes_nothing(inputs):
    model = make_model()
    a = model.encoder_of_all(["radar", "optical"]).encode(inputs, everywhere())
    b = model.encoder_of_all(["optical", "radar"]).encode(inputs, everywhere())
    torch.testing.assert_close(a.pooled, b.pooled)
    torch.testing.assert_close(a.pyramid[0], b.pyramid[0])


def test_the_map_is_the_mean_over_modalities_at_each_cell_in_rows_and_columns(inputs):
    encoded = make_model().encoder_of_all(["radar", "optical"]).encode(inputs, everywhere())
    x_BND = encoded.tokens.x
    assert encoded.pyramid[0].shape == (ROWS, 16, 2, 2)
    torch.testing.assert_close(encoded.pyramid[0][0, :, 0, 1], (x_BND[0, 1] + x_BND[0, 5]) / 2)
    torch.testing.assert_close(encoded.pyramid[0][2, :, 1, 0], (x_BND[2, 2] + x_BND[2, 6]) / 2)


def test_a_row_without_any_modality_is_finite(inputs):
    encoder = make_model().encoder_of_all(["radar", "optical"])
    present = {"radar": torch.tensor([True, False]), "optical": torch.tensor([True, False])}
    one = torch.tensor([0])
    found = encoder.encode({m: inp.rows(one) for m, inp in inputs.items()}, present)
    assert found.pooled.isfinite().all()
    assert not found.pyramid[0][1].any()


def test_plain_tokens_enter_as_they_are_and_keep_their_width():
    fusion = JointTransformer(width=12, depth=1, heads=2, inputs={"a": 12}, plain=True, norm_eps=1e-6)
    x = torch.randn(2, 3, 12)
    assert fusion.enter("a", x) is x
    assert fusion.blocks[0].attn_norm.eps == 1e-6
    with pytest.raises(ConfigError, match="plain needs inputs of width 16"):
        JointTransformer(width=16, depth=1, heads=2, inputs={"a": 12}, plain=True)


def test_errors_name_what_does_not_fit(inputs):
    model = make_model()
    with pytest.raises(ConfigError, match="give inputs by name"):
        model.encoder_of_all(["radar", "optical"])(inputs["radar"])
    with pytest.raises(ConfigError, match="reads no modality 'rader'; did you mean 'radar'"):
        model.encoder_of("rader")
    with pytest.raises(ConfigError, match="has none of radar"):
        model.encoder_of("radar").encode({}, {})
    with pytest.raises(ConfigError, match="fusion is CoAttention"):
        JointModel(
            encoders={"a": PatchAdapter(size=[4, 4], patch=[2, 2], channels=1, width=8)}, modalities={"a": "a"}, dim=4,
            fusion=CoAttention(width=8, depth=1, heads=2, inputs={"a": 8, "b": 8}),
        )  # fmt: skip
    with pytest.raises(ConfigError, match="the transformer reads no 'sar'"):
        JointEncoder(adapters={"sar": model.encoders["radar"]}, fusion=model.fusion)
    two = DualEncoder(
        encoders={"a": ConvNet(channels=1, options={"layers": [1] * 4, "channels": [16] * 4})},
        modalities={"a": "a", "b": "a"}, dim=4,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="none for a, b together"):
        two.encoder_of_all(["a", "b"])
