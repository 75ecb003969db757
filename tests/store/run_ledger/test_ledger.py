"""The life of a run: who may change it, what is final, what memory may say."""

import sqlite3
import threading
from pathlib import Path

import pytest

from store import TERMINAL_STATUSES, RunCapReached, RunLedger, StoreClosed, StoreError, StoreValidation


def start(ledger, run_id="r", *, running=True, agent="a", steps=3):
    ledger.start_run(run_id, agent=agent, protocol="p")
    if running:
        assert ledger.mark_running(run_id, total_steps=steps)
    return run_id


def status(ledger, run_id="r"):
    return ledger.get_run(run_id).status


def test_from_loading_to_completed_with_its_steps_after_a_restart(ledger, make, clock):
    run = ledger.start_run("r", agent="a", protocol="p")
    assert (run.status, run.owner_instance, run.total_steps) == ("loading", "one", None)
    assert ledger.mark_running("r", total_steps=3)
    clock.seconds += 1.5
    assert ledger.advance("r", 2)
    assert ledger.get_run("r").heartbeat_at - run.heartbeat_at == 1_500_000_000
    assert ledger.complete_run("r", finalise=lambda: {"score": 0.5, "who": ["ä"]})
    ledger.close()
    again = make(cls=RunLedger, clock=clock)
    run = again.get_run("r")
    assert (run.status, run.step_index, run.total_steps, run.result) == (
        "completed",
        2,
        3,
        {"score": 0.5, "who": ["ä"]},
    )
    assert again.runs(status="completed") == [run]
    assert again.active_runs() == []


def test_every_operation_of_the_owner_can_be_repeated(ledger):
    for _ in range(2):
        assert ledger.start_run("r", agent="a", protocol="p").status == "loading"
    for _ in range(2):
        assert ledger.mark_running("r", total_steps=2)
    for _ in range(2):
        assert ledger.advance("r", 1)
    for _ in range(2):
        assert ledger.complete_run("r")
    start(ledger, "f")
    for _ in range(2):
        assert ledger.fail_run("f", "broken")
    start(ledger, "c")
    for _ in range(2):
        assert ledger.cancel_run("c")
    assert ledger.get_run("f").detail == "broken"
    assert ledger.start_run("r", agent="a", protocol="p").status == "completed"
    assert ledger.count_active() == 0
    assert ledger.owned == frozenset()


@pytest.mark.parametrize("end", ["completed", "failed", "closed", "stale"])
def test_a_run_that_has_ended_never_changes(ledger, other, clock, end):
    start(ledger)
    if end == "completed":
        ledger.complete_run("r")
    elif end == "failed":
        ledger.fail_run("r", "why")
    elif end == "closed":
        other.cancel_run("r", "why")
    else:
        clock.seconds += 301
        assert other.fail_stale_runs() == ["r"]
    before = other.get_run("r")
    assert before.status in TERMINAL_STATUSES
    clock.seconds += 1000
    for one in (ledger, other):
        one.heartbeat("r")
        one.mark_running("r")
        one.advance("r", 3)
        one.complete_run("r")
        one.fail_run("r", "later")
        one.cancel_run("r", "later")
        one.adopt_run("r")
        one.fail_stale_runs()
        one.start_run("r", agent="a", protocol="p")
    assert [one._find("r") for one in (ledger, other)] == [before, before]
    assert ledger.owned == other.owned == frozenset()


def test_a_late_cancel_is_a_no_op_and_says_so(ledger, other):
    start(ledger)
    ledger.complete_run("r")
    assert other.cancel_run("r") is False
    assert status(other) == "completed"


def test_a_cancel_is_not_undone_by_a_loader_that_finishes_later(ledger, other):
    start(ledger, running=False)
    assert other.cancel_run("r", "changed my mind")
    assert ledger.mark_running("r", total_steps=5) is False
    assert ledger.heartbeat("r") is False
    run = other.get_run("r")
    assert (run.status, run.detail, run.total_steps) == ("closed", "changed my mind", None)


@pytest.mark.parametrize("by", ["same ledger", "another"])
def test_a_cancel_does_not_wait_for_a_long_finalise(ledger, other, by):
    start(ledger)
    inside, go_on, outcome = threading.Event(), threading.Event(), []

    def finalise():
        inside.set()
        assert go_on.wait(20)
        return {"too": "late"}

    thread = threading.Thread(target=lambda: outcome.append(ledger.complete_run("r", finalise=finalise)))
    thread.start()
    assert inside.wait(10)
    assert (ledger if by == "same ledger" else other).cancel_run("r")  # while the finalise is still running
    assert not go_on.is_set()
    go_on.set()
    thread.join(10)
    assert outcome == [False]
    run = other.get_run("r")
    assert (run.status, run.result) == ("closed", None)


def test_an_error_in_finalise_leaves_the_run_running(ledger):
    start(ledger)
    with pytest.raises(ZeroDivisionError):
        ledger.complete_run("r", finalise=lambda: {"x": 1 / 0})
    with pytest.raises(StoreValidation, match="finite"):
        ledger.complete_run("r", finalise=lambda: {"x": float("nan")})
    assert status(ledger) == "running"
    assert ledger.complete_run("r")


def test_the_reaper_fails_only_what_nobody_heartbeats(ledger, other, clock):
    start(ledger, "live")
    start(ledger, "dead")
    clock.seconds += 299.9
    ledger.heartbeat("live")
    assert other.fail_stale_runs() == []
    clock.seconds += 0.2  # nothing but nanoseconds tell the two apart
    assert other.fail_stale_runs(300) == ["dead"]
    assert other.get_run("dead").detail == "no heartbeat for 300 s"
    assert other.fail_stale_runs(300) == []
    clock.seconds -= 10_000  # the clock goes backwards: a heartbeat in the future is no dead owner
    assert other.fail_stale_runs() == []
    assert ledger.heartbeat("live")
    clock.seconds += 1
    assert other.fail_stale_runs(1e300) == []
    assert other.fail_stale_runs(0.5) == ["live"]


def test_an_end_is_never_before_its_start(ledger, clock):
    run = ledger.start_run("r", agent="a", protocol="p")
    clock.seconds -= 60
    ledger.cancel_run("r")
    assert ledger.get_run("r").ended_at == run.created_at


def test_an_adopted_run_is_fenced_off_from_its_old_owner(ledger, other, clock):
    start(ledger)
    ledger.advance("r", 1)
    assert other.adopt_run("r") is False  # it is alive
    clock.seconds += 301
    assert other.adopt_run("r")
    before = other.get_run("r")
    assert (before.owner_instance, before.status, before.step_index) == ("two", "running", 1)
    assert not ledger.heartbeat("r")
    assert not ledger.advance("r", 3)
    assert not ledger.complete_run("r", finalise=lambda: pytest.fail("not the owner any more"))
    assert not ledger.fail_run("r", "mine")
    assert other.get_run("r") == before
    assert other.advance("r", 2)
    assert other.complete_run("r")


def test_a_restart_under_the_same_name_fences_off_the_earlier_one(ledger, make, clock):
    start(ledger)
    again = make(cls=RunLedger, clock=clock, instance="one")
    assert again.heartbeat("r") is False  # not without asking for it
    assert again.start_run("r", agent="a", protocol="p").status == "running"
    assert not ledger.advance("r", 1)
    assert again.advance("r", 1)


def test_a_start_fails_what_is_left_only_where_nobody_else_runs(ledger, make, clock, path):
    start(ledger)
    with make(cls=RunLedger, clock=clock, instance="two") as sibling:
        assert status(sibling) == "running"
    ledger.close()
    with make(cls=RunLedger, clock=clock, single_process=True) as alone:
        assert (status(alone), alone.get_run("r").detail) == ("failed", "left by an earlier process")


def test_the_cap_counts_active_runs_of_one_agent(make):
    ledger = make(cls=RunLedger, max_active_per_agent=2)
    start(ledger, "1")
    start(ledger, "2", running=False)
    start(ledger, "x", agent="b")
    with pytest.raises(RunCapReached, match=r"'a' has 2 active runs and may have 2"):
        start(ledger, "3")
    assert ledger.get_run("3") is None
    assert ledger.start_run("2", agent="a", protocol="p").status == "loading"  # a repetition takes no place
    assert (ledger.count_active("a"), ledger.count_active()) == (2, 3)
    ledger.complete_run("1")
    start(ledger, "3")


def test_counting_changes_nothing(ledger, other, clock, path, query):
    start(ledger)
    clock.seconds += 10_000
    before = query(path, "SELECT * FROM protocol_runs")
    assert other.count_active("a") == other.count_active() == len(other.active_runs()) == 1
    assert query(path, "SELECT * FROM protocol_runs") == before


def test_memory_says_ended_only_after_the_commit(make, clock):
    class Failing(sqlite3.Connection):
        failing = False

        def cursor(self, factory=sqlite3.Cursor):
            return super().cursor(factory)

        def execute(self, sql, *args):
            if self.failing and sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *args)

    ledger = make(
        cls=RunLedger, clock=clock, connect=lambda *args, **options: sqlite3.connect(*args, factory=Failing, **options)
    )
    start(ledger)
    Failing.failing = True
    for end in (lambda: ledger.complete_run("r"), lambda: ledger.cancel_run("r"), lambda: ledger.fail_run("r", "x")):
        with pytest.raises(sqlite3.OperationalError):
            end()
        assert (status(ledger), ledger.owned) == ("running", {"r"})
    Failing.failing = False
    assert ledger.complete_run("r")
    assert (status(ledger), ledger.owned) == ("completed", frozenset())


def test_memory_is_bounded_by_active_runs(ledger, other):
    for i in range(RunLedger.ARCHIVE_MAX + 10):
        start(ledger, str(i))
        other.cancel_run(str(i))  # this owner never asks about it again
        assert len(ledger.owned) == 1
    assert len(other._archived) == RunLedger.ARCHIVE_MAX
    assert status(other, "0") == "closed"  # from the file


def test_agent_runs_keep_their_metadata(ledger, other):
    start(ledger)
    assert ledger.record_agent_run("x", run_id="r", agent="a", metadata={"n": 2**53 + 1, "text": "ü", "none": None})
    assert other.record_agent_run("x", run_id="r", agent="a", metadata={"n": 1})
    assert ledger.record_agent_run("w", run_id="r", agent="b", metadata={})
    assert [(run.agent_run_id, run.metadata) for run in ledger.agent_runs("r")] == [("w", {}), ("x", {"n": 1})]
    ledger.complete_run("r")
    assert ledger.record_agent_run("x", run_id="r", agent="a", metadata={"n": 1})
    assert not ledger.record_agent_run("x", run_id="r", agent="a", metadata={"n": 2})
    assert not ledger.record_agent_run("y", run_id="r", agent="a", metadata={})
    assert ledger.get_agent_run("x").metadata == {"n": 1}


def test_operations_are_transactions_of_their_own(ledger):
    start(ledger)
    for operation in (lambda: ledger.heartbeat("r"), lambda: ledger.start_run("s", agent="a", protocol="p")):
        with pytest.raises(StoreError, match="transaction of its own"), ledger.transaction():
            operation()


def test_closing_twice_and_use_after_close(ledger, logged):
    start(ledger)
    ledger.close()
    ledger.close()
    assert len(logged("close() while 1 runs are active")) == 1
    for use in (
        lambda: ledger.get_run("r"),
        lambda: ledger.heartbeat("r"),
        lambda: ledger.cancel_run("r"),
        lambda: ledger.complete_run("r"),
        ledger.fail_stale_runs,
        ledger.count_active,
        ledger.initialize_database,
    ):
        with pytest.raises(StoreClosed):
            use()


NESTED: list[object] = []
NESTED.append(NESTED)
REFUSED = {
    "blank run": lambda it: it.start_run(" ", agent="a", protocol="p"),
    "NUL in a run": lambda it: it.start_run("a\0", agent="a", protocol="p"),
    "surrogate in an agent": lambda it: it.start_run("s", agent="\ud800", protocol="p"),
    "protocol that is no text": lambda it: it.start_run("s", agent="a", protocol=None),
    "no steps at all": lambda it: it.start_run("s", agent="a", protocol="p", total_steps=0),
    "run of another agent": lambda it: it.start_run("r", agent="b", protocol="p"),
    "run of another protocol": lambda it: it.start_run("r", agent="a", protocol="q"),
    "other number of steps": lambda it: it.mark_running("r", total_steps=4),
    "unknown run, running": lambda it: it.mark_running("s"),
    "unknown run, heartbeat": lambda it: it.heartbeat("s"),
    "unknown run, advance": lambda it: it.advance("s", 1),
    "unknown run, complete": lambda it: it.complete_run("s"),
    "unknown run, fail": lambda it: it.fail_run("s", "x"),
    "unknown run, cancel": lambda it: it.cancel_run("s"),
    "unknown run, adopt": lambda it: it.adopt_run("s"),
    "unknown run, agent run": lambda it: it.record_agent_run("x", run_id="s", agent="a", metadata={}),
    "step backwards": lambda it: it.advance("r", 0),
    "step beyond the last": lambda it: it.advance("r", 4),
    "step as text": lambda it: it.advance("r", "2"),
    "reason with NUL": lambda it: it.fail_run("r", "\0"),
    "reason with a surrogate": lambda it: it.cancel_run("r", "\udc00"),
    "unknown status": lambda it: it.runs(status="complete"),
    "limit of zero": lambda it: it.runs(limit=0),
    "no patience": lambda it: it.fail_stale_runs(0),
    "negative patience": lambda it: it.adopt_run("r", older_than_s=-1),
    "patience that is no number": lambda it: it.fail_stale_runs(float("nan")),
    "metadata that is no mapping": lambda it: it.record_agent_run("x", run_id="r", agent="a", metadata=[1]),
    "metadata with infinity": lambda it: it.record_agent_run("x", run_id="r", agent="a", metadata={"x": float("inf")}),
    "metadata with NUL": lambda it: it.record_agent_run("x", run_id="r", agent="a", metadata={"x": ["\0"]}),
    "metadata with a number as key": lambda it: it.record_agent_run("x", run_id="r", agent="a", metadata={1: 2}),
    "metadata within itself": lambda it: it.record_agent_run("x", run_id="r", agent="a", metadata={"x": NESTED}),
    "metadata with a set": lambda it: it.record_agent_run("x", run_id="r", agent="a", metadata={"x": {1}}),
    "agent run of another run": lambda it: it.record_agent_run("y", run_id="r", agent="b", metadata={}),
    "instance": lambda it: RunLedger(it.path, instance=""),
    "cap of zero": lambda it: RunLedger(it.path, max_active_per_agent=0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_and_nothing_is_written(ledger, path, query, what):
    start(ledger)
    ledger.advance("r", 1)
    ledger.record_agent_run("y", run_id="r", agent="a", metadata={})
    tables = "SELECT * FROM protocol_runs", "SELECT * FROM agent_runs"
    before = [query(path, sql) for sql in tables]
    with pytest.raises(StoreValidation):
        REFUSED[what](ledger)
    assert [query(path, sql) for sql in tables] == before
    assert ledger.advance("r", 2)


def test_a_loading_run_has_no_steps_and_cannot_complete(ledger):
    start(ledger, running=False)
    for early in (lambda: ledger.advance("r", 1), lambda: ledger.complete_run("r")):
        with pytest.raises(StoreValidation, match="still loading"):
            early()
    assert ledger.fail_run("r", "could not load")


def test_library_code_never_exits_the_interpreter():
    found = [
        path.name
        for path in Path(RunLedger.__module__.replace(".", "/")).parent.parent.rglob("*.py")
        if "SystemExit" in path.read_text() or "sys.exit" in path.read_text()
    ]
    assert not found
