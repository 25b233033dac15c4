"""Where the text is ambiguous and the picture decides, a cross-modal level beside the text's own raises hits@1.

M3EL, Hu et al. 2025, on simulated features instead of texts and drawings: seconds instead of minutes, and no encoder
has to learn to see. `linking_levels` is the same question on drawn molecules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Rows, train
from benchmarks.molecules.linking_levels import ALL, ARMS, CROSS, PICTURE, TEXT
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.encoders import VectorMLP
from core.evaluation.answers import answer_ranks, answer_scores
from core.models import DualEncoder
from core.objectives import Objective
from core.types import ModalityInput
from domains.molecules.linking import CrossModal, IntraModal, LevelMatcher, LevelMatching
from domains.molecules.linking.card import Seen
from domains.molecules.linking.levels import Level
from domains.molecules.linking.matcher import overall

TOKENS, PATCHES = 3, 4


@dataclass(frozen=True, slots=True)
class Design:
    """names: each of `shared` entities; the last third is held out. noise: of a token or patch around what it shows,
    in units of the spread of names and of entities. each: training mentions of an entity."""

    names: int = 90
    shared: int = 4
    each: int = 4
    features: int = 16
    noise: float = 1.0
    width: int = 32
    steps: int = 150
    batch_size: int = 64
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="linking_features",
        claim=(__doc__ or "").split("\n")[0],
        source="Hu et al. 2025, KDD (M3EL), ablation of the cross-modal matching network",
        data="vectors: text tokens around that of a shared name, patches around that of the entity; names held out",
        simulated=True,
        rule="hits@1 and MRR of held-out mentions among all entities, realistic ranks",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design)},
        comparisons=(
            Comparison("hits@1", CROSS, TEXT),
            Comparison("hits@1", PICTURE, TEXT),
            Comparison("hits@1", ALL, PICTURE),
        ),
        notes=("Data and seed are shared by the arms. Text alone can reach one in `shared`.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """All arms on the vectors of one seed."""
    world = World(seed, design)
    return {arm: one_arm(levels, world, seed, design) for arm, levels in ARMS.items()}


class World:
    """Names, entities, and what is written and shown about them."""

    def __init__(self, seed: int, design: Design) -> None:
        self.rng = np.random.default_rng(seed)
        self.design = design
        self.name_of = np.repeat(np.arange(design.names), design.shared)
        self.name_NF = self.rng.standard_normal((design.names, design.features))
        self.entity_GF = self.rng.standard_normal((len(self.name_of), design.features))
        held = self.name_of >= design.names * 2 // 3
        self.trained, self.held = np.flatnonzero(~held), np.flatnonzero(held)
        asked = np.repeat(self.trained, design.each)
        self.training = Rows(
            {**self.side(asked, "mention"), **self.side(asked, "entity")}, {}, {"entity": torch.from_numpy(asked)}
        )
        self.mentions = self.side(self.held, "mention")
        self.entities = self.side(np.arange(len(self.name_of)), "entity")

    def side(self, entities: np.ndarray, kind: str) -> dict[str, ModalityInput]:
        """Text tokens and patches of mentions of these entities, or of the entities."""

        def around(x_VF: np.ndarray, count: int) -> ModalityInput:
            noise = self.rng.standard_normal((len(x_VF), count, x_VF.shape[1]))
            x_VNF = (x_VF[:, None] + self.design.noise * noise).astype(np.float32)
            return ModalityInput(torch.from_numpy(x_VNF), torch.ones(x_VNF.shape[:2], dtype=torch.bool))

        texts = around(self.name_NF[self.name_of[entities]], TOKENS)
        return {kind: texts, f"{kind}_image": around(self.entity_GF[entities], PATCHES)}


def one_arm(levels: tuple[str, ...], world: World, seed: int, design: Design) -> dict[str, float]:
    """Figures of the held-out mentions after training with these levels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = matching_model(levels, design)
    optim = OptimSettings(lr=design.lr, weight_decay=1e-4)
    objective = Objective(terms=[LevelMatching()])
    train(model, objective, world.training, steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
    score_QG = scores(model.eval(), world.mentions, world.entities)
    ranks = answer_ranks(
        lambda rows: score_QG[rows], np.arange(len(world.held)), world.held, candidates=len(world.name_of)
    )
    found = answer_scores(ranks, ks=(1, 5), n_bootstrap=1)
    return {"hits@1": found.hits[1].value, "mrr": found.mrr.value}


def matching_model(levels: tuple[str, ...], design: Design) -> DualEncoder:
    """Linear encoders of tokens and patches under a matcher."""
    w = design.width
    every: dict[str, Level] = {
        "text": IntraModal(reads="text", cls_width=w, token_width=w, dim=w),
        "picture": IntraModal(reads="picture", cls_width=w, token_width=w, dim=w),
        "cross": CrossModal(text_width=w, picture_width=w, dim=w),
    }
    matcher = LevelMatcher(levels={name: every[name] for name in levels}, text_cls=w, text=w, picture_cls=w, picture=w)
    return DualEncoder(
        encoders={name: VectorMLP(features=design.features, widths=[w]) for name in ("text", "picture")},
        modalities={"mention": "text", "mention_image": "picture", "entity": "text", "entity_image": "picture"},
        dim=w,
        projections={"entity": "mention", "entity_image": "mention_image"},
        heads={"linking": matcher},
    )


@torch.no_grad()
def scores(model: DualEncoder, mentions: Mapping[str, ModalityInput], entities: Mapping[str, ModalityInput]) -> Tensor:
    """(Q, G) overall scores."""
    matcher = model.heads["linking"]
    assert isinstance(matcher, LevelMatcher)
    cards = []
    for kind, side in (("mention", mentions), ("entity", entities)):
        text, shown = side[kind], side[f"{kind}_image"]
        every = torch.ones(len(text), dtype=torch.bool)
        cards.append(matcher.card(Seen.by(model, kind, f"{kind}_image", text, shown, every)))  # type: ignore[arg-type]
    return overall(matcher(matcher.mentions(cards[0]), matcher.entities(cards[1])))
