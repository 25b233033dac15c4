"""ComplEx, RotatE and QuatE of this suite rank as well as PyKEEN's, to 0.02 of filtered MRR, on UMLS and Kinships.

The measurement is that of `benchmarks.speed.kg_embeddings`: the same split, epochs, dimension, batch, rate, loss and
spread of first values, each side with its own loop and evaluator. Where PyKEEN's defaults differ, both sides take:
ComplEx first values of deviation 0.1 (PyKEEN 1.0), no regulariser for ComplEx and QuatE, RotatE with margin 3.

About 6 minutes for one seed on one quiet core (estimated): `python -m benchmarks molecules --only kg_parity --seeds 0`.
Fewer models, graphs or epochs: `python -m benchmarks.speed.kg_embeddings --models quate --graphs umls --seeds 3`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.result import Goal, Options, Result, per_seed
from benchmarks.speed.kg_embeddings import MODELS, Plan, compare

WITHIN = 0.02


@dataclass(frozen=True, slots=True)
class Design:
    """dim: coordinates of the algebra. epochs, batch, negatives, lr: of both sides."""

    graphs: tuple[str, ...] = ("umls", "kinships")
    models: tuple[str, ...] = tuple(MODELS)
    dim: int = 64
    epochs: int = 60
    batch: int = 256
    negatives: int = 1
    lr: float = 1e-2


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    values = per_seed([one_seed(seed, design) for seed in options.seeds])
    pairs = [arm for arm in values if "mrr above pykeen" in values[arm]]
    return Result(
        name="kg_parity",
        claim=(__doc__ or "").split("\n")[0],
        source="PyKEEN 1.11 (Ali et al. 2021), sLCWA with uniform negatives",
        data="UMLS semantic network and Kinships, the real graphs that PyKEEN ships",
        simulated=False,
        rule="filtered MRR of the test split, both sides, realistic ranks; speed in triples per second of one thread",
        seeds=options.seeds,
        values=values,
        config={"design": asdict(design)},
        goals=tuple(Goal("mrr above pykeen", arm, -WITHIN) for arm in pairs)
        + tuple(Goal("speed-up", arm, 2.0) for arm in pairs),
        notes=("Needs pykeen (extra `peers`).",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """Arm "graph model": both MRRs, their difference and the speed-up."""
    common = {name: getattr(design, name) for name in ("dim", "epochs", "batch", "negatives", "lr")}
    plans = [Plan(graph, model, seed=seed, **common) for graph in design.graphs for model in design.models]
    return {
        f"{row['graph']} {row['model']}": {
            "mrr": row["heptad mrr"],
            "mrr of pykeen": row["pykeen mrr"],
            "mrr above pykeen": row["mrr_difference"],
            "speed-up": row["speedup"],
        }
        for row in compare(plans)["summary"]
    }
