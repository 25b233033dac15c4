"""Where the text is ambiguous and the picture decides, a cross-modal level beside the text's own raises hits@1.

M3EL, Hu et al. 2025: one matcher, trained with some of its levels only. Four molecules share each name of the rule-made
set; a drawing of the right one goes with most mentions.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.harness import train_on
from benchmarks.molecules._links import SPLITS, system
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import DataSettings, OptimSettings
from core.data.datamodule import DataModule
from core.training.figures import measured_figures
from core.training.precision import Compute
from core.training.setup import build_model, build_objective, build_processors
from domains.molecules.linking import EntityRanking
from domains.molecules.linking.rule_made import RuleMadeLinking

TEXT, CROSS, PICTURE, ALL = "text", "text and cross", "text and picture", "text, picture and cross"
ARMS = {TEXT: ("text",), CROSS: ("text", "cross"), PICTURE: ("text", "picture"), ALL: ("text", "picture", "cross")}


@dataclass(frozen=True, slots=True)
class Design:
    """names: of the rule-made set, four molecules each. lr: peak rate, cosine. length: tokens of a text; side: pixels
    of a picture; both smaller than the system's, since scores cost the square of them."""

    names: int = 80
    steps: int = 150
    batch_size: int = 32
    lr: float = 1e-3
    length: int = 24
    side: int = 32


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="linking_levels",
        claim=(__doc__ or "").split("\n")[0],
        source="Hu et al. 2025, KDD (M3EL), ablation of the cross-modal matching network",
        data=f"{4 * design.names} molecules drawn, {design.names} names, sentences by rule; test names are held out",
        simulated=True,
        rule="hits@1 and MRR of the test mentions among all entities, realistic ranks",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "system": "m3el"},
        comparisons=(
            Comparison("hits@1", CROSS, TEXT),
            Comparison("hits@1", PICTURE, TEXT),
            Comparison("hits@1", ALL, PICTURE),
        ),
        notes=("Data and seed are shared by the arms. The text arm has no loss on pictures.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """All arms on the set of one seed."""
    found = {}
    with TemporaryDirectory() as folder:
        for arm, levels in ARMS.items():
            found[arm] = one_arm(shortened(with_levels(levels), design), seed, design, Path(folder))
    return found


def with_levels(levels: tuple[str, ...]) -> dict[str, Any]:
    """The system m3el with these levels of its matcher; without one of pictures no term about pictures either."""
    tree = deepcopy(system("m3el"))
    head = tree["model"]["init_args"]["heads"]["linking"]["init_args"]
    head["levels"] = {name: head["levels"][name] for name in levels}
    if levels == ("text",):
        tree["objectives"] = [
            term for term in tree["objectives"] if "image" not in term.get("init_args", {}).get("rows", "")
        ]
    return tree


def shortened(tree: dict[str, Any], design: Design) -> dict[str, Any]:
    """The same system for shorter texts and smaller pictures."""
    encoders, processors = tree["model"]["init_args"]["encoders"], tree["data"]["processors"]
    encoders["text"]["init_args"]["max_length"] = design.length
    encoders["picture"]["init_args"]["image_size"] = design.side
    for name, node in processors.items():
        node["init_args"] |= {"size": design.side} if name.endswith("image") else {"max_length": design.length}
    return tree


def one_arm(tree: dict[str, Any], seed: int, design: Design, folder: Path) -> dict[str, float]:
    """Figures of the test split after training."""
    layouts = {split: RuleMadeLinking(split=split, names=design.names, seed=seed) for split in SPLITS}
    processors = build_processors(tree["data"]["processors"])
    settings = DataSettings(batch_size=design.batch_size, prepare_workers=0)
    data = DataModule(layouts, processors, settings, seed=seed)
    data.fit_processors()
    data.prepare(SPLITS, bad_csv=folder / "bad.csv")
    model, objective = build_model(tree["model"], seed), build_objective(tree["objectives"], seed)
    optim = OptimSettings(lr=design.lr, weight_decay=1e-4)
    train_on(model, objective, data.train_loader, steps=design.steps, optim=optim, seed=seed)
    compute = Compute(torch.device("cpu"), "32", torch.get_num_threads())
    figures = measured_figures([EntityRanking()], model, data, split="test", compute=compute, seed=seed, n_bootstrap=1)
    return {"hits@1": figures["linking/hits@1"], "mrr": figures["linking/mrr"]}
