"""Strings to molecules under a policy; a failure names the string and the reason."""

from __future__ import annotations

import gzip
import random
import string
import time
from collections import Counter

import pytest

pytest.importorskip("rdkit")

from core.errors import ConfigError, DataError
from domains.molecules.data.shipped import nci
from domains.molecules.graphs import graphs_of
from domains.molecules.io import read_molecule, read_reaction, read_records
from domains.molecules.io.find import find_inputs
from domains.molecules.io.parse import read_many, shown
from domains.molecules.io.rdkit import chem
from domains.molecules.policy import MoleculePolicy
from domains.molecules.standardise import inchi_key, isomeric_key, skeleton_key

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_three_notations_of_one_molecule_have_one_key():
    Chem = chem()
    mol = Chem.MolFromSmiles(ASPIRIN)
    for text in (ASPIRIN, Chem.MolToInchi(mol), Chem.MolToMolBlock(mol), f" {ASPIRIN} "):
        assert isomeric_key(read_molecule(text)) == Chem.MolToSmiles(mol)
    assert inchi_key(read_molecule(ASPIRIN)) == "BSYNRYMUTXBXSQ-UHFFFAOYSA-N"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the string is empty"),
        ("   ", "the string is empty"),
        ("C(C)(C)(C)(C)C", r"C\(C\)\(C\)\(C\)\(C\)C.*not a possible molecule.*valence"),
        ("c1cccc1", "not a possible molecule.*kekulize"),
        ("C1CC", "'C1CC': not a SMILES .*unclosed ring"),
        ("CC(", "not a SMILES"),
        ("CCO ethanol", "text after the SMILES"),
        ("CCO |$a;b$|", "text after the SMILES"),
        ("CC>>CO", "is a reaction"),
        ("aspirin", "not a SMILES"),
        ("C\0C", "characters that no structure has"),
        ("Cé", "characters that no structure has"),
        ("C" * 5000, "5000 characters, over 4000"),
        ("C" * 2000, "2000 atoms, over 999"),
        ("InChI=1S/nonsense", "not an InChI"),
        ("name\n\n\n  x", "not a molfile"),
        ("\n", "the string is empty"),
    ],
)
def test_what_is_no_molecule_is_refused_with_its_string_and_the_reason(text, reason, capfd):
    with pytest.raises(DataError, match=f"(?is){reason}"):
        read_molecule(text)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")  # what RDKit's log says is in the error, not on the screen


def test_other_types_are_refused():
    with pytest.raises(DataError, match="a molecule is a string, not float"):
        read_molecule(float("nan"))  # type: ignore[arg-type]


def test_many_give_one_result_each_and_equal_those_read_alone():
    texts = [ASPIRIN, "C1CC", "CC(C)(C)(C)C", "C[C@H](N)O", "[H]C"]
    found = read_many(texts)
    assert [isinstance(f, DataError) for f in found] == [False, True, True, False, False]
    for text, mol in zip(texts, found, strict=True):
        if not isinstance(mol, DataError):
            assert isomeric_key(mol) == isomeric_key(read_molecule(text))


def test_the_policy_decides_on_salts_charges_stereo_and_tautomers():
    text = "C[C@H](N)C(=O)[O-].[Na+]"
    assert isomeric_key(read_molecule(text)) == "C[C@H](N)C(=O)[O-].[Na+]"
    parent = MoleculePolicy(fragments="largest", uncharge=True)
    assert isomeric_key(read_molecule(text, parent)) == "C[C@H](N)C(=O)O"
    assert isomeric_key(read_molecule("C[C@H](N)C(=O)O", MoleculePolicy(stereo="drop"))) == "CC(N)C(=O)O"
    same = {isomeric_key(read_molecule(t, MoleculePolicy(tautomers="canonical"))) for t in ("CC(O)=CC", "CC(=O)CC")}
    assert len(same) == 1
    assert skeleton_key(read_molecule("C[C@H](N)C(=O)O")) == skeleton_key(read_molecule("C[C@@H](N)C(=O)O"))
    assert isomeric_key(read_molecule("[CH3:7][OH:2]")) == "CO"  # atom maps are always cleared
    with pytest.raises(ConfigError, match="fragments: is 'biggest'; valid: keep, largest"):
        MoleculePolicy(fragments="biggest")  # type: ignore[arg-type]


def test_a_reaction_has_three_sides_and_comes_back_when_reversed_twice():
    reaction = read_reaction("[CH3:1]Cl.[OH2:2]>[Na+].[OH-]>[CH3:1][OH:2]")
    assert reaction.smiles() == "CCl.O>[Na+].[OH-]>CO"
    assert reaction.reversed().reversed().smiles() == reaction.smiles()
    assert read_reaction("CCl>>CO").agents == ()
    for text, reason in (("CC", "has two '>', this has 0"), ("C>>", "needs a reactant and a product"),
                         ("C1>>C", "'C1>>C': 'C1': not a SMILES")):  # fmt: skip
        with pytest.raises(DataError, match=reason):
            read_reaction(text)


def test_files_give_their_records_in_order(tmp_path):
    Chem = chem()
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    sdf = f"{block}>  <SOL>  (1)\n-0.77\n\n> <note>\ntwo\nlines\n\n$$$$\n{block}$$$$\n"
    (tmp_path / "a.sdf").write_text(sdf)
    (tmp_path / "b.sdf.gz").write_bytes(gzip.compress(sdf.encode()))
    (tmp_path / "c.smi").write_text("CCO ethanol\n# comment\n\nCC\tethane\nC\n")
    for name in ("a.sdf", "b.sdf.gz"):
        one, two = read_records(tmp_path / name)
        assert one.fields == {"SOL": "-0.77", "note": "two\nlines"}
        assert two.fields == {}
        assert isomeric_key(read_molecule(one.text)) == "CCO"
    assert [(r.name, r.text) for r in read_records(tmp_path / "c.smi")] == [
        ("ethanol", "CCO"),
        ("ethane", "CC"),
        ("5", "C"),
    ]
    with pytest.raises(DataError, match=r"x\.pdf: not a kind of molecule file; valid: \.smi"):
        list(read_records(tmp_path / "x.pdf"))
    (tmp_path / "d.csv").write_text("id,smiles\n1,CCO\n2,CC\n")
    found = list(find_inputs([tmp_path]))
    assert {kind for _, kind in found} == {"graph"}
    assert [f.text for f, _ in found if f.path.name == "d.csv"] == ["CCO", "CC"]
    assert str(found[-1][0]).endswith("d.csv:3")


def hostile(count: int, seed: int) -> list[str]:
    """Strings that no reader should trip over: damaged, foreign, huge, deeply nested."""
    rng = random.Random(seed)
    good = [text for _, text in nci()][:400]
    alphabet = "CNOPSFIcnops()[]=#@/\\%.+-123456789HBrl*:>$~ "
    made = []
    for _ in range(count):
        text = rng.choice(good)
        at, kind = rng.randrange(len(text) + 1), rng.randrange(10)
        made.append((
            lambda: "".join(rng.choices(alphabet, k=rng.randrange(1, 80))),
            lambda: text[:at],  # noqa: B023
            lambda: text[:at] + rng.choice(alphabet) + text[at:],  # noqa: B023
            lambda: "".join(rng.choices(string.printable, k=rng.randrange(1, 60))),
            lambda: "".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(1, 30))),
            lambda: text[:at] + ">" * rng.randrange(1, 4) + text[at:],  # noqa: B023
            lambda: "(" * rng.randrange(1, 3000) + "C",
            lambda: "C" + "(=O)(C)" * rng.randrange(1, 30),
            lambda: "c1" * rng.randrange(1, 40) + text,  # noqa: B023
            lambda: "InChI=1S/" + text if rng.random() < 0.5 else text.replace("C", "[CH5]"),  # noqa: B023
        )[kind]())  # fmt: skip
    return made


KINDS = ("not a SMILES", "not a possible molecule", "is a reaction", "characters that no structure has",
         "holds no atom", "not an InChI", "text after the SMILES", "not a molfile", "the string is empty",
         "characters, over", "atoms, over")  # fmt: skip
SLOWEST = 5.0  # processor seconds for one string; the slowest here take a hundredth of it


def check_hostile(texts: list[str]) -> Counter[str]:
    """Number of strings by outcome. Each alone, so that a slow one is found."""
    outcomes: Counter[str] = Counter()
    for text in texts:
        begun = time.process_time()
        (found,) = graphs_of([text])
        assert time.process_time() - begun < SLOWEST, ascii(text)
        if isinstance(found, DataError):
            assert str(found).startswith((shown(text), shown(text.strip())))
            outcomes[next(kind for kind in KINDS if kind in str(found))] += 1
        else:
            assert len(found.atoms) > 0
            assert found.edges.shape[1] == len(found.bonds)
            outcomes["molecule"] += 1
    return outcomes


def test_hostile_strings_give_a_molecule_or_an_error_with_the_string():
    rings = "".join(f"C%{i}" for i in range(10, 99)) * 2
    cages = ["C12" * 400, "[" * 3000, "C" * 3999, "%(99999)" * 50, rings, "[C@@H]" * 500, "C.C" * 600,
             "[999999999999C]", "[C+99999999999]", "C%(-1)", "[Xx]", "[nH]" * 500, "F[C@](Cl)(Br)(I)O", "C1" * 500,
             "\x1b[31mC", "C" * 100_000, "C%" * 900, "C\u0661CC\u0661", "c1ccccc1" * 120, "[Cu]" * 300, "\ud800C",
             "C12345678" * 40]  # fmt: skip
    outcomes = check_hostile(cages + hostile(500, seed=1))
    assert sum(outcomes.values()) == len(cages) + 500
    assert outcomes["molecule"] > 10
    together = graphs_of(cages + hostile(100, seed=3))  # a bad neighbour changes nothing
    assert [isinstance(g, DataError) for g in together[: len(cages)]] == [
        isinstance(graphs_of([c])[0], DataError) for c in cages
    ]


@pytest.mark.slow
def test_ten_thousand_hostile_strings():
    outcomes = check_hostile(hostile(10_000, seed=2))
    print(dict(outcomes.most_common()))
    assert sum(outcomes.values()) == 10_000
