"""Valuation snapshots: what the engine holds and what it is worth, at one moment."""

from decimal import Decimal
from typing import Final, NamedTuple

from store.books.capital import Capital
from store.books.units import balance, value_of
from store.books.writes import IN_SESSION
from store.errors import StoreValidation
from store.validation import amount, integer, name, shown

_INSERT: Final = (
    "INSERT INTO valuation_snapshots (snapshot_key, session_id, mid, xrp_drops, rlusd_micros, value_micros, ts) "
    f"SELECT ?, ?, ?, ?, ?, ?, ? {IN_SESSION}"
)
_COLUMNS = "snapshot_id, snapshot_key, session_id, mid, xrp_drops, rlusd_micros, value_micros, ts"


class Valuation(NamedTuple):
    """Holdings (fills and capital) in drops and micro units, and their worth in micro units of RLUSD.

    `mid` is the price used, in RLUSD for one XRP; without one there is no `value_micros` either.
    """

    snapshot_id: int
    snapshot_key: str
    session_id: int
    mid: Decimal | None
    xrp_drops: int
    rlusd_micros: int
    value_micros: int | None
    ts: int


class Valuations(Capital):
    """Writing and reading `valuation_snapshots`."""

    def write_valuation_snapshot(
        self, snapshot_key: str, *, session_id: int, mid: Decimal | int | str | None = None
    ) -> int:
        """Value all holdings at `mid`, once for each `snapshot_key`; returns the row id.

        Repeating the same call changes nothing, also when there have been fills since. Raises StoreValidation for
        a key used under another session or price, an unknown or closed session.
        """
        name(snapshot_key, "snapshot_key"), integer(session_id, "session_id", least=1)
        price = None if mid is None else amount(mid, "mid")
        with self._atomic():
            now = self._now()
            held = self.holdings()
            worth = None if price is None else balance(held.rlusd_micros + value_of(held.xrp_drops, price), "the value")
            limit = now + self.CLOCK_SLACK_NS
            row = self._insert(_INSERT, (snapshot_key, session_id, price, *held, worth, now, session_id, limit))
            return row or self._written_before(snapshot_key, session_id, price, now)

    def get_valuation(self, snapshot_key: str) -> Valuation | None:
        """The snapshot, or None."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM valuation_snapshots WHERE snapshot_key = ?", (name(snapshot_key, "snapshot_key"),)
        )
        return _valuation(rows[0]) if rows else None

    def valuations(self, session_id: int) -> list[Valuation]:
        """A session's snapshots in the order they were written."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM valuation_snapshots WHERE session_id = ? ORDER BY snapshot_id",
            (integer(session_id, "session_id", least=1),),
        )
        return [_valuation(row) for row in rows]

    def _written_before(self, snapshot_key: str, session_id: int, price: str | None, now: int) -> int:
        """The row of a snapshot that could not be inserted because it is there; raises when that is not why."""
        rows = self._read(
            "SELECT snapshot_id, session_id, mid FROM valuation_snapshots WHERE snapshot_key = ?", (snapshot_key,)
        )
        if not rows:
            self._refuse_session(session_id, now)
        if rows[0][1:] != (session_id, price):
            raise StoreValidation(f"valuation {shown(snapshot_key)} is already written with other contents")
        return int(rows[0][0])


def _valuation(row: tuple[object, ...]) -> Valuation:
    made = Valuation(*row)  # type: ignore[arg-type]
    return made if made.mid is None else made._replace(mid=Decimal(made.mid))
