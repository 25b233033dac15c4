"""The entries about text graphs, at a size that says nothing about their claims."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch_geometric")

from benchmarks.molecules import graphclip_shift, unigraph_neighbours
from benchmarks.result import Options


@pytest.mark.parametrize(("entry", "sizes"), [
    (unigraph_neighbours, {"topics": 3, "nodes": 18, "steps": 1, "draws": 1, "seen": 4}),
    (graphclip_shift, {"classes": 3, "nodes": 18, "steps": 1, "batch_size": 6}),
])  # fmt: skip
def test_an_entry_runs_and_gives_a_value_of_each_arm_and_seed(entry, sizes):
    found = entry.run(Options(seeds=(0,), folder=Path()), entry.Design(**sizes))
    assert found.simulated
    assert found.claim.endswith(".")
    for arm in found.values.values():
        for values in arm.values():
            assert len(values) == 1
            assert np.isfinite(values).all()
    assert {c.contender for c in found.comparisons} | {c.baseline for c in found.comparisons} == set(found.values)


def test_shuffled_edges_leave_texts_alone_and_topics_unjoined():
    design = unigraph_neighbours.Design()
    real, shuffled = (unigraph_neighbours.made_graph(0, design, shuffled=s) for s in (False, True))
    assert real.texts == shuffled.texts
    same = [(g.label_N[g.edges_2E[0]] == g.label_N[g.edges_2E[1]]).mean() for g in (real, shuffled)]
    assert same[0] == 1.0
    assert same[1] < 0.2
