"""What a person is told: how far, and how long still."""

from __future__ import annotations

import io

from domains.remote_sensing.predict.progress import Told


def test_lines_come_now_and_then_with_the_time_left_by_the_pace_of_this_run():
    out, now = io.StringIO(), [0.0]
    tell = Told(out, clock=lambda: now[0])
    tell(10, 20)  # ten strips were there already: they say nothing about the pace
    for step in range(1, 11):
        now[0] += 20
        tell(10 + step, 20)
    lines = out.getvalue().splitlines()
    assert lines[0] == "mapping: strip 10 of 20"
    assert lines[1] == "mapping: strip 12 of 20, 3 min left"  # 8 strips of 20 s
    assert lines[-1] == "mapping: strip 20 of 20"
    assert "mapping: strip 18 of 20, 40 s left" in lines
