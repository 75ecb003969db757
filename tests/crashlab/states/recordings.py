"""Real runs of real SQLite, recorded by the tap, for the tests of the states."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from crashlab.log.format import Kind
from crashlab.log.reader import read_log
from crashlab.log.trace import TraceKind
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Seed, Tap
from crashlab.states.recover import Probe
from crashlab.states.trace import Trace, load_trace

PROBE = Probe("a.db", ("select count(*) from t", "select n from m"))


@dataclass
class Recording:
    """A trace, the log's base, and the directory as the run left it."""

    trace: Trace
    base: str
    run: Path

    def acked(self, moment: int) -> int:
        """How many commits were acked before a crash at this moment."""
        before = self.trace.happened_before(moment)
        return sum(record.kind == Kind.ACK and before(record) for record in read_log(self.base))


def record(directory: Path, work, seed: int = 1) -> Recording:
    """Run `work(database, log)` under the tap and load what was recorded."""
    run = directory / "run"
    run.mkdir(parents=True)
    log = LogWriter(str(directory / "log"))
    with Tap(Seed(seed), recorder=Recorder(log, run)):
        work(run / "a.db", log)
    log.close()
    base = str(directory / "log")
    return Recording(load_trace([base]), base, run)


def commits(
    many: int,
    *,
    journal: str = "wal",
    synchronous: str = "full",
    autocheckpoint: int = 1000,
    page_size: int = 4096,
    close: bool = True,
    each=lambda connection, number: None,
):
    """A workload of two-statement commits: a row with an index, and a counter that must equal the rows."""

    def work(database: Path, log: LogWriter) -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute(f"pragma page_size={page_size}")
            connection.execute(f"pragma journal_mode={journal}")
            connection.execute(f"pragma synchronous={synchronous}")
            connection.execute(f"pragma wal_autocheckpoint={autocheckpoint}")
            connection.execute("begin")
            connection.execute("create table t(id integer primary key, b, c)")
            connection.execute("create index i on t(b)")
            connection.execute("create table m(n)")
            connection.execute("insert into m values(0)")
            connection.execute("commit")
            for number in range(1, many + 1):
                connection.execute("begin")
                row = (number, f"k{number * 7919 % 1000}", "x" * 200)
                connection.execute("insert into t values(?, ?, ?)", row)
                connection.execute("update m set n = ?", (number,))
                connection.execute("commit")
                log.ack("lane", number, None)
                each(connection, number)
            if not close:
                connection.execute("pragma journal_mode")  # the last thing recorded is then no close
                recorded_until_here(log)

    return work


def recorded_until_here(log: LogWriter) -> None:
    """Mark in the log where the interesting part ends."""
    log.note("end")


def end_of_work(recording: Recording) -> int:
    """The moment of the last ack."""
    last = max(record.seq for record in read_log(recording.base) if record.kind == Kind.ACK)
    trace = recording.trace
    return max(op + 1 for op in range(len(trace)) if trace.seq[op] < last)


def first_op(trace: Trace, kind: TraceKind, role: str, start: int = 0) -> int:
    """The first operation of a kind on files of a role."""
    return next(
        op
        for op in range(start, len(trace))
        if trace.kinds[op] == kind and trace.inodes[op] >= 0 and trace.files[trace.inodes[op]].role == role
    )


def after_set_up(trace: Trace) -> int:
    """A moment in WAL mode, with the schema synced."""
    return first_op(trace, TraceKind.SYNC, "wal", first_op(trace, TraceKind.SYNC, "wal") + 1) + 1
