"""Processed texts on disk in parts: equal to processing, keyed by content, and whole after a kill."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.data.layout import Layout, Record
from core.data.processor import Processor
from core.data.text_parts import TextParts
from core.errors import DataError
from core.types import ModalityInput


class Letters(Processor):
    """Codes of letters and their number; digits are refused; a text without vowels has no `vowels`."""

    modality_kind = "text"
    slow_texts = True

    def __init__(self, *, shift: int = 0, log: str = "", wait: float = 0.0) -> None:
        self.shift, self.log, self.wait = shift, log, wait

    not_in_load = frozenset({"log", "wait"})

    def load(self, source):
        if self.log:
            time.sleep(self.wait)
            with open(self.log, "a") as out:
                out.write(f"{source}\n")
        if source.isdigit():
            raise DataError(f"'{source}': a number, ähem")
        codes = np.array([ord(c) + self.shift for c in source], np.int16)
        vowels = {"vowels": np.array([[source.count(v) for v in "ae"]])} if set("ae") & set(source) else {}
        return {"codes": codes, "count": np.array(len(source)), **vowels}

    def collate(self, samples):
        import torch

        return ModalityInput(torch.tensor([[int(sample["count"])] for sample in samples]))


TEXTS = ["abc", "12", "", "eel", "xyz", "7", "a"]


def parts_of(folder, texts=TEXTS, part=3, **how):
    return TextParts(folder, Letters(**how), texts, part=part)


def same(one, two):
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])
        assert array.shape == two[name].shape
        assert array.dtype == two[name].dtype


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_give_what_the_processor_gives(tmp_path, workers):
    parts = parts_of(tmp_path)
    assert parts.missing() == [0, 1, 2]
    said = []
    assert parts.build(TEXTS, workers=workers, done=said.append) == 3
    assert said == [3, 6, 9]
    for index, text in enumerate(TEXTS):
        if text.isdigit():
            with pytest.raises(DataError, match=f"'{text}': a number, ähem"):
                pickle.loads(pickle.dumps(parts)).sample(index, text)
        else:
            same(parts.sample(index, text), Letters().load(text))
    with pytest.raises(ValueError, match="read-only"):
        parts.sample(0, "abc")["codes"][0] = 1


def test_what_is_there_is_not_made_again_and_a_changed_text_makes_one_part_anew(tmp_path):
    log = tmp_path / "log"
    parts_of(tmp_path, log=str(log)).build(TEXTS)
    assert log.read_text().split("\n")[:-1] == TEXTS
    assert parts_of(tmp_path, log=str(log)).build(TEXTS) == 0
    changed = [*TEXTS[:4], "other", *TEXTS[5:]]
    assert parts_of(tmp_path, changed).missing() == [1]
    assert parts_of(tmp_path, shift=1).missing() == [0, 1, 2]  # another setting of the processor
    assert parts_of(tmp_path, ["ab", "c"]).keys != parts_of(tmp_path, ["a", "bc"]).keys


def test_a_part_that_is_gone_or_damaged_is_processed_and_built_again(tmp_path):
    parts = parts_of(tmp_path)
    parts.build(TEXTS)
    parts.store.path(parts.keys[0]).unlink()
    with pytest.warns(UserWarning, match="part 0 is gone"):
        same(parts.sample(3 - 3, "abc"), Letters().load("abc"))
    whole = parts.store.path(parts.keys[1])
    whole.write_bytes(whole.read_bytes()[:-5])
    fresh = parts_of(tmp_path)
    with pytest.warns(Warning, match="gone|damaged"):
        same(fresh.sample(3, "eel"), Letters().load("eel"))
    assert fresh.build(TEXTS) == 1  # the lost one


def test_records_are_found_by_their_number(tmp_path):
    parts = TextParts(tmp_path, Letters(), ["abc", "eel"], numbers=[4, 9])
    parts.build(["abc", "eel"])
    for index, text in ((4, "abc"), (9, "eel"), (5, "not listed"), (11, "nor this")):
        same(parts.sample(index, text), Letters().load(text))


def test_a_killed_build_goes_on_where_it_stopped(tmp_path):
    log = tmp_path / "log"
    texts = [f"text{'a' * i}" for i in range(12)]
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_text_parts import parts_of; from pathlib import Path\n"
        "texts = [f\"text{'a' * i}\" for i in range(12)]\n"
        "parts_of(Path(sys.argv[2]), texts, log=sys.argv[3], wait=0.05).build(texts)\n"
    )
    here = os.path.dirname(__file__)
    process = subprocess.Popen([sys.executable, "-c", script, here, str(tmp_path / "store"), str(log)])
    while not log.exists() or len(log.read_text().split()) < 8:  # the third of four parts
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    parts = parts_of(tmp_path / "store", texts)
    assert 0 not in parts.missing()
    left = parts.missing()
    assert left
    assert parts.build(texts) == len(left)
    for index, text in enumerate(texts):
        same(parts.sample(index, text), Letters().load(text))
    assert not parts.missing()


class Words(Layout):
    name, licence, source = "words", "CC0", "here"

    def __len__(self):
        return len(TEXTS)

    def record(self, index):
        return Record(id=str(index), group=str(index), sources={"word": TEXTS[index]})


@pytest.mark.parametrize("least", [None, 5])
def test_a_data_module_keeps_texts_from_a_number_of_them_on(tmp_path, monkeypatch, least):
    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path / "cache"))
    settings = DataSettings(batch_size=2, prepare_workers=0, max_bad_share=0.5, keep_texts_from=least, limit={"val": 4})
    layouts = {split: Words(root=tmp_path, split=split) for split in ("train", "val", "test")}
    data = DataModule(layouts, {"word": Letters()}, settings, seed=0)
    data.prepare(("train", "val"), bad_csv=tmp_path / "bad.csv")
    assert data.indices["train"] == [0, 2, 3, 4, 6]
    assert data.skipped["train"] == 2
    assert bool(data.kept["train"]) == (least is not None)
    assert not data.kept["val"]  # four are too few
    same(data.dataset("train")[1]["inputs"]["word"], Letters().load(""))
    assert [int(x) for b in data.eval_loader("train") for x in b.inputs["word"].x[:, 0]] == [3, 0, 3, 3, 1]
