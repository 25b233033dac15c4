"""Masked image, masked text and matching on a tiny model of the suite's own encoders and fusion."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from core.encoders.image import ImageTransformer
from core.encoders.text import TextTransformer
from core.encoders.volume import VolumeTransformer
from core.errors import ConfigError
from core.fusion.co_attention import CoAttention
from core.objectives import (
    FromFusion,
    HardNegatives,
    JointMasked,
    MaskedImage,
    MaskedImageDecoder,
    MaskedText,
    Matching,
    RandomNegatives,
    Step,
)
from core.objectives.candidates import Candidates
from core.objectives.negatives import Judged
from core.types import Batch, Encoded, ModalityInput

WIDTH, VOCAB = 12, 30


class Towers(nn.Module):
    """Image, volume and text encoders of width 12 with a co-attention fusion of four layers."""

    def __init__(self, fusion: bool = True) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(
            {
                "image": ImageTransformer(image_size=8, patch=2, channels=1, width=WIDTH, depth=1, heads=2),
                "volume": VolumeTransformer(
                    volume_size=(4, 4, 4), patch=(2, 2, 2), channels=1, width=WIDTH, depth=1, heads=2
                ),
                "text": TextTransformer(vocab_size=VOCAB, max_length=8, width=WIDTH, depth=1, heads=2, prefix=1),
            }
        )
        self.reads = {name: name for name in self.encoders}
        self.fusion = (
            CoAttention(width=WIDTH, depth=4, heads=2, inputs={"image": WIDTH, "text": WIDTH}, dropout=0.0)
            if fusion
            else None
        )
        self.projection = nn.Linear(WIDTH, 4)

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()) -> Encoded:
        return self.encoders[modality](inp, keep=keep, want=want, hooks=hooks)

    def project(self, modality, encoded) -> Tensor:
        return self.projection(encoded.pooled)

    def width(self, modality) -> int:
        return WIDTH


def batch(rows: int = 4, *, dtype=torch.float32, has_image: Tensor | None = None) -> Batch:
    rng = torch.Generator().manual_seed(11)
    every = torch.ones(rows, dtype=torch.bool)
    has_image = every if has_image is None else has_image
    images = torch.randn(int(has_image.sum()), 1, 8, 8, generator=rng, dtype=dtype)
    volumes = torch.randn(rows, 1, 3, 4, 4, generator=rng, dtype=dtype)
    slices = torch.ones(rows, 3, dtype=torch.bool)
    slices[0, 2] = False
    ids = torch.randint(5, VOCAB, (rows, 7), generator=rng)
    ids[:, 0], ids[:, -1] = 2, 3
    words = torch.tensor([-1, 0, 0, 1, 2, 3, -1]).repeat(rows, 1)
    mask = torch.ones(rows, 7, dtype=torch.bool)
    ids[-1, 4:], words[-1, 4:], mask[-1, 4:] = 0, -1, False
    inputs = {
        "volume": ModalityInput(volumes, slices),
        "text": ModalityInput(ids, mask, {"word_ids": words}),
    }
    if len(images):
        inputs["image"] = ModalityInput(images)
    present = {"image": has_image, "volume": every, "text": every}
    return Batch([str(i) for i in range(rows)], inputs, present, keys={"sample": torch.arange(rows)})


def step_of(model: nn.Module, batch_: Batch, seed: int = 0) -> Step:
    return Step(model=model, batch=batch_, index=0, generator=torch.Generator().manual_seed(seed))


def decoder(patch=(2, 2), grid=(4, 4), width=WIDTH) -> MaskedImageDecoder:
    return MaskedImageDecoder(input_width=width, patch=patch, grid=grid, channels=1, width=12, depth=1, heads=2)


def build(name: str):
    """The terms under test, freshly made."""
    image = {"modality": "image", "decoder": decoder()}
    fused_image = FromFusion(partner="text", layer=3)
    text = {"modality": "text", "width": WIDTH, "vocab_size": VOCAB, "ratio": 0.4}
    match name:
        case "image":
            return MaskedImage(**image)
        case "image_fused":
            return MaskedImage(**image, source=fused_image)
        case "image_last":
            return MaskedImage(**image, source=FromFusion(partner="text"))
        case "volume":
            return MaskedImage(modality="volume", decoder=decoder((2, 2, 2), (2, 2, 2)), ratio=0.5)
        case "text":
            return MaskedText(**text)
        case "text_fused":
            return MaskedText(**text, source=FromFusion(partner="image"))
        case "joint":
            return JointMasked(image=build("image_fused"), text=build("text_fused"))
        case "matching":
            return Matching(first="image", second="text", width=2 * WIDTH)
        case "matching_hard":
            return Matching(first="image", second="text", width=2 * WIDTH, negatives=HardNegatives())
    raise AssertionError(name)


ALL = ["image", "image_fused", "image_last", "volume", "text", "text_fused", "joint", "matching", "matching_hard"]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


@pytest.mark.parametrize("name", ALL)
def test_gradients_agree_with_finite_differences(name):
    """Along random directions of all parameters at once, of the term and of the model."""
    model, term, data = Towers().double(), build(name).double(), batch(3, dtype=torch.float64)
    parameters = [p for p in (*model.parameters(), *term.parameters()) if p.requires_grad]

    def loss() -> Tensor:
        return term(step_of(model, data))["loss"]

    grads = torch.autograd.grad(loss(), parameters, allow_unused=True)
    rng = torch.Generator().manual_seed(3)
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=rng, dtype=torch.float64) for p in parameters]
        slope = sum((g * d).sum() for g, d in zip(grads, direction, strict=True) if g is not None)
        values = []
        with torch.no_grad():
            for side in (1e-6, -2e-6):
                for p, d in zip(parameters, direction, strict=True):
                    p += side * d
                values.append(loss())
            for p, d in zip(parameters, direction, strict=True):
                p += 1e-6 * d
        torch.testing.assert_close((values[0] - values[1]) / 2e-6, slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_a_batch_without_the_modality_gives_an_exact_zero_with_a_graph(name):
    if name == "volume":
        pytest.skip("every row of the fixture has a volume")
    model, data = Towers(), batch(3, has_image=torch.zeros(3, dtype=torch.bool))
    if name == "text":
        del data.inputs["text"]
        data.present["text"] = torch.zeros(3, dtype=torch.bool)
    loss = build(name)(step_of(model, data))["loss"]
    assert loss == 0
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("name", ALL)
def test_the_value_is_a_function_of_the_generator(name):
    model, term = Towers(), build(name)
    one, two = (term(step_of(model, batch(), seed=5))["loss"] for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", ALL)
def test_losses_are_float32_under_bfloat16_autocast(name):
    model, term = Towers(), build(name)
    exact = term(step_of(model, batch()))["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = term(step_of(model, batch()))["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0, atol=0.05)


def test_predicting_zero_costs_the_unbiased_variance():
    """A patch of P values with unbiased variance 1 has mean square (P - 1) / P; here P = 4."""
    term = build("image")
    nn.init.zeros_(term.decoder.predict.weight)
    assert term(step_of(Towers(), batch()))["loss"].item() == pytest.approx(3 / 4, abs=1e-5)


@pytest.mark.parametrize("name", ["image", "image_fused"])
def test_visible_patches_are_not_in_the_loss(name):
    """Changing predictions of visible patches, or the pixels of hidden ones that the encoder must not see."""
    model, term, data = Towers(), build(name), batch()
    task = term.hide(data.inputs["image"], torch.Generator().manual_seed(0))
    predicted = torch.randn(4, 16, 4, requires_grad=True)
    term.decoder.forward = lambda *_: predicted
    tokens = term.source.tokens(step_of(model, data), "image", task.inp, task.plan.keep)
    term.error(tokens, task).backward()
    assert not predicted.grad[~task.plan.hidden].any()
    assert predicted.grad[task.plan.hidden].all()


def test_hidden_pixels_do_not_reach_the_prediction():
    model, term, data = Towers(), build("image"), batch()
    image = data.inputs["image"].x.requires_grad_()
    task = term.hide(data.inputs["image"], torch.Generator().manual_seed(0))
    tokens = term.source.tokens(step_of(model, data), "image", task.inp, task.plan.keep)
    term.decoder(tokens, task.plan, task.grid, None).square().sum().backward()
    from core.objectives.tokens.patches import patchify

    per_patch = patchify(image.grad, (2, 2)).abs().sum(-1)
    assert not per_patch[task.plan.hidden].any()
    assert (per_patch[~task.plan.hidden] > 0).all()


def test_nothing_hidden_is_an_exact_zero_with_a_graph():
    model = Towers()
    for term in (
        MaskedImage(modality="image", decoder=decoder(), ratio=0.0),
        MaskedText(modality="text", width=WIDTH, vocab_size=VOCAB, ratio=0.0),
    ):
        loss = term(step_of(model, batch()))["loss"]
        assert loss == 0
        assert loss.requires_grad


def test_decoding_before_layer_3_leaves_later_layers_without_gradient():
    model = Towers()
    build("image_fused")(step_of(model, batch()))["loss"].backward()
    for i in range(4):
        grads = [p.grad for p in model.fusion.layers["image"][i].parameters()]
        used = any(g is not None and g.any() for g in grads)
        assert used == (i < 3)
        grads = [p.grad for p in model.fusion.layers["text"][i].parameters()]
        used = any(g is not None and g.any() for g in grads)
        assert used == (i < 2)  # the image stream leaves layer 2 with the text of layer 1
    build("image_last")(step_of(model, batch()))["loss"].backward()
    assert any(p.grad.any() for p in model.fusion.layers["image"][3].parameters())


def test_padding_slices_of_a_volume_are_not_predicted():
    term = build("volume")
    data = batch().inputs["volume"]  # three slices, one of them padding in row 0: two slabs of two slices
    data.mask[0] = torch.tensor([True, False, False])
    task = term.hide(data, torch.Generator().manual_seed(0))
    assert task.grid == (2, 2, 2)
    assert not task.plan.hidden[0, 4:].any()
    assert task.plan.hidden.sum(1).tolist() == [2, 4, 4, 4]


def test_an_undecided_word_head_costs_the_log_of_the_vocabulary():
    term = build("text")
    nn.init.zeros_(term.head.decoder.weight)
    assert term(step_of(Towers(), batch()))["loss"].item() == pytest.approx(math.log(VOCAB), abs=1e-5)


def test_only_hidden_words_are_in_the_loss_and_the_rest_of_the_text_is_untouched():
    term, data = build("text"), batch()
    task = term.hide(data.inputs["text"], torch.Generator().manual_seed(0))
    assert torch.equal(task.inp.x[~task.hidden], data.inputs["text"].x[~task.hidden])
    assert not (task.hidden & (data.inputs["text"].x < 5)).any()
    assert torch.equal(task.target, data.inputs["text"].x[task.hidden])
    assert (task.hidden[:, 1] == task.hidden[:, 2]).all()  # two tokens of one word


def test_joint_masking_adds_both_parts_of_one_forward():
    values = build("joint")(step_of(Towers(), batch()))
    torch.testing.assert_close(values["loss"], values["image"] + values["text"])


def test_an_undecided_matching_head_costs_ln_2():
    for name in ("matching", "matching_hard"):
        term = build(name)
        nn.init.zeros_(term.head.weight)
        assert term(step_of(Towers(), batch()))["loss"].item() == pytest.approx(math.log(2), abs=1e-6)


def judge(negatives, key: Tensor, similarity: Tensor | None = None, seed: int = 0) -> Judged:
    """key: (n,), rows with equal ones are never a false pair."""
    similarity = torch.zeros(len(key), len(key)) if similarity is None else similarity
    candidates = Candidates.of_matrices(similarity, keys=[(key, key)])
    return negatives.judged(candidates, torch.Generator().manual_seed(seed))


def test_random_negatives_are_half_of_the_rows():
    judged = judge(RandomNegatives(), torch.arange(10))
    assert judged.match.sum() == 5
    assert judged.second.sort().values.tolist() == list(range(10))  # every text is judged once
    assert torch.equal(judged.first == judged.second, judged.match == 1)


def test_hard_negatives_are_two_for_every_true_pair_and_follow_the_similarity():
    similarity = torch.zeros(6, 6)
    similarity[torch.arange(6), (torch.arange(6) + 1) % 6] = 1.0  # the next row is by far the hardest
    judged = judge(HardNegatives(temperature=0.02), torch.arange(6), similarity)
    assert judged.match.tolist() == [1] * 6 + [0] * 12
    assert ((judged.first[6:] + 1) % 6 == judged.second[6:]).float().mean() > 0.9


@pytest.mark.parametrize("negatives", [RandomNegatives(), HardNegatives()])
def test_a_false_pair_is_never_an_equal_one(negatives):
    key = torch.tensor([0, 0, 0, 1, 1, 2, 0])
    for seed in range(40):
        first, second, match = judge(negatives, key, torch.rand(7, 7), seed)
        false = match == 0
        assert false.any()
        assert (key[first[false]] != key[second[false]]).all()
    none = judge(negatives, torch.zeros(4, dtype=torch.int64))
    assert none.match.all()  # no admissible partner: no false pair


def test_equal_texts_of_the_batch_are_respected_and_all_equal_gives_zero():
    data = batch()
    data.keys["text"] = torch.zeros(4, dtype=torch.int64)
    assert build("matching")(step_of(Towers(), data))["loss"] == 0


def test_three_terms_run_two_clean_and_two_masked_encodings():
    model, calls = Towers(), []
    encode = model.encode
    model.encode = lambda m, inp, **k: (calls.append(m), encode(m, inp, **k))[1]
    step = step_of(model, batch())
    for name in ("image_fused", "text_fused", "matching_hard"):
        build(name)(step)
    assert sorted(calls) == ["image", "image", "text", "text"]


def test_errors_name_what_is_missing():
    with pytest.raises(ConfigError, match=r"needs model\.fusion"):
        build("image_fused")(step_of(Towers(fusion=False), batch()))
    with pytest.raises(ConfigError, match="input_width is 5, but the tokens it reads have width 12"):
        MaskedImage(modality="image", decoder=decoder(width=5))(step_of(Towers(), batch()))
    with pytest.raises(ConfigError, match="width is 5, but the fusion's joint vector has 24"):
        Matching(first="image", second="text", width=5)(step_of(Towers(), batch()))
    with pytest.raises(ConfigError, match="width is 5, but the tokens"):
        MaskedText(modality="text", width=5, vocab_size=VOCAB)(step_of(Towers(), batch()))
    with pytest.raises(ConfigError, match="must be FromFusion with partner 'text'"):
        JointMasked(image=build("image"), text=build("text_fused"))
    with pytest.raises(ConfigError, match="layer is 0"):
        FromFusion(partner="text", layer=0)
    with pytest.raises(ConfigError, match=r"ratio is 1\.0"):
        MaskedImage(modality="image", decoder=decoder(), ratio=1.0)
    with pytest.raises(ConfigError, match="below vocab_size 3"):
        MaskedText(modality="text", width=4, vocab_size=3)
    with pytest.raises(ConfigError, match="has no key 'txt'"):
        Matching(first="image", second="text", width=24, keys=["txt"])(step_of(Towers(), batch()))
