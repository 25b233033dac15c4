"""Predicting links beside masked words helps to tell facts that only the graph holds; shuffled facts lose the gain.

Yasunaga et al. 2022 (DRAGON). Texts, facts and graph are rule-made (`FactSheets`): what is asked for by cloze is in no
training text, so a model that does not read the graph can only guess.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.molecules._facts import of_seeds
from benchmarks.result import Comparison, Options, Result

BOTH, WORDS, SHUFFLED, NOTHING = "words and links", "words alone", "shuffled facts", "no facts"
ARMS = {BOTH: ("dragon", "true"), WORDS: ("dragon_mlm", "true"), SHUFFLED: ("dragon", "shuffled"),
        NOTHING: ("dragon_mlm", "none")}  # fmt: skip
KEPT = ("cloze/accuracy", "masked_words/accuracy", "hidden_links/mrr")


@dataclass(frozen=True, slots=True)
class Design:
    steps: int = 1500


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="graph_facts",
        claim=(__doc__ or "").split("\n")[0],
        source="Yasunaga et al. 2022, arXiv 2210.09338",
        data="1,900 rule-made compounds, one protein, plant and disease each; 300 of them asked for, in no text",
        simulated=True,
        rule="accuracy of cloze questions about facts of the graph, six candidates each",
        seeds=options.seeds,
        values=of_seeds(ARMS, KEPT, options, steps=design.steps),
        config={"design": asdict(design), "systems": sorted({name for name, _ in ARMS.values()})},
        comparisons=(
            Comparison("cloze/accuracy", BOTH, WORDS),
            Comparison("cloze/accuracy", BOTH, SHUFFLED),
            Comparison("cloze/accuracy", WORDS, NOTHING),
        ),
        notes=("Texts and weights of a seed are shared by the arms. Chance is 1/6.",),
    )
