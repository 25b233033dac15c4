"""With three classes in two wordings each, masking a class's captions or counting them as positives finds it better.

Captions made from labels by templates (UniMed-CLIP, Khattak et al. 2024): the wording is drawn anew and says nothing.
As `duplicate_captions`, but one-hot targets now also push a picture away from the other wording of its own class.
"""

from __future__ import annotations

from benchmarks.medical.duplicate_captions import (
    COMPARISONS,
    SOURCE,
    STRINGS,
    WORDINGS,
    Design,
    config,
    one_seed,
    rule,
)
from benchmarks.result import Options, Result, per_seed


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    classes = STRINGS // len(WORDINGS)
    return Result(
        name="template_captions",
        claim=(__doc__ or "").split("\n")[0],
        source=SOURCE,
        data=f"{classes} shapes anywhere in a 32 px picture, {len(WORDINGS)} wordings per shape",
        simulated=True,
        rule=rule(classes),
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design, wordings=len(WORDINGS)) for seed in options.seeds]),
        config=config(design),
        comparisons=COMPARISONS,
    )
