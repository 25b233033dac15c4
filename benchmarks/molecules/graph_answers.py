"""A joint text and graph model answers questions whose facts only the graph holds; text alone guesses.

Zhang et al. 2022 (GreaseLM), from scratch on rule-made questions (`FactQuestions`) about compounds of no training
question.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.molecules._facts import of_seeds
from benchmarks.result import Comparison, Options, Result

GRAPH, TEXT, SHUFFLED = "text and graph", "text alone", "shuffled facts"
ARMS = {GRAPH: ("greaselm", "true"), TEXT: ("greaselm_text", "true"), SHUFFLED: ("greaselm", "shuffled")}
KEPT = ("answers/accuracy",)


@dataclass(frozen=True, slots=True)
class Design:
    steps: int = 1000


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="graph_answers",
        claim=(__doc__ or "").split("\n")[0],
        source="Zhang et al. 2022, arXiv 2201.08860",
        data="1,900 rule-made compounds, three questions about each, four choices",
        simulated=True,
        rule="accuracy on questions about 300 compounds that no training question names",
        seeds=options.seeds,
        values=of_seeds(ARMS, KEPT, options, steps=design.steps),
        config={"design": asdict(design), "systems": ["greaselm", "greaselm_text"]},
        comparisons=(Comparison("answers/accuracy", GRAPH, TEXT), Comparison("answers/accuracy", GRAPH, SHUFFLED)),
        notes=(
            "Chance is 1/4. Facts are the same ones in training and test with shuffled facts too, but wrong: answers "
            "follow from none of them.",
        ),
    )
