"""The inventory ledger: what each fill did to each asset, and the running balance of fills alone."""

import sqlite3
from typing import Final, NamedTuple

from store.books.units import MAX_BALANCE, Holdings
from store.books.units import balance as checked
from store.books.writes import BookWrites
from store.validation import MAX_INTEGER, integer

_COLUMNS = "entry_id, session_id, fill_id, asset, delta, new_balance, ts"
_INSERT: Final = (
    "INSERT INTO inventory_ledger (session_id, fill_id, asset, delta, new_balance, ts) "
    "VALUES (?1, ?2, 'XRP', ?3, ?4, ?7), (?1, ?2, 'RLUSD', ?5, ?6, ?7)"
)
_BALANCE: Final = (
    "coalesce((SELECT new_balance FROM inventory_ledger WHERE asset = '{}' ORDER BY entry_id DESC LIMIT 1), 0)"
)
BALANCES: Final = f"{_BALANCE.format('XRP')}, {_BALANCE.format('RLUSD')}"


class LedgerEntry(NamedTuple):
    """One fill's effect on one asset, in smallest units; `ts` is when it was recorded, in nanoseconds since 1970."""

    entry_id: int
    session_id: int
    fill_id: str
    asset: str
    delta: int
    new_balance: int
    ts: int


class Ledger(BookWrites):
    """Posting to `inventory_ledger` and reading it; every fill of an order has one entry for each asset."""

    def inventory_entries(
        self, session_id: int | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[LedgerEntry]:
        """Entries in the order they were posted, of one session or all, with `entry_id` above `after`."""
        where, values = "entry_id > ?", [integer(after, "after")]
        if session_id is not None:
            where += " AND session_id = ?"
            values.append(integer(session_id, "session_id", least=1))
        values.append(MAX_INTEGER if limit is None else integer(limit, "limit", least=1))
        rows = self._read(f"SELECT {_COLUMNS} FROM inventory_ledger WHERE {where} ORDER BY entry_id LIMIT ?", values)
        return [LedgerEntry(*row) for row in rows]

    def _post(
        self, cursor: sqlite3.Cursor, session_id: int, fill_id: str, before: Holdings, delta: Holdings, now: int
    ) -> None:
        """Write a fill's two entries; `before` are the balances of fills so far."""
        xrp = self._next_balance(before[0], delta[0])
        rlusd = self._next_balance(before[1], delta[1])
        cursor.execute(_INSERT, (session_id, fill_id, delta[0], xrp, delta[1], rlusd, now))

    def _next_balance(self, balance: int, delta: int) -> int:
        """The balance after a fill; raises StoreValidation when that is too large."""
        after = balance + delta
        return after if -MAX_BALANCE <= after <= MAX_BALANCE else checked(after, "the new balance")

    def _fills_only(self, session_id: int) -> Holdings:
        """What one session's fills add up to, by the ledger."""
        rows = self._read(
            "SELECT coalesce(sum(CASE asset WHEN 'XRP' THEN delta END), 0), "
            "coalesce(sum(CASE asset WHEN 'RLUSD' THEN delta END), 0) FROM inventory_ledger WHERE session_id = ?",
            (session_id,),
        )
        return Holdings(*rows[0])


def delta_of(side: str, drops: int, worth: int) -> Holdings:
    """What a fill does: a buy adds XRP and takes its worth in RLUSD, a sell the other way round."""
    return Holdings(drops, -worth) if side == "buy" else Holdings(-drops, worth)
