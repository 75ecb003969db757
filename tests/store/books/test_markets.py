"""Distance to touch: the formula, its edges, the rolling key and the summary's numbers."""

import json
from decimal import Decimal
from fractions import Fraction
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import StateManager, StoreValidation

CENTS = st.integers(1, 10**6).map(lambda n: f"{n // 100}.{n % 100:02d}").filter(lambda text: text.strip("0."))


@given(prices=st.tuples(CENTS, CENTS).map(sorted), ours=st.tuples(CENTS, CENTS))
def test_distances_follow_the_formula_and_the_flag_is_exact(prices, ours):
    (bid, ask), (our_bid, our_ask) = sorted(prices, key=Fraction), ours
    with StateManager(":memory:") as store:
        session = store.create_session()
        store.record_market_snapshot(session, 1, best_bid=bid, best_ask=ask, our_bid=our_bid, our_ask=our_ask)
        (made,) = store.market_snapshots(session)
    mid = (Fraction(bid) + Fraction(ask)) / 2
    exact_bid = (Fraction(our_bid) - Fraction(bid)) * 10**4 / mid
    exact_ask = (Fraction(ask) - Fraction(our_ask)) * 10**4 / mid
    assert Fraction(made.mid) == mid
    assert made.distance_to_bid_touch_bps == pytest.approx(float(exact_bid), rel=1e-15)
    assert made.distance_to_ask_touch_bps == pytest.approx(float(exact_ask), rel=1e-15)
    assert (made.within_2bps_bid, made.within_2bps_ask) == (abs(exact_bid) <= 2, abs(exact_ask) <= 2)


def snap(store, session, tick, bid_bps, **changes):
    """A market with mid 1 whose best bid is 0.999; our bid so many basis points behind it."""
    our_bid = None if bid_bps is None else Decimal("0.999") - Decimal(bid_bps) / 10**4
    return store.record_market_snapshot(
        session, tick, **{"best_bid": "0.999", "best_ask": "1.001", "our_bid": our_bid, **changes}
    )


def test_the_summary_counts_each_distance_in_one_bin(books):
    session = books.start_session()
    sizes = ["0", "1", "2", "2.000001", "5", "5.000001", "10", "10.000001", "300", "-3"]
    for tick, size in enumerate(sizes):
        snap(books, session, tick, size)
    snap(books, session, 99, None)
    stats = books.session_summary(session).bid
    assert stats.histogram == (3, 3, 2, 2)
    assert (stats.n, stats.share_within_2bps) == (10, 0.3)
    signed = [-float(size) for size in sizes]
    assert stats.mean_bps == pytest.approx(mean(signed))
    assert stats.median_bps == pytest.approx(median(signed))
    assert books.session_summary(session).ask.n == 0


def test_the_rolling_key_is_the_newest_ticks_of_the_session(books):
    session = books.start_session()
    for tick in range(1, 31):
        snap(books, session, tick, tick)
    rolling = json.loads(books.get_engine_state("tick_distance_to_touch"))
    assert [tick for tick, _, _ in rolling] == list(range(30, 10, -1))
    assert [bid for _, bid, _ in rolling] == pytest.approx([-tick for tick in range(30, 10, -1)])
    assert {ask for _, _, ask in rolling} == {None}
    books.close_session(session)
    second = books.start_session()
    snap(books, second, 1, 7)
    assert len(json.loads(books.get_engine_state("tick_distance_to_touch"))) == 1


def test_a_tick_is_recorded_once_and_bad_markets_are_refused(books, dump):
    session = books.start_session()
    row = snap(books, session, 1, 3)
    before = dump(books)
    assert snap(books, session, 1, 3) == row
    for act, match in (
        (lambda: snap(books, session, 1, 4), "already recorded otherwise"),
        (lambda: snap(books, session, 2, 3, best_bid="1.002"), "above best_ask"),
        (lambda: snap(books, session, 2, 3, best_bid=0), "greater than zero"),
        (lambda: snap(books, session, 2, 3, our_ask=float("nan")), "must be exact"),
        (lambda: snap(books, session, -1, 3), "tick must be from 0"),
        (lambda: snap(books, 9, 2, 3), "there is no session 9"),
    ):
        with pytest.raises(StoreValidation, match=match):
            act()
    assert dump(books) == before
    longest = "9" * 30 + "." + "9" * 30
    books.record_market_snapshot(session, 3, best_bid="0." + "0" * 29 + "1", best_ask=longest, our_bid=longest)
    assert books.market_snapshots(session, after=2)[0].distance_to_bid_touch_bps == 20000.0
