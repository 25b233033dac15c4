"""A small grammar of sentences on materials, with every span, relation and event of them known.

RULE-MADE: nobody measured or wrote what these sentences say. A template is words and slots `{name:category:type:slot}`:
the category that words are drawn from, the type of the entity, and the slot that it fills in a table of cells (for
the fuel-cell file). Formulas of test documents never occur in others; the last template of each file is seen in the
test alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

ACTIONS = {
    "Heating": ("heated", "calcined", "sintered", "annealed"),
    "Cooling": ("cooled", "quenched", "chilled"),
    "Mixing": ("mixed", "ground", "stirred", "blended"),
    "Purification": ("washed", "filtered", "centrifuged"),
    "Reaction": ("reacted", "hydrolysed", "polymerised"),
    "Shaping": ("pressed", "pelletized", "extruded"),
    "Starting": ("weighed", "purchased", "obtained"),
    "Non-altering": ("stored", "transferred", "placed"),
}
WORDS: dict[str, tuple[str, ...]] = {
    "solvent": ("ethanol", "water", "acetone", "toluene", "hexane"),
    "gas": ("argon", "nitrogen", "air", "oxygen"),
    "operation": tuple(word for words in ACTIONS.values() for word in words),
    "operation_doped": ("doped", "substituted", "introduced"),
    "element": ("Co", "Ni", "Zn", "Sr", "Ca", "K", "Mg", "Al"),
    "site": ("A site", "B site", "copper site", "oxygen site"),
    "tc": ("T c", "critical temperature", "superconductivity"),
    "kelvin": ("16 K", "22 K", "38 K", "54 K", "86 K", "92 K"),
    "method": ("XRD", "SEM", "Raman spectroscopy", "SQUID magnetometer"),
    "property": ("resistivity", "thermopower", "band gap", "lattice constant", "hardness"),
    "process": ("solid state reaction", "sol gel", "spray pyrolysis", "ball milling"),
    "mass": ("2.5", "0.4", "10", "1.2"),
    "mass_unit": ("g", "mg", "mmol"),
    "heat": ("700", "850", "1100"),
    "heat_unit": ("degC", "K"),
    "hours": ("2", "12", "24"),
    "hour_unit": ("h", "min"),
    "apparatus": ("furnace", "autoclave", "glove box", "ball mill"),
    "descriptor": ("powder", "dry", "fine", "nanosized"),
    "device": ("SOFC", "fuel cell", "button cell", "stack"),
    "fuel": ("humidified H2", "methane", "syngas"),
    "celsius": ("600 °C", "750 °C", "800 °C"),
    "power": ("0.45 W cm-2", "310 mW cm-2", "1.1 W cm-2"),
    "ohm": ("0.2 ohm cm2", "0.9 ohm cm2"),
    "evoke": ("measured", "exhibited", "delivered", "showed"),
    "volt": ("3.4 V", "1.2 V", "4.1 V"),
    "percent": ("98.1 %", "56.5 %", "83.5 %"),
    "mah": ("684 mAh g-1", "1380 mAh g-1", "171 mAh g-1"),
    "siemens": ("0.02 S cm-1", "3.1 S cm-1"),
    "kilojoule": ("24 kJ mol-1", "71 kJ mol-1"),
    "application": ("thermoelectrics", "batteries", "gas sensors", "catalysis"),
    "phase": ("perovskite", "spinel", "rutile", "wurtzite"),
    "form": ("thin film", "nanowire", "single crystal", "powder"),
    "sample": ("sample", "specimen", "pellet", "ingot"),
    "vitreous": ("glass", "amorphous", "vitreous", "melt quenched"),
    "crystalline": ("crystal", "polycrystalline", "ceramic", "epitaxial"),
}
_CATIONS = ("Ba", "Sr", "La", "Li", "Na", "Y", "Bi", "Ca", "Pb", "Sm")
_METALS = ("Ti", "Fe", "Cu", "Co", "Mn", "Ni", "Zr", "V", "Nb", "Ce")
_ANIONS = ("O3", "O4", "O2", "S2", "PO4", "F6", "Se2", "N2")
_SLOT = re.compile(r"\{(\w+):(\w+)(?::([\w-]*))?(?::(\w+))?\}")


@dataclass(frozen=True, slots=True)
class Template:
    """text: words and slots. relations: (label, slot, slot); a slot that is a trigger stands for its event. events:
    (type, trigger, ((role, slot), ...)). label: class of the whole text, where it has one."""

    text: str
    relations: tuple[tuple[str, str, str], ...] = ()
    events: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = ()
    label: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """One filled slot: characters [start, end) of the text."""

    name: str
    start: int
    end: int
    kind: str
    slot: str


def formula(rng: np.random.Generator, *, held_out: bool) -> str:
    """Of 800 formulas, a quarter (by the sum of the parts' numbers) are for the test alone."""
    while True:
        a, b, c = (int(rng.integers(len(part))) for part in (_CATIONS, _METALS, _ANIONS))
        if ((a + b + c) % 4 == 0) == held_out:
            return _CATIONS[a] + _METALS[b] + _ANIONS[c]


def fill(template: Template, rng: np.random.Generator, *, held_out: bool) -> tuple[str, list[Span]]:
    """The template with words drawn for its slots."""
    text, spans, behind = "", list[Span](), 0
    for found in _SLOT.finditer(template.text):
        name, category, kind, slot = found.groups()
        text += template.text[behind : found.start()]
        if category == "formula":
            word = formula(rng, held_out=held_out)
        else:
            words = WORDS[category]
            word = words[int(rng.integers(len(words)))]
        spans.append(Span(name, len(text), len(text) + len(word), kind or "", slot or ""))
        text, behind = text + word, found.end()
    return text + template.text[behind:], spans


def bio(text: str, spans: list[Span], *, slot: bool = False) -> tuple[list[str], list[str]]:
    """Tokens at spaces and their BIO tags, of the entity types or of the slots."""
    tokens, tags, at = text.split(" "), [], 0
    for token in tokens:
        inside = next((s for s in spans if s.start <= at < s.end), None)
        label = "" if inside is None else (inside.slot if slot else inside.kind)
        tags.append(f"{'B' if inside is not None and inside.start == at else 'I'}-{label}" if label else "O")
        at += len(token) + 1
    return tokens, tags
