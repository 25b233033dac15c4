"""A small bundle in the layout of MolFM's graph, with what a real one may hold: twins, salts, faults."""

import csv
import json

DRUGS = {
    "D1": {"SMILES": "CC(=O)Oc1ccccc1C(=O)O", "text": "It is aspirin."},
    "D2": {"SMILES": "O=C(O)c1ccccc1OC(C)=O", "text": "Aspirin in another spelling."},
    "D3": {"SMILES": "C[C@H](N)C(=O)O", "text": "One alanine."},
    "D4": {"SMILES": "C[C@@H](N)C(=O)O", "text": "The other alanine."},
    "D5": {"SMILES": "CCO", "text": "It is an alcohol."},
    "D6": {"SMILES": "c1ccncc1", "text": "It is pyridine."},
    "D7": {"SMILES": "", "text": ""},
    "D8": {"SMILES": "", "text": "Known by name only."},
}
PROTEINS = {"P1": {"sequence": "MKV", "text": "A kinase."}, "P2": {"sequence": "MA", "text": "A lipase."}}
LINKS = [("D1", "P1", "target"), ("D2", "P2", "enzyme"), ("D3", "P1", "target"), ("D5", "P2", "target"),
         ("D6", "D5", "interacts"), ("P1", "P2", "binds"), ("D1", "D6", "interacts"),
         ("D5", "P1", "carrier")]  # fmt: skip
SPLITS = {"D1": "train", "D2": "train", "D3": "train", "D4": "test", "D5": "train", "D6": "test", "D8": "val"}


def write(folder, *, links=LINKS, drugs=DRUGS, splits=SPLITS):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drug.json").write_text(json.dumps(drugs))
    (folder / "protein.json").write_text(json.dumps(PROTEINS))
    with open(folder / "links.csv", "w", newline="") as file:
        csv.writer(file).writerows([("", "h", "t", "r"), *((i, *link) for i, link in enumerate(links))])
    if splits:
        lines = [f"{name},{name},{split}\n" for name, split in splits.items()]
        (folder / "splits.csv").write_text("id,group,split\n" + "".join(lines))
    return folder
