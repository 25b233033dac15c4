"""A small concept graph, its files in the public layouts, and models of it."""

import json
from pathlib import Path

import numpy as np
import torch

from core.encoders import TextTransformer
from domains.molecules.grounded import GroundedTextEncoder, GroundedTextProcessor

NAMES = {
    "C1": "aspirin\tacetylsalicylic acid", "C2": "willow bark", "C3": "pain", "C4": "gout", "C5": "salicin",
    "C6": "willow",
}  # fmt: skip
RELATIONS = ("treats", "found_in", "part_of")
TRIPLES = [("C1", "treats", "C3"), ("C5", "found_in", "C2"), ("C5", "treats", "C3"), ("C1", "treats", "C4"),
           ("C2", "part_of", "C6")]  # fmt: skip
TEXTS = ["aspirin treats pain .", "salicin is found in willow bark .", "nothing is known of this one ."]
SMALL = {"vocab_size": 400, "max_length": 24, "features": 16, "min_frequency": 1}


def tables():
    return {
        "names": dict(NAMES), "relations": {str(i): r for i, r in enumerate(RELATIONS)},
        "triples": {str(i): "\t".join(t) for i, t in enumerate(TRIPLES)},
    }  # fmt: skip


def processor(cls=GroundedTextProcessor, sources=TEXTS, **how):
    made = cls(**{**SMALL, **how})
    made.read_tables(tables())
    made.fit(sources)
    return made


def encoder(seed=0, *, norm="layer", fusion_layers=2, dropout=0.0, dtype=torch.float64, reads=None, **how):
    torch.manual_seed(seed)
    text = TextTransformer(vocab_size=400, max_length=24, width=16, depth=3, heads=2, prefix=1, weight_std=0.2)
    made = GroundedTextEncoder(
        text=text, concepts=8, features=16, relations=3, width=12, fusion_layers=fusion_layers, heads=3, pool_heads=2,
        exchange_hidden=20, dropout=dropout, norm=norm, **how,
    )  # fmt: skip
    made.take(reads if reads is not None else processor())
    return made.to(dtype).eval()


def concept(reads, name):
    return reads.graph.index[name] + 1


def write_umls(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "concepts.txt").write_text("\n".join(NAMES) + "\n")
    names = [f"{c}\t{n}\n" for c, own in NAMES.items() for n in own.split("\t")]
    (folder / "concept_names.txt").write_text("".join(names))
    (folder / "relations.txt").write_text("\n".join(RELATIONS) + "\n")
    (folder / "umls.csv").write_text("".join(f"{r}\t{h}\t{t}\t1.0\n" for h, r, t in TRIPLES))
    return folder


def write_conceptnet(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "concept.txt").write_text("ice_cream\ncold\nsummer\n")
    (folder / "conceptnet.en.csv").write_text("hasproperty\tice_cream\tcold\t2.0\natlocation\tice_cream\tsummer\t1.0\n")
    return folder


def write_texts(root: Path) -> Path:
    write_umls(root / "umls")
    (root / "text").mkdir()
    (root / "cloze").mkdir()
    for part in ("train", "valid", "test"):
        (root / "text" / f"{part}.txt").write_text("\n".join(TEXTS * 4) + "\n")
        if part != "train":
            (root / "cloze" / f"{part}.tsv").write_text("aspirin treats\tpain\t.\tpain|gout|willow bark\n")
    return root


def write_questions(root: Path, *, grounded=True, extra_lines=0) -> Path:
    write_umls(root / "umls")
    for name in ("statement", "grounded"):
        (root / name).mkdir()
    for part in ("train", "dev", "test"):
        asked, found = [], []
        for i in range(6):
            texts = ["pain", "willow bark", "salicin"][: 2 + i % 2]
            choices = [{"label": "ABC"[n], "text": text} for n, text in enumerate(texts)]
            line = {"id": f"{part}{i}", "question": {"stem": "What does aspirin treat ?", "choices": choices}}
            if part != "test":
                line["answerKey"] = "A"
            asked.append(json.dumps(line))
            found += [json.dumps({"sent": "", "ans": t, "qc": ["C1", "C9"], "ac": ["C3"]}) for t in texts]
        (root / "statement" / f"{part}.statement.jsonl").write_text("\n".join(asked) + "\n")
        if grounded:
            (root / "grounded" / f"{part}.grounded.jsonl").write_text("\n".join(found + found[:extra_lines]) + "\n")
    return root


def dense_alpha(score_M: np.ndarray, source_M: np.ndarray) -> np.ndarray:
    """Softmax over the messages of each source times their number, one by one."""
    out = np.zeros_like(score_M)
    for source in set(source_M.tolist()):
        own = source_M == source
        power = np.exp(score_M[own] - score_M[own].max(axis=0))
        out[own] = power / power.sum(axis=0) * own.sum()
    return out
