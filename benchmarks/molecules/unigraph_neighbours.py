"""Words that are hidden in three of four places are read better with the neighbours' texts than without.

UniGraph (He et al. 2025). Rule-made homophilous graphs; the control joins the same nodes at random.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from benchmarks.harness import Rows, train
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.encoders import TextTransformer
from core.models import DualEncoder
from core.nn import ClsPool
from core.objectives.base import Objective, Step, StepModel
from core.types import ModalityInput
from domains.molecules.text_graphs import (
    MaskedNodeText,
    NeighbourAttention,
    NodeTokenProcessor,
    PersonalisedPageRank,
    TextCascade,
    TextGraph,
    text_graph,
)
from domains.molecules.text_graphs.graph import GraphNode

NEAR, ALONE = "neighbours", "text only"
NEAR_SHUFFLED, ALONE_SHUFFLED = "neighbours, edges shuffled", "text only, edges shuffled"


@dataclass(frozen=True, slots=True)
class Design:
    """topics of `words` words each; a text has `told` of its topic and `filler` of those that all share. nodes of a
    graph, of which the model is trained on one and measured on another. ratio: of hidden tokens."""

    topics: int = 6
    words: int = 6
    told: int = 3
    filler: int = 5
    nodes: int = 120
    neighbours: int = 4
    seen: int = 6
    width: int = 32
    steps: int = 1500
    batch_size: int = 16
    lr: float = 3e-3
    ratio: float = 0.75
    draws: int = 4


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="unigraph_neighbours",
        claim=(__doc__ or "").split("\n")[0],
        source="He et al. 2025, arXiv 2402.13630: graph layers under the masked language model",
        data="nodes of 6 topics, 3 words of 8 tell the topic, edges within a topic; two graphs",
        simulated=True,
        rule="masked cross entropy in nats per token on a second graph, the same hidden words",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design)},
        comparisons=(
            Comparison("loss", NEAR, ALONE, better="lower"),
            Comparison("loss", NEAR_SHUFFLED, ALONE_SHUFFLED, better="lower"),
        ),
        notes=(
            "The second comparison is the control: shuffled edges tell nothing, so no gap is expected there.",
            "After 300 steps neither arm has learned the topics, and there is no gap.",
        ),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    found = {}
    for near, alone, shuffled in ((NEAR, ALONE, False), (NEAR_SHUFFLED, ALONE_SHUFFLED, True)):
        graphs = [made_graph(seed + 1000 * part, design, shuffled=shuffled) for part in (0, 1)]
        processor = NodeTokenProcessor(
            vocab_size=512, max_length=16, min_frequency=1, sampler=PersonalisedPageRank(most=design.seen)
        )
        nodes = [[GraphNode(Path(), row, graph) for row in range(len(graph))] for graph in graphs]
        processor.fit(nodes[0])
        inputs = [processor.collate([processor.load(node) for node in each]) for each in nodes]
        for arm, edges in ((near, True), (alone, False)):
            found[arm] = {"loss": held_out_loss([inp if edges else without_edges(inp) for inp in inputs], seed, design)}
    return found


def made_graph(seed: int, design: Design, *, shuffled: bool) -> TextGraph:
    """shuffled: the same degrees, ends of edges dealt anew."""
    rng = np.random.default_rng(seed)
    topic = np.arange(design.nodes) % design.topics
    texts = []
    for t in topic:
        own = [f"t{t}w{i}" for i in rng.choice(design.words, design.told, replace=False)]
        texts.append(" ".join(rng.permutation([*own, *(f"f{i}" for i in rng.choice(20, design.filler))])))
    source = np.repeat(np.arange(design.nodes), design.neighbours)
    members = [np.flatnonzero(topic == t) for t in range(design.topics)]
    target = np.array([rng.choice(members[topic[node]]) for node in source])
    if shuffled:
        target = rng.permutation(target)
    return text_graph([str(i) for i in range(design.nodes)], texts, topic.tolist(),
                      [f"topic {t}" for t in range(design.topics)], np.stack([source, target]))  # fmt: skip


def without_edges(inp: ModalityInput) -> ModalityInput:
    return replace(inp, extra={**inp.extra, "edge_mask": torch.zeros_like(inp.extra["edge_mask"])})


def held_out_loss(inputs: list[ModalityInput], seed: int, design: Design) -> float:
    """Train on the first, the mean loss of `draws` draws of hidden words on the second."""
    torch.manual_seed(seed)
    text = TextTransformer(
        vocab_size=512, max_length=16, width=design.width, depth=1, heads=2, prefix=1, pool=ClsPool(), embedding_std=0.3
    )
    encoder = TextCascade(text=text, graph=NeighbourAttention(width=design.width, depth=2, heads=4))
    model = DualEncoder(
        encoders={"graph": encoder}, modalities={"graph": "graph"}, dim=design.width,
        projections={"graph": nn.Identity()},
    )  # fmt: skip
    term = MaskedNodeText(modality="graph", width=design.width, vocab_size=512, ratio=design.ratio)
    optim = OptimSettings(lr=design.lr, weight_decay=0.0, warmup=0.1)
    rows = [Rows({"graph": inp}, {}, {}) for inp in inputs]
    objective = Objective(terms=[term])
    train(model, objective, rows[0], steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
    model.eval()
    losses = []
    with torch.no_grad():
        for draw in range(design.draws):
            for number, batch in enumerate(rows[1].batches(60)):
                generator = torch.Generator().manual_seed(1000 * draw + number)
                step = Step(model=cast(StepModel, model), batch=batch, index=0, generator=generator)
                losses.append(float(term(step)["loss"]))
    return float(np.mean(losses))
