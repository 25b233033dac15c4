"""RULE-MADE files in the layout of MatSci-NLP, so that its readers, tasks and figures run without a download."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.built import build_once, cache_root
from core.errors import ConfigError
from domains.molecules.schema import templates as of
from domains.molecules.schema.grammar import ACTIONS, Span, Template, bio, fill
from domains.molecules.schema.layout import SHARES, SPLITS_FILE, MatSci

VERSION = "1"
Row = Callable[[Template, str, list[Span]], Any]


class RuleMadeMatSci(MatSci):
    """Sentences of a small grammar, in all eight files. Test documents have formulas that no other split has, and a
    third of them a template of their own. A system that reads words and places can answer every question."""

    name: ClassVar[str] = "MatSci-NLP layout (rule-made)"
    licence: ClassVar[str] = "CC0-1.0"
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: Path | None = None,
        split: str,
        collections: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        train_share: float = 1.0,
        balance: float = 1.0,
        seed: int = 0,
        documents: int = 400,
    ) -> None:
        """documents: of each file. seed: of the sentences too."""
        if documents < 20:
            raise ConfigError(f"documents: is {documents}; give at least 20 of each file")
        folder = root
        if folder is None:
            folder = build_once(
                cache_root() / "datasets" / f"matsci-{documents}-{seed}",
                lambda out: write(out, documents=documents, seed=seed),
                version=VERSION,
            )
        super().__init__(
            root=folder, split=split, collections=collections, tasks=tasks, train_share=train_share, balance=balance,
            seed=seed,
        )  # fmt: skip


def write(folder: Path, *, documents: int = 400, seed: int = 0) -> None:
    """Write the eight files and `splits.json`."""
    splits = {}
    for number, (name, (templates, row)) in enumerate(FILES.items()):
        rng = np.random.default_rng([seed, number])
        dealt = [str(s) for s in rng.choice(list(SHARES), size=documents, p=list(SHARES.values()))]
        dealt[:3] = list(SHARES)  # each split has one
        rows = [_document(templates, row, rng, held_out=split == "test") for split in dealt]
        (folder / f"{name}.json").write_text(_file(name, rows), encoding="utf-8")
        splits[name] = dealt
    (folder / SPLITS_FILE).write_text(json.dumps(splits), encoding="utf-8")


def _document(templates: Sequence[Template], row: Row, rng: np.random.Generator, *, held_out: bool) -> Any:
    known = len(templates) - (0 if held_out else 1)
    template = templates[int(rng.integers(known))]
    text, spans = fill(template, rng, held_out=held_out)
    return row(template, text, spans)


def _brat(template: Template, text: str, spans: list[Span]) -> dict[str, Any]:
    named = {s.name: f"T{i}" for i, s in enumerate(spans, start=1)}
    events = {trigger: f"E{i}" for i, (_, trigger, _) in enumerate(template.events, start=1)}
    ends = {**named, **events}
    relations = {f"R{i}": relation for i, relation in enumerate(template.relations, start=1)}
    return {
        "text": text,
        "t_type_dict": {named[s.name]: s.kind for s in spans},
        "t_span_dict": {named[s.name]: [s.start, s.end] for s in spans},
        "r_type_dict": {key: label for key, (label, _, _) in relations.items()},
        "r_args_dict": {key: [ends[a], ends[b]] for key, (_, a, b) in relations.items()},
        "e_type_dict": {events[trigger]: kind for kind, trigger, _ in template.events},
        "e_trig_dict": {events[trigger]: named[trigger] for _, trigger, _ in template.events},
        "e_args_dict": {events[t]: [[role, named[a]] for role, a in args] for _, t, args in template.events},
    }


def _entities(template: Template, text: str, spans: list[Span]) -> list[Any]:
    tokens, tags = bio(text, spans)
    return [text, dict(zip(tokens, tags, strict=True))]


def _cells(template: Template, text: str, spans: list[Span]) -> list[Any]:
    tokens, tags = bio(text, spans)
    return [tokens, tags, bio(text, spans, slot=True)[1]]


def _labelled(template: Template, text: str, spans: list[Span]) -> list[Any]:
    return [text, template.label]


def _relations(template: Template, text: str, spans: list[Span]) -> dict[str, Any]:
    place = {
        s.name: (len(text[: s.start].split()), len(text[: s.end].split()) - 1, text[s.start : s.end]) for s in spans
    }
    mentions = []
    for label, one, two in template.relations:
        (a, b, first), (c, d, second) = place[one], place[two]
        mentions.append(
            {
                "arg1Text": first, "arg1StartIndex": a, "arg1EndIndex": b, "relText": label, "relStartIndex": a,
                "relEndIndex": b, "arg2Text": second, "arg2OriginalText": second, "arg2StartIndex": c,
                "arg2EndIndex": d,
            }
        )  # fmt: skip
    return {"id": 0, "docId": 0, "sentText": text, "relationMentions": mentions, "numTriples": len(mentions)}


def _actions(template: Template, text: str, spans: list[Span]) -> dict[str, Any]:
    action = {word: kind for kind, words in ACTIONS.items() for word in words}
    annotations = [{"token": token, "tag": action.get(token, "")} for token in text.split(" ")]
    return {"sentence": text, "annotations": annotations, "remark": "rule-made", "doi": ""}


def _file(name: str, rows: list[Any]) -> str:
    if name == "structured_re":
        return "".join(json.dumps({**row, "id": i + 1}) + "\n" for i, row in enumerate(rows))
    if name == "synthesis_actions":
        return json.dumps(rows)
    if name in ("sc_comics", "synthesis_procedures"):
        return json.dumps({"data": rows})
    from domains.molecules.schema.annotated import COLUMNS

    return json.dumps({"columns": COLUMNS[name], "index": list(range(len(rows))), "data": rows})


FILES: dict[str, tuple[Sequence[Template], Row]] = {
    "matscholar": (of.ENTITIES, _entities),
    "sofc_token": (of.FUEL_CELLS, _cells),
    "sofc_sent": ((*of.FUEL_CELLS[:2], *of.NO_EXPERIMENT, of.FUEL_CELLS[2]), _labelled),
    "glass_non_glass": (of.GLASSES, _labelled),
    "sc_comics": (of.SUPERCONDUCTORS, _brat),
    "synthesis_procedures": (of.PROCEDURES, _brat),
    "structured_re": (of.ELECTRODES, _relations),
    "synthesis_actions": (of.PROCEDURES, _actions),
}
