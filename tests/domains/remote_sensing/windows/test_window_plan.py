"""Windows of large rasters: places, order, batches, blocks, and what a loader gives."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from core.config.schema import DataSettings
from core.data.collate import Collate
from core.data.datamodule import DataModule
from core.data.layout import TrainingPlan
from core.errors import ConfigError, DataError
from domains.remote_sensing.data.raster_windows import RasterWindows
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor
from domains.remote_sensing.processors.raster import MISSING
from domains.remote_sensing.raster import Window
from domains.remote_sensing.windows import Drawn, WindowPlan, WindowSampler
from domains.remote_sensing.windows.blocks import BlockCache, assemble
from domains.remote_sensing.windows.plan import mixing
from tests.domains.remote_sensing.rs_files import north_up, write_tif

SIDE, BLOCK = 16, 32


def plan(**changes) -> WindowPlan:
    given = {"shapes": ((160, 160), (96, 224)), "side": SIDE, "count": 640, "block": BLOCK, "streams": 2, "mix": 4}
    return WindowPlan(**{**given, **changes})


def test_places_are_uniform_over_all_windows_that_fit():
    found = plan(shapes=((20, 18), (17, 16)), count=40_000, mix=4).epoch(0).reshape(-1, 4)
    counts = Counter(map(tuple, found[:, :3].tolist()))
    assert len(counts) == 5 * 3 + 2 * 1  # every place where a window fits, and no other
    expected = 40_000 / 17
    assert max(abs(n - expected) for n in counts.values()) < 5 * expected**0.5  # five deviations of a count


def test_an_epoch_is_a_function_of_seed_and_epoch_and_holds_each_window_once():
    first = plan().epoch(3)
    assert np.array_equal(first, plan().epoch(3))
    assert not np.array_equal(first, plan().epoch(4))
    assert not np.array_equal(first, plan(seed=1).epoch(3))
    assert sorted(first[..., 3].ravel().tolist()) == list(range(640))


def test_neighbours_share_blocks_so_that_each_is_decoded_about_twice():
    """A stream that keeps 4 blocks for each of its `mix` places decodes far fewer than random order touches."""
    shapes = ((640, 640),)
    whole = plan(shapes=shapes, count=1600, mix=2, streams=1)

    def decoded(windows: np.ndarray, keep: int) -> float:
        cache = BlockCache(keep)
        for raster, top, left, _ in windows.tolist():
            for row in range(top // BLOCK, (top + SIDE - 1) // BLOCK + 1):
                for column in range(left // BLOCK, (left + SIDE - 1) // BLOCK + 1):
                    cache.get((raster, row, column), lambda: np.zeros(1, np.uint8))
        return cache.decoded / len(windows)

    windows = whole.epoch(0)[0]
    local = decoded(windows, 2 * 4)
    shuffled = decoded(np.random.default_rng(0).permutation(windows), 2 * 4)
    assert local < 0.65  # 4 windows for each block; two rows of blocks for each strip: 0.5, and the ends of strips
    assert shuffled > 3 * local


def test_a_batch_takes_as_many_windows_from_each_place_and_mixes_rasters():
    whole = plan(shapes=((320, 320),) * 6, count=2400, mix=8)
    sampler = WindowSampler(whole, batch_size=16, total=120)
    batches = list(sampler)[: sampler.steps_per_epoch]
    found = mixing(batches, side=SIDE, block=BLOCK, streams=2)
    assert 4 <= found.rasters <= 6
    assert 8 <= found.strips < 16
    assert 0 < found.shared < 0.1
    assert found.again > 0.5  # batches that follow one another come from the same strips: that is the price


def test_mixing_by_hand():
    """Two windows that share half of their area, one of another raster: (0.5 * 2) of 6 ordered pairs."""
    batch = [Drawn(0, 0, 0, 0, 0), Drawn(0, 0, 8, 0, 1), Drawn(0, 1, 0, 0, 2)]
    found = mixing([batch, batch], side=16, block=32, streams=1)
    assert (found.rasters, found.strips, found.again) == (2, 2, 1)
    assert found.shared == pytest.approx(1 / 6)


def test_steps_can_begin_anywhere_and_processes_share_the_streams():
    whole = plan(streams=4)
    all_steps = list(WindowSampler(whole, batch_size=8, total=200))
    assert list(WindowSampler(whole, batch_size=8, total=200, start=130)) == all_steps[130:]
    assert len(all_steps) == 200
    assert all(len(batch) == 8 for batch in all_steps)
    ranks = [list(WindowSampler(whole, batch_size=8, total=40, rank=r, world=2)) for r in (0, 1)]
    seen = [{w.number for batch in rank for w in batch} for rank in ranks]
    assert not seen[0] & seen[1]
    assert len(seen[0]) == len(seen[1]) == 320


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"shapes": ((15, 40),)}, "raster 0 has 15 x 40 pixels, a window 16"),
        ({"shapes": ()}, "no raster"),
        ({"count": 7}, "too few for 2 streams of 4 places"),
        ({"mix": 0}, "mix is 0"),
    ],
)
def test_plans_that_cannot_be_are_refused(changes, fault):
    with pytest.raises((ConfigError, DataError), match=fault):
        plan(**changes)


def test_too_few_windows_for_a_batch_are_named():
    with pytest.raises(DataError, match="draw more windows"):
        WindowSampler(plan(count=16), batch_size=64, total=1)


def test_the_cache_gives_up_the_least_recently_used_block():
    cache, read = BlockCache(20), []

    def get(key: str) -> np.ndarray:
        return cache.get(key, lambda: (read.append(key), np.zeros(10, np.uint8))[1])

    for key in "abacab":
        get(key)
    assert read == ["a", "b", "c", "b"]  # "b" had to go for "c"; "a" was used in between
    assert (cache.bytes, cache.asked, cache.decoded) == (20, 6, 4)


def test_a_window_is_put_together_from_its_blocks():
    whole = np.arange(2 * 50 * 70).reshape(2, 50, 70)
    for window in (Window(0, 0, 16, 16), Window(20, 30, 30, 40), Window(31, 31, 2, 2), Window(34, 54, 16, 16)):
        found = assemble(window, 32, (50, 70), lambda w: whole[:, w.top : w.top + w.height, w.left : w.left + w.width])
        assert np.array_equal(found, whole[:, window.top :, window.left :][:, : window.height, : window.width])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two optical rasters with a radar one each, one with a corner that nobody saw."""
    rng = np.random.default_rng(0)
    for i in range(2):
        counts = rng.integers(1, 5000, (12, 96, 80)).astype(np.uint16)
        counts[:, :40, :40] = 0 if i else counts[:, :40, :40]
        place = north_up(10, (500_000.0 + 10_000 * i, 5_300_000.0))
        write_tif(tmp_path / f"{i}-s2.tif", counts, transform=place, nodata=0, tiled=True, blockxsize=32, blockysize=32)
        radar = rng.normal(-12, 3, (2, 96, 80)).astype(np.float32)
        write_tif(tmp_path / f"{i}-s1.tif", radar, transform=place, nodata=float("nan"))
    rows = ["0-s1.tif,0-s2.tif,a,train", "1-s1.tif,1-s2.tif,b,train", "0-s1.tif,0-s2.tif,c,val"]
    (tmp_path / "data.csv").write_text("s1,s2,place,split\n" + "\n".join(rows) + "\n")
    return tmp_path


def processors() -> dict:
    return {"s1": RadarProcessor(normalise="none"), "s2": OpticalProcessor(normalise="none")}


def layout(folder: Path, **changes) -> RasterWindows:
    given = {"window": SIDE, "block": BLOCK, "listed": 4, "mix": 2}
    return RasterWindows(root=folder, split="train", **{**given, **changes})


def wanted(**changes) -> TrainingPlan:
    return TrainingPlan(**{"batch_size": 4, "total": 10, "start": 0, "seed": 0, "augment": False, **changes})


def test_a_drawn_window_is_what_the_processor_makes_of_that_part_of_the_file(folder):
    """The looked-up integers of s2 and the floats of s1 against the plain reader, bit for bit, nodata included."""
    found = layout(folder).draws(processors(), wanted())
    for item in [item for batch in found.sampler for item in batch]:
        sample = found.dataset[item]
        top, left = map(int, sample["id"].partition("@")[2].split(","))
        for name, processor in processors().items():
            source = layout(folder).rasters[item.raster].sources[name]
            plain = processor.load(replace(source, window=Window(top, left, SIDE, SIDE)))
            if (plain["x"] == MISSING).all():
                assert name not in sample["inputs"]
                continue
            assert np.array_equal(sample["inputs"][name]["x"], plain["x"])
            assert sample["inputs"][name]["lonlat"] == pytest.approx(plain["lonlat"], abs=1e-9)


def test_a_window_without_any_value_is_replaced_by_one_beside_it(folder):
    dataset = layout(folder).draws({"s2": processors()["s2"]}, wanted()).dataset
    sample = dataset[Drawn(0, 1, 16, 10, 5)]  # wholly in the corner that nobody saw
    assert (sample["inputs"]["s2"]["x"] != MISSING).any()
    assert sample["id"] != dataset.records[1].id + "@16,10"
    assert sample["id"] == dataset[Drawn(0, 1, 16, 10, 5)]["id"]


def test_loader_processes_give_the_batches_that_one_process_gives(folder):
    found = layout(folder).draws(processors(), wanted(augment=True, total=4))
    how = {"batch_sampler": found.sampler, "collate_fn": Collate(processors(), [])}
    alone = list(DataLoader(found.dataset, **how))
    together = list(DataLoader(found.dataset, num_workers=2, multiprocessing_context="spawn", **how))
    for a, b in zip(alone, together, strict=True):
        assert a.ids == b.ids
        assert all(torch.equal(a.inputs[name].x, b.inputs[name].x) for name in ("s1", "s2"))


def test_open_files_and_blocks_stay_in_their_process(folder):
    dataset = layout(folder).draws(processors(), wanted()).dataset
    before = dataset[Drawn(0, 0, 3, 5, 0)]
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.cache.bytes == 0 < dataset.cache.bytes
    assert np.array_equal(copy[Drawn(0, 0, 3, 5, 0)]["inputs"]["s2"]["x"], before["inputs"]["s2"]["x"])


def test_a_run_trains_on_drawn_windows_and_scores_listed_ones(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path / "cache"))
    layouts = {s: RasterWindows(root=folder, split=s, window=SIDE, block=BLOCK, mix=2) for s in ("train", "val")}
    data = DataModule(layouts, processors(), DataSettings(batch_size=4, prepare_workers=0), seed=0)
    data.prepare(("train", "val"), bad_csv=tmp_path / "bad.csv")
    assert len(data.indices["val"]) == 16
    batches = list(data.train_loader(total=12))
    assert len(batches) == 12
    resumed = list(data.train_loader(total=12, start=7))
    assert [b.ids for b in resumed] == [b.ids for b in batches[7:]]
    (batch, *_) = data.eval_loader("val")
    assert batch.inputs["s2"].x.shape == (4, 12, SIDE, SIDE)


def test_faults_of_a_folder_of_windows_are_named(folder):
    with pytest.raises(DataError, match="96 x 80 pixels; a window has 128"):
        layout(folder, window=128)
    with pytest.raises(ConfigError, match="no label maps"):
        layout(folder).draws(processors(), wanted(masks=("label",)))
    with pytest.raises(ConfigError, match="leave `pixel` out"):
        layout(folder).draws({"s2": OpticalProcessor(pixel=20, normalise="none")}, wanted())
    with pytest.raises(ConfigError, match="listed: is 0"):
        layout(folder, listed=0)
