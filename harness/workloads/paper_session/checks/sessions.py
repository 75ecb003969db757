"""Sessions: reconciled at start, halted for a reason of their own, shut down in the right order."""

import sqlite3
from collections.abc import Iterator

from crashlab.model.history import History
from harness.workloads.paper_session.books import Books, SessionRow
from harness.workloads.paper_session.desk import Restarted
from harness.workloads.paper_session.told import Ending, Told, told
from store import HaltReason
from store.books.halts import HALT_DETAIL, HALT_REASON
from store.books.start import ENGINE_STATUS, HALTED, RUNNING

_LIVE = ("SUBMITTED", "ACTIVE", "PARTIALLY_FILLED")


def sessions_reconciled(engine: Restarted, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """A session is closed, or the start closes it: at its last write, with its balances and a reason."""
    before, books = engine.before, engine.after(connection)
    for session in books.sessions:
        here = f"session {session.session_id}"
        if session.session_id == engine.session:
            if session.ended_at is not None:
                yield f"{here} was started and is closed already"
            continue
        if session.ended_at is None:
            yield f"{here} is open and forgotten: session {engine.session} has been started since"
        elif session.halt_reason is None:
            yield f"{here} ended without a halt reason"
        elif session.ended_at < before.last_written(session):
            yield f"{here} ended at {session.ended_at}, its books were written until {before.last_written(session)}"
    left_open = [session.session_id for session in before.sessions if session.ended_at is None]
    if left_open and left_open != [before.sessions[-1].session_id]:
        yield f"sessions {left_open} of {len(before.sessions)} were open at once"


def halt_reason(engine: Restarted, connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """`halt.reason` is one of the enumeration and belongs to this session, or to the one that it recovers."""
    before, endings = engine.before, told(history).endings
    for session in before.sessions:
        ending = endings.get(session.session_id)
        reason, here = session.halt_reason, f"session {session.session_id}"
        if reason is not None and reason not in list(HaltReason):
            yield f"{here}: unknown halt reason {reason}"
        if ending is None or session.ended_at is None or ending.raised:
            continue
        if reason != ending.reason:
            yield f"{here} was halted for {ending.reason}, its row says {reason}"
    yield from _state_belongs(before, endings, "as the fault left it")
    yield from _state_belongs(engine.after(connection), endings, "after the start")


def _state_belongs(books: Books, endings: dict[int, Ending], when: str) -> Iterator[str]:
    """The engine state's reason is the newest session's; without one its parent's, or none at all."""
    if not books.sessions:
        return
    newest = books.sessions[-1]
    owner: SessionRow | None = newest
    if newest.halt_reason is None:
        owner = next((s for s in books.sessions if s.session_id == newest.parent_id), None)
    expected = None if owner is None else owner.halt_reason
    found = books.states.get(HALT_REASON)
    if found != expected:
        yield f"{when}: halt.reason is {found}, expected {expected} of session {owner.session_id if owner else 'none'}"
    detail = books.states.get(HALT_DETAIL)
    if (found is None) != (detail is None):
        yield f"{when}: halt.reason is {found} and halt.detail {detail!r}"
    ending = None if owner is None else endings.get(owner.session_id)
    if ending is not None and found == ending.reason and detail not in (ending.detail, _LEFT_OPEN.format(owner)):
        yield f"{when}: halt.detail is {detail!r}, expected {ending.detail!r}"


_LEFT_OPEN = "session {0.session_id} was left open"


def shutdown_sequence(engine: Restarted, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """Orders cancelled, then valued, then closed, then HALTED, then the store closed: no later one without the earlier.

    So what the fault left is a beginning of that sequence.
    """
    books, notes = engine.before, told(history)
    values = {valuation.snapshot_key: valuation for valuation in books.valuations}
    for session in books.sessions:
        ending = notes.endings.get(session.session_id)
        here, value = f"session {session.session_id}", values.get(f"shutdown-{session.session_id}")
        live = [o.order_id for o in books.orders if o.session_id == session.session_id and o.status in _LIVE]
        if ending is None or ending.raised:  # an order that could not be cancelled stays live, and that was told
            continue
        if value is not None and live:
            yield f"{here} was valued while {', '.join(live[:3])} were live"
        if session.ended_at is not None and session.halt_reason == ending.reason:
            if value is None:
                yield f"{here} was closed before it was valued"
            elif (value.xrp_drops, value.rlusd_micros) != (session.ending_xrp_drops, session.ending_rlusd_micros):
                yield f"{here} was valued at {value.xrp_drops, value.rlusd_micros}, other than its ending balances"
    yield from _status(books, notes)
    fired = any(note.text.startswith("fired: ") for note in history.notes)
    for number, ending in notes.endings.items():
        if ending.raised and not fired:
            yield f"shutdown of session {number} raised {ending.raised}"
        if (
            ending.done
            and not engine.reader_pins
            and not any(s.session_id == number and s.ended_at is not None for s in books.sessions)
        ):
            yield f"shutdown of session {number} returned, and the session is not closed"


def _status(books: Books, notes: Told) -> Iterator[str]:
    status = books.states.get(ENGINE_STATUS)
    if not books.sessions:
        if status is not None:
            yield f"engine_status is {status} without any session"
        return
    newest = books.sessions[-1]
    if status not in (RUNNING, HALTED):
        yield f"engine_status is {status}, expected {RUNNING} or {HALTED}"
    ending = notes.endings.get(newest.session_id)
    if status == HALTED and newest.ended_at is None and not (ending and ending.raised):
        yield f"engine_status is {HALTED} while session {newest.session_id} is open"
    if ending is not None and ending.done and status != HALTED and newest.ended_at is not None:
        yield f"shutdown of session {newest.session_id} returned, and engine_status is {status}"
