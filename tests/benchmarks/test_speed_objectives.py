"""The table of objectives: every side computes the same loss, and the memory that was promised is kept."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.speed._losses import CASES
from benchmarks.speed.objectives import NAMES, agreement, compare, fits, table

PEERS = {"infonce": "open_clip.loss", "siglip": "open_clip.loss", "soft": "open_clip.loss", "ntxent": "lightly.loss"}


@pytest.mark.parametrize("name", NAMES)
def test_every_side_gives_the_same_loss_and_gradients(name):
    if name in PEERS:
        pytest.importorskip(PEERS[name])
    found = agreement(name, 6 if name == "filip" else 150, 16)
    assert found["float32"] < 2e-5
    assert found["float64"] < 1e-10


def test_every_case_has_a_side_of_this_suite_first_and_a_peer():
    assert set(CASES) == set(NAMES)
    assert all(next(iter(case.sides)) == "heptad" and len(case.sides) == 2 for case in CASES.values())


def test_a_peer_that_cannot_fit_is_left_out_and_said_so():
    reason = fits("infonce", "open_clip", 10**7)
    assert reason is not None
    assert "GiB are free" in reason
    assert fits("infonce", "heptad", 10**7) is None
    ours = {"seconds_median": 2.0, "peak_mib": 3.0, "loss": 1.0}
    row = {"objective": "infonce", "batch": 9, "sides": {"heptad": ours, "open_clip": {"left_out": reason}}}
    assert f"not measured: {reason}" in table([row])


def test_the_command_writes_a_table(tmp_path):
    out = tmp_path / "table.json"
    command = [sys.executable, "-m", "benchmarks", "speed", "--suite", "objectives", "--only", "symile"]
    small = ["--batches", "128", "--dim", "16", "--threads", "1", "--repeats", "1", "--out", str(out)]
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["sides"]["heptad"]["loss"] == pytest.approx(row["sides"]["dense"]["loss"], abs=1e-5)
    assert "symile" in done.stdout


@pytest.mark.slow
def test_filip_of_256_pairs_stays_under_two_gigabytes():
    row = compare("filip", 256, 256, 2, 1)
    assert row["sides"]["heptad"]["peak_mib"] < 2048
