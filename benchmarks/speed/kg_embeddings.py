"""Knowledge graph embeddings beside PyKEEN: training triples/s and filtered MRR, on the same split and settings.

Each run is a fresh process. Both sides: the small real graphs that PyKEEN ships, the same dimension, epochs, batch,
Adam rate, loss and number of uniform wrong answers (PyKEEN's loop "sLCWA"). Ours trains through the suite's own loop
(layout, processor, loader, Lightning), not a bare one. Triples per second are counted in processor time of one thread,
so that other work on the machine does not decide; wall time stands beside it. Each side ranks with its own evaluator.

    python -m benchmarks.speed.kg_embeddings --graphs umls kinships --models complex rotate quate --epochs 100
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed._process import in_fresh_process
from core.errors import missing_extra

MODULE = "benchmarks.speed.kg_embeddings"
SIDES = ("heptad", "pykeen")
GRAPHS = ("umls", "kinships", "nations")
SIZES = {"umls": (135, 46), "kinships": (104, 25), "nations": (14, 55)}  # entities, relations


@dataclass(frozen=True, slots=True)
class Model:
    """One model of links on both sides. parts: real numbers per coordinate. std: of the first values, 0 = Xavier."""

    ours: str
    theirs: str
    parts: int
    std: float
    loss: str
    options: dict[str, Any]


MODELS = {
    "complex": Model("ComplEx", "ComplEx", 2, 0.1, "logistic", {"init_std": 0.1}),
    "rotate": Model("RotatE", "RotatE", 2, 0.0, "adversarial", {"modulus": "euclidean"}),  # PyKEEN's distance
    "quate": Model("QuatE", "QuatE", 4, 0.02, "logistic", {"init_std": 0.035}),
}
MARGIN, TEMPERATURE = 3.0, 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What both sides are given."""

    graph: str
    model: str
    dim: int
    epochs: int
    batch: int
    negatives: int
    lr: float
    seed: int


def ours(plan: Plan) -> dict[str, float]:
    """Train and rank with this suite."""
    from types import SimpleNamespace

    import torch

    from core.config.schema import DataSettings, OptimSettings, TrainerSettings
    from core.data.datamodule import DataModule
    from core.training import pretrain, setup
    from core.training.cli import Request
    from core.training.module import TrainingModule
    from core.training.precision import resolve
    from core.training.run_folder import RunFolder
    from domains.molecules.kg import LinkRanking

    torch.set_num_threads(1)
    settings = DataSettings(layout=plan.graph, batch_size=plan.batch, augment=False, prepare_workers=0)
    processors = setup.build_processors({"triple": {"class_path": "domains.molecules.kg.TripleProcessor"}})
    data = DataModule(setup.build_layouts("molecules", settings), processors, settings, seed=plan.seed)
    model = setup.build_model(model_node(plan), plan.seed)
    objective = setup.build_objective([objective_node(plan)], plan.seed)
    steps = round(plan.epochs * len(data.layouts["train"]) / plan.batch)  # as many triples as PyKEEN's, to a batch
    trainer = TrainerSettings(
        max_steps=steps, precision="32", threads=1, gradient_clip=0, progress=False,
        validate_every=steps + 1, checkpoint_every=steps + 1, log_every=100,
    )  # fmt: skip
    optim = OptimSettings(
        lr=plan.lr, weight_decay=0, betas=(0.9, 0.999), eps=1e-8, warmup=0, schedule="constant", final_lr=1.0
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.of(Request("molecules", "pretrain", plan.model, {}), Path(scratch) / "run")
        data.fit_processors()
        data.prepare(pretrain.SPLITS, bad_csv=Path(scratch) / "bad.csv")
        setup.check_fit(model, data.processors, data.layouts)
        compute = resolve(trainer)
        module = TrainingModule(
            model, objective, optim=optim, trainer=trainer, seed=plan.seed, make_loader=data.train_loader
        )
        config = SimpleNamespace(trainer=trainer, data=settings)
        cpu, wall = time.process_time(), time.perf_counter()
        pretrain.fit(module, folder, compute, config, {}, what="kg", measure_val=dict, watch="", resume=None)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        found = LinkRanking().measure(model, data, split="test", compute=compute, seed=0, n_bootstrap=1)
    triples = steps * plan.batch
    return {
        "triples_per_cpu_s": triples / cpu, "triples_per_s": triples / wall,
        "mrr": found["links/mrr"], "hits@10": found["links/hits@10"],
    }  # fmt: skip


def model_node(plan: Plan) -> dict[str, Any]:
    """Our model as a configuration node."""
    chosen, (entities, relations) = MODELS[plan.model], SIZES[plan.graph]
    width = chosen.parts * plan.dim
    kg = "domains.molecules.kg"
    encoder = {
        "class_path": f"{kg}.LinkEncoder",
        "init_args": {
            "entities": {
                "class_path": f"{kg}.EntityTable",
                "init_args": {"entities": entities, "width": width, "init_std": chosen.std},
            },
            "links": {
                "class_path": f"{kg}.{chosen.ours}",
                "init_args": {"relations": relations, "dim": plan.dim, **chosen.options},
            },
        },
    }
    return {
        "class_path": "core.models.DualEncoder",
        "init_args": {
            "dim": width, "encoders": {"graph": encoder}, "modalities": {"triple": "graph"},
            "projections": {"triple": {"class_path": "torch.nn.Identity"}},
        },
    }  # fmt: skip


def objective_node(plan: Plan) -> dict[str, Any]:
    kg = "domains.molecules.kg"
    losses = {
        "logistic": {"class_path": f"{kg}.LogisticLoss"},
        "adversarial": {
            "class_path": f"{kg}.SelfAdversarialLoss", "init_args": {"margin": MARGIN, "temperature": TEMPERATURE},
        },
    }  # fmt: skip
    negatives = {"class_path": f"{kg}.UniformNegatives", "init_args": {"per_positive": plan.negatives}}
    return {
        "class_path": f"{kg}.SampledLinks",
        "init_args": {"negatives": negatives, "loss": losses[MODELS[plan.model].loss]},
    }


def theirs(plan: Plan) -> dict[str, float]:
    """Train and rank with PyKEEN."""
    if importlib.util.find_spec("pykeen") is None:
        raise missing_extra("pykeen", "peers")
    import logging

    import torch

    logging.disable(logging.WARNING)
    import pykeen.losses
    import pykeen.models
    from pykeen.datasets import get_dataset
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.training import SLCWATrainingLoop
    from pykeen.utils import set_random_seed

    torch.set_num_threads(1)
    set_random_seed(plan.seed)
    chosen = MODELS[plan.model]
    data = get_dataset(dataset=plan.graph)
    loss = (
        pykeen.losses.SoftplusLoss()
        if chosen.loss == "logistic"
        else pykeen.losses.NSSALoss(margin=MARGIN, adversarial_temperature=TEMPERATURE)
    )
    further: dict[str, Any] = {} if chosen.theirs == "RotatE" else {"regularizer": None}
    if chosen.theirs == "ComplEx":  # its standard deviation of 1 takes hundreds of epochs to undo
        first = partial(torch.nn.init.normal_, std=chosen.std)
        further |= {"entity_initializer": first, "relation_initializer": first}
    if chosen.theirs == "QuatE":  # its L2 regulariser has no counterpart in the other arms
        further = {"entity_regularizer": None, "relation_regularizer": None}
    model = getattr(pykeen.models, chosen.theirs)(
        triples_factory=data.training, embedding_dim=plan.dim, loss=loss, random_seed=plan.seed, **further
    )
    loop = SLCWATrainingLoop(
        model=model, triples_factory=data.training, optimizer=torch.optim.Adam(model.parameters(), lr=plan.lr),
        negative_sampler="basic", negative_sampler_kwargs={"num_negs_per_pos": plan.negatives},
    )  # fmt: skip
    cpu, wall = time.process_time(), time.perf_counter()
    loop.train(data.training, num_epochs=plan.epochs, batch_size=plan.batch, use_tqdm=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    found = RankBasedEvaluator(filtered=True).evaluate(
        model, data.testing.mapped_triples, batch_size=64, use_tqdm=False,
        additional_filter_triples=[data.training.mapped_triples, data.validation.mapped_triples],
    )  # fmt: skip
    triples = plan.epochs * data.training.num_triples
    return {
        "triples_per_cpu_s": triples / cpu, "triples_per_s": triples / wall,
        "mrr": found.get_metric("both.realistic.inverse_harmonic_mean_rank"),
        "hits@10": found.get_metric("both.realistic.hits_at_10"),
    }  # fmt: skip


def compare(plans: list[Plan]) -> dict[str, Any]:
    """Both sides of every plan, the sides in turns; and per graph and model the means, speed-up and difference."""
    runs = []
    for plan in plans:
        for side in SIDES:
            values = {name: getattr(plan, name) for name in Plan.__slots__}
            found = in_fresh_process(MODULE, ["--measure", side, json.dumps(values)], 1)
            runs.append({"side": side, **values, **found})
            print(
                f"{plan.graph} {plan.model} seed {plan.seed} {side}: MRR {found['mrr']:.3f}, "
                f"{found['triples_per_cpu_s']:.0f} triples per CPU s", file=sys.stderr, flush=True,
            )  # fmt: skip
    summary = []
    for graph, model in dict.fromkeys((p.graph, p.model) for p in plans):
        of = {s: [r for r in runs if (r["graph"], r["model"], r["side"]) == (graph, model, s)] for s in SIDES}
        mean = {s: {k: statistics.fmean(r[k] for r in of[s]) for k in MEASURED} for s in SIDES}
        summary.append({
            "graph": graph, "model": model, **{f"{s} {k}": v for s in SIDES for k, v in mean[s].items()},
            "speedup": mean["heptad"]["triples_per_cpu_s"] / mean["pykeen"]["triples_per_cpu_s"],
            "mrr_difference": mean["heptad"]["mrr"] - mean["pykeen"]["mrr"],
        })  # fmt: skip
    return {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "runs": runs, "summary": summary}


MEASURED = ("triples_per_cpu_s", "triples_per_s", "mrr", "hits@10")


def table(result: dict[str, Any]) -> str:
    """The summary as text."""
    lines = [f"{'graph':<10}{'model':<10}{'MRR ours / theirs':<22}{'triples per CPU s':<22}speed-up"]
    for row in result["summary"]:
        mrr = f"{row['heptad mrr']:.3f} / {row['pykeen mrr']:.3f}"
        speed = f"{row['heptad triples_per_cpu_s']:.0f} / {row['pykeen triples_per_cpu_s']:.0f}"
        lines.append(f"{row['graph']:<10}{row['model']:<10}{mrr:<22}{speed:<22}{row['speedup']:.1f}x")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=["umls", "kinships"])
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--dim", type=int, default=64, help="coordinates of the algebra (default 64)")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=1, help="uniform wrong answers per triple (default 1)")
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/speed-kg-embeddings.json"))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        side, values = args.measure
        print(json.dumps({"heptad": ours, "pykeen": theirs}[side](Plan(**json.loads(values)))))
        return
    common = {name: getattr(args, name) for name in ("dim", "epochs", "batch", "negatives", "lr")}
    result = compare([
        Plan(graph, model, seed=seed, **common)
        for graph in args.graphs for model in args.models for seed in range(args.seeds)
    ])  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{table(result)}\nwritten to {args.out}")


if __name__ == "__main__":
    main()
