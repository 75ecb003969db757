"""Capital: what was paid in and taken out, an overlay that the inventory ledger never contains."""

from decimal import Decimal
from typing import Final, NamedTuple

from store.books.ledger import BALANCES, Ledger
from store.books.units import Asset, Holdings, balance, checked_asset, decimal_text, to_units
from store.errors import StoreValidation
from store.validation import MAX_INTEGER, amount, did_you_mean, name, shown, text

DEPOSIT: Final = "deposit"
WITHDRAWAL: Final = "withdrawal"
INITIAL_BASIS: Final = "initial_basis"

_COLUMNS = "event_id, event_key, kind, asset, amount, price, note, ts"
_SUMS: Final = (
    "coalesce(sum(CASE asset WHEN 'XRP' THEN amount END), 0), coalesce(sum(CASE asset WHEN 'RLUSD' THEN amount END), 0)"
)
_HOLDINGS: Final = f"SELECT {BALANCES}, {_SUMS} FROM capital_events"
_MAX_NOTE: Final = 2000


class CapitalEvent(NamedTuple):
    """One movement of capital; `amount` in smallest units, negative for a withdrawal.

    `price` is the cost basis in RLUSD for one XRP of an initial basis, else None. `ts` in nanoseconds since
    1970, later than every earlier event's and session boundary's.
    """

    event_id: int
    event_key: str
    kind: str
    asset: str
    amount: int
    price: Decimal | None
    note: str
    ts: int


class Capital(Ledger):
    """The one-shot writers of `capital_events`, and the sums over it."""

    def inject_capital(
        self,
        event_key: str,
        asset: Asset | str,
        quantity: Decimal | int | str,
        *,
        kind: str = DEPOSIT,
        note: str = "",
    ) -> int:
        """Record a deposit or withdrawal of `quantity` whole units, once for each `event_key`; returns its row id.

        Repeating the same call changes nothing. Raises StoreValidation for a key used for something else, a
        withdrawal of more than there is, amounts that are not greater than zero or finer than 10**-6.
        """
        if kind not in (DEPOSIT, WITHDRAWAL):
            raise StoreValidation(f"unknown kind {shown(kind)}; {did_you_mean(kind, (DEPOSIT, WITHDRAWAL))}")
        units = to_units(quantity, "quantity")
        signed = units if kind == DEPOSIT else -units
        return self._record_capital(event_key, kind, checked_asset(asset), signed, None, note)

    def write_initial_basis(self, asset: Asset | str, quantity: Decimal | int | str, price: Decimal | int | str) -> int:
        """Record what was held before the books began, at a cost basis; once for each asset; returns its row id.

        `price` is in RLUSD for one XRP, and 1 for RLUSD itself. Repeating the same call changes nothing; another
        quantity or price is refused with StoreValidation.
        """
        asset, price = checked_asset(asset), amount(price, "price")
        if asset is Asset.RLUSD and Decimal(price) != 1:
            raise StoreValidation(f"price of RLUSD in RLUSD must be 1, not {shown(price)}")
        key = f"{INITIAL_BASIS}:{asset}"
        return self._record_capital(key, INITIAL_BASIS, asset, to_units(quantity, "quantity"), price, "")

    def capital_events(self) -> list[CapitalEvent]:
        """All events in the order they were recorded."""
        rows = self._read(f"SELECT {_COLUMNS} FROM capital_events ORDER BY event_id")
        return [_event(row) for row in rows]

    def _record_capital(self, event_key: str, kind: str, asset: Asset, units: int, price: str | None, note: str) -> int:
        name(event_key, "event_key")
        text(note, "note", _MAX_NOTE)
        if event_key.startswith(f"{INITIAL_BASIS}:") and kind != INITIAL_BASIS:
            raise StoreValidation(f"event_key must not begin with {INITIAL_BASIS!r}: it is write_initial_basis's")
        content = (kind, asset.value, units, price, note)
        with self._atomic():
            rows = self._read(f"SELECT {_COLUMNS} FROM capital_events WHERE event_key = ?", (event_key,))
            if rows:
                if rows[0][2:7] != content:
                    raise StoreValidation(f"capital event {shown(event_key)} is already recorded as something else")
                return int(rows[0][0])
            self._check_capital(asset, units)
            return self._write(
                "INSERT INTO capital_events (event_key, kind, asset, amount, price, note, ts) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (event_key, *content, self._boundary_time()),
            )[0]

    def _check_capital(self, asset: Asset, units: int) -> None:
        """Raise StoreValidation when the event would leave less than nothing, or too much."""
        held = self.holdings().of(asset)
        if units < 0 and held + units < 0:
            raise StoreValidation(f"only {decimal_text(held)} {asset} is there, {decimal_text(-units)} is too much")
        balance(self._capital_between(0, MAX_INTEGER).of(asset) + units, f"the capital in {asset}")

    def holdings(self) -> Holdings:
        """What the engine holds now: all fills and all capital, of all sessions."""
        xrp_drops, rlusd_micros, xrp_capital, rlusd_capital = self._read(_HOLDINGS)[0]
        return Holdings(xrp_drops + xrp_capital, rlusd_micros + rlusd_capital)

    def _capital_between(self, after: int, until: int) -> Holdings:
        """The sum of the events with `after < ts <= until`."""
        return Holdings(*self._read(f"SELECT {_SUMS} FROM capital_events WHERE ts > ? AND ts <= ?", (after, until))[0])


def _event(row: tuple[object, ...]) -> CapitalEvent:
    event = CapitalEvent(*row)  # type: ignore[arg-type]
    return event if event.price is None else event._replace(price=Decimal(event.price))
