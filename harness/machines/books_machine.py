"""The machine of the books: sessions, orders, fills, capital, halts, snapshots, shutdown."""

from typing import ClassVar

from hypothesis import strategies as st

from harness.machines.books import Books
from harness.machines.books_model import BooksModel
from harness.machines.books_records import LIVE
from harness.machines.draws import Arguments, Draw, draw_operation, one_of, pick
from harness.machines.machine import StoreMachine
from harness.machines.system import Operation
from store import StateManager

REASONS = ("kill_switch", "duration_elapsed", "risk_stale_ledger")
PRICES = ("0.5", "0.51", "0.333333")
QUANTITIES = ("1", "0.000001", "0.5", "2.5", "7.25")
BIDS = ("0.4990", "0.4994", "0.4995")
ASKS = ("0.5005", "0.5010")


class BooksMachine(StoreMachine):
    """`StateManager` against `BooksModel`."""

    store: ClassVar[type[StateManager]] = StateManager
    preparation = (
        ("start_session", {}),
        ("inject_capital", {"event_key": "c1", "asset": "RLUSD", "quantity": "100"}),
        ("submit_order", {"order_id": "o1", "session_id": 1, "side": "buy", "price": "0.51", "quantity": "7.25"}),
        ("accept_order", {"order_id": "o1", "offer_sequence": 7}),
        ("submit_order", {"order_id": "o2", "session_id": 1, "side": "sell", "price": "0.5", "quantity": "2.5"}),
        ("record_order_fill", {"fill_id": "f1", "order_id": "o1", "session_id": 1, "price": "0.51", "quantity": "1"}),
    )

    def system(self) -> Books:
        """See `StoreMachine.system`."""
        return Books(self.store)

    def draw_operation(self, draw: Draw, model: BooksModel) -> Operation:
        """See `StoreMachine.draw_operation`."""
        if not model.session_rows:
            return one_of(draw, ("start_session", "create_session")), {}
        return draw_operation(draw, model, NAMES, _ARGUMENTS)


def _session(draw: Draw, model: BooksModel) -> int:
    open_now = [number for number, session in model.session_rows.items() if session.ended_at is None]
    return one_of(draw, open_now) if open_now and draw(st.integers(0, 7)) else one_of(draw, (1, 2, 3))


def _any_session(draw: Draw, model: BooksModel) -> int:
    return pick(draw, list(model.session_rows), 9)


def _order(draw: Draw, model: BooksModel, *, live: bool = True) -> str:
    known = [order.order_id for order in model.order_rows.values() if not live or order.status in LIVE]
    return one_of(draw, known) if known else "o1"


def _parent(draw: Draw, model: BooksModel) -> int | None:
    return one_of(draw, (None, 1, 2, 3))


def _halt(draw: Draw, model: BooksModel) -> dict[str, object]:
    return {
        "session_id": _session(draw, model),
        "reason": one_of(draw, REASONS),
        "detail": one_of(draw, ("", "xrp exposure limit (115.20 > 100.0)")),
    }


_ARGUMENTS: Arguments = {
    "create_session": lambda draw, model: {"parent": _parent(draw, model)},
    "start_session": lambda draw, model: {"parent": _parent(draw, model)},
    "close_session": lambda draw, model: {
        "session_id": _any_session(draw, model),
        "reason": one_of(draw, (None, *REASONS)),
    },
    "reconcile_sessions": lambda draw, model: {},
    "record_halt": _halt,
    "shutdown": lambda draw, model: {**_halt(draw, model), "engine_is_off_by": one_of(draw, (0, 1_000_000))},
    "submit_order": lambda draw, model: {
        "order_id": pick(draw, list(model.order_rows), f"o{len(model.order_rows) + 1}"),
        "session_id": _session(draw, model),
        "side": one_of(draw, ("buy", "sell")),
        "price": one_of(draw, PRICES),
        "quantity": one_of(draw, QUANTITIES),
        "submit_tx_hash": one_of(draw, (None, "tx1")),
    },
    "record_submit_tx": lambda draw, model: {
        "order_id": _order(draw, model),
        "submit_tx_hash": one_of(draw, ("tx1", "tx2")),
    },
    "accept_order": lambda draw, model: {
        "order_id": _order(draw, model, live=False),
        "offer_sequence": one_of(draw, (7, 8)),
    },
    "fail_order": lambda draw, model: {"order_id": _order(draw, model), "reason": "never got there"},
    "cancel_order": lambda draw, model: {"order_id": _order(draw, model, live=False), "reason": "requoted"},
    "cancel_orphans": lambda draw, model: {},
    "record_order_fill": lambda draw, model: {
        "fill_id": f"f{one_of(draw, (1, 1, 1, 0)) + len(model.fill_rows)}",
        "order_id": _order(draw, model, live=one_of(draw, (True, True, False))),
        "session_id": _session(draw, model),
        "price": one_of(draw, PRICES),
        "quantity": one_of(draw, QUANTITIES),
    },
    "record_fill": lambda draw, model: {
        "fill_id": f"p{one_of(draw, (1, 2))}",
        "session_id": _any_session(draw, model),
        "side": one_of(draw, ("buy", "sell")),
        "price": one_of(draw, PRICES),
        "quantity": one_of(draw, QUANTITIES),
    },
    "inject_capital": lambda draw, model: {
        "event_key": f"c{draw(st.integers(1, 4))}",
        "asset": one_of(draw, ("XRP", "RLUSD")),
        "quantity": one_of(draw, ("100", "2.5")),
        "kind": one_of(draw, ("deposit", "withdrawal")),
    },
    "write_initial_basis": lambda draw, model: {
        "asset": one_of(draw, ("XRP", "RLUSD")),
        "quantity": "50",
        "price": one_of(draw, ("1", "0.5")),
    },
    "write_valuation_snapshot": lambda draw, model: {
        "snapshot_key": f"v{draw(st.integers(1, 3))}",
        "session_id": _session(draw, model),
        "mid": one_of(draw, (None, "0.5")),
    },
    "record_market_snapshot": lambda draw, model: {
        "session_id": _session(draw, model),
        "tick": draw(st.integers(0, 4)),
        "best_bid": "0.4995",
        "best_ask": "0.5005",
        "our_bid": one_of(draw, (None, *BIDS)),
        "our_ask": one_of(draw, (None, *ASKS)),
    },
    "check_inventory_drift": lambda draw, model: {
        "session_id": _any_session(draw, model),
        "engine_is_off_by": one_of(draw, (0, 1, 10_000_000)),
    },
    "set_engine_state": lambda draw, model: {"key": "mode", "value": one_of(draw, ("calm", "storm"))},
    "delete_engine_state": lambda draw, model: {"key": one_of(draw, ("mode", "halt.reason"))},
    "record_system_metric": lambda draw, model: {
        "name": "lag",
        "value": one_of(draw, (1, 2.5)),
        "key": one_of(draw, (None, "k1")),
        "session_id": one_of(draw, (None, 1, 9)),
    },
}

# Fills matter most: they are what several tables must agree about.
NAMES = (*_ARGUMENTS, "submit_order", "submit_order", *("record_order_fill",) * 3)
