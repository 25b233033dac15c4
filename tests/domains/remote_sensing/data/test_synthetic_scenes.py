"""The embedded dataset: built once, simulated, read by the layout of the real one, and a batch of it."""

import numpy as np
import pytest
import torch

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.data.layout import verify
from core.errors import ConfigError
from core.files import read_manifest, verify_manifest
from domains.remote_sensing.data import samples
from domains.remote_sensing.data.samples import SyntheticScenes
from domains.remote_sensing.data.ssl4eo import NoLDOS12
from domains.remote_sensing.processors import CaptionProcessor, LabelMapProcessor, OpticalProcessor, RadarProcessor
from domains.remote_sensing.scenes.indicators import INDICATORS

PLACES = {"train": 4, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "scenes"
    SyntheticScenes(split="train", root=folder, places=PLACES, seed=3, size=48, workers=0)
    return folder


@pytest.fixture(scope="module")
def data(root, tmp_path_factory):
    processors = {
        "s1": RadarProcessor(crop=24, crop_step=6),
        "s2": OpticalProcessor(crop=24, crop_step=6),
        "dw": LabelMapProcessor(classes=9, crop=24, crop_step=6),
        "text": CaptionProcessor(vocab_size=400, max_length=40),
        "text_de": CaptionProcessor(vocab_size=400, max_length=40, languages=("de",), of="text"),
    }
    layouts = {split: SyntheticScenes(split=split, root=root) for split in PLACES}
    data = DataModule(
        layouts, processors, DataSettings(batch_size=8, prepare_workers=0), seed=0, masks=("dw", "clean", "dw_2"),
        mask_of=("s2", "s1"),
    )  # fmt: skip
    data.fit_processors()
    data.prepare(PLACES, bad_csv=tmp_path_factory.mktemp("run") / "bad.csv")
    return data


def test_three_splits_without_a_shared_place(root):
    splits = [SyntheticScenes(split=split, root=root) for split in PLACES]
    assert [len(split) for split in splits] == [16, 4, 4]
    assert verify(splits) == []
    for layout in splits:
        assert isinstance(layout, NoLDOS12)
        assert layout.simulated
        for record in layout:
            assert set(record.sources) == {"s1", "s2", "dw", "text"}
            assert set(record.masks) == {"dw", "dw_0", "dw_1", "dw_2", "dw_3", "clean", "cloud"}
            assert {record.labels[name] for name in layout.label_names} <= {0.0, 1.0}
            assert all(record.labels[name] >= 0 for name in INDICATORS)
            assert record.sources["text"].startswith("en\t")


def test_one_date_or_two_can_be_chosen(root):
    layout = SyntheticScenes(split="train", root=root, dates=(1, 3))
    assert [record.id for record in layout][:4] == ["0000000/1", "0000000/3", "0000001/1", "0000001/3"]
    assert layout.record(1).sources["s2"].time > layout.record(0).sources["s2"].time


def test_a_batch_holds_both_sensors_captions_and_labels_of_one_ground(data):
    batch = next(iter(data.train_loader(total=3)))
    assert batch.inputs["s1"].x.shape == (8, 2, 24, 24)
    assert batch.inputs["s2"].x.shape == (8, 12, 24, 24)
    assert torch.equal(batch.inputs["dw"].x, batch.masks["dw"])
    assert batch.masks["clean"].shape == batch.masks["dw_2"].shape == (8, 24, 24)
    assert set(batch.labels) == set(SyntheticScenes.label_names)
    assert set(batch.quantities) == set(INDICATORS)
    assert batch.quantities["simulated_population"].shape == (8,)
    assert batch.present["text"].all()
    assert len(set(batch.keys["group"].tolist())) <= 4
    assert batch.inputs["s2"].extra["valid"].shape == (8, 24, 24)


def test_radar_optical_and_labels_stay_registered_after_augmentation(data):
    """Water is dark in the near infrared and to the radar, wherever the crop and the turn have put it."""
    loader = iter(data.train_loader(total=12))
    infrared, radar = [], []
    for _ in range(12):
        batch = next(loader)
        water, land = batch.masks["clean"] == 0, (batch.masks["clean"] > 0) & (batch.masks["clean"] < 8)
        clear = batch.inputs["s2"].extra["valid"] & batch.inputs["s1"].extra["valid"]
        if (water & clear).sum() > 100:
            for values, found in ((batch.inputs["s2"].x[:, 7], infrared), (batch.inputs["s1"].x[:, 0], radar)):
                found.append(float(values[water & clear].median() - values[land & clear].median()))
    assert len(infrared) > 0
    assert max(infrared) < -0.3
    assert max(radar) < -0.5


def test_an_epoch_is_a_function_of_the_seed(data):
    first, again = next(iter(data.train_loader(total=4))), next(iter(data.train_loader(total=4)))
    assert torch.equal(first.inputs["s2"].x, again.inputs["s2"].x)
    assert torch.equal(first.masks["dw"], again.masks["dw"])
    later = next(iter(data.train_loader(total=4, start=3)))
    assert not torch.equal(first.inputs["s2"].x, later.inputs["s2"].x)


def test_labels_lie_on_the_other_sensor_where_the_first_is_missing(data):
    from core.data.dataset import RecordDataset

    both = data.dataset("val")
    record = both.record(0)
    alone = RecordDataset(data.layouts["val"], {"s1": data.processors["s1"]}, masks=("clean",), mask_of=("s2", "s1"))
    np.testing.assert_array_equal(alone.load(record)["s1"]["mask_clean"], both.load(record)["s2"]["mask_clean"])
    assert "mask_clean" not in both.load(record)["s1"]


def test_the_manifest_says_simulated_and_holds_every_file(root):
    manifest = read_manifest(root)
    assert manifest["about"]["simulated"] is True
    assert "simulated" in SyntheticScenes.name
    assert verify_manifest(root) == []


def test_it_is_built_once_into_the_cache_and_again_for_another_seed_or_size(tmp_path, monkeypatch):
    built = []

    def write_dataset(empty, *, places, seed, size, workers, progress, events):
        built.append((places, seed, size, workers))
        progress(1, 1)
        (empty / "scenes.csv").write_text("")

    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path))
    monkeypatch.setattr("domains.remote_sensing.scenes.write.write_dataset", write_dataset)
    first = [samples.build({"train": 2}, seed=0) for _ in range(2)]
    other, larger = samples.build({"train": 2}, seed=1, workers=3), samples.build({"train": 2}, seed=0, size=48)
    assert len({*first, other, larger}) == 3
    assert first[0].is_relative_to(tmp_path)
    assert built == [({"train": 2}, 0, 96, 0), ({"train": 2}, 1, 96, 3), ({"train": 2}, 0, 48, 0)]


def test_settings_are_checked_before_anything_is_built():
    with pytest.raises(ConfigError, match=r"places: no split 'trian'; did you mean 'train'"):
        SyntheticScenes(split="train", places={"trian": 3})
    with pytest.raises(ConfigError, match=r"places: 'val' is 0; give at least 1"):
        SyntheticScenes(split="train", places={"train": 1, "val": 0})
