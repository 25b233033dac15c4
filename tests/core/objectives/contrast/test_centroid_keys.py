"""Prototypes as keys: what an episode remembers, who belongs where, and the loss in closed form."""

from __future__ import annotations

import math

import gloo
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives import CentroidKeys, FixedScale, OneHot, Pair
from core.objectives.contrast.targets import PrototypeSoft

EVERY = list(range(10))
PAIRS = [row for row in EVERY if row != 3]


def term(clusters: int = 4, memory: int = 16, episode: int = 2, temperature: float | None = 0.3, **settings) -> Pair:
    columns = CentroidKeys(clusters=clusters, width=4, memory=memory, episode=episode, restarts=1)
    target = OneHot() if temperature is None else PrototypeSoft(temperature=temperature)
    own = {"directions": (1.0, 0.0), "scale": FixedScale(temperature=0.25), "tile": (2, 3)} | settings
    return Pair(rows="a", keys="b", columns=columns, target=target, **own).double()


def run(pair: Pair, parts: list[list[int]], first: int = 0) -> list[list[Tensor]]:
    out = []
    for index, rows in enumerate(parts, start=first):
        at = gloo.step(rows, index=index, seed=index)
        out.append(gloo.loss_and_gradients(pair, at))
        pair.after_step(at.model, index)
    return out


def features(rows: list[int], seed: int) -> tuple[Tensor, Tensor]:
    model, batch = gloo.Tower(), gloo.batch(torch.tensor(rows), seed)
    a, b = (F.normalize(batch.inputs[m].x @ model.maps[m], dim=1) for m in "ab")
    return a, b.detach()


def test_there_is_no_loss_before_the_first_episode_is_over():
    losses = [result[0] for result in run(term(), [EVERY, EVERY, EVERY])]
    assert losses[0] == losses[1] == 0
    assert losses[2] > 0


def test_the_loss_is_the_dense_one_over_prototypes_that_are_means_of_the_rows_modality():
    pair = term()
    found = run(pair, [EVERY[:5], EVERY[5:], EVERY])
    a0, b0 = (torch.cat(x) for x in zip(features([0, 1, 2, 4], 0), features([5, 6, 7, 8, 9], 1), strict=True))
    keys = pair.columns
    label = keys.labels_of(torch.tensor(PAIRS))
    centroid = torch.stack([b0[label == k].mean(0) for k in range(4)])
    prototype = torch.stack([a0[label == k].mean(0) for k in range(4)]).detach()
    torch.testing.assert_close(keys.centroid, centroid, rtol=0, atol=1e-12)
    distance = torch.cdist(b0, centroid)
    assert torch.equal(distance.argmin(1), label)  # a fixed point of k-means
    a, _ = features(PAIRS, 2)
    target = (centroid[label] @ centroid.T / 0.3).softmax(1)
    want = -(target * (4 * a @ prototype.T).log_softmax(1)).sum(1).mean()
    assert found[2][0].item() == pytest.approx(want.item(), abs=1e-10)
    assert not found[2][2].any()  # the key side is a label, not a prediction


def test_a_sharp_target_is_a_hard_label():
    sharp, hard = (run(term(temperature=t), [EVERY] * 3)[2] for t in (1e-4, None))
    torch.testing.assert_close(sharp, hard, rtol=0, atol=1e-9)


def test_one_sample_per_cluster_is_the_contrast_with_the_remembered_features():
    found = run(term(clusters=9, temperature=None), [EVERY[:5], EVERY[5:], EVERY])[2][0]
    old = torch.cat([features([0, 1, 2, 4], 0)[0], features([5, 6, 7, 8, 9], 1)[0]])
    a, _ = features(PAIRS, 2)
    assert found.item() == pytest.approx(F.cross_entropy(4 * a @ old.T, torch.arange(9)).item(), abs=1e-10)


def test_empty_clusters_are_no_columns():
    """The released code leaves them in as zero vectors, with logit 0 in the softmax."""
    found = [run(term(clusters=k, temperature=None), [EVERY, EVERY, EVERY], first=0)[2][0] for k in (18, 40)]
    assert found[0] == found[1]


def test_rows_that_the_episode_did_not_meet_have_no_term():
    pair = term(clusters=2)
    results = run(pair, [[0, 1], [2, 4], [0, 2, 5, 6]])
    assert pair.columns.labels_of(torch.tensor([5, 6, 99])).tolist() == [-1, -1, -1]
    again = term(clusters=2)
    run(again, [[0, 1], [2, 4]])
    alone = run(again, [[0, 2]], first=2)[0]
    torch.testing.assert_close(results[2], alone, rtol=0, atol=1e-12)
    nobody = term(clusters=2)
    run(nobody, [[0, 1], [2, 4]])
    assert run(nobody, [[5, 6]], first=2)[0][0] == 0


def test_a_state_dict_carries_memory_and_prototypes():
    parts = [EVERY[:5], EVERY[5:], EVERY, EVERY[2:7], EVERY]
    unbroken = run(term(), parts)
    for stop in (1, 3):
        before, after = term(), term()
        run(before, parts[:stop])
        after.load_state_dict(before.state_dict())
        torch.testing.assert_close(run(after, parts[stop:], first=stop), unbroken[stop:], rtol=0, atol=0)


def test_with_no_information_the_loss_is_the_log_of_the_clusters():
    pair = term(clusters=3, temperature=1e6)
    run(pair, [EVERY, EVERY, EVERY])
    pair.columns.prototype.zero_()
    assert run(pair, [EVERY], first=3)[0][0].item() == pytest.approx(math.log(3), abs=1e-5)


def across(rank: int) -> list:
    pair = term()
    splits = [(EVERY[:4], EVERY[4:]), ([3], EVERY[5:]), (EVERY[:2], EVERY[2:]), (EVERY[:8], [3])]
    results = run(pair, [split[rank] for split in splits])
    return [*(gloo.mean_over_processes(result) for result in results), *pair.columns.buffers()]


def test_two_processes_find_the_prototypes_and_the_loss_of_one(tmp_path):
    first, second = gloo.in_processes(2, across, tmp_path)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    pair = term()
    want = run(pair, [EVERY, [3, *EVERY[5:]], EVERY, EVERY[:8]])
    torch.testing.assert_close(first, [*want, *pair.columns.buffers()], rtol=0, atol=1e-10)


def test_errors_say_what_to_change():
    with pytest.raises(ConfigError, match="clusters 0"):
        CentroidKeys(clusters=0, width=4, memory=8, episode=2)
    with pytest.raises(ConfigError, match=r"CentroidKeys: directions are \[0.5, 0.5\]"):
        term(directions=(0.5, 0.5))(gloo.step(EVERY))
    columns = CentroidKeys(clusters=2, width=4, width_keys=7, memory=8, episode=2)
    with pytest.raises(ConfigError, match=r"width_keys is 7, but the features have the shape \(4,\)"):
        Pair(rows="a", keys="b", columns=columns, directions=(1.0, 0.0))(gloo.step(EVERY))
    columns = CentroidKeys(clusters=2, width=4, memory=8, episode=2, key="sampel")
    with pytest.raises(ConfigError, match=r"no key 'sampel'.*'sample'"):
        Pair(rows="a", keys="b", columns=columns, directions=(1.0, 0.0))(gloo.step(EVERY))
