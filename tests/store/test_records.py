"""Sessions, engine state, metrics and fills: what is written is what is read, and bad values are refused."""

import sqlite3
from decimal import Decimal

import pytest

from store import StateManager, StoreError, StoreValidation

SURROGATE = "a\ud800"
BAD_NAMES = ["", " ", "\t\n", "a\0b", SURROGATE, "x" * 201, None, 7, b"m", True]
START = 1_700_000_000 * 10**9


def test_sessions_open_close_and_have_parents(store):
    first = store.create_session()
    assert [s.session_id for s in store.open_sessions()] == [first]
    assert store.close_session(first)
    ended = store.get_session(first).ended_at
    assert not store.close_session(first)
    assert store.get_session(first).ended_at == ended > store.get_session(first).started_at > START
    second = store.create_session(parent=first)
    assert store.get_session(second)[:2] == (second, first)
    assert [s.session_id for s in store.sessions()] == [first, second]
    assert store.get_session(99) is None


def test_session_numbers_are_checked(store):
    with pytest.raises(StoreValidation, match="no session 7 to be the parent"):
        store.create_session(parent=7)
    with pytest.raises(StoreValidation, match="no session 7 to close"):
        store.close_session(7)
    for number in (0, -1, "1", 1.0, True, 2**63):
        for use in (store.create_session, store.close_session, store.get_session):
            with pytest.raises(StoreValidation, match="must be"):
                use(number)


def test_engine_state_is_an_upsert(store):
    assert store.get_engine_state("k") is None
    assert store.get_engine_state("k", "d") == "d"
    store.set_engine_state("k", "1")
    store.set_engine_state("k", "zwei ✓")
    store.set_engine_state("empty", "")
    assert store.engine_states() == {"empty": "", "k": "zwei ✓"}
    assert store.delete_engine_state("k")
    assert not store.delete_engine_state("k")


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_bad_keys_and_names_are_refused_everywhere(store, bad):
    session = store.create_session()
    uses = [
        lambda: store.get_engine_state(bad),
        lambda: store.set_engine_state(bad, "v"),
        lambda: store.delete_engine_state(bad),
        lambda: store.record_system_metric(bad, 1),
        lambda: store.record_fill(bad, session_id=session, side="buy", price=1, quantity=1),
        lambda: store.get_fill(bad),
    ]
    if bad is not None:
        uses += [lambda: store.record_system_metric("m", 1, key=bad), lambda: store.system_metrics(bad)]
    for use in uses:
        with pytest.raises(StoreValidation):
            use()
    assert (store.count_system_metrics(), store.count_fills(), store.engine_states()) == (0, 0, {})


@pytest.mark.parametrize("bad", ["a\0", SURROGATE, None, 1, b"", "x" * 1_000_001])
def test_bad_values_of_engine_state_are_refused(store, bad):
    with pytest.raises(StoreValidation, match="value"):
        store.set_engine_state("k", bad)


def test_metrics_come_back_exactly(store):
    session = store.create_session()
    values = [0, -1, 1.5, -0.0, 2**53 + 1, 2**63 - 1, -(2**63), 5e-324, 1.7976931348623157e308]
    ids = [store.record_system_metric("m", v, session_id=session, ts=i) for i, v in enumerate(values)]
    read = store.system_metrics("m")
    assert [(m.metric_id, m.value, type(m.value), m.ts) for m in read] == [
        (row, v, type(v), i) for i, (row, v) in enumerate(zip(ids, values, strict=True))
    ]
    assert store.system_metrics("m", after=ids[2], limit=2) == read[3:5]
    assert store.system_metrics("other") == []
    assert store.count_system_metrics() == len(values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), True, None, "1", 2**63, Decimal(1), 1j])
def test_values_that_are_no_finite_number_are_refused(store, bad):
    with pytest.raises(StoreValidation, match="value"):
        store.record_system_metric("m", bad)
    assert store.count_system_metrics() == 0


def test_a_key_counts_once_and_default_time_is_the_clocks(store):
    row = store.record_system_metric("m", 1, key="k")
    assert store.record_system_metric("m", 1) != row
    with pytest.raises(StoreValidation, match="key 'k' is already recorded"):
        store.record_system_metric("m", 2, key="k")
    with pytest.raises(StoreValidation, match="no session 5"):
        store.record_system_metric("m", 2, session_id=5)
    first, second = store.system_metrics()
    assert second.ts - first.ts == 10**9
    assert (first.key, first.metric_id) == ("k", row)


def test_fills_keep_their_digits(store):
    session = store.create_session()
    row = store.record_fill("f1", session_id=session, side="buy", price="1.10", quantity=Decimal("0.000001"), ts=5)
    store.record_fill("f2", session_id=session, side="sell", price=Decimal("1E+3"), quantity=7)
    fill = store.get_fill("f1")
    assert fill == (row, "f1", session, "buy", Decimal("1.10"), Decimal("0.000001"), 5)
    assert (str(fill.price), str(fill.quantity)) == ("1.10", "0.000001")
    assert [str(f.price) for f in store.fills()] == ["1.10", "1000"]
    assert store._read("SELECT typeof(price), typeof(quantity), price FROM fills") == [
        ("text", "text", "1.10"),
        ("text", "text", "1000"),
    ]
    assert store.fills(session, after=row, limit=1)[0].fill_id == "f2"
    assert store.fills(store.create_session()) == []
    assert store.get_fill("none") is None


BAD_AMOUNTS = [
    1.5, True, None, 0, -1, "0", "0.00", "-1", "+1", "1e5", "1.", ".5", "01", " 1", "1 ", "1 1", "", "nan",
    "\u0661", "1\n", "1" * 31, "0." + "1" * 31, 10**30, Decimal("NaN"), Decimal("Infinity"),
    Decimal("1E+999999999"), Decimal("-1"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_AMOUNTS, ids=ascii)
def test_amounts_that_are_not_exact_and_positive_are_refused(store, bad):
    session = store.create_session()
    for price, quantity, what in ((bad, "1", "price"), ("1", bad, "quantity"), (bad, bad, "price")):
        with pytest.raises(StoreValidation, match=what):
            store.record_fill("f", session_id=session, side="buy", price=price, quantity=quantity)
    assert store.count_fills() == 0


def test_a_fill_is_recorded_once_under_a_known_session_and_side(store):
    session = store.create_session()
    good = {"session_id": session, "side": "buy", "price": 1, "quantity": 1}
    store.record_fill("f", **good)
    with pytest.raises(StoreValidation, match="'f' is already recorded"):
        store.record_fill("f", **good)
    with pytest.raises(StoreValidation, match="no session 9"):
        store.record_fill("g", **{**good, "session_id": 9})
    for changed in (
        {"side": "BUY"},
        {"side": None},
        {"session_id": "1"},
        {"ts": -1},
        {"ts": 1.5},
        {"ts": 2**63},
    ):
        with pytest.raises(StoreValidation):
            store.record_fill("g", **{**good, **changed})
    for limit in (0, -1, True, 1.5):
        with pytest.raises(StoreValidation, match="limit"):
            store.fills(limit=limit)
    assert store.count_fills() == 1


def test_errors_of_sqlite_are_passed_on_unchanged(store, path):
    other = sqlite3.connect(path, isolation_level=None)
    store._connection.execute("PRAGMA busy_timeout = 0")
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            store.record_system_metric("m", 1)
        assert not isinstance(caught.value, StoreError)
        other.execute("ROLLBACK")
    finally:
        other.close()
    store.record_system_metric("m", 1)


def test_messages_stay_short_and_printable_for_huge_values(path):
    with StateManager(":memory:") as store:
        for bad in ("\x1b[31m" * 50, 10**5000, "x" * 10**6 + "\0"):
            with pytest.raises(StoreValidation) as caught:
                store.record_system_metric("m", bad)
            message = str(caught.value)
            assert len(message) < 200
            assert message.isprintable()
