"""Who is asked about a WAL that remained after the program closed."""

import sqlite3
from types import SimpleNamespace

import pytest

from crashlab.engine.recover import restart_and_read
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History, PhaseRecord
from crashlab.model.phase import MARK_CLOSE, MARK_CONNECTION_CLOSE


class Nothing:
    tables = ()
    checks = ()

    def lanes(self, ctx):
        return ()

    def restart(self, ctx):
        return sqlite3.connect(ctx.database)


@pytest.mark.parametrize(
    ("closes", "others"),
    [([(10, 20)], False), ([(10, 20), (30, 40)], False), ([(10, 20), (15, 40)], True), ([(10, 0), (15, 40)], True)],
    ids=["one", "one after the other", "both at once", "the first died in it"],
)
def test_two_that_close_at_one_time_may_leave_the_wal(tmp_path, closes, others):
    phases = [PhaseRecord(MARK_CLOSE, 0, 0, 5, 1, 50)]
    phases += [PhaseRecord(MARK_CONNECTION_CLOSE, n, 0, begin, 2, end) for n, (begin, end) in enumerate(closes)]
    history = History("case", (), tuple(phases), (), Ended(EndKind.EXITED, 0))
    context = SimpleNamespace(database=tmp_path / "a.db")
    left = {"a.db-wal": 4152}
    recovered = restart_and_read(Nothing(), context, history, FaultClass.NONE, b"", left)
    assert (recovered.sidecars_after_clean_close, recovered.other_connections) == (left, others)
