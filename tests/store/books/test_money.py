"""Balances equal fills plus overlay, to the last unit; a fill and its ledger entries are one."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import Asset, Holdings, StateManager, StoreValidation
from store.books.units import decimal_text, to_units, value_of

PRICES = st.from_regex(r"(0|[1-9][0-9]{0,3})\.[0-9]{1,12}", fullmatch=True).filter(lambda text: text.strip("0."))
DROPS = st.integers(1, 10**14)


@given(drops=DROPS | DROPS.map(lambda n: -n), price=PRICES)
def test_worth_is_rounded_once_half_to_even(drops, price):
    assert value_of(drops, price) == round(Fraction(price) * drops)


@given(units=st.integers(1, 2**62 - 1))
def test_units_and_their_text_are_inverse(units):
    assert to_units(decimal_text(units), "x") == units
    assert decimal_text(-units) == "-" + decimal_text(units)


STEP = st.one_of(
    st.tuples(st.just("fill"), st.sampled_from(["buy", "sell"]), st.integers(1, 10**12), PRICES),
    st.tuples(st.just("capital"), st.sampled_from(list(Asset)), st.integers(-(10**9), 10**12).filter(bool)),
    st.tuples(st.just("session"), st.booleans()),
    st.tuples(st.just("time"), st.integers(0, 10**9)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_every_balance_is_what_a_plain_model_says(steps):
    """Over sessions, capital in and between them, and a clock that often stands still."""
    now = [1_000]
    with StateManager(":memory:", clock=lambda: now[0]) as store:
        held, opening, number = Holdings(), Holdings(), 0
        session = store.start_session()
        for step in steps:
            number += 1
            if step[0] == "fill":
                _, side, drops, price = step
                worth = round(Fraction(price) * drops)
                quantity = decimal_text(drops)
                store.submit_order(f"o{number}", session_id=session, side=side, price=price, quantity=quantity)
                store.record_order_fill(
                    f"f{number}", order_id=f"o{number}", session_id=session, price=price, quantity=quantity
                )
                held = held.plus(Holdings(drops, -worth) if side == "buy" else Holdings(-drops, worth))
            elif step[0] == "capital":
                _, asset, units = step
                if held.of(asset) + units < 0 and units < 0:
                    continue
                kind = "deposit" if units > 0 else "withdrawal"
                store.inject_capital(f"c{number}", asset, decimal_text(abs(units)), kind=kind)
                held = held.plus(Holdings(units, 0) if asset is Asset.XRP else Holdings(0, units))
            elif step[0] == "session":
                if step[1]:
                    store.close_session(session)
                    store.inject_capital(f"between{number}", "XRP", "0.000007")
                    ended = store.get_session(session)
                    assert Holdings(ended.ending_xrp_drops, ended.ending_rlusd_micros) == held
                    held = held.plus(Holdings(7, 0))
                session = store.start_session()  # reconciles the one that was left open
                opening = held
            else:
                now[0] += step[1]
            parts = store.session_holdings(session)
            assert parts.total == store.holdings() == held
            assert parts.opening == opening
            assert parts.fills_only.plus(parts.overlay).plus(opening) == held
        entries = store.inventory_entries()
        for asset in Asset:
            own = [entry for entry in entries if entry.asset == asset]
            assert [entry.new_balance for entry in own] == [
                sum(entry.delta for entry in own[: n + 1]) for n in range(len(own))
            ]


@pytest.fixture
def session(books):
    made = books.start_session()
    books.inject_capital("seed", "RLUSD", 1000)
    books.submit_order("o1", session_id=made, side="buy", price="0.5", quantity="10")
    return made


def fill(store, session, fill_id="f1", **changes):
    values = {"order_id": "o1", "session_id": session, "price": "0.5", "quantity": "4", **changes}
    return store.record_order_fill(fill_id, **values)


def test_the_ledger_holds_fills_only_and_capital_is_on_top(books, session):
    fill(books, session)
    books.inject_capital("out", Asset.RLUSD, "0.000001", kind="withdrawal", note="fee")
    books.write_initial_basis("XRP", "25", "0.48")
    assert [(e.asset, e.delta, e.new_balance) for e in books.inventory_entries(session)] == [
        ("XRP", 4_000_000, 4_000_000),
        ("RLUSD", -2_000_000, -2_000_000),
    ]
    parts = books.session_holdings(session)
    assert parts.fills_only == Holdings(4_000_000, -2_000_000)
    assert parts.overlay == Holdings(25_000_000, 999_999_999)
    assert parts.total == Holdings(29_000_000, 997_999_999)
    events = [(e.kind, e.asset, e.amount, e.price) for e in books.capital_events()]
    assert events[1:] == [
        ("withdrawal", "RLUSD", -1, None),
        ("initial_basis", "XRP", 25_000_000, Decimal("0.48")),
    ]


def test_a_balance_does_not_depend_on_the_decimal_context(books, session):
    with localcontext(prec=3):
        fill(books, session, price="0.123456789", quantity="9.999999")
    assert books.holdings() == Holdings(9_999_999, 10**9 - round(Fraction("0.123456789") * 9_999_999))


def test_repeating_changes_nothing_and_a_different_repetition_is_refused(books, session, dump):
    row = fill(books, session)
    books.write_initial_basis("XRP", "25", "0.48")
    before = dump(books)
    assert fill(books, session) == row
    assert books.inject_capital("seed", "RLUSD", "1000") == 1
    books.write_initial_basis("XRP", "25", "0.48")
    for act in (
        lambda: fill(books, session, quantity="5"),
        lambda: fill(books, session, price="0.6"),
        lambda: books.inject_capital("seed", "RLUSD", "1001"),
        lambda: books.inject_capital("seed", "XRP", "1000"),
        lambda: books.write_initial_basis("XRP", "26", "0.48"),
        lambda: books.inject_capital("initial_basis:RLUSD", "RLUSD", 1),
    ):
        with pytest.raises(StoreValidation, match=r"already|must not begin"):
            act()
    assert dump(books) == before


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("failing", range(1, 5))
def test_a_fill_is_written_whole_or_not_at_all(make, clock, dump, nested, failing):
    class Failing(StateManager):
        left = -1

        def _atomically(self, work):
            return super()._atomically(lambda cursor: work(Disk(self, cursor)))

    class Disk:
        def __init__(self, store, cursor):
            self.store, self.cursor = store, cursor

        def __getattr__(self, name):
            return getattr(self.cursor, name)

        def execute(self, sql, parameters):
            self.store.left -= not sql.startswith("SELECT")
            if not self.store.left:
                raise OSError("no")
            return self.cursor.execute(sql, parameters)

    store = make(cls=Failing, clock=clock)
    session = store.start_session()
    store.submit_order("o1", session_id=session, side="buy", price="0.5", quantity="10")
    before = dump(store)
    store.left = failing
    if failing > 3:
        fill(store, session)
        assert {len(dump(store)[table]) for table in ("fills", "orders")} == {1}
        assert len(store.inventory_entries()) == 2
        return
    if nested:  # the caller swallows the error and commits the rest of his transaction
        with store.transaction():
            with pytest.raises(OSError, match="no"):
                fill(store, session)
            store.left = -1
            store.set_engine_state("k", "v")
        assert store.delete_engine_state("k")
    else:
        with pytest.raises(OSError, match="no"):
            fill(store, session)
    assert dump(store) == before


def test_what_cannot_be_is_refused_and_nothing_is_written(books, session, dump):
    closed = books.create_session()
    books.close_session(closed)
    fill(books, session)
    before = dump(books)
    bad = "a\ud800"
    for act, match in (
        (lambda: fill(books, session, "f2", quantity="6.000001"), "more than order 'o1' has left: 6.000000"),
        (lambda: fill(books, session, "f2", quantity="0.0000001"), "more than 6 decimal places"),
        (lambda: fill(books, session, "f2", quantity="10000000000000"), "must be from -4611686018427387903 to"),
        (lambda: fill(books, session, "f2", quantity=1, price="9" * 30), "price times quantity must be from"),
        (lambda: fill(books, session, "f2", quantity=-1), "plain decimal"),
        (lambda: fill(books, session, "f2", price=float("inf")), "must be exact"),
        (lambda: fill(books, session, "f2", price=Decimal("NaN")), "must be finite"),
        (lambda: fill(books, session, "f2", order_id="o9"), "there is no order 'o9'"),
        (lambda: fill(books, closed, "f2"), "session 2 is closed"),
        (lambda: fill(books, 9, "f2"), "there is no session 9"),
        (lambda: fill(books, session, "f\0"), "NUL"),
        (lambda: fill(books, session, bad), "lone surrogate"),
        (lambda: fill(books, session, "f2", order_id=bad), "lone surrogate"),
        (lambda: fill(books, session, "f2", ts=-1), "ts must be from 0"),
        (lambda: books.inject_capital("k", "EUR", 1), "unknown asset 'EUR'"),
        (lambda: books.inject_capital("k", "XPR", 1), "did you mean 'XRP'"),
        (lambda: books.inject_capital("k", "XRP", 1, kind="deposits"), "did you mean 'deposit'"),
        (lambda: books.inject_capital("k", "XRP", -1), "plain decimal"),
        (lambda: books.inject_capital("k", "XRP", "4.000001", kind="withdrawal"), "only 4.000000 XRP is there"),
        (lambda: books.inject_capital("k", "RLUSD", "4611686018426"), "the capital in RLUSD must be from"),
        (lambda: books.inject_capital("k", "XRP", 1, note="\0"), "NUL"),
        (lambda: books.write_initial_basis("RLUSD", 1, "0.99"), "must be 1"),
        (lambda: books.write_valuation_snapshot("v", session_id=session, mid=0), "greater than zero"),
        (lambda: books.write_valuation_snapshot("v", session_id=closed), "is closed"),
    ):
        with pytest.raises(StoreValidation, match=match):
            act()
    assert dump(books) == before


def test_a_valuation_is_of_fills_and_capital_and_is_written_once(books, session):
    fill(books, session, price="0.5", quantity="4")
    row = books.write_valuation_snapshot("t1", session_id=session, mid="0.5000005")
    value = books.get_valuation("t1")
    assert (value.xrp_drops, value.rlusd_micros) == (4_000_000, 998_000_000)
    assert value.value_micros == 998_000_000 + 2_000_002
    fill(books, session, "f2", quantity=1)
    assert books.write_valuation_snapshot("t1", session_id=session, mid="0.5000005") == row
    assert books.valuations(session) == [value]
    with pytest.raises(StoreValidation, match="other contents"):
        books.write_valuation_snapshot("t1", session_id=session, mid="0.6")
