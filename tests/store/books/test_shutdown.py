"""Shutdown in the one right order; cut short anywhere, it can be run again; nothing fails silently."""

import json
import logging
import sqlite3

import pytest

from store import Holdings, StateManager, StoreError, StoreValidation
from store.books.summary import DRIFT_KEY

ENGINE_TOTAL = Holdings(4_000_000, 998_000_000)


def prepare(store) -> int:
    session = store.start_session()
    store.inject_capital("seed", "RLUSD", 1000)
    for order_id in ("o1", "o2"):
        store.submit_order(order_id, session_id=session, side="buy", price="0.5", quantity="10")
        store.accept_order(order_id, len(order_id))
    store.record_order_fill("f1", order_id="o1", session_id=session, price="0.5", quantity="4")
    store.record_market_snapshot(session, 1, best_bid="0.49", best_ask="0.51", our_bid="0.49", our_ask="0.52")
    return session


def end(store, session, cancel=lambda order: None, engine_total=ENGINE_TOTAL, **options):
    store.shutdown(session, "duration_elapsed", "60 s", engine_total=engine_total, cancel=cancel, **options)


def outcome(make, clock, session):
    store = make(clock=clock)
    made = store.get_session(session)
    value = store.get_valuation(f"shutdown-{session}")
    return {
        "reasons": (made.halt_reason, store.get_engine_state("halt.reason"), store.get_engine_state("halt.detail")),
        "ended": made.ended_at is not None,
        "ending": (made.ending_xrp_drops, made.ending_rlusd_micros),
        "live": [order.order_id for order in store.live_orders()],
        "canceled": [order.failure_reason for order in store.orders(session)],
        "value": value and (value.value_micros, str(value.mid)),
        "status": store.get_engine_state("engine_status"),
        "drift": store.get_engine_state(DRIFT_KEY),
    }


WELL = {
    "reasons": ("duration_elapsed", "duration_elapsed", "60 s"),
    "ended": True,
    "ending": ENGINE_TOTAL,
    "live": [],
    "canceled": ["shutdown: duration_elapsed"] * 2,
    "value": (1_000_000_000, "0.50"),
    "status": "HALTED",
    "drift": None,
}


def test_the_steps_come_in_order_and_the_books_say_so(make, clock, logged):
    class Traced(StateManager):
        trace: list[str] = []  # noqa: RUF012

        def _write(self, sql, parameters=()):
            if "engine_state" in sql:
                sql += f" /* {parameters[0]} */"
            self.trace.append(sql)
            return super()._write(sql, parameters)

        def close(self):
            self.trace.append("close()")
            super().close()

    store = make(cls=Traced, clock=clock)
    session = prepare(store)
    taken_off: list[str] = []
    Traced.trace.clear()
    end(store, session, cancel=lambda order: taken_off.append(order.order_id))
    assert taken_off == ["o1", "o2"]
    wanted = ["halt.reason", "CANCELED", "valuation_snapshots", "ended_at = ", "engine_status", "close()"]
    Traced.trace = [line.replace("UPDATE orders SET status = ?", "CANCELED") for line in Traced.trace]
    places = [next(n for n, line in enumerate(Traced.trace) if word in line) for word in wanted]
    assert places == sorted(places)
    assert outcome(make, clock, session) == WELL
    (summary,) = logged("session 1: open, halt reason duration_elapsed", logging.INFO)
    lines = summary.getMessage().splitlines()
    assert lines[1:] == [
        "XRP: opening 0.000000, fills-only 4.000000, overlay 0.000000, total 4.000000",
        "RLUSD: opening 0.000000, fills-only -2.000000, overlay 1000.000000, total 998.000000",
        "orders: 2 CANCELED; fills: 1",
        "distance to touch, bid: n 1, mean 0.00 bps, median 0.00 bps, within 2 bps 100.0%; 0-2: 1, 2-5: 0, 5-10: 0, "
        "10+: 0",
        "distance to touch, ask: n 1, mean -200.00 bps, median -200.00 bps, within 2 bps 0.0%; 0-2: 0, 2-5: 0, "
        "5-10: 0, 10+: 1",
    ]
    assert not logged("", logging.ERROR)


class Killed(BaseException):
    """Nothing in the store may catch this: it stands for a kill."""


@pytest.mark.parametrize("last", range(14))
def test_cut_short_at_any_write_it_can_be_run_again(make, clock, last):
    class Mortal(StateManager):
        left = -1

        def _write(self, sql, parameters=()):
            self.left -= 1
            if self.left == -1:
                raise Killed
            return super()._write(sql, parameters)

    store = make(cls=Mortal, clock=clock)
    session = prepare(store)
    store.left = last
    try:
        end(store, session)
    except Killed:
        again = make(clock=clock)
        # The invariant at every moment: a closed session says why it ended.
        made = again.get_session(session)
        assert made.ended_at is None or made.halt_reason == "duration_elapsed"
        end(again, session, mid="0.50")
    else:
        assert last == 13, "fewer writes than this test believes"
    assert outcome(make, clock, session) == WELL


def test_a_step_that_fails_is_told_and_stops_none_of_the_others(make, clock, logged):
    store = make(clock=clock)
    session = prepare(store)

    def cancel(order):
        if order.order_id == "o1":
            raise ConnectionError("gateway gone")

    with pytest.raises(ConnectionError, match="gateway gone"):
        end(store, session, cancel)
    assert not store.is_open
    assert outcome(make, clock, session) == WELL | {
        "live": ["o1"],
        "canceled": [None, "shutdown: duration_elapsed"],
    }
    assert [record.getMessage() for record in logged("", logging.ERROR)] == [
        "order o1 cannot be cancelled and stays live",
        f"shutdown of session {session}: cancelling live orders failed; going on",
    ]


def test_a_halt_that_could_not_be_recorded_at_first_is_recorded_with_the_close(make, clock):
    class FullForAMoment(StateManager):
        def record_halt(self, session_id, reason, detail=""):
            raise sqlite3.OperationalError("database or disk is full")

    store = make(cls=FullForAMoment, clock=clock)
    session = prepare(store)
    with pytest.raises(sqlite3.OperationalError):
        end(store, session)
    assert outcome(make, clock, session) == WELL


@pytest.mark.parametrize(
    ("engine", "drifts"),
    [
        (ENGINE_TOTAL, False),
        (Holdings(4_039_999, 998_000_000), False),
        (Holdings(4_040_000, 998_000_000), True),  # 1 % is not below 1 %
        (Holdings(4_000_000, 988_019_999), True),
        (Holdings(4_000_000, -2_000_000), True),  # the overlay forgotten
    ],
)
def test_drift_is_an_error_and_a_key(make, clock, logged, engine, drifts):
    store = make(clock=clock)
    session = prepare(store)
    store.set_engine_state(DRIFT_KEY, "of an earlier session")
    end(store, session, engine_total=engine)
    found = outcome(make, clock, session)["drift"]
    assert bool(logged("inventory drift in session 1", logging.ERROR)) is drifts
    assert (json.loads(found) if found else None) == (
        {
            "session": 1,
            "XRP": {"summary": 4_000_000, "engine": engine.xrp_drops},
            "RLUSD": {"summary": 998_000_000, "engine": engine.rlusd_micros},
        }
        if drifts
        else None
    )


def test_nothing_held_and_nothing_counted_is_no_drift(books):
    session = books.start_session()
    assert books.check_inventory_drift(session, Holdings())
    assert not books.check_inventory_drift(session, Holdings(1, 0))


def test_bad_arguments_are_refused_before_anything_is_done(books, dump):
    session = prepare(books)

    async def asynchronous(order):
        raise AssertionError

    good = {"reason": "kill_switch", "engine_total": Holdings(), "cancel": print}
    before = dump(books)
    for changes, match in (
        ({"reason": "killed"}, "unknown halt reason 'killed'"),
        ({"detail": "\0"}, "NUL"),
        ({"engine_total": (0, 0)}, "must be Holdings"),
        ({"engine_total": Holdings(0.5, 0)}, "engine_total.xrp_drops must be an integer"),
        ({"mid": "-1"}, "mid must be a plain decimal"),
        ({"cancel": asynchronous}, "cancel must be synchronous"),
        ({"cancel": None}, "cancel must be callable"),
        ({"session_id": 9}, "no session 9 to shut down"),
    ):
        with pytest.raises(StoreValidation, match=match):
            books.shutdown(**{"session_id": session, **good, **changes})
    with books.transaction(), pytest.raises(StoreError, match="inside a transaction"):
        books.shutdown(session, **good)
    assert dump(books) == before
    assert books.is_open
