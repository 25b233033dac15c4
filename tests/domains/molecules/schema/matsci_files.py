"""Small files in exactly the layout of MatSci-NLP, written by hand: two documents of each kind."""

from __future__ import annotations

import json
from pathlib import Path

TABLES = {
    "matscholar": (["tokens", "labels"], [
        ["TiO2 thin film grown by CVD", {"TiO2": "B-MAT", "thin": "B-DSC", "film": "I-DSC", "CVD": "B-SMT", "by": "O"}],
        ["ZnO", {"ZnO": "B-MAT"}],
    ]),
    "sofc_token": (["tokens", "token_labels", "slot_labels"], [
        [["Ni", "YSZ", "anode", "at", "800", "C"], ["B-MATERIAL", "I-MATERIAL", "O", "O", "B-VALUE", "I-VALUE"],
         ["B-anode_material", "I-anode_material", "O", "O", "B-working_temperature", "I-working_temperature"]],
        [["a", "b"], ["O", "B-DEVICE"], ["O", "O"]],
    ]),
    "sofc_sent": (["sents", "sent_labels"], [["Cells gave 1 W.", 1], ["This is known.", 0]]),
    "glass_non_glass": (["Abstract", "Label"], [["A glass.", 1], ["A crystal.", 0]]),
}  # fmt: skip
TEXT = "MgB2 doped with C has T c of 35 K ."
COMIC = {
    "text": TEXT,
    "t_type_dict": {"T1": "Main", "T2": "Doping", "T3": "Element", "T4": "SC", "T5": "Value"},
    "t_span_dict": {"T1": [0, 4], "T2": [5, 10], "T3": [16, 17], "T4": [22, 25], "T5": [29, 33]},
    "r_type_dict": {"R1": "Equivalent", "R2": "Target"},
    "r_args_dict": {"R1": ["T4", "T5"], "R2": ["E1", "T1"]},
    "e_type_dict": {"E1": "Doping"},
    "e_trig_dict": {"E1": "T2"},
    "e_args_dict": {"E1": [["Dopant", "T3"]]},
}
PROCEDURE = {
    "text": "Stir in water .", "t_type_dict": {"T1": "Operation", "T2": "Material"},
    "t_span_dict": {"T1": [0, 4], "T2": [8, 13]}, "r_type_dict": {}, "r_args_dict": {},
    "e_type_dict": {"E1": "Operation"}, "e_trig_dict": {"E1": "T1"},
    "e_args_dict": {"E1": [["Solvent_Material", "T2"]]},
}  # fmt: skip
RELATION = {
    "id": 1, "docId": 5847, "sentText": "The ZnSb cell gives 3.0 V .", "numTriples": 1,
    "relationMentions": [{
        "arg1Text": "ZnSb ", "arg1StartIndex": 1, "arg1EndIndex": 1, "relText": "Voltage", "relStartIndex": 4,
        "relEndIndex": 4, "arg2Text": "3.0 V", "arg2OriginalText": "3.0 Volt^(1.0)", "arg2StartIndex": 4,
        "arg2EndIndex": 5,
    }],
}  # fmt: skip
ACTION = {
    "sentence": "Powders were stored .", "remark": "Solid-State", "doi": "10.1039/x",
    "annotations": [
        {"token": token, "tag": "Non-altering" if token == "stored" else ""}
        for token in ("Powders", "were", "stored", ".")
    ],
}  # fmt: skip
EMPTY = {**COMIC, "r_type_dict": {}, "r_args_dict": {}, "e_type_dict": {}, "e_trig_dict": {}, "e_args_dict": {}}


def write_matsci(root: Path) -> Path:
    """All eight files; document 0 of each is training, document 1 the test, further ones validation."""
    folder = root / "dataset"
    folder.mkdir(parents=True)
    for name, (columns, rows) in TABLES.items():
        table = {"columns": columns, "index": [0, 1, 2], "data": [*rows, rows[0]]}
        (folder / f"{name}.json").write_text(json.dumps(table, indent=4))
    for name, row in {"sc_comics": COMIC, "synthesis_procedures": PROCEDURE}.items():
        (folder / f"{name}.json").write_text(json.dumps({"data": [row, row, row]}))
    (folder / "structured_re.json").write_text("".join(json.dumps(RELATION) + "\n" for _ in range(3)))
    (folder / "synthesis_actions.json").write_text(json.dumps([ACTION] * 3))
    splits = {name: ["train", "test", "val"] for name in (*TABLES, "sc_comics", "synthesis_procedures")}
    splits |= {"structured_re": ["train", "test", "val"], "synthesis_actions": ["train", "test", "val"]}
    (folder / "splits.json").write_text(json.dumps(splits))
    return root
