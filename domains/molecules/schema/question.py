"""One question about a text: what a task asks of a span of it, and the label that answers.

MatSci-NLP (Song et al. 2023) puts seven tasks into one form: the name of the task, a span, optionally what may be
answered, and the text; the answer is the label, as words.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import DataError

TASKS = {  # code of the benchmark -> name in prompts
    "ner": "named entity recognition",
    "pc": "paragraph classification",
    "rc": "relation classification",
    "ee": "event argument extraction",
    "sar": "synthesis action retrieval",
    "sc": "sentence classification",
    "sf": "slot filling",
}
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Question:
    """task: a code of `TASKS`. collection: the file it comes from; labels of two files are different labels.

    span: what is asked about, as it stands in the text, empty for tasks on whole texts. at: character in the text where
    the span begins. schema: types that are given with the question (of the arguments of a relation, of an event).
    """

    task: str
    collection: str
    text: str
    span: str
    at: int
    schema: str
    answer: str

    @property
    def inventory(self) -> str:
        """Name of the set of labels that the answer is one of."""
        return f"{self.collection}/{self.task}"

    def source(self) -> str:
        """The question as the content of a record."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def refused(fault: str) -> str:
    """The content of a record whose document could not be read: `read_question` raises `fault`."""
    return json.dumps({REFUSED: fault})


def read_question(source: Any) -> Question:
    """The question of a record. Raises DataError naming the field that is missing, empty or of another type."""
    where = f"question '{str(source)[:60]}'"
    try:
        fields = json.loads(source)
    except (TypeError, ValueError) as err:
        raise DataError(
            f"{where}: not a JSON object ({err}); use a layout that makes questions, such as matsci"
        ) from err
    if isinstance(fields, dict) and REFUSED in fields:
        raise DataError(str(fields[REFUSED]))
    if not isinstance(fields, dict) or set(fields) != set(Question.__slots__):
        raise DataError(f"{where}: expected an object with {', '.join(Question.__slots__)}")
    for name, kind in (("at", int), *((n, str) for n in Question.__slots__ if n != "at")):
        if not isinstance(fields[name], kind):
            raise DataError(f"{where}: '{name}' is {fields[name]!r}; expected {kind.__name__}")
    if fields["task"] not in TASKS:
        raise DataError(f"{where}: task is '{fields['task']}'; valid: {', '.join(TASKS)}")
    for name in ("text", "answer"):
        if not fields[name].strip():
            raise DataError(f"{where}: the {name} is empty; leave such annotations out of the file")
    return Question(**fields)
