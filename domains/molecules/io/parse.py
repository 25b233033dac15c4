"""One molecule from a SMILES, an InChI or a molfile block, under a stated policy.

Errors name the string: a record is refused, never dropped or filled with zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from core.errors import DataError
from domains.molecules.io.rdkit import chem, logged, silent
from domains.molecules.policy import AS_WRITTEN, MoleculePolicy
from domains.molecules.standardise import standardised

_USUAL = re.compile(r"[A-Za-z0-9()\[\]=#+.%-]+")  # neither stereo, atom maps, reactions nor wildcards
SHOWN = 60  # characters of a string that an error repeats


def shown(text: object) -> str:
    """The start of a string as an error shows it: quoted, without line breaks or characters a terminal acts on."""
    return ascii(text[:SHOWN])[:-1] + "...'" if isinstance(text, str) and len(text) > SHOWN else ascii(text)


def read_molecule(text: str, policy: MoleculePolicy = AS_WRITTEN) -> Any:
    """The RDKit molecule of a string, sanitised, without explicit hydrogen, under `policy`.

    text: SMILES; InChI (begins with "InChI="); or a molfile block (has line breaks).
    Raises DataError with the string, the stage that failed (length, syntax, valence, kekulise, ...) and RDKit's reason.
    """
    with silent():
        return _read(text, policy)


def read_many(texts: list[str], policy: MoleculePolicy = AS_WRITTEN) -> list[Any | DataError]:
    """One molecule or its error per string, in order."""
    return list(read_each(texts, policy))


def read_each(texts: Sequence[str], policy: MoleculePolicy = AS_WRITTEN) -> Iterator[Any | DataError]:
    """As `read_many`, one at a time: a molecule that is used and dropped leaves its memory to the next."""
    Chem = chem()
    parse, sanitise, flags = Chem.MolFromSmiles, Chem.SanitizeMol, Chem.SanitizeFlags
    steps = int(flags.SANITIZE_ALL) & ~int(flags.SANITIZE_CLEANUPCHIRALITY | flags.SANITIZE_CLEANUPATROPISOMERS)
    # Neither metals nor atoms without implicit hydrogen, of which alone radicals are made, are written without brackets
    plain = steps & ~int(flags.SANITIZE_CLEANUP_ORGANOMETALLICS | flags.SANITIZE_FINDRADICALS)
    needed = [_sanitising(text, policy, steps, plain) for text in texts]  # a loop of its own is run faster
    with silent():
        for text, wanted in zip(texts, needed, strict=True):
            if wanted:  # no stereo, no hydrogen atoms: what `_from_smiles` does, without asking
                mol = parse(text, False)
                try:
                    if mol is not None:
                        sanitise(mol, wanted)
                        yield mol
                        continue
                except (ValueError, RuntimeError):
                    pass  # read again below, for the reason
            yield _read_or_fault(text, policy)


def _sanitising(text: object, policy: MoleculePolicy, steps: int, plain: int) -> int:
    """The steps of sanitisation that a string of one kind needs, 0 for strings that are read with more care."""
    if not (isinstance(text, str) and policy.changes_nothing and "[H" not in text):
        return 0
    if len(text) > min(policy.max_length, policy.max_atoms) or _USUAL.fullmatch(text) is None:
        return 0
    return steps if "[" in text else plain


def _read_or_fault(text: str, policy: MoleculePolicy) -> Any | DataError:
    try:
        return _read(text, policy)
    except DataError as fault:
        return fault


def _read(text: str, policy: MoleculePolicy) -> Any:
    check_string(text, policy)
    if "\n" in text:
        mol = _from_block(text)
    elif text.startswith("InChI="):
        mol = _from_inchi(text)
    else:
        mol = _from_smiles(text, policy)
    if mol.GetNumAtoms() == 0:
        raise DataError(f"{shown(text)}: holds no atom; give the structure, or leave the record out")
    _check_size(mol.GetNumAtoms(), text, policy)
    return standardised(mol, text, policy)


def check_string(text: str, policy: MoleculePolicy) -> None:
    """Raises DataError for what no reader should see: no text, too long, not printable ASCII."""
    if not isinstance(text, str):
        raise DataError(f"{shown(text)}: a molecule is a string, not {type(text).__name__}")
    block = "\n" in text
    limit = policy.max_length if not block else max(policy.max_length, 300 * policy.max_atoms)
    if len(text) > limit:
        raise DataError(f"{shown(text)}: {len(text)} characters, over {limit}; raise max_length if it is a molecule")
    if not text.strip():
        raise DataError(f"{shown(text)}: the string is empty; leave the record out, or give its structure")
    if not text.isascii() or (not block and not text.isprintable()) or "\0" in text:
        raise DataError(f"{shown(text)}: holds characters that no structure has; was the right column read?")


def _check_size(atoms: int, text: str, policy: MoleculePolicy) -> None:
    if atoms > policy.max_atoms:
        raise DataError(f"{shown(text)}: {atoms} atoms, over {policy.max_atoms}; raise max_atoms if it is wanted")


def _from_smiles(text: str, policy: MoleculePolicy) -> Any:
    if ">" in text and "->" not in text:
        raise DataError(f"{shown(text)}: is a reaction, not a molecule; read it with read_reaction")
    if " " in text.strip():
        raise DataError(f"{shown(text)}: text after the SMILES (a name, or CXSMILES); cut it off, it is not read")
    Chem = chem()
    text = text.strip()
    mol = Chem.MolFromSmiles(text, sanitize=False)
    if mol is None:
        raise DataError(f"{shown(text)}: not a SMILES ({_reason(lambda: Chem.MolFromSmiles(text, sanitize=False))})")
    _check_size(mol.GetNumAtoms(), text, policy)  # before rings are searched for, which takes long in a huge one
    if "@" in text or "/" in text or "\\" in text or "[H" in text:
        whole = Chem.MolFromSmiles(text)  # stereo is perceived, explicit hydrogen merged
        if whole is not None:
            return whole
    return _sanitised(mol, text)


def _from_block(text: str) -> Any:
    Chem = chem()
    try:
        mol = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False)
    except (ValueError, RuntimeError) as err:
        raise DataError(f"{shown(text)}: not a molfile ({err})") from None
    if mol is None:
        why = _reason(lambda: Chem.MolFromMolBlock(text, sanitize=False, removeHs=False))
        raise DataError(f"{shown(text)}: not a molfile ({why})")
    _sanitised(mol, text)
    return Chem.MolFromMolBlock(text)


def _from_inchi(text: str) -> Any:
    Chem = chem()
    try:
        mol = Chem.MolFromInchi(text)
    except (ValueError, RuntimeError) as err:
        raise DataError(f"{shown(text)}: not an InChI ({err})") from None
    if mol is None:
        raise DataError(
            f"{shown(text)}: not an InChI that gives a molecule ({_reason(lambda: Chem.MolFromInchi(text))})"
        )
    return mol


def _sanitised(mol: Any, text: str) -> Any:
    """`mol` after sanitisation in place. Raises DataError with RDKit's reason (valence, kekulisation, ...)."""
    try:
        chem().SanitizeMol(mol)
    except (ValueError, RuntimeError) as err:
        raise DataError(f"{shown(text)}: not a possible molecule ({' '.join(str(err).split())})") from None
    return mol


def _reason(read: Any) -> str:
    return logged(read) or "RDKit gives no reason"
