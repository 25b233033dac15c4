"""Two models of one sensor each label a shifted target better after adapting by the labels that they agree on.

Small, and simulated throughout: patches of classes with an optical spectrum and a radar backscatter each, noise and
gamma speckle. Source models see labels of clear scenes; the target has haze over the optical bands, another calibration
and fewer looks of the radar, and no labels (SUMMIT-style). `summit_adaptation` asks the same of whole simulated scenes.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.objectives.towers import generator
from benchmarks.result import Comparison, Options, Result, per_seed
from core.encoders import BlockHook, Encoder
from core.evaluation.maps import confusion, iou
from core.models.map_segmenter import ConvNeXtDecoder
from core.models.towers import Towers, TowerSegmenter
from core.objectives.base import Objective, Step, Term
from core.objectives.pseudo import (
    AgreementFilter,
    CrossModalAdaptation,
    EntropyWeighting,
    GapSwitch,
    PseudoLabeller,
)
from core.objectives.pseudo.adaptation import guess
from core.objectives.teachers import FrozenTeacher
from core.training.tasks import Downstream
from core.training.tasks.maps import MapLoss
from core.types import Batch, Encoded, ModalityInput

BEFORE = "source models"
LABELLERS: dict[str, type[PseudoLabeller]] = {
    "agreement": AgreementFilter, "entropy weighting": EntropyWeighting, "switch": GapSwitch
}  # fmt: skip
BOTH = "mean IoU, both"
BANDS = {"radar": 2, "optical": 6}


@dataclass(frozen=True, slots=True)
class Design:
    """tiles: of each set, side pixels wide. haze: share of the signal that is lost, and added brightness. calibration:
    shift of the radar, in its deviations. looks: of the radar, source and target."""

    classes: int = 5
    tiles: int = 24
    side: int = 12
    patch: int = 3
    noise: float = 0.8
    haze: tuple[float, float] = (0.4, 0.6)
    calibration: float = 0.4
    looks: tuple[float, float] = (6.0, 3.0)
    width: int = 16
    batch_size: int = 12
    steps: int = 60
    adapt_steps: int = 40
    lr: float = 5e-3
    adapt_lr: float = 1e-3


class PixelNet(Encoder):
    """Two 3 x 3 convolutions; one map of the input's size."""

    def __init__(self, *, channels: int, width: int) -> None:
        super().__init__()
        self.width, self.pyramid_channels = width, (width,)
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU()
        )

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        map_VDHW = self.body(inp.x)
        return Encoded(pooled=map_VDHW.mean((2, 3)), pyramid=[map_VDHW])


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="summit_shift",
        claim=(__doc__ or "").split("\n")[0],
        source="SUMMIT (Simons et al. 2023), on simulated radar and optical patches",
        data="patches of classes with spectra, backscatter, noise and speckle",
        simulated=True,
        rule="mean IoU on held-out tiles of the target, from the mean of both towers' probabilities and from each",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design)},
        comparisons=tuple(Comparison(BOTH, arm, BEFORE) for arm in LABELLERS),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rng = generator(seed)
        world = {m: torch.randn(design.classes, c, generator=rng) for m, c in BANDS.items()}
        source, target, test = (scenes(world, design, rng, shifted=s) for s in (False, True, True))
        model = towers(design)
        for name in BANDS:  # apart: each is a model of its own, with its own labels
            alone = Batch(source.ids, {name: source.inputs[name]}, {name: source.present[name]}, masks=source.masks)
            fit(model, [MapLoss("label", drop=0.0)], alone, design.steps, design.lr, seed, design)
        values = {BEFORE: figures(model, test)}
        for arm, cls in LABELLERS.items():
            labeller, adapted = cls(), copy.deepcopy(model)
            labeller.begin(classes=design.classes, widths=[design.width] * len(BANDS))
            with torch.no_grad():
                views = head_of(adapted).views(target.inputs, list(BANDS))
                for stage in range(labeller.passes):
                    labeller.observe(stage, [guess(views[name]) for name in BANDS])
            terms = [CrossModalAdaptation(modalities=list(BANDS), labeller=labeller)]
            unlabelled = Batch(target.ids, target.inputs, target.present)
            fit(adapted, terms, unlabelled, design.adapt_steps, design.adapt_lr, seed, design)
            values[arm] = figures(adapted, test)
    return values


def scenes(world: Mapping[str, Tensor], design: Design, rng: torch.Generator, *, shifted: bool) -> Batch:
    """Tiles of square patches, their labels, and what both sensors see of them."""
    cells = design.side // design.patch
    label = torch.randint(design.classes, (design.tiles, cells, cells), generator=rng)
    label_BHW = label.repeat_interleave(design.patch, 1).repeat_interleave(design.patch, 2)
    clean = {m: means[label_BHW].movedim(-1, 1) for m, means in world.items()}
    optical = clean["optical"] + design.noise * torch.randn(clean["optical"].shape, generator=rng)
    looks = design.looks[int(shifted)]
    gamma = np.random.default_rng(int(torch.randint(2**31, (1,), generator=rng)))
    speckle = gamma.gamma(looks, 1 / looks, size=tuple(clean["radar"].shape))
    radar = clean["radar"] + torch.from_numpy(np.log(speckle)).float()
    if shifted:
        lost, added = design.haze
        optical, radar = (1 - lost) * optical + added, radar + design.calibration
    present = {m: torch.ones(design.tiles, dtype=torch.bool) for m in BANDS}
    inputs = {"radar": ModalityInput(radar), "optical": ModalityInput(optical)}
    return Batch([str(i) for i in range(design.tiles)], inputs, present, masks={"label": label_BHW})


def towers(design: Design) -> Downstream:
    encoders: dict[str, Encoder] = {m: PixelNet(channels=c, width=design.width) for m, c in BANDS.items()}
    decoders = {
        m: ConvNeXtDecoder(classes=design.classes, channels=design.width, width=design.width, cells=1, depth=0)
        for m in BANDS
    }
    encoder = Towers(towers=encoders, decoders=decoders).encoder_of_all(list(BANDS))
    return Downstream(TowerSegmenter(encoder=encoder), encoder=encoder, modality=list(BANDS))


def head_of(model: Downstream) -> TowerSegmenter:
    assert isinstance(model.head, TowerSegmenter)
    return model.head


def fit(
    model: Downstream, terms: Sequence[Term], data: Batch, steps: int, lr: float, seed: int, design: Design
) -> None:
    """AdamW at a constant rate on random rows; the source models are a teacher for terms that ask for one."""
    objective = Objective(terms=terms, teachers={"source": FrozenTeacher()})
    objective.attach(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    rng = generator(seed, 3)
    for index in range(steps):
        rows = torch.randperm(len(data), generator=rng)[: design.batch_size]
        part = Batch(
            [data.ids[i] for i in rows.tolist()], {m: inp.rows(rows) for m, inp in data.inputs.items()},
            {m: p[rows] for m, p in data.present.items()}, masks={n: mask[rows] for n, mask in data.masks.items()},
        )  # fmt: skip
        step = Step(model=model, batch=part, index=index, generator=rng, teachers=objective.teacher_models())  # type: ignore[arg-type]
        loss, _ = objective(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def figures(model: Downstream, test: Batch) -> dict[str, float]:
    classes = head_of(model).classes
    seen = {BOTH: list(BANDS), **{f"mean IoU, {name}": [name] for name in BANDS}}
    out = {}
    for metric, names in seen.items():
        logits = model({m: test.inputs[m] for m in names}, {m: test.present[m] for m in names})
        counts_KK = confusion(F.softmax(logits, 1).argmax(1).numpy(), test.masks["label"].numpy(), classes)
        out[metric] = float(np.nanmean(iou(counts_KK.astype(float))))
    return out
