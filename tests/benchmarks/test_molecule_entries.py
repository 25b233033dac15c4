"""The entry about reaction contexts runs on a few reactions; its grammar is what it says."""

import json

import numpy as np
import torch

from benchmarks.molecules import reaction_contexts
from benchmarks.result import Options

TINY = reaction_contexts.Design(steps=2, batch_size=2, width=8, depth=1, reactions=8, held_out=4)


def test_the_entry_runs_and_leaves_the_random_state_alone(tmp_path):
    state = torch.random.get_rng_state()
    result = reaction_contexts.run(Options(seeds=(0,), folder=tmp_path), TINY)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(result.values) == 3
    assert all(np.isfinite(v).all() for metrics in result.values.values() for v in metrics.values())
    assert [c.better for c in result.comparisons] == ["lower"] * 3


def test_products_are_made_of_their_reactants_and_chains_of_one_split(tmp_path):
    reaction_contexts.write_grammar(tmp_path, TINY, seed=1)
    chains = {}
    for split, file in reaction_contexts.SPLITS.items():
        chains[split] = set()
        for row in json.loads((tmp_path / file).read_text()):
            acid, other = row["REACTANT"]
            assert row["PRODUCT"] == [acid.removesuffix("O") + other]
            chains[split] |= {acid.removesuffix("C(=O)O"), other[1:]}
    assert not chains["train"] & chains["test"]
