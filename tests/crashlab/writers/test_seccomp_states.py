"""Crash states computed from a recording at the system calls: the trace road for programs that the tap can't reach."""

import random
import sys

import pytest

from crashlab.log.trace import TraceKind
from crashlab.states.explore import explore
from crashlab.states.models import Model, Policy
from crashlab.states.recover import Probe
from crashlab.states.replay import require_same
from crashlab.states.trace import load_trace
from crashlab.writers.record.seccomp import record_tree, seccomp_problem

pytestmark = pytest.mark.skipif(seccomp_problem() is not None, reason=f"no seccomp recording: {seccomp_problem()}")

PROGRAM = """
import os, sqlite3
c = sqlite3.connect("x.db", isolation_level=None)
c.execute("PRAGMA journal_mode={mode}")
c.execute("PRAGMA synchronous={synchronous}")
c.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
for number in range(6):
    c.execute("INSERT INTO t VALUES (?)", (number,))
    os.close(os.open(f"acked{{number}}", os.O_WRONLY | os.O_CREAT))
os._exit(0)
"""


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize(("synchronous", "loses"), [("OFF", True), ("EXTRA", False)])
def test_a_power_loss_takes_acked_commits_where_nothing_is_synced(tmp_path, mode, synchronous, loses):
    run, replayed = tmp_path / "run", tmp_path / "replayed"
    run.mkdir()
    replayed.mkdir()
    code = PROGRAM.format(mode=mode, synchronous=synchronous)
    tree = record_tree([sys.executable, "-c", code], str(run), log_base=str(tmp_path / "log.0"))
    assert (tree.ended.code, tree.problems) == (0, ())
    trace = load_trace([str(tmp_path / "log.0")])
    require_same(trace, run, replayed, labs_own=lambda _: False)
    acks = [
        op
        for op, kind in enumerate(trace.kinds)
        if kind == TraceKind.CREATE and trace.paths[trace.names[op]].startswith("acked")
    ]
    found = explore(
        trace,
        Model(Policy.SUBSET, states_max=1500, direct_max=300, first=acks[0]),
        random.Random(5),
        probe=Probe("x.db", ("SELECT count(*) FROM t",)),
        scratch=tmp_path / "scratch",
        on_recovered=lambda _state, logical, _files: logical.results,
    )
    found.require_sound()
    rows = [(_count(seen.value), seen.last) for seen in found.seen]
    lost = [(count, moment) for count, moment in rows if count < sum(op < moment for op in acks)]
    assert bool(lost) is loses, rows


def _count(results):
    """Rows there; none where the table is not or cannot be read. FULL would not do in `delete` mode.

    At FULL the directory is not synced after the journal was deleted, so the last commit may be rolled back
    (https://sqlite.org/pragma.html#pragma_synchronous).
    """
    rows = results[0] if results else ""
    return 0 if isinstance(rows, str) else rows[0][0]
