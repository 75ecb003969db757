"""Money: balances, ledger, summary and the drift check, each against the model's own arithmetic."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator

from crashlab.model.history import History
from harness.workloads.paper_session.books import Books
from harness.workloads.paper_session.desk import Restarted
from harness.workloads.paper_session.money import drops_of, worth
from harness.workloads.paper_session.told import told
from store import Asset, Holdings
from store.books.summary import DRIFT_KEY
from store.books.units import decimal_text


def balances(engine: Restarted, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """To the last unit: a session opens with all that is held and ends with that, its fills and its overlay."""
    books = engine.after(connection)
    held = Holdings()
    for session in books.sessions:
        here = f"session {session.session_id}"
        expected = held.plus(books.capital_of(0, session.started_at))
        if session.opening != expected:
            yield f"{here} opened with {session.opening}, expected {expected}"
        if session.ended_at is not None:
            ending = (session.ending_xrp_drops, session.ending_rlusd_micros)
            if ending != books.total_of(session):
                yield f"{here} ended with {ending}, its opening, fills and overlay are {books.total_of(session)}"
        held = held.plus(books.fills_of(session.session_id))
    yield from _running_balances(books)
    for valuation in books.valuations:
        value = None
        if valuation.mid is not None:
            value = valuation.rlusd_micros + worth(valuation.xrp_drops, valuation.mid)
        if valuation.value_micros != value:
            yield f"valuation {valuation.snapshot_key} is worth {valuation.value_micros}, expected {value}"


def _running_balances(books: Books) -> Iterator[str]:
    """Each entry moves what its fill moved, and its balance is that of the fills until then."""
    fills = {fill.fill_id: fill for fill in books.fills}
    running: Counter[str] = Counter()
    for entry in books.entries:
        running[entry.asset] += entry.delta
        fill = fills.get(entry.fill_id)
        expected = entry.delta if fill is None else fill.moved.of(Asset(entry.asset))
        if entry.delta != expected:
            yield f"fill {entry.fill_id} moved {entry.delta} {entry.asset}, expected {expected}"
        if entry.new_balance != running[entry.asset]:
            yield f"entry {entry.entry_id}: balance {entry.new_balance} {entry.asset}, expected {running[entry.asset]}"


def fills_have_orders(engine: Restarted, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """No fill without its order and its two ledger entries; no order with other drops filled than its fills have."""
    books = engine.after(connection)
    orders = {order.order_id: order for order in books.orders}
    posted: defaultdict[str, list[str]] = defaultdict(list)
    for entry in books.entries:
        posted[entry.fill_id].append(entry.asset)
    filled: Counter[str] = Counter()
    for fill in books.fills:
        order = orders.get(fill.order_id or "")
        if order is None:
            yield f"fill {fill.fill_id} has no order {fill.order_id}"
            continue
        filled[order.order_id] += drops_of(fill.quantity)
        if (fill.side, fill.session_id) != (order.side, order.session_id):
            yield f"fill {fill.fill_id} is a {fill.side} in session {fill.session_id}, its order is not"
        if sorted(posted[fill.fill_id]) != sorted(asset.value for asset in Asset):
            yield f"fill {fill.fill_id} has entries for {posted[fill.fill_id]}, expected one for each asset"
    if strangers := posted.keys() - {fill.fill_id for fill in books.fills}:
        yield f"ledger entries without a fill: {', '.join(sorted(strangers))}"
    for order in books.orders:
        if order.filled_drops != filled[order.order_id]:
            yield f"order {order.order_id}: {order.filled_drops} drops filled, its fills have {filled[order.order_id]}"


def summary(engine: Restarted, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """A session's summary is its fills alone, its overlay, and the total of both and the opening; its text says so."""
    books = engine.after(connection)
    for session in books.sessions:
        found = engine.store.session_summary(session.session_id)
        parts = found.holdings
        expected = (
            session.opening,
            books.fills_of(session.session_id),
            books.capital_of(session.started_at, session.ended_at),
            books.total_of(session),
        )
        if tuple(parts) != expected:
            yield f"summary of session {session.session_id}: {tuple(parts)}, expected {expected}"
        text = str(found)
        for asset in Asset:
            wanted = zip(("fills-only", "overlay", "total"), expected[1:], strict=True)
            line = next((line for line in text.splitlines() if line.startswith(f"{asset}: ")), "")
            if missing := [what for what, held in wanted if f"{what} {decimal_text(held.of(asset))}" not in line]:
                yield f"summary of session {session.session_id}: no {', '.join(missing)} in {line!r}"


def drift_flagged(engine: Restarted, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A shutdown whose engine counted 1 % or more otherwise than the books left that in the engine state, no other.

    Looked at as the fault left it. Read off the last session that its own shutdown closed: by then the check is over.
    """
    endings = told(history).endings
    books = engine.before
    closed = [session for session in books.sessions if session.ended_at is not None]
    if not closed or closed[-1].session_id not in endings:
        return
    last, newest = closed[-1], books.sessions[-1]
    ending = endings[last.session_id]
    if ending.raised or (newest is not last and newest.session_id in endings):
        return
    drifts = _drifts(books.total_of(last), ending.engine_total)
    state = books.states.get(DRIFT_KEY)
    if drifts and (state is None or json.loads(state).get("session") != last.session_id):
        yield f"session {last.session_id}: {books.total_of(last)} and the engine's {ending.engine_total} drift: {state}"
    if not drifts and state is not None:
        yield f"session {last.session_id}: nothing drifts, but {DRIFT_KEY} is {state}"


def _drifts(total: Holdings, engine: Holdings) -> bool:
    pairs = zip(total, engine, strict=True)
    return any(ours != theirs and abs(ours - theirs) * 100 >= abs(ours) for ours, theirs in pairs)
