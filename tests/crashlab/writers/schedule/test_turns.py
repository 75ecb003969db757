"""Threads that take turns: who runs, who waits, and what ends a schedule that would not end by itself."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest

from crashlab.errors import LabError, UsageError
from crashlab.sqlite.tap import Operation, Tap
from crashlab.writers.schedule.decide import CALL_NAMES, CALLS, Grant, Mark, Why
from crashlab.writers.schedule.gate import PointGate
from crashlab.writers.schedule.locks import patched_threading
from crashlab.writers.schedule.support import first_runnable, require_turns
from crashlab.writers.schedule.turns import Turns

LIMIT_S = 20.0


@pytest.fixture(scope="module")
def turns():
    return Turns()


@pytest.fixture(autouse=True)
def _patched(turns):
    with patched_threading(turns), Tap(gate=PointGate(turns)):
        yield
    turns.strike = None


def run(turns, bodies, decide, points_max=10_000):
    def first():
        turns.begin(decide)
        bodies[0]()

    turns.start([first, *bodies[1:]], points_max)
    assert turns.ended(LIMIT_S), "an actor really waited"
    return turns


def alternating(_why, actor, _call, _points, runnable):
    """Another one after each point."""
    others = [number for number in runnable if number != actor]
    return Grant(others[0] if others else actor, 1)


def names(turns):
    return [f"{chr(97 + (byte >> 5))} {CALL_NAMES[byte & 31]}" for byte in turns.told[::2]]


def steps(turns, count, do=lambda: None):
    def body():
        for _ in range(count):
            turns.step_begins()
            do()
            turns.step_ends()

    return body


def test_one_runs_at_a_time_and_control_passes_where_decide_says(turns):
    run(turns, [steps(turns, 3), steps(turns, 3)], alternating)
    assert names(turns) == ["a step", "b step"] * 3
    assert sum(passed for _, passed, _ in turns.segments) == turns.points_told == 6


def test_the_calls_of_sqlite_are_points_and_the_same_answers_give_the_same_run(turns, tmp_path):
    def once(number):
        path = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(path)) as first:
            first.execute("PRAGMA journal_mode=WAL")
            first.execute("CREATE TABLE t(v)")
            first.commit()
        held = [sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False) for _ in range(2)]

        def insert(connection):
            def do():
                while True:
                    try:
                        connection.execute("INSERT INTO t VALUES(1)")
                        return
                    except sqlite3.OperationalError:
                        turns.wait(Mark.BUSY)

            return do

        run(turns, [steps(turns, 2, insert(connection)) for connection in held], alternating)
        for connection in held:
            connection.close()
        return turns.told, tuple(turns.segments), turns.points_told

    first, again = once(1), once(2)
    assert first == again
    assert len(first[1]) > 20
    assert any(byte & 31 == Mark.BUSY for byte in first[0][::2])


def test_a_lock_of_the_programs_that_a_paused_actor_holds_lets_others_run(turns):
    lock, entered = threading.RLock(), []

    def body(name):
        def do():
            with lock:
                entered.append(name)
                turns.step_begins()
                entered.append(name)

        return do

    run(turns, [body("a"), body("b")], alternating)
    assert entered in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
    assert not turns.errors


def test_a_condition_an_event_and_a_sleep_take_no_time(turns):
    event, said = threading.Event(), []

    def waits():
        said.append(event.wait(3600))
        time.sleep(3600)
        said.append(threading.Event().wait(3600))

    before = time.monotonic()
    run(turns, [waits, steps(turns, 1, event.set)], first_runnable)
    assert said == [True, False]
    assert time.monotonic() - before < LIMIT_S
    assert not turns.gave_up


def test_a_thread_that_the_program_starts_is_an_actor(turns):
    def starts():
        thread = threading.Thread(target=steps(turns, 3))
        thread.start()
        steps(turns, 3)()
        thread.join()

    run(turns, [starts], alternating)
    assert turns.adopted == 1
    assert [name for name in names(turns) if name.endswith("step")] == ["a step", "b step"] * 3


def test_actors_that_wait_for_one_another_are_a_deadlock_and_end(turns):
    locks = threading.Lock(), threading.Lock()

    def body(first, second):
        def do():
            with first:
                turns.step_begins()
                turns.step_begins()
                with second:
                    pass

        return do

    run(turns, [body(*locks), body(*locks[::-1])], alternating)
    assert turns.gave_up == "deadlock"
    assert sorted(turns.waiting.split(", ")) == ["a", "b"]
    assert not any(lock.locked() for lock in locks), "who waited was ended, and its `with` let go"


def test_who_is_busy_waits_until_somebody_has_completed_a_step(turns):
    asked = []

    def decide(why, actor, call, points, runnable):
        asked.append((why, actor, list(runnable)))
        return alternating(why, actor, call, points, runnable)

    def busy():
        turns.step_begins()
        turns.wait(Mark.BUSY)
        turns.step_ends()

    run(turns, [busy, steps(turns, 2)], decide)
    after = [runnable for why, _, runnable in asked[next(n for n, ask in enumerate(asked) if ask[0] is Why.YIELD) :]]
    assert after[0] == [1]
    assert [0, 1] in after


@pytest.mark.parametrize("program", ["calls", "sleeps"])
def test_a_program_without_end_is_given_up(turns, tmp_path, program):
    def endless():
        with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
            while True:
                connection.execute("PRAGMA user_version").fetchall() if program == "calls" else time.sleep(1)

    run(turns, [endless, steps(turns, 1)], first_runnable, points_max=200)
    assert turns.gave_up == "points"


def test_an_answer_that_is_wrong_ends_the_run_and_says_so(turns):
    run(turns, [steps(turns, 2), steps(turns, 2)], lambda *_: Grant(7, 1))
    assert isinstance(turns.broke, LabError)
    assert "actor 7 was chosen, and cannot run" in str(turns.broke)
    run(turns, [steps(turns, 2), steps(turns, 2)], lambda *_: Grant(0, 0))
    assert "grants of no points" in str(turns.broke)


def test_a_fault_strikes_before_the_call_and_its_answer_is_the_calls(turns, tmp_path):
    struck = []

    def strike(actor, fault, call):
        struck.append((actor, fault, CALL_NAMES[call]))
        return 778  # SQLITE_IOERR_WRITE

    def decide(why, _actor, call, _points, _runnable):
        if why is Why.POINT and call == CALLS[Operation.WRITE] and not struck:
            return Grant(0, 0, "io-error")
        return Grant(0, 1)

    def do():
        with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
            connection.execute("CREATE TABLE t(v)")

    run(turns, [do], decide)
    assert isinstance(turns.broke, UsageError), "without a `strike` no fault is known"
    turns.strike = strike
    run(turns, [do], decide)
    assert struck == [(0, "io-error", "write")]
    assert "OperationalError: disk I/O error" in turns.errors[0][1]
    assert [fault for _, _, fault in turns.segments] == ["io-error", ""]


def test_a_free_threaded_python_is_refused_by_name(monkeypatch):
    from crashlab.errors import TapUnavailableError

    monkeypatch.setattr("sys._is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(TapUnavailableError, match="free-threaded"):
        require_turns()
