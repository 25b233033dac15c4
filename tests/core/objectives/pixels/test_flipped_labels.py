"""CromSS on blobs of which a third of the labels are flipped: whom it believes, and what that is worth (check 7i)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.encoders.base import Encoder
from core.models import DualEncoder
from core.objectives import (
    CrossModalSelection,
    EpochRamp,
    ModalityLogits,
    Objective,
    PixelAgreement,
    PixelLabels,
    Step,
)
from core.types import Batch, Encoded, ModalityInput

CLASSES, FEATURES, SIDE, FLIPPED = 4, 6, 16, 0.35


class PerPixel(Encoder):
    """One hidden layer of 1x1 convolutions, wide enough to learn flipped labels by heart."""

    def __init__(self):
        super().__init__()
        self.width, self.pyramid_channels = 64, (64,)
        self.body = nn.Sequential(nn.Conv2d(FEATURES, 64, 1), nn.ReLU())

    def forward(self, inp, *, keep=None, want=(), hooks=()):
        h = self.body(inp.x)
        return Encoded(pooled=h.mean((2, 3)), pyramid=[h])


class Point(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Conv2d(64, CLASSES, 1)

    def forward(self, pyramid, size):
        return self.logits(pyramid[-1])


def blobs(rows, rng, means):
    """Two modalities of pictures in whose quarters the class is constant, and the labels."""
    truth = torch.randint(CLASSES, (rows, 2, 2), generator=rng).repeat_interleave(SIDE // 2, 1)
    truth = truth.repeat_interleave(SIDE // 2, 2)
    inputs = {
        m: ModalityInput(mean[truth].movedim(-1, 1) + 1.2 * torch.randn(rows, FEATURES, SIDE, SIDE, generator=rng))
        for m, mean in means.items()
    }
    return inputs, truth


def terms(selected):
    views = {m: ModalityLogits(modality=m, head="labels") for m in "ab"}
    ramp = {"epochs": 10}
    labels = [
        PixelLabels(
            view=views[own], mask="noisy",
            selection=CrossModalSelection(partner=views[other], ramp=EpochRamp(**ramp)) if selected else None,
        )
        for own, other in ("ab", "ba")
    ]  # fmt: skip
    agreement = PixelAgreement(first=views["a"], second=views["b"], ramp=EpochRamp(**ramp))
    return [*labels, agreement] if selected else labels


@pytest.fixture(scope="module")
def learned():
    rng = torch.Generator().manual_seed(0)
    means = {m: torch.randn(CLASSES, FEATURES, generator=rng) for m in "ab"}
    (inputs, truth), (held_out, asked) = blobs(4, rng, means), blobs(20, rng, means)
    flipped = torch.rand(truth.shape, generator=rng) < FLIPPED
    noisy = torch.where(flipped, (truth + torch.randint(1, CLASSES, truth.shape, generator=rng)) % CLASSES, truth)
    found = {}
    for selected in (False, True):
        torch.manual_seed(0)
        model = DualEncoder(
            encoders={m: PerPixel() for m in "ab"}, dim=4, modalities={"a": "a", "b": "b"}, heads={"labels": Point()}
        )
        objective = Objective(terms=terms(selected))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        present = dict.fromkeys("ab", torch.ones(len(truth), dtype=torch.bool))
        batch = Batch([""] * len(truth), inputs, present, masks={"noisy": noisy})
        for index in range(150):
            if index % 10 == 0:
                objective.on_epoch(model, index // 10)
            step = Step(model=model, batch=batch, index=index, generator=torch.Generator())
            optimizer.zero_grad()
            objective(step)[0].backward()
            optimizer.step()
        step = Step(model=model, batch=batch, index=0, generator=torch.Generator())
        with torch.no_grad():
            if selected:
                term = next(iter(objective.terms.values()))
                found["weight"] = term.selection(step, term.view(step), noisy)
            found[selected] = {
                m: float((model.heads["labels"](model.encode(m, inp).pyramid, ()).argmax(1) == asked).float().mean())
                for m, inp in held_out.items()
            }
    return found, flipped


def test_flipped_pixels_weigh_less(learned):
    found, flipped = learned
    weight = found["weight"]
    assert weight[~flipped].mean() > weight[flipped].mean() + 0.2
    assert flipped[weight == 1].float().mean() < 0.5 * flipped[weight < 1].float().mean()


def test_held_out_clean_labels_are_found_at_least_as_well_as_without_selection(learned):
    found, _ = learned
    for modality in "ab":
        assert found[True][modality] >= found[False][modality]
