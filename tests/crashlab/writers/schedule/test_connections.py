"""A shared connection under a schedule: nobody really waits for its mutex, and others run between its statements."""

import sqlite3
from contextlib import closing

import pytest

from crashlab.writers.schedule.connections import patched_connect
from crashlab.writers.schedule.decide import ENDLESS, Grant, Mark, Why
from crashlab.writers.schedule.turns import Turns

LIMIT_S = 20.0


@pytest.fixture(scope="module")
def turns():
    return Turns()


@pytest.fixture(scope="module", autouse=True)
def _patched(turns):
    with patched_connect(turns):
        yield


def run(turns, bodies, decide):
    def first():
        turns.begin(decide)
        bodies[0]()

    turns.start([first, *bodies[1:]], 10_000)
    assert turns.ended(LIMIT_S), "an actor really waited"
    assert not turns.errors, turns.errors
    return turns


@pytest.mark.parametrize("factory", [None, type("Own", (sqlite3.Connection,), {})])
def test_who_comes_while_somebody_is_inside_lets_others_run(turns, tmp_path, factory):
    options = {} if factory is None else {"factory": factory}
    with closing(
        sqlite3.connect(tmp_path / "x.db", check_same_thread=False, isolation_level=None, **options)
    ) as shared:
        assert factory is None or isinstance(shared, factory)
        said, asked = [], []
        shared.create_function("stopped_here", 0, lambda: turns.pass_point(Mark.STEP))

        def holder():
            shared.execute("SELECT stopped_here()").fetchone()
            said.append("holder")

        def comer():
            assert shared.execute("SELECT 1").fetchone() == (1,)
            said.append("comer")

        def decide(why, actor, call, _points, runnable):
            asked.append((why, actor, call))
            if why is Why.POINT and actor == 0 and call == Mark.STEP:
                return Grant(1, ENDLESS)  # the holder stands inside sqlite3_step
            return Grant(runnable[0], 1)

        run(turns, [holder, comer], decide)
        assert (Why.YIELD, 1, Mark.LOCK) in asked
        assert said == ["holder", "comer"]


def test_between_two_statements_of_one_transaction_another_actor_can_come(turns, tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db", check_same_thread=False)) as shared:
        shared.execute("CREATE TABLE t(who)")
        shared.commit()

        def booker():
            for half in ("debit", "credit"):
                shared.execute("INSERT INTO t VALUES(?)", (half,))
            shared.commit()

        def refuser():
            shared.rollback()

        def decide(_why, actor, _call, points, runnable):
            if actor == 0 and points == 1 and 1 in runnable:
                return Grant(1, ENDLESS)  # before the second INSERT
            return Grant(0 if 0 in runnable else 1, 1)

        run(turns, [booker, refuser], decide)
        assert shared.execute("SELECT who FROM t").fetchall() == [("credit",)]


def test_outside_a_schedule_and_for_one_thread_it_is_an_ordinary_connection(turns, tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db")) as own:
        assert type(own) is sqlite3.Connection
    with closing(sqlite3.connect(tmp_path / "x.db", 5.0, 0, None, False, sqlite3.Connection, 64)) as shared:
        with shared:
            shared.executescript("CREATE TABLE t(a); INSERT INTO t VALUES(1)")
            shared.executemany("INSERT INTO t VALUES(?)", [(2,), (3,)])
        cursor = shared.cursor()
        assert [row[0] for row in cursor.execute("SELECT a FROM t")] == [1, 2, 3]
        assert cursor.fetchone() is None
        shared.rollback()
