"""Procedures as action sequences: their steps, placeholders and what makes one valid.

The actions are those of Vaucher et al. (2020), which OpenExp's procedures are written in: steps joined by " ; ", each
an action's name and what it is done with. `$1$` stands for a molecule, `$-1$` for the product, `#1#` for a
temperature, `@1@` for a duration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

ACTIONS = (
    "ADD", "COLLECTLAYER", "CONCENTRATE", "DEGAS", "DRYSOLID", "DRYSOLUTION", "EXTRACT", "FILTER", "MAKESOLUTION",
    "MICROWAVE", "PARTITION", "PH", "PHASESEPARATION", "PURIFY", "QUENCH", "RECRYSTALLIZE", "REFLUX", "SETTEMPERATURE",
    "SONICATE", "STIR", "TRITURATE", "WAIT", "WASH", "YIELD",
)  # fmt: skip
SEPARATOR = " ; "
PLACEHOLDER = re.compile(r"\$-?\d+\$|#\d+#|@\d+@")


def steps(procedure: str) -> list[str]:
    """The steps of a procedure, without the white space around them."""
    return [step.strip() for step in procedure.split(";")]


def placeholders(procedure: str) -> set[str]:
    """The placeholders that a procedure uses."""
    return set(PLACEHOLDER.findall(procedure))


def is_valid(procedure: str, known: Collection[str] | None = None) -> bool:
    """Whether every step begins with the name of an action, and every placeholder is among `known` (None: any)."""
    named = all(step.split(" ")[0] in ACTIONS for step in steps(procedure))
    rest = PLACEHOLDER.sub("", procedure)
    broken = any(sign in rest for sign in "$#@")
    return named and not broken and (known is None or placeholders(procedure) <= set(known))


def substituted(procedure: str, given: Mapping[str, str]) -> str:
    """The procedure with its placeholders (`given`: placeholder -> text) in the place of what they stand for: the
    longest text first, so that none is replaced inside another. `restored` undoes it."""
    marks = {text: mark for mark, text in given.items()}
    if not marks:
        return procedure
    longest = sorted(map(re.escape, marks), key=len, reverse=True)
    pattern = re.compile(r"(?<![^\s,(])(?:" + "|".join(longest) + r")(?![^\s,;.)])")
    return pattern.sub(lambda found: marks[found.group()], procedure)
