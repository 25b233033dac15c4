"""IU-Xray in the derived layout, and OpenI in the original one, on tiny copies."""

import json

import pytest
from PIL import Image

from core.data.layout import verify
from core.errors import DataError
from domains.medical.data.iu_xray import IUXray
from domains.medical.data.openi import OpenI

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText>
<AbstractText Label="INDICATION">XXXX-year-old</AbstractText>
<AbstractText Label="FINDINGS">Heart is XXXX normal.</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation>
<MeSH><major>{major}</major></MeSH>
{image}
</eCitation>"""


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path)


@pytest.fixture
def derived(tmp_path):
    def item(name, views, report="Lungs are XXXX clear . XXXX"):
        for view in range(views):
            picture(tmp_path / "images" / name / f"{view}.png")
        return {"id": name, "image_path": [f"{name}/{view}.png" for view in range(views)], "report": report}

    annotation = {
        "train": [item("CXR1_IM-0001", 2), item("CXR2_IM-0002-1001", 1)],
        "val": [item("CXR3_IM-0003", 2, "XXXX")],
        "test": [item("CXR4_IM-0004", 2)],
    }
    (tmp_path / "annotation.json").write_text(json.dumps(annotation))
    return tmp_path


def test_derived_records(derived):
    train, val, test = (IUXray(root=derived, split=split) for split in ("train", "val", "test"))
    first = train.record(0)
    assert first.id == "CXR1_IM-0001"
    assert first.group == "CXR1"
    assert first.sources == {"xray": derived / "images/CXR1_IM-0001/0.png", "report": "Lungs are clear."}
    assert set(val.record(0).sources) == {"xray"}  # nothing is left of the text
    assert verify([train, val, test]) == []
    lateral = IUXray(root=derived, split="train", view=1)
    assert [r.sources["xray"].name for r in lateral] == ["1.png", "0.png"]


def test_derived_errors(derived, tmp_path_factory):
    with pytest.raises(DataError, match=r"(?s)2 of 2 parts.*annotation.json.*images"):
        IUXray(root=tmp_path_factory.mktemp("empty"), split="train")
    path = derived / "annotation.json"
    path.write_text(json.dumps({"train": [{"id": "a", "report": ""}], "test": [], "val": 3}))
    with pytest.raises(DataError, match="item 0 of 'train' lacks image_path"):
        IUXray(root=derived, split="train")
    with pytest.raises(DataError, match="no list 'val'"):
        IUXray(root=derived, split="val")
    with pytest.raises(DataError, match="'test' dataset is empty here"):
        IUXray(root=derived, split="test")
    path.write_text(json.dumps({"train": [{"id": "a", "report": "", "image_path": ["../../a.png"]}]}))
    with pytest.raises(DataError, match="leads out of the images folder"):
        IUXray(root=derived, split="train")
    path.write_text("{")
    with pytest.raises(DataError, match=r"annotation\.json: not readable as JSON"):
        IUXray(root=derived, split="train")


@pytest.fixture
def original(tmp_path):
    (tmp_path / "ecgen-radiology").mkdir()
    for i in range(1, 41):
        name = f"CXR{i}_1_IM-{i:04d}-3001"
        image = "" if i == 40 else f'<parentImage id="{name}"/>'
        text = XML.format(impression="Normal.", major="Cardiomegaly/mild" if i % 2 else "normal", image=image)
        (tmp_path / "ecgen-radiology" / f"{i}.xml").write_text(text)
        picture(tmp_path / "NLMCXR_png" / f"{name}.png")
    return tmp_path


def test_original_records_are_dealt_by_hash_and_labelled_by_heading(original):
    splits = [OpenI(root=original, split=split, min_count=5) for split in ("train", "val", "test")]
    assert sum(len(data) for data in splits) == 39
    assert all(data.absent == 1 for data in splits)  # one report without an image
    assert verify(splits) == []
    record = next(r for r in splits[0] if r.id == "CXR1" or int(r.id[3:]) % 2)
    assert record.sources["report"] == "Findings: Heart is normal. Impression: Normal."
    assert record.labels == {"cardiomegaly": 1.0, "normal": 0.0}
    assert OpenI(root=original, split="train", min_count=30).label_names == ()


@pytest.mark.parametrize(
    "content",
    ["", "<a>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', XML.replace("{image}", '<parentImage id="../a"/>')],
)
def test_an_unusable_report_is_named(original, content):
    (original / "ecgen-radiology" / "7.xml").write_text(content)
    with pytest.raises(DataError, match=r"7\.xml"):
        OpenI(root=original, split="train")
