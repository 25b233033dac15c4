"""Facts as English paragraphs: several wordings of the same facts, in different orders, each sentence true of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from domains.molecules.describe.facts import Facts

WORDINGS = 4
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ELEMENTS = {"C": "carbon", "N": "nitrogen", "O": "oxygen", "S": "sulfur", "P": "phosphorus", "F": "fluorine",
            "Cl": "chlorine", "Br": "bromine", "I": "iodine", "B": "boron", "Si": "silicon", "Se": "selenium",
            "Na": "sodium", "K": "potassium"}  # fmt: skip
LOG_P_BANDS = ((0.0, "hydrophilic"), (2.0, "slightly lipophilic"), (4.0, "moderately lipophilic"), (6.0, "lipophilic"))
AREA_BANDS = ((20.0, "very small"), (60.0, "small"), (100.0, "medium"), (140.0, "large"))
QED_BANDS = ((0.3, "low"), (0.5, "fair"), (0.7, "good"))


def number(count: int) -> str:
    """A count in words up to twelve."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def band(value: float, bands: Sequence[tuple[float, str]], above: str) -> str:
    """The name of the first band whose upper end is above `value`, or `above`."""
    return next((name for end, name in bands if value < end), above)


def log_p_band(value: float) -> str:
    return band(value, LOG_P_BANDS, "very lipophilic")


def area_band(value: float) -> str:
    return band(value, AREA_BANDS, "very large")


def qed_band(value: float) -> str:
    return band(value, QED_BANDS, "very good")


def paragraphs(facts: Facts, seed: int) -> list[str]:
    """`WORDINGS` paragraphs about one molecule. The first has a fixed order of facts; seed: the others' order."""
    rng = np.random.default_rng(seed)
    out = []
    for wording in range(WORDINGS):
        sentences = [s for s in (make(facts, wording) for make in _SENTENCES) if s]
        order = np.arange(len(sentences)) if wording == 0 else rng.permutation(len(sentences))
        out.append(" ".join(sentences[i] for i in order))
    return out


def _listed(counts: Mapping[str, int], plural: str = "") -> str:
    parts = [f"{number(n)} {name}{plural if n > 1 else ''}" for name, n in counts.items()]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _atoms(f: Facts, w: int) -> str:
    named = {ELEMENTS.get(symbol, symbol): count for symbol, count in f.elements.items()}
    listed = _listed(named)
    return (
        f"A molecule of {f.atoms} heavy atoms: {listed}.",
        f"It is made of {listed} atoms besides hydrogen.",
        f"Its {f.atoms} heavy atoms are {listed}.",
        f"The composition without hydrogen is {listed}.",
    )[w]


def _groups(f: Facts, w: int) -> str:
    if not f.groups:
        return ("It has no common functional group.", "No common functional group is present.")[w % 2]
    listed = _listed(f.groups)
    return (
        f"It has these groups: {listed}.",
        f"Functional groups found are {listed}.",
        f"The structure contains {listed}.",
        f"Among its features are {listed}.",
    )[w]


def _rings(f: Facts, w: int) -> str:
    if f.ring_count == 0:
        return (
            "It has no ring.",
            "The molecule is acyclic.",
            "There are no rings in it.",
            "It is an open chain without rings.",
        )[w]
    count, aromatic = number(f.ring_count), number(f.aromatic_rings)
    total = f"{count} ring{'s' if f.ring_count > 1 else ''}, {aromatic} of them aromatic"
    if not f.rings:
        return (f"It has {total}.", f"There are {total}.", f"The skeleton holds {total}.", f"One counts {total}.")[w]
    named = _listed(f.rings)
    return (
        f"It has {total}, with {named}.",
        f"There are {total}: among them {named}.",
        f"The skeleton holds {total}, including {named}.",
        f"One counts {total}; {named} can be recognised.",
    )[w]


def _size(f: Facts, w: int) -> str:
    weight = 10 * round(f.weight / 10)
    return (
        f"Its molecular weight is about {weight}.",
        f"It weighs about {weight} grams per mole.",
        f"The molecular mass is near {weight}.",
        f"With a weight of about {weight}, it has {f.atoms} heavy atoms.",
    )[w]


def _polarity(f: Facts, w: int) -> str:
    log_p, area = log_p_band(f.log_p), area_band(f.polar_area)
    return (
        f"By estimate it is {log_p}, with a {area} polar surface.",
        f"The estimated character is {log_p} and the polar surface {area}.",
        f"It should be {log_p}; its polar surface area is {area}.",
        f"A {area} polar surface and a {log_p} character are computed.",
    )[w]


def _bonding(f: Facts, w: int) -> str:
    donors, acceptors, turns = number(f.donors), number(f.acceptors), number(f.rotatable)
    return (
        f"Hydrogen bonds: donors {donors}, acceptors {acceptors}. Rotatable bonds: {turns}.",
        f"It offers {donors} hydrogen bond donors and {acceptors} acceptors, and has {turns} rotatable bonds.",
        f"Counted are donors {donors}, acceptors {acceptors}, rotatable bonds {turns}.",
        f"There are {turns} rotatable bonds, {acceptors} acceptors and {donors} donors of hydrogen bonds.",
    )[w]


def _likeness(f: Facts, w: int) -> str:
    name = qed_band(f.qed)
    return (
        f"Its drug-likeness is {name}.",
        f"Drug-likeness by QED is {name}.",
        f"The quantitative estimate of drug-likeness is {name}.",
        f"As a drug-like molecule it rates as {name}.",
    )[w]


def _stereo(f: Facts, w: int) -> str:
    said = []
    if f.centres:
        open_ = f.centres - f.assigned
        state = "all stated" if open_ == 0 else "none stated" if f.assigned == 0 else f"{number(open_)} not stated"
        said.append(f"{number(f.centres)} stereo centre{'s' if f.centres > 1 else ''}, {state}")
    said += [
        f"{number(n)} {kind} double bond{'s' if n > 1 else ''}" for kind, n in (("E", f.e_bonds), ("Z", f.z_bonds)) if n
    ]
    if not said:
        return ""
    listed = " and ".join(said)
    return (f"Stereo: {listed}.", f"Its stereochemistry: {listed}.", f"It has {listed}.", f"One finds {listed}.")[w]


def _charge(f: Facts, w: int) -> str:
    said = []
    if f.charge:
        said.append(f"a net charge of {f.charge:+d}")
    if f.pieces > 1:
        said.append(f"{number(f.pieces)} separate parts, as in a salt or mixture")
    return f"{('It has', 'Present are', 'There is', 'Note')[w]} {' and '.join(said)}." if said else ""


_SENTENCES = (_atoms, _groups, _rings, _stereo, _charge, _bonding, _polarity, _size, _likeness)
