"""A small entity linking set on disk, in the folders and fields of the public ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

ENTITIES = [
    {"id": 2, "qid": "Q30", "entity_name": "Mercury%20(planet)", "desc": "innermost planet", "image_list": []},
    {"id": 0, "qid": "Q10", "entity_name": "Mercury", "desc": "a metal", "image_list": ["Q10-a.jpg", "Q10-b.jpg"]},
    {"id": 1, "qid": "Q20", "entity_name": "Mercury", "desc": "a Roman god", "image_list": ["Q20.jpg", "gone.jpg"]},
]
MENTIONS = {
    "train": [
        ("the thermometer held mercury", "mercury", "photos/thermo.meter.PNG", "Q10"),
        ("a statue of Mercury%2E", "Mercury", "https://somewhere/statue.jpeg", "Q20"),
        ("nobody knows this", "thing", "", "nil"),
        ("Mercury is hot", "Mercury", "", "Q30"),
        ("drops of mercury", "mercury", "lost.jpg", "Q10"),
    ],
    "dev": [("a god of trade", "Mercury", "", "Q20"), ("one more", "x", "", "Q99")],
    "test": [("the god's statue", "Mercury", "https://somewhere/statue.jpeg", "Q20"), ("liquid", "mercury", "", "Q10")],
}


def picture(path: Path, value: int, size: tuple[int, int] = (12, 9)) -> None:
    rng = np.random.default_rng(value)
    Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)


def write_set(root: Path, prefix: str = "WIKIMEL", *, folder: str = "mention_image") -> Path:
    for name in ("kb_image", folder):
        (root / name).mkdir(parents=True)
    entities = [{**e, "type": "entity"} for e in ENTITIES]
    (root / "kb_entity.json").write_text(json.dumps(entities))
    (root / "qid2id.json").write_text(json.dumps({e["qid"]: e["id"] for e in ENTITIES}) + "\n")
    for value, name in enumerate(("Q10-a.jpg", "Q10-b.jpg", "Q20.jpg")):
        picture(root / "kb_image" / name, value)
    for value, name in enumerate(("thermo.meter.jpg", "statue.jpg"), start=10):
        picture(root / folder / name, value)
    for part, rows in MENTIONS.items():
        listed = [
            {"id": f"{part}{i}", "sentence": s, "mentions": m, "entities": m, "imgPath": p, "answer": a}
            for i, (s, m, p, a) in enumerate(rows)
        ]
        (root / f"{prefix}_{part}.json").write_text(json.dumps(listed))
    return root
