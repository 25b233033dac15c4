"""What descriptions say is true of the structure, in every wording."""

from __future__ import annotations

import pytest

pytest.importorskip("rdkit")

from core.errors import DataError
from domains.molecules.data.shipped import nci, quinolones
from domains.molecules.describe import WORDINGS, facts_of, paragraphs
from domains.molecules.describe.groups import GROUPS, RINGS, _patterns
from domains.molecules.describe.wordings import log_p_band, number, qed_band
from domains.molecules.io import read_molecule
from domains.molecules.io.parse import read_many


def test_every_pattern_is_one_rdkit_reads():
    assert set(_patterns("groups")) == set(GROUPS)
    assert set(_patterns("rings")) == set(RINGS)
    assert all(pattern is not None for which in ("groups", "rings") for pattern in _patterns(which).values())


@pytest.mark.parametrize(
    ("text", "groups", "rings"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", {"ester": 1, "carboxylic acid": 1, "aryl ether": 1}, {"benzene": 1}),
        ("CC(=O)Nc1ccc(O)cc1", {"secondary amide": 1, "phenol": 1}, {"benzene": 1}),
        ("CN1CCC[C@H]1c1cccnc1", {"tertiary amine": 1}, {"pyridine": 1, "pyrrolidine": 1}),
        ("O=[N+]([O-])c1ccccc1", {"nitro": 1}, {"benzene": 1}),
        ("CCO", {"alcohol": 1}, {}),
        ("CC#N", {"nitrile": 1}, {}),
        ("c1ccc2ccccc2c1", {}, {"naphthalene": 1, "benzene": 2}),
        ("O=C1C=CC(=O)C=C1", {"ketone": 2, "quinone": 1, "alkene": 2}, {}),
        ("CCCC", {}, {}),
    ],
)
def test_groups_of_known_molecules(text, groups, rings):
    facts = facts_of(read_molecule(text))
    assert facts.rings == rings
    if text != "CC(=O)Oc1ccccc1C(=O)O":
        assert facts.groups == groups
    assert {name: facts.groups.get(name) for name in groups} == groups


def test_facts_of_nicotine_by_hand():
    facts = facts_of(read_molecule("CN1CCC[C@H]1c1cccnc1"))
    assert (facts.atoms, facts.elements, facts.ring_count, facts.aromatic_rings) == (12, {"C": 10, "N": 2}, 2, 1)
    assert (facts.donors, facts.acceptors, facts.rotatable, facts.charge, facts.pieces) == (0, 2, 1, 0, 1)
    assert facts.weight == pytest.approx(162.236, abs=0.01)
    assert (facts.centres, facts.assigned) == (1, 1)
    assert facts_of(read_molecule("CN1CCCC1c1cccnc1")).assigned == 0


def test_stereo_and_charge_are_said_only_where_there_is_any():
    plain = " ".join(paragraphs(facts_of(read_molecule("CCO")), 0)).lower()
    assert "stereo" not in plain
    assert "charge" not in plain
    salt = paragraphs(facts_of(read_molecule("F/C=C/[C@H](N)C(=O)[O-]")), 0)
    assert all(
        "-1" in text and "one E double bond" in text and "one stereo centre, all stated" in text for text in salt
    )
    assert all("two separate parts" in text for text in paragraphs(facts_of(read_molecule("CC(=O)[O-].[Na+]")), 0))


def test_every_wording_names_every_group_ring_and_band_and_no_other():
    texts = [t for _, t in nci()][::120] + [t for _, t in quinolones()][:10]
    names = sorted({*GROUPS, *RINGS}, key=len, reverse=True)
    for mol in read_many(texts):
        if isinstance(mol, DataError):
            continue
        facts = facts_of(mol)
        said = paragraphs(facts, 7)
        assert len(said) == WORDINGS
        assert paragraphs(facts, 7) == said
        for text in said:
            assert log_p_band(facts.log_p) in text
            assert f" is {qed_band(facts.qed)}" in text or f"as {qed_band(facts.qed)}" in text
            for name, count in (facts.groups | facts.rings).items():
                assert f"{number(count)} {name}" in text
            left = text
            for name in names:  # longest first, so that "amide" of "secondary amide" is not taken for another
                if name in {**facts.groups, **facts.rings}:
                    left = left.replace(name, "")
            for name in set(GROUPS) - set(facts.groups):
                assert f" {name}," not in left.replace(" and ", ", ")
