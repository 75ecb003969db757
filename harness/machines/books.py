"""`StateManager` and its books under the machine."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from harness.machines.books_model import BooksModel
from harness.machines.books_records import DRIFT_KEY, TOUCH_KEY
from harness.machines.leg import Place
from harness.machines.system import System
from store import Holdings, StateManager

_LEDGER = """
SELECT f.fill_id FROM fills AS f LEFT JOIN inventory_ledger AS l ON l.fill_id = f.fill_id
WHERE f.order_id IS NOT NULL GROUP BY f.fill_id HAVING count(l.entry_id) <> 2
"""
_BALANCES = """
SELECT entry_id FROM (SELECT entry_id, new_balance,
    sum(delta) OVER (PARTITION BY asset ORDER BY entry_id) AS expected FROM inventory_ledger)
WHERE new_balance <> expected
"""
_FILLED = """
SELECT order_id FROM orders WHERE filled_drops <> coalesce((SELECT sum(abs(l.delta)) FROM fills AS f
    JOIN inventory_ledger AS l ON l.fill_id = f.fill_id AND l.asset = 'XRP' WHERE f.order_id = orders.order_id), 0)
"""


class Books(System):
    """The engine's state; `store` is the class, by default the good one."""

    name = "books"
    model = BooksModel
    ends: ClassVar[frozenset[str]] = frozenset({"shutdown"})

    def __init__(self, store: type[StateManager] = StateManager) -> None:
        super().__init__(store)

    def make(self, name: str, place: Place, clock: Callable[[], int]) -> StateManager:
        """See `System.make`."""
        made: StateManager = self.store(place.database, connect=place.connect, clock=clock)
        return made

    def probe(self, store: StateManager) -> object:
        """See `System.probe`."""
        return store.engine_states()

    def do_check_inventory_drift(self, store: StateManager, session_id: int, engine_is_off_by: int) -> bool:
        """With an engine whose count is off by some drops of XRP."""
        return store.check_inventory_drift(session_id, _counted(store, session_id, engine_is_off_by))

    def do_shutdown(
        self, store: StateManager, session_id: int, reason: str, detail: str, engine_is_off_by: int
    ) -> None:
        """With an exchange that cancels whatever it is asked to."""
        total = _counted(store, session_id, engine_is_off_by)
        store.shutdown(session_id, reason, detail, engine_total=total, cancel=lambda order: None)

    def view(self) -> dict[str, Any]:
        """See `System.view`."""
        (store,) = self.stores.values()
        sessions = store.sessions()
        numbers = [session.session_id for session in sessions]
        orders = store.orders()
        summaries = {number: store.session_summary(number) for number in numbers}
        states = store.engine_states()
        for key in (TOUCH_KEY, DRIFT_KEY):
            if key in states:
                states[key] = json.loads(states[key])
        return {
            "sessions": sessions,
            "open_sessions": [session.session_id for session in store.open_sessions()],
            "engine_states": states,
            "orders": orders,
            "live_orders": [order.order_id for order in store.live_orders()],
            "fills": store.fills(),
            "order_fills": {o.order_id: [f.fill_id for f in store.order_fills(o.order_id)] for o in orders},
            "inventory_entries": store.inventory_entries(),
            "capital_events": store.capital_events(),
            "holdings": store.holdings(),
            "session_holdings": {number: summaries[number].holdings for number in numbers},
            "valuations": sorted(row for number in numbers for row in store.valuations(number)),
            "market_snapshots": [row for number in numbers for row in store.market_snapshots(number)],
            "system_metrics": store.system_metrics(),
            "summaries": {number: (summary.orders, summary.fills) for number, summary in summaries.items()},
        }

    def audit(self, connection: sqlite3.Connection) -> list[str]:
        """Each fill of an order has two entries, each balance is the sum so far, each order has what was filled."""
        found = []
        for query, what in ((_LEDGER, "fills"), (_BALANCES, "ledger entries"), (_FILLED, "orders")):
            rows = [row[0] for row in connection.execute(query)]
            if rows:
                found.append(f"{what} that do not balance: {rows}")
        return found

    def backup(self, place: Place, target: Path) -> Path:
        """The store's own backup."""
        (store,) = self.stores.values()
        made: Path | None = store.backup(target)
        assert made is not None
        return made


def _counted(store: StateManager, session_id: int, off_by: int) -> Holdings:
    total = store.session_holdings(session_id).total
    return total.plus(Holdings(off_by, 0))
