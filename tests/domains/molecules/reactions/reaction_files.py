"""OpenExp and USPTO-50k as they are distributed, a few reactions each."""

import json

ROWS = [
    {"index": 7, "REACTANT": ["CC(=O)O", "OCc1ccccc1"], "PRODUCT": ["CC(=O)OCc1ccccc1"], "CATALYST": ["OS(=O)(=O)O"],
     "SOLVENT": ["Cc1ccccc1"], "actions": "ADD $1$ ; ADD $2$ ; ADD $3$ ; REFLUX for @1@ ; CONCENTRATE ; YIELD $-1$",
     "source": "a patent",
     "extracted_molecules": {"CC(=O)O": "$1$", "OCc1ccccc1": "$2$", "OS(=O)(=O)O": "$3$", "Cc1ccccc1": "$4$",
                             "CC(=O)OCc1ccccc1": "$-1$"},
     "extracted_temperature": {}, "extracted_duration": {"4 hours": "@1@"}, "molecules": [], "score": 0.9},
    {"index": 9, "REACTANT": ["NCc1ccccc1", "O=C(O)c1ccco1"], "PRODUCT": ["O=C(NCc1ccccc1)c1ccco1"], "CATALYST": [],
     "SOLVENT": ["CN(C)C=O"], "actions": "ADD $1$ ; ADD $2$ ; STIR for @1@ at #1# ; FILTER keep filtrate ; YIELD $-1$",
     "source": "a patent",
     "extracted_molecules": {"NCc1ccccc1": "$1$", "O=C(O)c1ccco1": "$2$", "O=C(NCc1ccccc1)c1ccco1": "$-1$"},
     "extracted_temperature": {"25 °C": "#1#"}, "extracted_duration": {"overnight": "@1@"}, "molecules": [],
     "score": 1},
]  # fmt: skip


def write_openexp(root, texts=None):
    """The three files; texts: SMILES -> abstract, for Abstract_property.json."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        (root / f"{name}.json").write_text(json.dumps(ROWS), encoding="utf-8")
    if texts is not None:
        rows = [
            {"canon_smiles": s, **({"abstract": a} if a else {}), "Molecular Weight": 12.345} for s, a in texts.items()
        ]
        (root / "Abstract_property.json").write_text(json.dumps(rows), encoding="utf-8")
    return root


def write_uspto(root):
    """Two reactions with two writings each, tokens apart."""
    src = ["C C ( = O ) O C", "C O C ( C ) = O", "C C N", "N C C"]
    tgt = ["C C ( = O ) O . C O", "O C . O C ( C ) = O", "C C Br . N", "N . Br C C"]
    for name in ("train", "val", "test"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / f"src-{name}.txt").write_text("\n".join(src) + "\n")
        (root / name / f"tgt-{name}.txt").write_text("\n".join(tgt) + "\n")
    return root
