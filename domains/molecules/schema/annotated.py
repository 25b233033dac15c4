"""The annotation files of MatSci-NLP, exactly as they are distributed, as questions.

Files are `dataset/<name>.json` of the benchmark's repository: three are pandas tables (orient "split"), two are
`{"data": [...]}` with brat-like annotations, one is JSON lines, one a list. Spans are characters from 0, end excluded,
for the brat-like files, and tokens elsewhere. Only positive spans make questions: "O" and empty tags are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.errors import DataError
from domains.molecules.schema.prompt import check_label
from domains.molecules.schema.question import Question

GLASS = {0: "not glass", 1: "glass"}  # words of ours for the numbers in the files
EXPERIMENT = {0: "no experiment", 1: "experiment"}
OUTSIDE = "O"
Found = Question | DataError
BETWEEN = " ; "  # the two spans of a relation, or trigger and argument of an event


def matscholar(row: Sequence[Any]) -> Iterator[Question]:
    """tokens: a text, cut at spaces; labels: {token: label}. Named entities."""
    text, labels = row
    if not isinstance(labels, Mapping):
        raise DataError(f"labels is a {type(labels).__name__}, expected an object token -> label")
    tokens = _text(text, "tokens").split()
    yield from _tagged("ner", "matscholar", tokens, [str(labels.get(token, OUTSIDE)) for token in tokens])


def sofc_token(row: Sequence[Any]) -> Iterator[Question]:
    """tokens, token_labels and slot_labels: lists of equal length, BIO. Named entities and slots."""
    tokens, entities, slots = row
    yield from _tagged("ner", "sofc_token", tokens, entities)
    yield from _tagged("sf", "sofc_token", tokens, slots)


def sofc_sent(row: Sequence[Any]) -> Iterator[Question]:
    """sents: a sentence; sent_labels: whether it tells of an experiment."""
    yield _classified("sc", "sofc_sent", row, EXPERIMENT)


def glass_non_glass(row: Sequence[Any]) -> Iterator[Question]:
    """Abstract: a paragraph; Label: whether it is about glass."""
    yield _classified("pc", "glass_non_glass", row, GLASS)


def brat(row: Mapping[str, Any], *, collection: str) -> Iterator[Found]:
    """text, t_type_dict {T1: type}, t_span_dict {T1: [start, end]}, r_type_dict, r_args_dict {R1: [a, b]}, e_type_dict,
    e_trig_dict {E1: T1}, e_args_dict {E1: [[role, T2]]}. An end of a relation may be an event: its trigger stands."""
    text = _text(row["text"], "text")
    types, spans = row["t_type_dict"], row["t_span_dict"]

    def span(name: str) -> tuple[str, int, str]:
        key = row["e_trig_dict"].get(name, name)
        if key not in types or key not in spans:
            raise DataError(f"annotation '{name}' points to '{key}', which has no type or span")
        start, end = spans[key]
        if not 0 <= start < end <= len(text):
            raise DataError(f"the span of {key}, {start} to {end}, is not in the text of {len(text)} characters")
        return text[start:end], start, str(types[key])

    def asked(task: str, ends: Sequence[str], schema: str | None, label: Any) -> Found:
        """An annotation that points nowhere is a fault of its own: the others of the document are good."""
        try:
            parts = [span(end) for end in ends]
            types_of = ",".join(kind for _, _, kind in parts) if schema is None else schema
            words = BETWEEN.join(words for words, _, _ in parts)
            return _question(task, collection, text, words, parts[0][1], types_of, label)
        except DataError as fault:
            return fault

    for name, label in types.items():
        yield asked("ner", [name], "", label)
    for name, label in row["r_type_dict"].items():
        first, second = row["r_args_dict"][name]
        yield asked("rc", [first, second], None, label)
    for name, kind in row["e_type_dict"].items():
        for role, argument in row["e_args_dict"].get(name, []):
            yield asked("ee", [name, argument], str(kind), role)


def structured_re(row: Mapping[str, Any]) -> Iterator[Question]:
    """sentText, cut into tokens at spaces, and relationMentions with arg1Text, arg2Text, relText; the rest is not used
    but for arg1StartIndex, a token."""
    text = _text(row["sentText"], "sentText")
    tokens = text.split(" ")
    for mention in row["relationMentions"]:
        at = len(" ".join([*tokens[: int(mention["arg1StartIndex"])], ""]))
        span = mention["arg1Text"].strip() + BETWEEN + mention["arg2Text"].strip()
        yield _question("rc", "structured_re", text, span, min(at, len(text) - 1), "", mention["relText"])


def synthesis_actions(row: Mapping[str, Any]) -> Iterator[Question]:
    """sentence, annotations [{token, tag}]; an empty tag is no action."""
    tokens = [str(a["token"]) for a in row["annotations"]]
    tags = [str(a["tag"]) or OUTSIDE for a in row["annotations"]]
    yield from _tagged("sar", "synthesis_actions", tokens, tags)


def _tagged(task: str, collection: str, tokens: Any, tags: Any) -> Iterator[Question]:
    """A question per run of tokens of one entity: B- begins, I- of the same type goes on, a bare tag stands alone."""
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
        raise DataError(f"{collection}: tokens and labels must be lists of equal length")
    text, ends = " ".join(map(str, tokens)), list[int]()
    for token in map(str, tokens):
        ends.append((ends[-1] + 1 if ends else 0) + len(token))
    runs: list[tuple[int, int, str]] = []
    previous = OUTSIDE
    for i, tag in enumerate(map(str, tags)):
        head, dash, kind = tag.partition("-")
        bio = bool(dash) and head in ("B", "I")
        label = kind if bio else tag
        if bio and head == "I" and runs and previous == label:
            runs[-1] = (runs[-1][0], i, label)
        elif tag != OUTSIDE:
            runs.append((i, i, label))
        previous = label if bio else OUTSIDE
    for first, last, label in runs:
        at = ends[first] - len(str(tokens[first]))
        yield _question(task, collection, text, text[at : ends[last]], at, "", label)


def _classified(task: str, collection: str, row: Sequence[Any], labels: Mapping[int, str]) -> Question:
    text, number = row
    if number not in labels or isinstance(number, bool):
        raise DataError(f"label is {number!r}; expected one of {sorted(labels)}")
    return _question(task, collection, _text(text, "text"), "", 0, "", labels[number])


def _question(task: str, collection: str, text: str, span: str, at: int, schema: str, label: Any) -> Question:
    return Question(task, collection, text, span, at, schema, check_label(str(label), collection))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"'{name}' is {str(value)[:40]!r}; expected a text")
    return value


READERS: dict[str, Callable[[Any], Iterator[Found]]] = {
    "matscholar": matscholar,
    "sofc_token": sofc_token,
    "sofc_sent": sofc_sent,
    "glass_non_glass": glass_non_glass,
    "sc_comics": lambda row: brat(row, collection="sc_comics"),
    "synthesis_procedures": lambda row: brat(row, collection="synthesis_procedures"),
    "structured_re": structured_re,
    "synthesis_actions": synthesis_actions,
}
COLUMNS = {
    "matscholar": ("tokens", "labels"),
    "sofc_token": ("tokens", "token_labels", "slot_labels"),
    "sofc_sent": ("sents", "sent_labels"),
    "glass_non_glass": ("Abstract", "Label"),
}


def questions_of(collection: str, row: Any) -> list[Found]:
    """The questions of one document, and a DataError in place of each annotation that is not in its text.

    Raises DataError saying what of the whole document is not as expected.
    """
    try:
        return list(READERS[collection](row))
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        what = f"'{err.args[0]}' is missing" if isinstance(err, KeyError) else f"{type(err).__name__}: {err}"
        raise DataError(f"{collection}: not as its format asks ({what})") from err
