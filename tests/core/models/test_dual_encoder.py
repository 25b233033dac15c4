"""Encoders by name, the modalities they read, and one space for all of them."""

from __future__ import annotations

import pytest
import torch

from core.encoders import ImageTransformer, SlicePooled, TextTransformer
from core.errors import ConfigError
from core.models import DualEncoder, LinearProjection, MLPProjection
from core.types import ModalityInput


def image_encoder() -> ImageTransformer:
    return ImageTransformer(image_size=16, patch=8, width=16, depth=1, heads=2, channels=1)


def model(**how) -> DualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoders = {
            "eye": SlicePooled(encoder=image_encoder()),
            "reader": TextTransformer(vocab_size=20, width=12, depth=1, heads=2),
        }
        modalities = {"picture": "eye", "volume": "eye", "words": "reader"}
        return DualEncoder(**{"encoders": encoders, "modalities": modalities, "dim": 6, **how}).eval()


def picture(rows=3) -> ModalityInput:
    return ModalityInput(torch.randn(rows, 1, 16, 16, generator=torch.Generator().manual_seed(1)))


def words(rows=3) -> ModalityInput:
    return ModalityInput(torch.randint(0, 20, (rows, 5), generator=torch.Generator().manual_seed(2)))


def test_every_modality_is_projected_into_one_space():
    found = model()({"picture": picture(2), "volume": ModalityInput(torch.zeros(4, 1, 3, 16, 16)), "words": words(5)})
    assert {name: tuple(v.shape) for name, v in found.items()} == {"picture": (2, 6), "volume": (4, 6), "words": (5, 6)}


def test_embed_gives_unit_float32_vectors_without_a_graph_and_the_encoders_own_feature():
    both = model()
    with torch.autocast("cpu", torch.bfloat16):
        vector, pooled = both.embed("picture", picture())
    assert vector.dtype == pooled.dtype == torch.float32
    assert pooled.shape == (3, both.width("picture")) == (3, 16)
    torch.testing.assert_close(vector.norm(dim=1), torch.ones(3))
    assert not vector.requires_grad
    vector, pooled = both.embed("words", words())
    expected = both.project("words", both.encode("words", words()))
    torch.testing.assert_close(vector, torch.nn.functional.normalize(expected, dim=1))


def test_a_modality_may_take_the_projection_of_another():
    both = model(projections={"volume": "picture", "picture": LinearProjection(width=16, dim=6)})
    assert both.projections["picture"] is both.projections["volume"] is not both.projections["words"]
    names = [name for name, _ in both.named_parameters()]
    assert sum("projections" in name for name in names) == 2
    again = model(projections={"volume": "picture", "picture": LinearProjection(width=16, dim=6)})
    again.load_state_dict(both.state_dict())
    assert again.projections["picture"] is again.projections["volume"]
    with pytest.raises(ConfigError, match="projection of 'volume' is that of 'pictures'; did you mean 'picture'"):
        model(projections={"volume": "pictures"})
    with pytest.raises(ConfigError, match="is that of 'words'"):
        model(projections={"volume": "words", "words": "picture"})


def test_modalities_of_one_encoder_share_its_weights_and_not_their_projections():
    both = model()
    assert both.encoder_of("picture") is both.encoder_of("volume") is not both.encoder_of("words")
    assert both.projections["picture"] is not both.projections["volume"]
    names = [name for name, _ in both.named_parameters()]
    assert len(names) == len(set(names))
    assert sum("projections" in name for name in names) == 3


def test_a_frozen_encoder_is_not_trained_and_stays_in_evaluation_mode():
    both = model(frozen=["reader"]).train()
    assert not both.encoders["reader"].training
    assert both.encoders["eye"].training
    assert not any(p.requires_grad for p in both.encoders["reader"].parameters())
    assert all(p.requires_grad for p in both.projections.parameters())


def test_given_projections_are_used_and_the_others_are_linear():
    both = model(projections={"words": MLPProjection(width=12, dim=6, hidden=7)})
    assert isinstance(both.projections["words"], MLPProjection)
    assert isinstance(both.projections["picture"], LinearProjection)


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"modalities": {"picture": "ey"}}, r"modality 'picture' is read by encoder 'ey'; did you mean 'eye'\?"),
        ({"frozen": ["raeder"]}, r"frozen encoder 'raeder'; did you mean 'reader'\?"),
        ({"projections": {"pictur": LinearProjection(width=16, dim=6)}},
         r"projection of modality 'pictur'; did you mean 'picture'\?"),
    ],
)  # fmt: skip
def test_names_that_fit_nothing_are_refused_with_the_nearest(how, fault):
    with pytest.raises(ConfigError, match=fault):
        model(**how)


def test_an_unknown_modality_is_named():
    with pytest.raises(ConfigError, match=r"the model reads no modality 'wrods'; did you mean 'words'\?"):
        model().encode("wrods", words())


def test_projections_are_their_formulas():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    linear, mlp = LinearProjection(width=3, dim=2), MLPProjection(width=3, dim=2)
    torch.testing.assert_close(linear(x), x @ linear.linear.weight.T)
    first, _, second = mlp.layers
    expected = (x @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias
    torch.testing.assert_close(mlp(x), expected)
