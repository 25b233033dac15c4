"""Summaries of a node's surroundings, made by RULE from texts alone where no written ones are given."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.errors import DataError
from domains.molecules.text_graphs.graph import TextGraph

_STOP = re.compile(r"(?<=[.!?])\s+")
READ = 32  # neighbours whose texts are read


def summary(graph: TextGraph, row: int, *, most: int = 4) -> str:
    """The node's own text, how many nodes it is linked to, and the `most` sentences that most of these share (ties in
    the order of reading). Empty when neither the node nor a neighbour has a text."""
    own = graph.texts[row].strip()
    _, linked = graph.edges_of(np.array([row]))
    counts: Counter[str] = Counter()
    for neighbour in linked[:READ]:
        counts.update(dict.fromkeys(sentences(graph.texts[int(neighbour)]), 1))
    shared = " ".join(sentence for sentence, _ in counts.most_common(most))
    if not own and not shared:
        return ""
    said = (
        f"Linked to {len(linked)} others, which often say: {shared}" if shared else f"Linked to {len(linked)} others."
    )
    return f"{own} {said}".strip()


def sentences(text: str) -> list[str]:
    """The sentences of a text, each ended as it was written."""
    return [part.strip() for part in _STOP.split(text.strip()) if part.strip()]


def read_summaries(path: Path) -> Mapping[str, str]:
    """Node id -> summary from a JSON list of {"id", "graph": [[sources], [targets]], "summary"}, the layout GraphCLIP
    distributes; the graphs are not used, subgraphs are drawn anew. Raises DataError naming the entry."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise DataError(f"{path}: not a readable JSON file ({err}); expected a list of id, graph, summary") from err
    if not isinstance(entries, list):
        raise DataError(f"{path}: holds a {type(entries).__name__}; expected a list of id, graph, summary")
    found: dict[str, str] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "id" not in entry or not isinstance(entry.get("summary"), str):
            raise DataError(f"{path}: entry {number} lacks 'id' or 'summary'")
        found[str(entry["id"])] = entry["summary"]
    return found
