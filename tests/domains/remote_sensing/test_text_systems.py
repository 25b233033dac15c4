"""What the published systems of images and text have to satisfy, checked on the models that the YAMLs describe."""

from __future__ import annotations

import math

import pytest
import torch

from core.config.schema import PretrainConfig
from core.objectives.base import Step
from core.training import cli, setup
from core.types import Batch, ModalityInput


class Built:
    """The model and the objective of a system with a batch of B rows of noise and of token ids."""

    def __init__(self, system: str, texts: list[list[int]]) -> None:
        torch.set_num_threads(1)
        request = cli.read("remote_sensing", "pretrain", ["--config", system])
        assert request is not None
        config = setup.check(request, PretrainConfig)
        self.model = setup.build_model(config.model, 0)
        self.objective = setup.build_objective(config.objectives, 0, config.teachers)
        self.objective.attach(self.model)
        rng = torch.Generator().manual_seed(0)
        ids = torch.tensor([[2, *text, 3] for text in texts])
        inputs = {
            name: ModalityInput(torch.randn(len(ids), 12, side, side, generator=rng))
            for name, side in {"s2": 48, "other_view": 48, "local_1": 24, "local_2": 24}.items()
            if name in self.model.reads
        }
        inputs["text"] = ModalityInput(ids, torch.ones_like(ids, dtype=torch.bool))
        keys = {"sample": torch.arange(len(ids)), "group": torch.arange(len(ids))}
        keys["text"] = torch.tensor([hash(tuple(text)) for text in texts])
        present = {name: torch.full((len(ids),), name in inputs) for name in self.model.reads}
        self.batch = Batch([str(i) for i in range(len(ids))], inputs, present, keys=keys)

    def step(self) -> Step:
        rng = torch.Generator().manual_seed(0)
        teachers = self.objective.teacher_models()
        return Step(model=self.model, batch=self.batch, index=0, generator=rng, teachers=teachers)


@pytest.fixture(scope="module")
def multilingual():
    return Built("rs_m_clip", [[10, 11, 12], [13, 14, 15], [16, 17, 18], [19, 20, 21]])


def test_the_teacher_of_views_takes_no_gradient_and_the_student_does(multilingual):
    loss, _ = multilingual.objective(multilingual.step())
    loss.backward()
    (teacher,) = multilingual.objective.teacher_models().values()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(bool(p.grad.any()) for p in multilingual.model.heads["views"].mlp[0].parameters())


def test_equal_captions_are_no_negatives_of_one_another():
    """Two rows with one caption and equal images: a softmax over them would cost ln 2, an equal positive costs no more
    than its share."""
    same, other = Built("rs_m_clip", [[10, 11], [10, 11]]), Built("rs_m_clip", [[10, 11], [12, 13]])
    for made in (same, other):
        made.batch.inputs["s2"].x[1] = made.batch.inputs["s2"].x[0]
    term = next(iter(same.objective.terms.values()))
    with torch.no_grad():
        z = same.model.project("text", same.model.encode("text", same.batch.inputs["text"]))
        assert torch.allclose(z[0], z[1], atol=1e-6)
        loss = float(term(same.step())["loss"])
    assert loss == pytest.approx(math.log(2), abs=1e-4)  # its floor: half of the weight on each of two equal columns
    gradient = torch.autograd.grad(
        term(same.step())["loss"], list(same.model.encoders["image"].parameters()), allow_unused=True
    )
    # at the floor: nothing pushes equal captions apart
    assert max(float(g.abs().max()) for g in gradient if g is not None) < 1e-4


@pytest.fixture(scope="module")
def urban():
    return Built("urbanclip", [[10, 11, 12, 13], [14, 15, 16, 17]])


def caption(made: Built):
    (term,) = [t for t in made.objective.terms.values() if type(t).__name__ == "Captioning"]
    return term


def test_a_uniform_decoder_costs_the_logarithm_of_the_vocabulary_per_word(urban):
    classes = urban.model.heads["caption"].classes
    weight, bias = classes.weight.detach().clone(), classes.bias.detach().clone()
    with torch.no_grad():
        classes.weight.zero_()
        classes.bias.zero_()
        loss = float(caption(urban)(urban.step())["loss"])
        classes.weight.copy_(weight)
        classes.bias.copy_(bias)
    assert loss == pytest.approx(math.log(1024), abs=1e-5)


def states(made: Built, *, words=None, image=None):
    """(B, T, W) of the caption decoder, and the words' own states before they see the image."""
    step, term = made.step(), caption(made)
    inputs = dict(step.batch.inputs)
    if words is not None:
        inputs["text"] = ModalityInput(words, inputs["text"].mask)
    if image is not None:
        inputs["s2"] = ModalityInput(image)
    batch = Batch(step.batch.ids, inputs, step.batch.present, keys=step.batch.keys)
    step = Step(model=made.model, batch=batch, index=0, generator=torch.Generator(), teachers={})
    made.model.eval()
    with torch.no_grad():
        rows = torch.arange(len(batch))
        own = term._words(step, rows, batch.inputs["text"].x.shape[1])
        told = term._decoder(step)(
            batch.inputs["text"].x, batch.inputs["text"].mask, own, term.context.tokens(step, "s2")
        )
    return told, own


def test_a_word_changes_nothing_before_it(urban):
    words = urban.batch.inputs["text"].x.clone()
    one, _ = states(urban, words=words)
    words[:, 3] = 99
    two, _ = states(urban, words=words)
    torch.testing.assert_close(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


def test_the_image_changes_what_is_told_and_not_the_words_own_states(urban):
    one, own_one = states(urban)
    two, own_two = states(urban, image=urban.batch.inputs["s2"].x.flip(0) * 2)
    torch.testing.assert_close(own_one, own_two, rtol=0, atol=0)
    assert not torch.allclose(one, two)
