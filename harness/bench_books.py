"""The trading books beside the very same transactions written by hand in bare sqlite3.

By hand: the same arguments, the same SQL in the same BEGIN IMMEDIATE ... COMMIT, and the amounts that the rows need,
computed the plain way. Nothing is checked, no lock is taken, a clock is not asked; what is left is what the books cost.
"""

import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from crashlab.model.seed import rng_for
from harness.workloads.paper_session.exchange import Market, PaperGateway
from harness.workloads.paper_session.tables import Side, Working
from store import StateManager
from store.books import ledger, market, orders, trades
from store.books.units import ONE, decimal_text

TICKS: Final = 250
_NOW: Final = itertools.count(1_700_000_000 * 10**9, 1_000_000).__next__


class Work(NamedTuple):
    """One transaction: through the store, and by hand."""

    by_store: Callable[[StateManager, int], object]
    by_hand: Callable[[Callable[..., sqlite3.Cursor], int], None]


def store_rate(root: Path, work: list[Work]) -> float:
    """Commits per second through the store."""
    with tempfile.TemporaryDirectory(dir=root) as directory:
        return len(work) / by_store(Path(directory) / "a.db", work)


def bare_rate(root: Path, work: list[Work]) -> float:
    """Commits per second of the same by hand."""
    with tempfile.TemporaryDirectory(dir=root) as directory:
        return len(work) / by_hand(Path(directory) / "a.db", work)


def by_store(path: Path, work: list[Work]) -> float:
    """Do the work in a new database; returns the seconds it took."""
    with StateManager(path) as store:
        session = store.start_session()
        started = time.perf_counter()
        for each in work:
            each.by_store(store, session)
        return time.perf_counter() - started


def by_hand(path: Path, work: list[Work]) -> float:
    """Do the work in a new database; returns the seconds it took."""
    with StateManager(path) as store:
        session = store.start_session()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        execute = connection.execute
        started = time.perf_counter()
        for each in work:
            execute("BEGIN IMMEDIATE")
            each.by_hand(execute, session)
            execute("COMMIT")
        return time.perf_counter() - started


def paper_work(seed: int = 1, ticks: int = TICKS) -> list[Work]:
    """The transactions of the workload `paper_session`: snapshots, orders, answers, fills, cancels."""
    return list(_Paper(seed).ticks(ticks))


class _Paper:
    def __init__(self, seed: int) -> None:
        self._rng = rng_for(seed, "bench")
        self._market = Market(rng_for(seed, "market"))
        self._gateway = PaperGateway(rng_for(seed, "gateway"))
        self._quotes: dict[Side, Working] = {}
        self._numbers = itertools.count()

    def ticks(self, count: int) -> Iterator[Work]:
        sides: tuple[Side, ...] = ("buy", "sell")
        for tick in range(count):
            touch = self._market.tick()
            yield self._snapshot(tick, decimal_text(touch.bid), decimal_text(touch.ask))
            for side in sides:
                old = self._quotes.get(side)
                if old is None or not old.is_live or self._rng.random() < 0.35:
                    order = Working(
                        f"o{next(self._numbers)}", 0, side, self._market.quote(side, touch), self._market.quantity()
                    )
                    yield self._submit(order, old if old is not None and old.is_live else None)
                    yield from self._answer(order)
                    self._quotes[side] = order
            for order in self._quotes.values():
                if order.is_live and self._rng.random() < 0.5:
                    yield self._fill(
                        order, order.left if self._rng.random() < 0.4 else self._rng.randint(1, order.left)
                    )

    def _snapshot(self, tick: int, bid: str, ask: str) -> Work:
        ours = {side: order.price for side, order in self._quotes.items() if order.is_live}
        quotes = ours.get("buy"), ours.get("sell")
        now = _NOW()

        def by_store(store: StateManager, session: int) -> None:
            store.record_market_snapshot(
                session, tick, best_bid=bid, best_ask=ask, our_bid=quotes[0], our_ask=quotes[1]
            )

        def by_hand(execute: Callable[..., sqlite3.Cursor], session: int) -> None:
            row = _plain_row(bid, ask, *quotes)
            execute(market._INSERT, (session, tick, *row, now, session, now * 2))
            execute(market._ROLL, (market.TOUCH_KEY, now, session, StateManager.TOUCH_WINDOW))

        return Work(by_store, by_hand)

    def _submit(self, order: Working, replaced: Working | None) -> Work:
        if replaced is not None:
            replaced.status = "CANCELED"
        quantity, now = decimal_text(order.quantity_drops), _NOW()
        cancel = None if replaced is None else ("CANCELED", "replaced", now, replaced.order_id)

        def by_store(store: StateManager, session: int) -> None:
            def submit() -> None:
                store.submit_order(
                    order.order_id, session_id=session, side=order.side, price=order.price, quantity=quantity
                )

            if replaced is None:
                submit()
                return
            with store.transaction():
                store.cancel_order(replaced.order_id, "replaced")
                submit()

        def by_hand(execute: Callable[..., sqlite3.Cursor], session: int) -> None:
            if cancel is not None:
                execute(orders._END, cancel)
            amount = int(Decimal(quantity) * ONE)
            key = (order.order_id, session, order.side, order.price, amount)
            execute(orders._SUBMIT, (*key, now, now, None, session, now * 2))

        return Work(by_store, by_hand)

    def _answer(self, order: Working) -> Iterator[Work]:
        answer = self._gateway.submit_and_wait(order.order_id)
        number, now = answer.offer_sequence, _NOW()
        if number is None:
            order.status = "FAILED"
            ended = ("FAILED", "refused", now, order.order_id)
            yield Work(
                lambda store, _session: store.fail_order(order.order_id, "refused"),
                lambda execute, _session: (execute(orders._END, ended), None)[1],
            )
        else:
            order.status = "ACTIVE"
            accepted = (number, now, order.order_id)
            yield Work(
                lambda store, _session: store.accept_order(order.order_id, number),
                lambda execute, _session: (execute(orders._ACCEPT, accepted), None)[1],
            )

    def _fill(self, order: Working, drops: int) -> Work:
        fill_id, quantity, now = f"f{next(self._numbers)}", decimal_text(drops), _NOW()
        order.filled_drops += drops
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"

        def by_store(store: StateManager, session: int) -> None:
            store.record_order_fill(
                fill_id, order_id=order.order_id, session_id=session, price=order.price, quantity=quantity
            )

        def by_hand(execute: Callable[..., sqlite3.Cursor], session: int) -> None:
            amount = int(Decimal(quantity) * ONE)
            worth = int((Decimal(order.price) * amount).to_integral_value())
            row = execute(trades._STATE, (fill_id, session, now * 2, order.order_id)).fetchone()
            execute(trades._FILL, (fill_id, session, row[0], order.price, quantity, now, order.order_id))
            xrp, rlusd = (amount, -worth) if row[0] == "buy" else (-amount, worth)
            execute(ledger._INSERT, (session, fill_id, xrp, row[6] + xrp, rlusd, row[7] + rlusd, now))
            execute(trades._ORDER, (amount, now, order.order_id))

        return Work(by_store, by_hand)


def _plain_row(best_bid: str, best_ask: str, our_bid: str | None, our_ask: str | None) -> tuple[object, ...]:
    """What somebody who trusts his arguments would compute for a snapshot."""
    bid, ask = Decimal(best_bid), Decimal(best_ask)
    mid = (bid + ask) / 2
    from_bid = None if our_bid is None else float((Decimal(our_bid) - bid) * 10_000 / mid)
    from_ask = None if our_ask is None else float((ask - Decimal(our_ask)) * 10_000 / mid)
    near_bid = None if from_bid is None else int(abs(from_bid) <= 2)
    near_ask = None if from_ask is None else int(abs(from_ask) <= 2)
    return best_bid, best_ask, our_bid, our_ask, str(mid), from_bid, from_ask, near_bid, near_ask
