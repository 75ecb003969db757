"""Orders: one that has ended never changes, an orphan is given up, a retry changes nothing."""

import logging

import pytest

from store import OrderStatus, StoreValidation
from store.books.orders import ORPHAN_REASON

DAY = 24 * 3600 * 10**9


@pytest.fixture
def session(books):
    return books.start_session()


@pytest.fixture
def submit(books, session):
    def make(order_id: str, **changes: object) -> int:
        values = {"session_id": session, "side": "sell", "price": "2.50", "quantity": "3", **changes}
        return books.submit_order(order_id, **values)

    return make


def fill(store, session, order_id, fill_id, quantity):
    store.record_order_fill(fill_id, order_id=order_id, session_id=session, price="2.5", quantity=quantity)


def test_the_way_of_an_order(books, session, submit, clock):
    submit("a")
    books.record_submit_tx("a", "HASH")
    clock.now += 5
    assert books.accept_order("a", 17)
    assert books.get_order("a").status is OrderStatus.ACTIVE
    fill(books, session, "a", "f1", "1")
    assert books.get_order("a").status is OrderStatus.PARTIALLY_FILLED
    fill(books, session, "a", "f2", "2")
    order = books.get_order("a")
    assert (order.status, order.filled_drops, str(order.price)) == (OrderStatus.FILLED, 3_000_000, "2.50")
    assert (order.submit_tx_hash, order.offer_sequence, order.failure_reason) == ("HASH", 17, None)
    assert (order.updated_at - order.created_at, order.session_id) == (5, session)
    assert [f.fill_id for f in books.order_fills("a")] == ["f1", "f2"]
    assert books.live_orders() == []
    assert books.orders(session, status="FILLED") == [order] == books.orders()
    assert books.orders(after=order.order_row) == books.orders(status=OrderStatus.ACTIVE) == []


def test_what_has_ended_stays_as_it_is(books, session, submit, dump, logged):
    for order_id in ("filled", "canceled", "failed"):
        submit(order_id)
    fill(books, session, "filled", "f", "3")
    assert books.cancel_order("canceled", "by hand")
    assert books.fail_order("failed", "tecUNFUNDED_OFFER")
    before = dump(books)
    for order_id in ("filled", "canceled", "failed"):
        assert not books.cancel_order(order_id, "too late")
        assert not books.fail_order(order_id, "too late")
        assert not books.accept_order(order_id, 5)
    assert dump(books) == before
    assert len(logged("order", logging.WARNING)) == 3
    # A fill is a fact: it is booked, and the status stays.
    fill(books, session, "canceled", "late", "1")
    order = books.get_order("canceled")
    assert (order.status, order.filled_drops, order.failure_reason) == (OrderStatus.CANCELED, 1_000_000, "by hand")
    assert logged("fill late came for order canceled, which is CANCELED", logging.WARNING)
    assert books.holdings().xrp_drops == -4_000_000


def test_orphans_are_submitted_unanswered_and_older_than_seven_days(books, session, submit, clock, logged):
    submit("orphan")
    submit("answered"), books.accept_order("answered", 1)
    submit("filled at once"), fill(books, session, "filled at once", "f", "1")
    clock.now += 1
    submit("just seven days")
    clock.now += 7 * DAY
    submit("young")
    assert books.cancel_orphans() == ["orphan"]
    orphan = books.get_order("orphan")
    assert (orphan.status, orphan.failure_reason) == (OrderStatus.CANCELED, ORPHAN_REASON)
    assert logged("order orphan: orphan: submitted", logging.WARNING)
    assert [o.order_id for o in books.live_orders()] == ["answered", "filled at once", "just seven days", "young"]
    assert books.cancel_orphans() == []
    clock.now += 1
    books.start_session()
    assert books.get_order("just seven days").status is OrderStatus.CANCELED


def test_repeating_changes_nothing(books, session, submit, dump):
    row = submit("a", submit_tx_hash="H")
    books.accept_order("a", 17)
    before = dump(books)
    assert submit("a") == submit("a", submit_tx_hash="H") == row
    assert books.accept_order("a", 17)
    books.record_submit_tx("a", "H")
    assert dump(books) == before


def test_what_cannot_be_is_refused(books, session, submit, dump):
    submit("a", submit_tx_hash="H")
    books.accept_order("a", 17)
    closed = books.create_session()
    books.close_session(closed)
    before = dump(books)
    for act, match in (
        (lambda: submit("a", price="2.5"), "already recorded with other contents"),
        (lambda: submit("a", session_id=closed), "already recorded with other contents"),
        (lambda: submit("a", submit_tx_hash="I"), "already recorded with other contents"),
        (lambda: submit("b", session_id=closed), "session 2 is closed"),
        (lambda: submit("b", session_id=9), "there is no session 9"),
        (lambda: submit("b", side="hold"), "side must be"),
        (lambda: submit("b", price=1.5), "must be exact"),
        (lambda: submit("b", quantity=0), "greater than zero"),
        (lambda: submit("b", quantity="0.0000001"), "more than 6 decimal places"),
        (lambda: submit("b\0"), "NUL"),
        (lambda: submit("b", submit_tx_hash="\ud800"), "lone surrogate"),
        (lambda: books.record_submit_tx("a", "I"), "was submitted by 'H'"),
        (lambda: books.accept_order("a", 18), "has offer sequence 17"),
        (lambda: books.accept_order("a", -1), "must be from 0"),
        (lambda: books.fail_order("a", "r"), "is ACTIVE; cancel it instead"),
        (lambda: books.cancel_order("a", ""), "must not be empty"),
        (lambda: books.orders(status="CANCELLED"), "did you mean 'CANCELED'"),
        *((lambda act=act: act("zz", "r"), "there is no order 'zz'") for act in (books.cancel_order, books.fail_order)),
        (lambda: books.accept_order("zz", 1), "there is no order 'zz'"),
        (lambda: books.order_fills("zz"), "there is no order 'zz'"),
    ):
        with pytest.raises(StoreValidation, match=match):
            act()
    assert dump(books) == before
