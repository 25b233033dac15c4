"""With captions drawn from six strings, masking duplicates or counting them all as positives finds classes better.

Templated captions collide in every batch (RadCLIP, Lu et al. 2024; UniMed-CLIP, Khattak et al. 2024). `OneHot` treats
the copies as negatives, `MaskedDuplicates` leaves them out of the denominator, `Equality` shares the target among them.
Here each class has one string; in `template_captions` it has two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.harness import Rows, features, image_input, text_input, train
from benchmarks.medical import convirt_probe
from benchmarks.medical.shapes import SHAPES, Pictures, pictures
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.data.text import TextProcessor
from core.errors import ConfigError
from core.evaluation import retrieval_scores
from core.training.features import Features
from core.training.setup import build_model, build_objective

WORDINGS = ("There is a {shape} in the image.", "Findings: {shape}.")
STRINGS = 6
PER_CLASS = 10  # candidates of each class in a gallery
PLAIN, MASKED, SHARED = "one-hot", "masked duplicates", "multi-positive"
TARGETS: dict[str, dict[str, Any]] = {
    PLAIN: {"class_path": "core.objectives.OneHot"},
    MASKED: {"class_path": "core.objectives.MaskedDuplicates", "init_args": {"key": "kind"}},
    SHARED: {"class_path": "core.objectives.Equality", "init_args": {"key": "kind"}},
}
METRIC = "text to image P@5"
COMPARISONS = (Comparison(METRIC, MASKED, PLAIN), Comparison(METRIC, SHARED, PLAIN))
SOURCE = "colliding captions as in RadCLIP (Lu et al. 2024) and UniMed-CLIP (Khattak et al. 2024)"
NOTE = (
    "Copies of a caption have one and the same vector here, as the text encoder has no dropout. One-hot and "
    "multi-positive targets then have equal losses and equal gradients: over the copies of a caption, the sum of "
    "one-hot terms is the sum of multi-positive terms. What differs between these two arms grew from rounding alone, "
    "and shows how far apart two runs of the same method come to lie."
)


@dataclass(frozen=True, slots=True)
class Design:
    """Batches of 48 hold about eight copies of each caption. test_rows: a multiple of the gallery."""

    train_rows: int = 1600
    test_rows: int = 1200
    noise: float = 0.1
    steps: int = 250
    batch_size: int = 48
    lr: float = 2e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="duplicate_captions",
        claim=(__doc__ or "").split("\n")[0],
        source=SOURCE,
        data=f"{STRINGS} shapes anywhere in a 32 px picture, one caption per shape",
        simulated=True,
        rule=rule(STRINGS),
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design, wordings=1) for seed in options.seeds]),
        config=config(design),
        comparisons=COMPARISONS,
        notes=(NOTE,),
    )


def one_seed(seed: int, design: Design, *, wordings: int) -> dict[str, dict[str, float]]:
    """All arms with the data, the weights and the order of batches of one seed. wordings: strings per class."""
    classes = STRINGS // wordings
    words = TextProcessor(vocab_size=convirt_probe.VOCABULARY, max_length=32)
    words.fit([caption(shape, wording) for shape in range(classes) for wording in range(wordings)])
    rows, held_out = (
        as_rows(pictures(count, seed=seed + shift, noise=design.noise, shapes=classes), words, wordings)
        for count, shift in ((design.train_rows, 0), (design.test_rows, 1000))
    )
    found = {}
    for arm in TARGETS:
        model = build_model(convirt_probe.model_node(), seed)
        objective = build_objective(objective_nodes(arm), seed)
        optim = OptimSettings(lr=design.lr, weight_decay=1e-6)
        train(model, objective, rows, steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
        found[arm] = class_retrieval(features(model, held_out, ["image", "text"]))
    return found


def caption(shape: int, wording: int) -> str:
    return WORDINGS[wording].format(shape=list(SHAPES)[shape])


def as_rows(found: Pictures, words: TextProcessor, wordings: int) -> Rows:
    """Pictures in random order, so that the row number chooses the wording; key `kind`: the class."""
    text = text_input([caption(shape, row % wordings) for row, shape in enumerate(found.shape)], words)
    keys = {"text": text.extra["text_id"], "kind": torch.from_numpy(found.shape)}
    return Rows({"image": image_input(found.images), "text": text}, {}, keys)


def objective_nodes(arm: str) -> list[dict[str, Any]]:
    return [
        {
            "class_path": "core.objectives.Pair",
            "init_args": {
                "rows": "image",
                "keys": "text",
                "target": TARGETS[arm],
                "scale": {"class_path": "core.objectives.FixedScale", "init_args": {"temperature": 0.07}},
            },
        }
    ]


def class_retrieval(found: Features) -> dict[str, float]:
    """Mean precision among the first 5 of each gallery: of the captions, and of every picture (itself left out)."""
    kind, image, text = found.keys["kind"], found.vectors["image"], found.vectors["text"]
    queries = np.unique(found.keys["text"], return_index=True)[1]
    size = PER_CLASS * len(np.unique(kind))
    by_text, by_image = [], []
    for gallery in galleries(kind):
        other = torch.eye(size, dtype=torch.bool)
        asked = retrieval_scores(text[queries], image[gallery], kind[queries], kind[gallery], ks=(5,), n_bootstrap=1)
        alike = retrieval_scores(
            image[gallery], image[gallery], kind[gallery], kind[gallery], ks=(5,), n_bootstrap=1, exclude_QG=other
        )
        by_text.append(asked.precision[5].value)
        by_image.append(alike.precision[5].value)
    return {METRIC: float(np.mean(by_text)), "image to image P@5": float(np.mean(by_image))}


def galleries(kind_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers (galleries, rows), disjoint, with `PER_CLASS` rows of each class in every gallery.

    Raises ConfigError when there are too few rows for one.
    """
    of_class = [np.flatnonzero(kind_N == c) for c in np.unique(kind_N)]
    count = min(len(rows) for rows in of_class) // PER_CLASS
    if count == 0:
        raise ConfigError(f"test_rows: {len(kind_N)} rows hold no gallery of {PER_CLASS} per class; give more")
    parts = [rows[: count * PER_CLASS].reshape(count, PER_CLASS) for rows in of_class]
    return np.concatenate(parts, axis=1)


def rule(classes: int) -> str:
    size = PER_CLASS * classes
    return (
        f"precision of a caption's first 5 among {size} held-out pictures (chance {1 / classes:.2f}), mean of galleries"
    )


def config(design: Design) -> dict[str, Any]:
    return {
        "design": asdict(design),
        "model": convirt_probe.model_node(),
        "objectives": {arm: objective_nodes(arm) for arm in TARGETS},
    }
