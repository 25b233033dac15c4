"""From few pairs, a projector that a hypernetwork writes for a new sensor beats one that is trained from scratch.

Known sensors are sets of Sentinel-2 bands, each with an own frozen encoder; the new one is radar, at other places.
A shared projector, and then a hypernetwork, learn from the known ones (SEMI-style). All arms see the same few pairs of
radar scene and caption, and those that train take equally many equal steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from benchmarks.objectives.towers import Node, generator, node, rows, trained
from benchmarks.remote_sensing._vectors import OPTICAL, RADAR, CaptionSpace, Scenes, scenes, standardised
from benchmarks.result import Comparison, Options, Result, per_seed
from core.models.dual_encoder import DualEncoder
from core.models.hyper_projector import LowRank, Projector, ProjectorHypernet
from core.objectives.few_shot import matched

SCRATCH, TUNED, LORA, WRITTEN, SEMI, RIDGE = (
    "scratch", "fine-tuned", "LoRA", "hypernetwork", "hypernetwork + steps", "ridge regression"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Design:
    """places, dates: of the simulated scenes. known: share of the training places that known sensors see; the new one's
    pairs come from the others. features: of a sensor's encoder. shots: pairs. steps: of every arm that trains."""

    places: dict[str, int] = field(default_factory=lambda: {"train": 300, "val": 40, "test": 100})
    dates: tuple[int, ...] = (0, 2)
    known: float = 2 / 3
    features: int = 128
    kernel: int = 3
    text_width: int = 48
    rank: int = 8
    support: int = 32
    projector_steps: int = 400
    hypernet_steps: int = 600
    batch_size: int = 96
    lr: float = 1e-3
    shots: tuple[int, ...] = (8, 32, 128)
    steps: int = 100
    few_lr: float = 1e-3
    temperature: float = 0.1
    ridge: float = 1.0


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    metrics = [metric(k) for k in design.shots]
    settings = {"places": design.places, "dates": design.dates, "features": design.features, "size": design.kernel}
    train, test = (scenes(split, **settings) for split in ("train", "test"))  # type: ignore[arg-type]
    return Result(
        name="new_sensor",
        claim=(__doc__ or "").split("\n")[0],
        source="SEMI (2025): 32 pairs equal 64 times as many from scratch; here retrieval, not captions",
        data="SyntheticScenes: vectors of frozen random convolutions and of captions",
        simulated=True,
        rule="share of the other held-out scenes that lie farther from a caption than its own, mean; chance is 0.5",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design, train, test) for seed in options.seeds]),
        config={"design": asdict(design), "model": model(design), "sensors": {RADAR: ["VV", "VH"], **OPTICAL}},
        comparisons=tuple(
            Comparison(name, contender, baseline)
            for name in metrics
            for contender, baseline in ((WRITTEN, SCRATCH), (SEMI, SCRATCH), (SEMI, TUNED), (SEMI, LORA))
        ),
    )


def metric(shots: int) -> str:
    return f"rank share, {shots} pairs"


def one_seed(seed: int, design: Design, train: Scenes, test: Scenes) -> dict[str, dict[str, float]]:
    """Figures of one seed, which decides what places the known sensors see, the pairs, the weights and the batches."""
    names = sorted(set(train.places))
    order = torch.randperm(len(names), generator=generator(seed, 1)).tolist()
    first = {names[i] for i in order[: round(design.known * len(names))]}
    known_N = torch.tensor([place in first for place in train.places])
    space = CaptionSpace([c for c, k in zip(train.captions, known_N.tolist()) if k], width=design.text_width, seed=seed)
    text_known, text_new, text_test = (
        space([c for c, k in zip(train.captions, known_N.tolist()) if k]),
        space([c for c, k in zip(train.captions, known_N.tolist()) if not k]),
        space(test.captions),
    )
    start = learned(train, known_N, text_known, seed, design)
    projector, hypernet = start.projections["10 m"], start.heads["hypernet"]
    assert isinstance(projector, Projector)
    assert isinstance(hypernet, ProjectorHypernet)
    item_new, item_test = standardised(train.vectors[RADAR][~known_N], test.vectors[RADAR])
    values: dict[str, dict[str, float]] = {}
    for k in design.shots:
        chosen_K = torch.randperm(len(item_new), generator=generator(seed, 2 + k))[:k]
        few = Few(item_new[chosen_K], text_new[chosen_K], seed, design)
        for arm, made in arms(few, projector, hypernet, design).items():
            values.setdefault(arm, {})[metric(k)] = rank_share(made(item_test), text_test)
    return values


def learned(train: Scenes, known_N: Tensor, text_NE: Tensor, seed: int, design: Design) -> DualEncoder:
    """Both stages on the known sensors: the projector, then the hypernetwork with the projector as it is."""
    data = rows({s: standardised(train.vectors[s][known_N])[0] for s in OPTICAL} | {"text": text_NE})
    data.keys["text"] = torch.unique(text_NE, dim=0, return_inverse=True)[1]
    scale = node("FixedScale", temperature=design.temperature)
    equal = node("Equality", key="text")
    pairs = [node("Pair", rows=sensor, keys="text", target=equal, scale=scale) for sensor in OPTICAL]
    settings = {"seed": seed, "batch_size": design.batch_size, "lr": design.lr}
    first, _ = trained(model(design), pairs, data, steps=design.projector_steps, **settings)  # type: ignore[arg-type]
    first.projections.requires_grad_(False)
    episodes = [node("FewShotAlignment", modalities=list(OPTICAL), text="text", support=design.support, scale=scale)]
    second, _ = trained(
        model(design), episodes, data, steps=design.hypernet_steps, start=first, **settings  # type: ignore[arg-type]
    )  # fmt: skip
    return second


def model(design: Design) -> Node:
    """One shared projector for the known sensors; their encoders, and the captions', are the vectors as they are."""
    widths = {**dict.fromkeys(OPTICAL, design.features), "text": design.text_width}
    first, *others = OPTICAL
    shared = node("core.models.Projector", width=design.features, dim=design.text_width)
    return node(
        "core.models.DualEncoder",
        encoders={m: node("core.encoders.VectorMLP", features=f) for m, f in widths.items()},
        modalities={m: m for m in widths},
        dim=design.text_width,
        projections={first: shared, **dict.fromkeys(others, first), "text": {"class_path": "torch.nn.Identity"}},
        heads={
            "hypernet": node(
                "core.models.ProjectorHypernet", width=design.features, dim=design.text_width,
                text_width=design.text_width, rank=design.rank,
            )
        },
    )  # fmt: skip


class Few:
    """The pairs that every arm may use, and training on all of them at once."""

    def __init__(self, item_KF: Tensor, text_KE: Tensor, seed: int, design: Design) -> None:
        self.item_KF, self.text_KE, self.seed, self.design = item_KF, text_KE, seed, design
        self.ids_K = torch.unique(text_KE, dim=0, return_inverse=True)[1]

    def fit(self, project: Callable[[Tensor], Tensor], parameters: list[nn.Parameter]) -> None:
        """The design's steps of AdamW; dropout is on where `project` has some in training mode."""
        optimizer = torch.optim.AdamW(parameters, lr=self.design.few_lr, betas=(0.9, 0.95), weight_decay=1e-3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for _ in range(self.design.steps):
                scale = torch.tensor(1 / self.design.temperature)
                loss, _ = matched(project(self.item_KF), self.text_KE, self.ids_K, scale)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def arms(
    few: Few, projector: Projector, hypernet: ProjectorHypernet, design: Design
) -> dict[str, Callable[[Tensor], Tensor]]:
    """What each way makes of the pairs."""
    written = hypernet.write(projector, few.item_KF, few.text_KE, supports=4, generator=generator(few.seed, 7))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(few.seed)
        fresh = Projector(width=projector.width, dim=projector.dim)
    return {
        SCRATCH: tuned(few, fresh),
        TUNED: tuned(few, projector.merged([no_change(projector)])),
        LORA: low_rank(few, projector, design),
        WRITTEN: written.eval(),
        SEMI: tuned(few, written.merged([no_change(written)])),
        RIDGE: ridge(few, design),
    }


def tuned(few: Few, start: Projector) -> Projector:
    start.requires_grad_(True).train()
    few.fit(start, list(start.parameters()))
    return start.eval()


def low_rank(few: Few, projector: Projector, design: Design) -> Callable[[Tensor], Tensor]:
    """The known sensors' projector with trained low-rank changes (Hu et al. 2022)."""
    made = []
    for i, layer in enumerate(projector.linears):
        down = torch.randn(layer.in_features, design.rank, generator=generator(few.seed, 8 + i)) / math.sqrt(
            layer.in_features
        )
        parts = (down, torch.zeros(design.rank, layer.out_features), torch.zeros(layer.out_features))
        made.append(LowRank(*(nn.Parameter(p) for p in parts)))
    projector.train()
    parameters: list[nn.Parameter] = [p for c in made for p in (c.down, c.up, c.shift)]  # type: ignore[misc]
    few.fit(lambda x: projector(x, made), parameters)
    projector.eval()
    return lambda x: projector(x, made)


def ridge(few: Few, design: Design) -> Callable[[Tensor], Tensor]:
    """The linear map with the least squared error and a penalty, in closed form."""
    unit = nn.functional.normalize(few.item_KF, dim=1).double()
    text = nn.functional.normalize(few.text_KE, dim=1).double()
    gram = unit.T @ unit + design.ridge * torch.eye(unit.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, unit.T @ text).float()
    return lambda x: nn.functional.normalize(x, dim=1) @ weight


def no_change(projector: Projector) -> list[LowRank]:
    """A change that is none, to copy a projector by."""
    return [
        LowRank(torch.zeros(layer.in_features, 1), torch.zeros(1, layer.out_features), torch.zeros(layer.out_features))
        for layer in projector.linears
    ]


@torch.no_grad()
def rank_share(item_NE: Tensor, text_NE: Tensor) -> float:
    """Mean over captions of the share of other scenes that are less alike than its own; ties count half."""
    similar_NN = nn.functional.normalize(text_NE, dim=1) @ nn.functional.normalize(item_NE, dim=1).T
    own_N1 = similar_NN.diagonal()[:, None]
    below = (similar_NN < own_N1).sum(1) + ((similar_NN == own_N1).sum(1) - 1) / 2
    return float((below / (len(similar_NN) - 1)).mean())
