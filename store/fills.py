"""Fills: what the exchange says was traded. Prices and quantities are exact."""

import sqlite3
from decimal import Decimal
from typing import Literal, NamedTuple, NoReturn

from store.connection import Database
from store.errors import StoreValidation
from store.validation import MAX_INTEGER, amount, are_amounts, integer, name, shown

Side = Literal["buy", "sell"]

_COLUMNS = "fill_row, fill_id, session_id, side, price, quantity, ts"
_INSERT = "INSERT INTO fills (fill_id, session_id, side, price, quantity, ts) VALUES (?, ?, ?, ?, ?, ?)"


class Fill(NamedTuple):
    """A recorded fill; `ts` in nanoseconds since 1970."""

    fill_row: int
    fill_id: str
    session_id: int
    side: str
    price: Decimal
    quantity: Decimal
    ts: int


class Fills(Database):
    """Recording and reading the table `fills`."""

    def record_fill(
        self,
        fill_id: str,
        *,
        session_id: int,
        side: Side,
        price: Decimal | int | str,
        quantity: Decimal | int | str,
        ts: int | None = None,
    ) -> int:
        """Record one fill in a transaction of its own (or the open `transaction()`); returns its row id.

        `fill_id` is the exchange's identifier and unique. Price and quantity are stored as decimal
        text with the digits given; floats are refused. `ts` defaults to the store's clock. Raises
        StoreValidation for a fill recorded before, an unknown session or side, or an amount that is
        not greater than zero.
        """
        if not are_amounts(price, quantity):
            price, quantity = amount(price, "price"), amount(quantity, "quantity")
        parameters = (
            name(fill_id, "fill_id"),
            integer(session_id, "session_id", 1),
            side if side in ("buy", "sell") else _bad_side(side),
            price,
            quantity,
            self._clock() if ts is None else integer(ts, "ts"),
        )
        try:
            return self._write(_INSERT, parameters)[0]
        except sqlite3.IntegrityError as error:
            _refused(error, fill_id, session_id)

    def get_fill(self, fill_id: str) -> Fill | None:
        """The fill, or None."""
        rows = self._read(f"SELECT {_COLUMNS} FROM fills WHERE fill_id = ?", (name(fill_id, "fill_id"),))
        return fill_of(rows[0]) if rows else None

    def fills(self, session_id: int | None = None, *, after: int = 0, limit: int | None = None) -> list[Fill]:
        """Fills in the order they were recorded, of one session or all, with `fill_row` above `after`.

        Page through a long table by passing the last `fill_row` seen; `limit=None` means all.
        """
        where, values = "fill_row > ?", [integer(after, "after")]
        if session_id is not None:
            where += " AND session_id = ?"
            values.append(integer(session_id, "session_id", least=1))
        values.append(MAX_INTEGER if limit is None else integer(limit, "limit", least=1))
        rows = self._read(f"SELECT {_COLUMNS} FROM fills WHERE {where} ORDER BY fill_row LIMIT ?", values)
        return [fill_of(row) for row in rows]

    def count_fills(self) -> int:
        """Rows in the table."""
        return int(self._read("SELECT count(*) FROM fills")[0][0])


def fill_of(row: tuple[int, str, int, str, str, str, int]) -> Fill:
    """The record of a row of the columns that the reads here select."""
    number, fill_id, session_id, side, price, quantity, ts = row
    return Fill(number, fill_id, session_id, side, Decimal(price), Decimal(quantity), ts)


def _bad_side(side: object) -> NoReturn:
    raise StoreValidation(f"side must be 'buy' or 'sell', not {shown(side)}")


def _refused(error: sqlite3.IntegrityError, fill_id: str, session_id: int) -> NoReturn:
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        raise StoreValidation(f"there is no session {session_id} to record the fill under") from error
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
        raise StoreValidation(f"fill {shown(fill_id)} is already recorded") from error
    raise error
