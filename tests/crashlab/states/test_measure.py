"""The figures for benches are of what they say they are."""

from recordings import PROBE, after_set_up, commits, record

from crashlab.states.measure import measure_states


def test_three_ways_are_measured(scratch):
    trace = record(scratch / "r", commits(8, synchronous="normal", autocheckpoint=9)).trace
    speeds = measure_states(trace, PROBE, scratch / "x", seed=1, first=after_set_up(trace), states=3000, direct=60)
    by_class, checked, direct = speeds
    assert (by_class.classes, by_class.states) == (checked.classes, checked.states)
    assert by_class.recoveries < checked.recoveries
    assert by_class.states > 2000
    assert direct.states == direct.recoveries == 60
    assert all(speed.per_second > 0 and speed.per_cpu_second > 0 and not speed.mismatches for speed in speeds)
    assert not (scratch / "x").exists()
