"""Micro- and macro-F1 of text-to-schema answers, told freely and, beside it, told with the gold answer in view.

Shape legend: N = questions of the split, R = resamples, K = labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import Interval, bootstrap_interval
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure, Section
from core.training.generation import Teller
from core.training.precision import Compute
from domains.molecules.schema.labels import closest
from domains.molecules.schema.processors import LABELS
from domains.molecules.schema.question import Question, read_question

SHOWN = 24  # rows of the table of samples


class SchemaScores(Figure):
    """F1 by task and its mean over tasks, `schema/<task>/micro_f1`, `schema/micro_f1`, ...

    An answer is the label of its inventory that is closest to what was written (`closest`). Labels of two files are
    different labels; a task pools its files. With one label per question micro-F1 is accuracy. `forced/` is the
    published way, which reads the gold answer while it answers: it is optimistic, no figure to judge by. `majority/`
    answers with the most frequent label of the inventory in the training split. `exact`: share of texts that were a
    label of the inventory as written. Intervals: bootstrap over documents.
    """

    headline: ClassVar[Mapping[str, str]] = {
        "text to schema, mean micro-F1": "schema/micro_f1",
        "  mean macro-F1": "schema/macro_f1",
        "  most frequent label, micro-F1": "schema/majority/micro_f1",
        "  gold answer in view, micro-F1": "schema/forced/micro_f1",
    }

    def __init__(
        self, *, prompt: str = "prompt", answer: str = "answer", head: str = "answer", length: int = 24
    ) -> None:
        """length: most ids of an answer, start and end included."""
        self.teller = Teller(prompt, answer, head, length)
        self.prompt, self.answer, self.head, self.length = prompt, answer, head, length
        self.shown: list[list[str]] = []

    def check(self, model: DualEncoder) -> None:
        self.teller.check(model)

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        told = self.teller.tell(model, data, split, compute)
        if not told.rows:
            return {}
        dataset = data.dataset(split)
        records = [dataset.record(row) for row in told.rows]
        questions = [read_question(record.sources[self.prompt]) for record in records]
        labels = inventories(data)
        options = [labels[q.inventory] for q in questions]
        answers = {
            "": [closest(text, some) for text, some in zip(told.free, options, strict=True)],
            "forced/": [closest(text, some) for text, some in zip(told.forced, options, strict=True)],
            "majority/": majority(data, questions, self.prompt),
        }
        figures: dict[str, float] = {}
        for kind, given in answers.items():
            figures |= task_scores(questions, given, prefix=f"schema/{kind}")
        groups = [record.group for record in records]
        interval = micro_interval(questions, answers[""], groups=groups, n=n_bootstrap, seed=seed)
        figures |= interval.flat("schema/micro_f1")
        written = [" ".join(text.split()) for text in told.free]
        known = [{label.casefold() for label in some} for some in options]
        figures["schema/exact"] = float(np.mean([text in some for text, some in zip(written, known, strict=True)]))
        figures["schema/questions"] = float(len(questions))
        self.shown = [
            [q.inventory, told.source[i], q.answer, told.free[i], answers[""][i]]
            for i, q in ((int(i), questions[int(i)]) for i in np.linspace(0, len(questions) - 1, SHOWN))
        ]
        return figures

    def sections(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, count: int
    ) -> list[Section]:
        """Answers beside their references, as last measured."""
        columns = ["file and task", "input", "reference", "written", "closest label"]
        rows = self.shown if count else []
        return (
            [lambda report: report.add_table("Answers: held-out questions, evenly chosen", columns, rows)]
            if rows
            else []
        )


def inventories(data: DataModule) -> dict[str, tuple[str, ...]]:
    """Labels that each kind of question may be answered with, as the layout gives them."""
    found = next(iter(data.layouts.values())).tables.get(LABELS, {})
    if not found:
        raise ConfigError(f"SchemaScores: the layout has no table '{LABELS}'; use matsci or matsci_rule_made")
    return {inventory: tuple(joined.split(",")) for inventory, joined in found.items()}


def majority(data: DataModule, questions: Sequence[Question], prompt: str) -> list[str]:
    """The most frequent label of each question's inventory in the training split; ties by name."""
    counts: dict[str, Counter[str]] = {}
    for record in data.layouts["train"]:
        try:
            question = read_question(record.sources[prompt])
        except DataError:
            continue
        counts.setdefault(question.inventory, Counter())[question.answer] += 1
    best = {inventory: min(c, key=lambda label: (-c[label], label)) for inventory, c in counts.items()}
    return [best.get(question.inventory, "") for question in questions]


def task_scores(questions: Sequence[Question], answers: Sequence[str], *, prefix: str = "") -> dict[str, float]:
    """`<prefix><task>/micro_f1` and `/macro_f1` of each task, and their means over tasks without a task in the name."""
    figures: dict[str, float] = {}
    tasks = sorted({question.task for question in questions})
    for task in tasks:
        pairs = [
            (f"{q.collection}:{q.answer}", f"{q.collection}:{a}") for q, a in zip(questions, answers, strict=True)
            if q.task == task
        ]  # fmt: skip
        micro, macro = f1(*zip(*pairs, strict=True))
        figures |= {f"{prefix}{task}/micro_f1": micro, f"{prefix}{task}/macro_f1": macro}
    for kind in ("micro_f1", "macro_f1"):
        figures[f"{prefix}{kind}"] = float(np.mean([figures[f"{prefix}{task}/{kind}"] for task in tasks]))
    return figures


def f1(gold: Sequence[str], given: Sequence[str]) -> tuple[float, float]:
    """(micro, macro) over the labels that occur in the gold answers or among those given."""
    from sklearn.metrics import f1_score

    micro, macro = (f1_score(list(gold), list(given), average=kind, zero_division=0.0) for kind in ("micro", "macro"))
    return float(micro), float(macro)


def micro_interval(
    questions: Sequence[Question], answers: Sequence[str], *, groups: Sequence[str], n: int, seed: int
) -> Interval:
    """Mean over tasks of micro-F1, documents drawn with replacement."""
    hit_N = np.array([q.answer == a for q, a in zip(questions, answers, strict=True)], np.float64)
    names, task_N = np.unique([q.task for q in questions], return_inverse=True)
    of_NT = (task_N[:, None] == np.arange(len(names))).astype(np.float64)

    def statistic(weight_RN: NDArray[np.float64]) -> NDArray[np.float64]:
        total_RT = weight_RN @ of_NT
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((weight_RN * hit_N) @ of_NT / total_RT).mean(axis=1)

    return bootstrap_interval(statistic, len(questions), groups_N=groups, n=n, seed=seed)
