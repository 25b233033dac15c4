"""Samples to a batch: rows that lack a modality cost nothing, and equal texts are known to be equal."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toy_domain import PictureProcessor

from core.data.collate import Collate, stable_id
from core.data.text import TextProcessor


@pytest.fixture(scope="module")
def processors():
    words = TextProcessor(vocab_size=300, max_length=8)
    words.fit(["a dark pattern", "a bright pattern"])
    return {"picture": PictureProcessor(), "words": words}


def sample(processors, number, *, picture=True, text="a dark pattern", labels=None):
    inputs = {}
    if picture:
        inputs["picture"] = {"x": np.full((4, 4), number, np.float32)}
    if text is not None:
        inputs["words"] = processors["words"].load(text)
    return {
        "id": f"s{number}",
        "group": f"g{number // 2}",
        "index": 10 + number,
        "labels": labels or {},
        "inputs": inputs,
    }


def test_present_rows_come_in_batch_order_and_absent_ones_do_not_come(processors):
    rows = [sample(processors, 0, picture=False), sample(processors, 1, text=None), sample(processors, 2)]
    batch = Collate(processors, ("a",))(rows)
    assert batch.ids == ["s0", "s1", "s2"]
    assert batch.present["picture"].tolist() == [False, True, True]
    assert batch.present["words"].tolist() == [True, False, True]
    assert batch.inputs["picture"].x[:, 0, 0, 0].tolist() == [1, 2]
    assert len(batch.inputs["words"]) == 2
    of_picture, of_words, of_batch = batch.paired_rows("picture", "words")
    assert (of_picture.tolist(), of_words.tolist(), of_batch.tolist()) == ([1], [1], [2])


def test_a_modality_that_no_row_has_is_absent_but_its_keys_are_there(processors):
    batch = Collate(processors, ())([sample(processors, n, text=None) for n in range(2)])
    assert set(batch.inputs) == {"picture"}
    assert not batch.present["words"].any()
    assert batch.keys["words"].tolist() == [-1, -1]


def test_equal_texts_have_equal_keys_and_rows_without_text_have_none(processors):
    texts = ["a dark pattern", "A  dark pattern", "a bright pattern", None]
    keys = Collate(processors, ())([sample(processors, n, text=t) for n, t in enumerate(texts)]).keys["words"]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == -1
    assert "picture" not in Collate(processors, ())([sample(processors, 0)]).keys


def test_keys_name_samples_and_groups(processors):
    keys = Collate(processors, ())([sample(processors, n) for n in range(3)]).keys
    assert keys["sample"].tolist() == [10, 11, 12]
    assert keys["group"][0] == keys["group"][1] != keys["group"][2]
    assert stable_id("patient") == stable_id("patient") != stable_id("patienT")
    assert 0 <= stable_id("") < 2**63


def test_labels_that_a_record_does_not_state_are_unknown(processors):
    batch = Collate(processors, ("a", "b"))([sample(processors, 0, labels={"a": 1.0}), sample(processors, 1)])
    assert batch.labels["a"][0] == 1
    assert all(math.isnan(v) for v in (batch.labels["a"][1], *batch.labels["b"]))


def test_masks_of_rows_without_one_are_not_labelled(processors):
    rows = [sample(processors, n) for n in range(2)]
    rows[1]["inputs"]["picture"]["mask_organs"] = np.full((2, 4, 4), 3, np.int16)
    masks = Collate(processors, (), ("organs", "lesions"), "picture")(rows).masks
    assert set(masks) == {"organs"}
    assert masks["organs"].dtype == torch.int64
    assert (masks["organs"][0] == -1).all()
    assert (masks["organs"][1] == 3).all()
