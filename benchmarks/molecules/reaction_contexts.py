"""Products are told better behind the molecules they are made of than by themselves.

ReactXT (Liu et al. 2024) in small: one language model of text alone, trained on contexts of weighted reactions (hybrid)
or of single molecules, on a rule-made grammar of reactions whose product is what two random chains make.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.harness import train_on
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.data.collate import Collate
from core.data.layout import TrainingPlan
from core.models import DualEncoder, TransformerLM
from core.objectives.base import Objective
from core.training.precision import Compute
from core.types import Batch
from domains.molecules.language import ContextProcessor, GraphPromptedLM, NextToken
from domains.molecules.language.figures import product_alone, told_losses
from domains.molecules.language.processor import context_of
from domains.molecules.reactions.layouts import ReactionContexts

REACTIONS, SINGLE, BEHIND = "reaction contexts", "single molecules", "single molecules, asked in reactions"
MOLECULES = 3  # of a reaction
SPLITS = {"train": "train.json", "val": "valid.json", "test": "test.json"}


@dataclass(frozen=True, slots=True)
class Design:
    """reactions: of training; held_out: of the test, with chains of their own. batch_size: contexts of reactions in a
    step; of single molecules three times as many, so that both arms see as many molecules. lr: peak, cosine."""

    steps: int = 400
    batch_size: int = 8
    width: int = 48
    depth: int = 2
    reactions: int = 400
    held_out: int = 80
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="reaction_contexts",
        claim=(__doc__ or "").split("\n")[0],
        source="Liu et al. 2024, ReactXT: reaction contexts against single molecules",
        data="amides and esters of random chains, rule-made strings of a toy grammar",
        simulated=True,
        rule="nats per token of the product's SMILES, mean over held-out reactions; lower is better",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design)},
        comparisons=(
            Comparison("product_nats", REACTIONS, SINGLE, better="lower"),
            Comparison("product_nats", REACTIONS, BEHIND, better="lower"),
            Comparison("alone_nats", REACTIONS, SINGLE, better="lower"),
        ),
        notes=(
            "Each arm's product_nats is in contexts of its own kind; the third arm is the second model asked in the "
            "contexts of the first. alone_nats: every model asked for products by themselves.",
        ),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """Both models on the grammar of one seed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_grammar(root, design, seed)
        found: dict[str, dict[str, float]] = {}
        for arm, style in ((REACTIONS, "hybrid"), (SINGLE, "single_mol")):
            together, alone = trained(root, style, design, seed)
            own = together if style == "hybrid" else alone
            found[arm] = {"product_nats": own, "alone_nats": alone}
            if style == "single_mol":
                found[BEHIND] = {"product_nats": together, "alone_nats": alone}
    return found


def write_grammar(root: Path, design: Design, seed: int) -> None:
    """OpenExp's files of reactions R-COOH + X-R' -> R-CO-X-R', X = N or O, with chains that no other split has."""
    rng = np.random.default_rng(seed)
    seen: set[str] = set()

    def chain() -> str:
        while True:
            made = "C" + "".join(rng.choice(list("CCNOS"), int(rng.integers(2, 6)))) + "C"
            if made not in seen:
                return made

    texts: dict[str, str] = {}
    for split, file in SPLITS.items():
        count = design.reactions if split == "train" else design.held_out
        chains = [chain() for _ in range(max(4, count // 4))]
        seen.update(chains)
        rows: list[dict[str, Any]] = []
        for index in range(count):
            left, right = (chains[int(i)] for i in rng.integers(0, len(chains), 2))
            link = "NO"[int(rng.integers(2))]
            acid, other, product = f"{left}C(=O)O", f"{link}{right}", f"{left}C(=O){link}{right}"
            texts |= {acid: "An acid.", other: "An amine." if link == "N" else "An alcohol.", product: "A product."}
            rows.append(
                {"index": f"{split}-{index}", "REACTANT": [acid, other], "PRODUCT": [product], "actions": "YIELD"}
            )
        (root / file).write_text(json.dumps(rows))
    told = [{"canon_smiles": smiles, "abstract": text} for smiles, text in texts.items()]
    (root / "Abstract_property.json").write_text(json.dumps(told))


def trained(root: Path, style: str, design: Design, seed: int) -> tuple[float, float]:
    """Nats per token of held-out products, behind their reactants and alone, after training on contexts of a style."""
    layouts = {
        split: ReactionContexts(
            root=root, split=split, reactions="openexp", style=style,
            contexts=design.reactions * (MOLECULES if style == "single_mol" else 1),
            random=design.reactions // 10,
        )
        for split in SPLITS
    }  # fmt: skip
    processor = ContextProcessor(vocab_size=400, max_length=160, queries=0)
    processor.fit(record.sources["context"] for record in layouts["train"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = TransformerLM(vocab_size=400, width=design.width, depth=design.depth, heads=4, max_length=160)
        model = DualEncoder(encoders={"lm": GraphPromptedLM(lm=lm)}, modalities={"context": "lm"}, dim=8)

    contexts_of_step = design.batch_size * (MOLECULES if style == "single_mol" else 1)

    def make_loader(*, total: int, start: int, rank: int, world: int) -> DataLoader[Batch]:
        plan = TrainingPlan(contexts_of_step, total, start, seed, True, rank, world)
        drawn = layouts["train"].draws({"context": processor}, plan)
        assert drawn is not None
        return DataLoader(drawn.dataset, batch_sampler=drawn.sampler, collate_fn=Collate({"context": processor}, ()))

    optim = OptimSettings(lr=design.lr, weight_decay=0.05, warmup=0.05, final_lr=0.1)
    train_on(model, Objective(terms=[NextToken()]), make_loader, steps=design.steps, optim=optim, seed=seed)
    model.eval()
    contexts = [context_of(record.sources["context"]) for record in layouts["test"]]
    compute = Compute(torch.device("cpu"), "32", torch.get_num_threads())
    even = np.full(processor.vocabulary, 1 / processor.vocabulary)
    behind = told_losses(model, processor, contexts, compute, "context", even)["product_nats"]
    single = [alone for context in contexts for alone in product_alone(context)]
    alone = told_losses(model, processor, single, compute, "context", even)["smiles_nats"]
    return float(behind.mean()), float(alone.mean())
