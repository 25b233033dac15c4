"""The entity linking entry, at a size that says nothing about its claim."""

from __future__ import annotations

import pytest

pytest.importorskip("rdkit")

from benchmarks.molecules import ENTRIES, linking_features
from benchmarks.molecules.linking_levels import ALL, ARMS, TEXT, Design, run, with_levels
from benchmarks.result import Options


def test_every_arm_is_trained_with_its_own_levels(tmp_path):
    found = run(Options(seeds=(0,), folder=tmp_path), Design(names=10, steps=1, batch_size=4))
    assert found.name in ENTRIES
    assert set(found.values) == set(ARMS)
    assert all(0 < found.values[arm]["mrr"][0] <= 1 for arm in ARMS)


def test_the_text_arm_reads_no_picture():
    assert len(with_levels(ARMS[TEXT])["objectives"]) == 2
    assert len(with_levels(ARMS[ALL])["objectives"]) == 3


def test_simulated_features_hold_a_name_out_with_all_its_entities():
    design = linking_features.Design(names=6, steps=1, batch_size=4)
    world = linking_features.World(0, design)
    assert not set(world.name_of[world.trained]) & set(world.name_of[world.held])
    assert len(world.training) == 4 * 4 * 4  # names, entities of a name, mentions of an entity


def test_every_arm_of_simulated_features_is_ranked(tmp_path):
    found = linking_features.run(
        Options(seeds=(0,), folder=tmp_path), linking_features.Design(names=6, steps=1, batch_size=4)
    )
    assert found.name in ENTRIES
    assert all(0 < found.values[arm]["mrr"][0] <= 1 for arm in ARMS)
