"""The exhibit that finds the WAL-reset bug blind, and its control that does not."""

import pytest

from crashlab.gallery.host import Host
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.telling import Result


@pytest.mark.slow
def test_schedules_find_the_wal_reset_bug_where_it_is_and_the_control_does_not():
    exhibit = load_exhibits()["b1-found"]
    with Host() as host:
        run = host.play(exhibit, 11, control=False)
        if run.result is Result.SKIPPED:
            pytest.skip(run.why)
        control = host.play(exhibit, 11, control=True)
    assert run.result is Result.AS_EXPECTED, (run.why, run.differs)
    assert control.result is Result.AS_EXPECTED, (control.why, control.differs)
    assert run.showed is exhibit.affected.covers(tuple(map(int, run.sqlite.split("."))))
    assert not control.showed
    if run.showed:
        assert any("stopped before" in moment.done for moment in run.moments)
