"""Downstream tasks: their losses in closed form, label maps, and figures that a perfect prediction gets."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.encoders import ConvNet, SlicePooled
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.objectives.base import Step
from core.training.precision import Compute
from core.training.tasks import Classification, Downstream, Segmentation
from core.training.tasks.classification import LabelHead, LabelLoss
from core.training.tasks.segmentation import DiceCE, class_index, dice_ce, split_groups
from core.types import Batch, Encoded, ModalityInput

GROUPS = {"organs": {"liver": [6], "lungs": [1, 2]}, "lesions": {"any": [1, 2, 3]}}
CPU = Compute(torch.device("cpu"), "32", 1)


def test_label_values_become_classes_unknown_stays_and_others_are_background():
    values = torch.tensor([[0, 6, 1, 2, 9, -1]])
    assert class_index(values, GROUPS["organs"]).tolist() == [[0, 1, 2, 2, 0, -1]]
    assert class_index(values, GROUPS["lesions"]).tolist() == [[0, 0, 1, 1, 0, -1]]


def test_channels_of_groups_are_background_first():
    parts = split_groups(torch.arange(5.0).reshape(1, 5, 1, 1, 1), GROUPS)
    assert {name: part.flatten().tolist() for name, part in parts.items()} == {"organs": [0, 1, 2], "lesions": [3, 4]}


def one_hot(target, classes, height=50.0):
    return F.one_hot(target.clamp(min=0), classes).movedim(-1, 1) * height


def test_a_perfect_prediction_costs_nothing_and_a_uniform_one_what_it_must():
    target = torch.tensor([0, 1, 2, 2]).reshape(1, 1, 2, 2)
    assert float(dice_ce(one_hot(target, 3), target)) == pytest.approx(0, abs=1e-6)
    loss = dice_ce(torch.zeros(1, 3, 1, 2, 2), target)
    # each class has mass 4/3: Dice is (2/3 + 1) / (4/3 + 1 + 1) for the class of one voxel, with the +1 of the formula
    dice = [(2 * n / 3 + 1) / (4 / 3 + n + 1) for n in (1, 2)]
    assert float(loss) == pytest.approx(math.log(3) + 1 - sum(dice) / 2, abs=1e-6)


def test_unknown_voxels_count_for_nothing():
    target = torch.tensor([0, 1, 1, -1]).reshape(1, 1, 2, 2)
    logits = torch.randn(1, 2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    other = logits.clone()
    other[..., 1, 1] = 40 * torch.tensor([1.0, -1.0])[:, None]
    assert float(dice_ce(logits, target)) == pytest.approx(float(dice_ce(other, target)), abs=1e-6)
    logits.requires_grad_(True)
    nothing = dice_ce(logits, torch.full_like(target, -1))
    nothing.backward()
    assert nothing.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_dice_loss_has_the_gradient_of_finite_differences():
    target = torch.tensor([0, 1, 1, -1, 0, 1, 0, 0]).reshape(1, 2, 2, 2)
    logits = torch.randn(
        1, 2, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda x: dice_ce(x, target), (logits,))


class Flat(Encoder):
    """The mean over pixels, repeated: enough for a head."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        return Encoded(pooled=inp.x.flatten(1)[:, :4] * self.scale)


def label_step(labels, logits, present=None):
    """A step whose model gives exactly `logits`."""
    rows = len(labels)
    present = torch.ones(rows, dtype=torch.bool) if present is None else present
    model = Downstream(nn.Identity(), encoder=Flat(), modality="x")
    model.forward = lambda inp: logits  # type: ignore[method-assign]
    known = {name: torch.tensor(column, dtype=torch.float32) for name, column in zip("ab", zip(*labels))}
    inputs = {"x": ModalityInput(torch.zeros(int(present.sum()), 1, 2, 2))} if present.any() else {}
    batch = Batch([str(i) for i in range(rows)], inputs, {"x": present}, labels=known)
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


def test_labels_weigh_the_same_however_many_are_known():
    nan = math.nan
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [1.0, 1.0]])
    loss = LabelLoss(["a", "b"])(label_step([(1, nan), (0, 1), (nan, nan)], logits))["loss"]
    a = (math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5))) / 2
    assert float(loss) == pytest.approx((a + math.log1p(math.exp(-3))) / 2, rel=1e-5)
    nothing = LabelLoss(["a", "b"])(label_step([(nan, nan)], torch.zeros(1, 2, requires_grad=True)))["loss"]
    assert nothing.item() == 0


def test_rows_without_the_modality_are_left_out():
    present = torch.tensor([True, False])
    loss = LabelLoss(["a", "b"])(label_step([(1, 1), (0, 0)], torch.tensor([[9.0, 9.0]]), present))["loss"]
    assert float(loss) < 1e-3
    assert float(LabelLoss(["a"])(label_step([(1, 1)], torch.zeros(0, 1), torch.tensor([False])))["loss"]) == 0


def test_a_head_is_a_linear_layer_on_the_normalised_feature():
    head = LabelHead(Flat(), 2, 0.5).eval()
    x = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    feature = F.layer_norm(x.flatten(1), (4,))
    linear = head.layers[-1]
    torch.testing.assert_close(head(ModalityInput(x)), feature @ linear.weight.T + linear.bias)


def test_a_frozen_encoder_under_a_head_stays_in_evaluation_mode():
    encoder = Flat()
    model = Downstream(LabelHead(encoder, 1, 0.0), encoder=encoder, modality="x", frozen=True).train()
    assert model.training
    assert not encoder.training
    assert not encoder.scale.requires_grad
    layers = [f"head.layers.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")]
    assert [name for name, _ in model.named_parameters()] == ["head.encoder.scale", *layers]  # and no other owner


def segmenter(task, size=(2, 16, 16)):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
        encoder = SlicePooled(encoder=ConvNet(name="resnet18", channels=1, options=options))
        from core.models.segmenter import PyramidDecoder, Segmenter

        classes = sum(len(c) + 1 for c in task.groups.values())
        decoder = PyramidDecoder(classes=classes, channels=encoder.pyramid_channels, widths=[8] * 5, inputs=1)
        return Downstream(Segmenter(encoder=encoder, decoder=decoder), encoder=encoder, modality="x").eval()


def test_windows_cover_the_volume_and_one_that_is_large_enough_is_the_plain_forward():
    x = ModalityInput(torch.randn(1, 1, 2, 32, 32, generator=torch.Generator().manual_seed(0)))
    whole, tiles = (Segmentation(groups=GROUPS, window=(2, n, n)) for n in (64, 16))
    model = segmenter(whole)
    with torch.no_grad():
        plain = {name: part.softmax(1) for name, part in split_groups(model(x), GROUPS).items()}
    one, many = whole.scores(model, x, CPU), tiles.scores(model, x, CPU)
    for name, scores in one.items():
        assert torch.equal(scores, plain[name])
        assert many[name].shape == scores.shape == (1, len(GROUPS[name]) + 1, 2, 32, 32)
        torch.testing.assert_close(many[name].sum(1), torch.ones(1, 2, 32, 32))
    assert torch.equal(whole.predict(model, x, CPU)["organs"], one["organs"].argmax(1))


def test_the_term_averages_groups_and_skips_masks_that_a_batch_lacks():
    task = Segmentation(groups=GROUPS)
    model = segmenter(task)
    x = ModalityInput(torch.randn(1, 1, 2, 16, 16, generator=torch.Generator().manual_seed(0)))
    masks = {"organs": torch.randint(0, 7, (1, 2, 16, 16)), "lesions": torch.randint(0, 4, (1, 2, 16, 16))}

    def values(**given):
        batch = Batch(["0"], {"x": x}, {"x": torch.tensor([True])}, masks=given)
        return DiceCE(GROUPS)(Step(model=model, batch=batch, index=0, generator=torch.Generator()))

    both = values(**masks)
    assert both["loss"].item() == pytest.approx((both["organs"].item() + both["lesions"].item()) / 2, rel=1e-6)
    assert values(organs=masks["organs"])["loss"].item() == pytest.approx(both["organs"].item(), rel=1e-6)
    assert values()["loss"].item() == 0


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"groups": {}}, r"task\.groups: is empty"),
        ({"groups": {"organs": {}}}, r"task\.groups: is empty"),
        ({"groups": GROUPS, "overlap": 1.0}, r"task\.overlap: is 1\.0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(how, fault):
    with pytest.raises(ConfigError, match=fault):
        Segmentation(**how)


def test_classification_takes_all_labels_of_the_data_when_none_are_named():
    class Data:
        label_names = ("bright", "striped")

    task = Classification()
    task.head(Flat(), "x", Data())  # type: ignore[arg-type]
    assert task.labels == ["bright", "striped"]
    with pytest.raises(ConfigError, match=r"no label 'brigt'; did you mean 'bright'\?"):
        Classification(labels=["brigt"]).head(Flat(), "x", Data())  # type: ignore[arg-type]
    Data.label_names = ()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="the dataset has no labels to learn"):
        Classification().head(Flat(), "x", Data())  # type: ignore[arg-type]


def test_a_segmentation_head_is_built_again_from_the_facts_of_its_data():
    encoder = SlicePooled(encoder=ConvNet(name="resnet18", channels=1, options={"layers": [1, 1, 1, 1]}))
    task = Segmentation(groups={"organs": GROUPS["organs"]})
    assert task.classes == ("background", "liver", "lungs")
    assert Segmentation(groups=GROUPS).classes == ()  # channels of two groups do not exclude each other
    first, again = (task.head_from(encoder, {"inputs": 1}).decoder.state_dict() for _ in range(2))
    assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in again.items()}
    assert first["logits.weight"].shape[0] == 3
