"""Sessions from start to end: windows, halts, what a crash leaves open, a clock that steps back."""

import logging

import pytest

from store import HaltReason, Holdings, StoreClosed, StoreValidation, halt_detail_of, halt_reason_of_signal
from store.schema import MIGRATIONS

SECOND = 10**9


def halt_of(store):
    return store.get_engine_state("halt.reason"), store.get_engine_state("halt.detail")


def test_a_session_without_a_parent_clears_the_halt_and_one_with_a_parent_keeps_it(books):
    first = books.start_session()
    assert books.get_engine_state("engine_status") == "RUNNING"
    detail = "xrp exposure limit (115.20 > 100.0)"
    assert books.close_session(first, "risk_xrp_exposure", detail)
    assert halt_of(books) == ("risk_xrp_exposure", detail)
    assert books.get_session(first).halt_reason == "risk_xrp_exposure"
    second = books.start_session(parent=first)
    assert halt_of(books) == ("risk_xrp_exposure", detail)
    assert books.get_session(second).halt_reason is None
    # The same reason again: the kept one must not be taken for this session's.
    books.record_halt(second, HaltReason.RISK_XRP_EXPOSURE, "again")
    assert books.get_session(second).halt_reason == "risk_xrp_exposure"
    assert halt_of(books) == ("risk_xrp_exposure", "again")
    books.close_session(second)
    books.start_session()
    assert halt_of(books) == (None, None)
    assert books.get_session(second).halt_reason == "risk_xrp_exposure"


def test_what_a_crash_left_open_is_closed_at_the_next_start(make, clock, logged):
    store = make(clock=clock)
    quiet, halting = store.start_session(), store.create_session()
    store.inject_capital("seed", "XRP", 10)
    clock.now += 5 * SECOND
    store.submit_order("o", session_id=quiet, side="sell", price=2, quantity=3)
    store.record_order_fill("f", order_id="o", session_id=quiet, price=2, quantity=1)
    last = clock.now
    store.record_halt(halting, "kill_switch", "by hand")
    store._connection.close()  # a crash, as far as the books can tell
    store._connection, store._closed = None, True

    clock.now += 3600 * SECOND
    again = make(clock=clock)
    assert [s.session_id for s in again.open_sessions()] == [quiet, halting]
    again.inject_capital("after the crash", "XRP", 1)
    new = again.start_session(parent=halting)
    ended = again.get_session(quiet)
    assert (ended.ended_at, ended.halt_reason) == (last, "unexpected_halt")
    assert (ended.ending_xrp_drops, ended.ending_rlusd_micros) == (9_000_000, 2_000_000)
    assert again.get_session(halting).halt_reason == "kill_switch"
    assert [s.session_id for s in again.open_sessions()] == [new]
    assert again.session_holdings(new).opening == again.holdings() == Holdings(10_000_000, 2_000_000)
    assert len(logged("session", logging.WARNING)) == 2
    assert again.reconcile_sessions() == [new]
    assert again.reconcile_sessions() == []


def test_capital_counts_in_the_session_of_its_time_only(books, clock):
    """On a clock that stands still: nothing is counted twice or falls between two windows."""
    books.inject_capital("before", "XRP", 1)
    first = books.create_session()
    books.inject_capital("in first", "XRP", 10)
    books.close_session(first)
    books.inject_capital("between", "XRP", 100)
    second = books.create_session()
    books.inject_capital("in second", "XRP", 1000)
    books.close_session(second)
    books.inject_capital("after", "XRP", 10000)
    parts = [(p.opening.xrp_drops, p.overlay.xrp_drops) for p in map(books.session_holdings, (first, second))]
    assert parts == [(10**6, 10 * 10**6), (111 * 10**6, 1000 * 10**6)]
    assert books.get_session(second).ending_xrp_drops == 1111 * 10**6


def test_a_clock_that_steps_back_is_refused_and_nothing_is_written(make, books, clock, dump):
    session = books.start_session()
    books.submit_order("o", session_id=session, side="buy", price=1, quantity=1)
    clock.now -= SECOND // 2  # a correction of the time service
    books.accept_order("o", 7)
    before = dump(books)
    clock.now -= SECOND
    for act in (
        books.create_session,
        books.start_session,
        lambda: books.close_session(session, "duration_elapsed"),
        lambda: books.inject_capital("k", "XRP", 1),
        lambda: books.submit_order("o2", session_id=session, side="buy", price=1, quantity=1),
        lambda: books.record_order_fill("f", order_id="o", session_id=session, price=1, quantity=1),
        lambda: books.record_market_snapshot(session, 1, best_bid=1, best_ask=2),
        lambda: books.write_valuation_snapshot("v", session_id=session),
        lambda: books.cancel_order("o", "r"),
    ):
        with pytest.raises(StoreValidation, match=r"the clock runs backwards: .* set the clock right"):
            act()
    assert dump(books) == before
    other = make(clock=clock)  # another process has seen no later time, but the books have
    with pytest.raises(StoreValidation, match="backwards"):
        other.submit_order("o2", session_id=session, side="buy", price=1, quantity=1)
    clock.now += 2 * SECOND
    assert books.close_session(session)


def test_unknown_words_and_sessions_are_refused(books, dump):
    session = books.create_session()
    closed = books.create_session()
    books.close_session(closed, "duration_elapsed")
    before = dump(books)
    for act, match in (
        (lambda: books.record_halt(session, "risk_xrp"), "did you mean 'risk_xrp_exposure'"),
        (lambda: books.record_halt(session, None), "unknown halt reason None; known: duration_elapsed"),
        (lambda: books.record_halt(9, "kill_switch"), "no session 9 to halt"),
        (lambda: books.record_halt(closed, "kill_switch"), "closed with halt reason duration_elapsed"),
        (lambda: books.record_halt(session, "kill_switch", "a\0"), "NUL"),
        (lambda: books.record_halt(session, "kill_switch", "\ud800"), "lone surrogate"),
        (lambda: books.record_halt(session, "kill_switch", "x" * 2001), "at most 2000"),
        (lambda: books.close_session(session, "done"), "unknown halt reason 'done'"),
        (lambda: books.close_session(9), "no session 9 to close"),
        (lambda: books.session_holdings(9), "no session 9"),
        (lambda: books.session_summary(9), "no session 9"),
        (lambda: books.start_session(parent=9), "no session 9 to be the parent"),
    ):
        with pytest.raises(StoreValidation, match=match):
            act()
    assert dump(books) == before
    books.record_halt(closed, "duration_elapsed", "a repetition")
    assert not books.close_session(closed, "kill_switch")
    assert dump(books) == before


def test_after_close_everything_says_so(books):
    session = books.start_session()
    books.close()
    for act in (
        books.start_session,
        books.reconcile_sessions,
        books.live_orders,
        books.holdings,
        lambda: books.record_halt(session, "kill_switch"),
        lambda: books.submit_order("o", session_id=session, side="buy", price=1, quantity=1),
        lambda: books.record_order_fill("f", order_id="o", session_id=session, price=1, quantity=1),
        lambda: books.inject_capital("k", "XRP", 1),
        lambda: books.session_summary(session),
        lambda: books.shutdown(session, "kill_switch", engine_total=Holdings(), cancel=print),
    ):
        with pytest.raises(StoreClosed, match="is closed"):
            act()


def test_signals_and_exceptions_become_reasons_and_details(books):
    import signal

    assert halt_reason_of_signal(signal.SIGINT) is HaltReason.INTERRUPTED_SIGINT
    assert halt_reason_of_signal(signal.SIGTERM) is HaltReason.INTERRUPTED_SIGTERM
    with pytest.raises(StoreValidation, match="none of SIGINT, SIGTERM, SIGBREAK"):
        halt_reason_of_signal(signal.SIGSEGV)
    session = books.start_session()
    books.record_halt(session, "unexpected_halt", halt_detail_of(ValueError("a\0\ud800" + "x" * 5000)))
    detail = books.get_engine_state("halt.detail")
    assert detail.startswith("ValueError: a\\0\\ud800xx")
    assert len(detail) == 2000


def test_a_database_of_the_first_version_gets_its_books(make, clock):
    class First(make(":memory:").__class__):
        migrations = MIGRATIONS[:1]

    old = make(cls=First, clock=clock)
    old._write("INSERT INTO sessions (started_at) VALUES (?)", (clock.now,))
    old.record_fill("f", session_id=1, side="buy", price="1.10", quantity=2)
    old.close()
    new = make(clock=clock)
    assert str(new.get_fill("f").price) == "1.10"
    assert new.holdings() == Holdings()  # fills without orders are not part of the books
    assert new.start_session() == 2
    assert new.get_session(1).halt_reason == "unexpected_halt"
    assert new.get_session(2).started_at > new.get_session(1).started_at == clock.now
