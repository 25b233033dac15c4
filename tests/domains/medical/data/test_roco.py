"""ROCOv2 and the first ROCO on tiny copies in their true layouts."""

import pytest
from PIL import Image

from core.data.layout import verify
from core.errors import DataError
from domains.medical.data.roco import ROCO, ROCOv2


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def name_of(split, i):
    return f"ROCOv2_2023_{split}_{i:06d}"


@pytest.fixture
def second(tmp_path):
    for split, folder in (("train", "train_images/train"), ("valid", "valid_images"), ("test", "test")):
        names = [name_of(split, i) for i in range(1, 5)]
        captions = "\n".join(f'{n},"A figure, number\n {n[-1]}."' for n in names)
        (tmp_path / f"{split}_captions.csv").write_text(f"ID,Caption\n{captions}\n")
        concepts = [f"{names[0]},C1;C2", f"{names[1]},C1", f"{names[2]},C3;C1;C2"]
        (tmp_path / f"{split}_concepts.csv").write_text("\n".join(["ID,CUIs", *concepts]) + "\n")
        for n in names[:3]:
            picture(tmp_path / folder / f"{n}.jpg")
        (tmp_path / folder / f"{names[3]}.jpg").write_bytes(b"")  # a dead download
    (tmp_path / "cui_mapping.csv").write_text("CUI,Canonical name\nC1,X-Ray CT\nC2,Liver\nC3,Liver\n")
    return tmp_path


def test_figures_with_caption_and_their_most_frequent_concepts(second):
    splits = [ROCOv2(root=second, split=split, concepts=2) for split in ("train", "val", "test")]
    train, val, _ = splits
    assert train.label_names == ("X-Ray CT", "Liver")
    assert [len(data) for data in splits] == [3, 3, 3]
    assert train.absent == 1
    record = val.record(1)
    assert record.id == record.group == name_of("valid", 2)
    assert record.sources["report"] == f"A figure, number {record.id[-1]}."
    assert record.labels == {"X-Ray CT": 1.0, "Liver": 0.0}
    assert verify(splits) == []


def test_concepts_of_one_name_stay_apart_and_none_is_allowed(second):
    assert ROCOv2(root=second, split="train").label_names == ("X-Ray CT", "Liver (C2)", "Liver (C3)")
    assert ROCOv2(root=second, split="train", concepts=0).record(0).labels == {}
    assert set(ROCOv2(root=second, split="train", modality="figure").record(0).sources) == {"figure", "report"}


def test_errors_name_what_is_missing(second, tmp_path_factory):
    with pytest.raises(DataError, match=r"(?s)2 of 2 parts.*valid_captions.csv.*zenodo"):
        ROCOv2(root=tmp_path_factory.mktemp("empty"), split="val")
    (second / "test_captions.csv").write_text("id,caption\na,b\n")
    with pytest.raises(DataError, match=r"missing column 'ID'.*'Caption'; did you mean 'caption'"):
        ROCOv2(root=second, split="test")
    (second / "test_captions.csv").write_text("ID,Caption\nother_1,b\n")
    with pytest.raises(DataError, match=r"'test' dataset is empty here; .*for instance other_1.jpg"):
        ROCOv2(root=second, split="test")


def test_the_first_roco_groups_by_article(tmp_path):
    folder = tmp_path / "data" / "validation" / "radiology"
    folder.mkdir(parents=True)
    (folder / "captions.txt").write_text("ROCO_00001\t A chest film.\nROCO_00002\tCT\nROCO_00003\t MR\n")
    (folder / "licences.txt").write_text("ROCO_ID,PMC_ID,CC\nROCO_00001,PMC1,CC BY\nROCO_00002,PMC1,CC BY\n")
    picture(folder / "images" / "ROCO_00001.jpg")
    picture(folder / "images" / "ROCO_00002.jpg")
    data = ROCO(root=tmp_path, split="val")
    assert [(r.id, r.group, r.sources["report"]) for r in data] == [
        ("ROCO_00001", "PMC1", "A chest film."),
        ("ROCO_00002", "PMC1", "CT"),
    ]
    assert data.absent == 1
    with pytest.raises(DataError, match=r"captions\.txt"):
        ROCO(root=tmp_path, split="train")
