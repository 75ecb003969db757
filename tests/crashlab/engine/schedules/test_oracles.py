"""The oracles of schedules, on histories made by hand: each beside one that is clean."""

import ctypes
import sqlite3
import subprocess
from pathlib import Path

import pytest

from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.generic import workload as generic
from crashlab.engine.schedules.judge import Seen, judge
from crashlab.engine.schedules.reads import Read, judge_reads
from crashlab.engine.schedules.walindex import impossible, look_at
from crashlab.model.contract import Contract, FaultClass
from crashlab.model.history import Ended, EndKind, History, StepRecord, StepState
from crashlab.model.step import Effect, Table
from crashlab.oracles.view import Recovered, View
from crashlab.writers.order import Order

ENDED = Ended(EndKind.EXITED, 0)


def step(lane, begin, end, *effects, state=StepState.ACKED, error=""):
    written = tuple(Effect("t", (key,), (value,)) for key, value in effects)
    return StepRecord(lane, 0, begin, state, written, begin, begin, end, end, error)


def found(steps, *reads):
    history = History("", tuple(steps), (), (), ENDED)
    view = View("x", FaultClass.NONE, Contract(), (Table("t", ("id",), ("v",)),), history, Recovered())
    made = [Read(step("r", begin, end), ("t",), {("t", (k,)): (v,) for k, v in rows}) for begin, end, rows in reads]
    return [finding.identity.invariant for finding in judge_reads(view, made)]


@pytest.mark.parametrize(
    ("steps", "reads", "expected"),
    [
        ([step("a", 1, 2, (1, "x"))], [(3, 4, [(1, "x")])], []),
        ([step("a", 1, 2, (1, "x"))], [(3, 4, [])], ["stale-read"]),
        ([step("a", 1, 4, (1, "x"))], [(2, 3, [])], []),
        ([step("a", 1, 4, (1, "x"))], [(2, 3, [(1, "x")])], []),
        ([step("a", 3, 4, (1, "x"))], [(1, 2, [(1, "x")])], ["read-from-nowhere"]),
        ([], [(1, 2, [(9, "x")])], ["read-from-nowhere"]),
        ([step("a", 1, 2, (1, "x")), step("a", 3, 4, (1, "y"))], [(5, 6, [(1, "x")])], ["stale-read"]),
        (
            [step("a", 1, 2, (1, "x")), step("b", 3, 9, (1, "y"))],
            [(4, 5, [(1, "y")]), (6, 7, [(1, "x")])],
            ["reads-go-back"],
        ),
        ([step("a", 1, 2, (1, "x")), step("b", 3, 9, (1, "y"))], [(4, 5, [(1, "x")]), (6, 7, [(1, "y")])], []),
        ([step("a", 1, 2, (1, "x"), state=StepState.REFUSED)], [(3, 4, [])], []),
    ],
)
def test_a_read_has_to_be_of_one_moment_between_its_begin_and_its_end(steps, reads, expected):
    assert found(steps, *reads) == expected


@pytest.mark.parametrize(("frames", "backfilled", "wrong"), [(5, 5, ""), (5, 0, ""), (2, 4, "nBackfill 4 > mxFrame 2")])
def test_more_frames_in_the_database_than_there_are_is_impossible(frames, backfilled, wrong):
    memory = (ctypes.c_uint32 * 34)()
    memory[4], memory[24] = frames, backfilled
    mapped = {1: ctypes.addressof(memory), 2: ctypes.addressof(memory)}
    assert impossible(mapped) == wrong
    look = look_at(mapped)
    assert look is not None
    assert (look.max_frame, look.backfilled) == (frames, backfilled)
    assert impossible({}) == ""


@pytest.mark.parametrize(
    ("error", "invariants"),
    [
        ("DatabaseError: database disk image is malformed", ["malformed-seen"]),
        ("OperationalError: database is locked", []),
    ],
)
def test_a_step_that_met_a_malformed_database_is_a_finding_and_one_that_met_a_lock_is_none(error, invariants):
    class Workload:
        contract, tables = Contract(), ()

    history = History("", (step("a", 1, 2, state=StepState.REFUSED, error=error),), (), (), ENDED)
    judged = judge(Workload, "x", None, None, Seen(history, deadlock="all wait"), {})
    assert [finding.identity.invariant for finding in judged] == ["deadlock", *invariants]


@pytest.mark.parametrize("left", [True, False], ids=["with a WAL", "the main file alone"])
def test_a_judge_reads_what_a_program_would(tmp_path, left):
    directory = tmp_path / "a directory? #1%41"
    directory.mkdir()
    writing = sqlite3.connect(directory / "live.db", isolation_level=None)
    writing.execute("PRAGMA journal_mode=WAL").fetchall()
    writing.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    writing.execute("PRAGMA wal_checkpoint").fetchall()
    writing.execute("INSERT INTO t VALUES(1001, 'x')")
    if not left:
        writing.close()
    for suffix in ("", "-wal"):
        if Path(f"{directory}/live.db{suffix}").exists():
            subprocess.run(["cp", f"{directory}/live.db{suffix}", f"{directory}/state.db{suffix}"], check=True)
    writing.close()
    database = directory / "state.db"
    history = History("", (step("a", 1, 2, (1001, "x")), step("a", 3, 4, (1002, "y"))), (), (), ENDED)
    order = Order(str(directory), str(database), "", 0, {})

    def judged():
        return [each.identity.invariant for each in judge(generic, GENERIC, order, None, Seen(history), {})]

    assert judged() == ["acked-row-lost"]
    assert "1002" in str(judge(generic, GENERIC, order, None, Seen(history), {})[0].message)
    database.write_bytes(database.read_bytes()[:4096] + bytes(4096))
    assert "quick-check" in " ".join(judged())
