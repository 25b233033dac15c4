"""Prompts of text-to-schema questions: `<task> \\t <span>`, and what may be answered, rendered and read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError, DataError
from domains.molecules.schema.question import TASKS, Question

Style = Literal["none", "choices", "schema", "example"]
MARKERS = {"choices": ". choices : ", "schema": ". schema : ", "example": ". example : "}
STYLES = ("none", *MARKERS)
ARROW = " = "


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt taken apart. hint: choices, types or an example, by the style it was rendered with."""

    task: str
    span: str
    style: Style = "none"
    hint: tuple[str, ...] = ()


def check_style(style: str) -> None:
    if style not in STYLES:
        raise ConfigError(f"style: is '{style}'; valid: {', '.join(STYLES)}")


def check_label(label: str, where: str) -> str:
    """The label. Raises DataError for one that a list of choices could not hold."""
    if "," in label or not label.strip() or label != label.strip():
        raise DataError(f"{where}: the label '{label}' is empty, has a comma, or space at an end; rename it")
    return label


def prompt_of(
    question: Question, *, style: Style, choices: Sequence[str] = (), example: tuple[str, str] | None = None
) -> Prompt:
    """choices: labels of the question's inventory, in the order shown. example: (span, answer) of another question."""
    hint: tuple[str, ...] = ()
    if style == "choices":
        hint = tuple(choices)
    elif style == "schema" and question.schema:
        hint = (question.schema,)
    elif style == "example" and example is not None:
        hint = example
    return Prompt(question.task, " ".join(question.span.split()), style if hint else "none", hint)


def render(prompt: Prompt) -> str:
    """The prompt as a text; `parse` reads it back."""
    name = TASKS[prompt.task]
    asked = f"{name}\t{prompt.span}"
    if prompt.style == "none":
        return asked
    joined = (ARROW if prompt.style == "example" else ",").join(prompt.hint)
    return asked + MARKERS[prompt.style] + joined


def parse(text: str) -> Prompt:
    """What `render` was given. The last marker counts, so a span may hold one where a hint follows.

    Raises DataError for a text that is no prompt.
    """
    name, tab, rest = text.partition("\t")
    task = next((code for code, full in TASKS.items() if full == name), None)
    if not tab or task is None:
        raise DataError(f"prompt '{text[:60]}': expected the name of a task, a tab and a span")
    found = max(((rest.rfind(mark), style) for style, mark in MARKERS.items()), key=lambda pair: pair[0])
    if found[0] < 0:
        return Prompt(task, rest)
    at, style = found
    tail = rest[at + len(MARKERS[style]) :]
    if style == "example":
        span, _, answer = tail.rpartition(ARROW)
        return Prompt(task, rest[:at], "example", (span, answer))
    hint = tuple(tail.split(",")) if style == "choices" else (tail,)
    return Prompt(task, rest[:at], style, hint)  # type: ignore[arg-type]
