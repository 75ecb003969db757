"""The start of a session: what a crash left open is closed, what nobody will answer any more is given up."""

import logging
from typing import Final

from store.books.halts import HaltReason
from store.books.orders import Orders
from store.engine_state import EngineState
from store.sessions import Session, Sessions

_log = logging.getLogger(__name__)

ENGINE_STATUS: Final = "engine_status"
RUNNING: Final = "RUNNING"
HALTED: Final = "HALTED"


class Starts(Sessions, Orders, EngineState):
    """Starting the engine's next session."""

    def start_session(self, parent: int | None = None) -> int:
        """Reconcile open sessions, cancel orphans, create the session and set `engine_status`, in one transaction.

        Call it at the engine's start only: of two engines on one file the second would close the first's
        session. `parent` is the session that this one recovers; raises as `create_session` does.
        """
        with self._atomic():
            self.reconcile_sessions()
            self.cancel_orphans()
            session_id = self.create_session(parent)
            self.set_engine_state(ENGINE_STATUS, RUNNING)
        return session_id

    def reconcile_sessions(self) -> list[int]:
        """Close the sessions that a crash left open, and return their numbers; repeating it finds none.

        Each ends when its books were last written, with the balances of that moment. Its halt reason is the one
        it had recorded, else `unexpected_halt`. Every one is logged at WARNING.
        """
        with self._atomic():
            left_open = self.open_sessions()
            for session in left_open:
                self._reconcile(session)
        for session in left_open:
            _log.warning("session %d was left open by a crash; it is closed now", session.session_id)
        return [session.session_id for session in left_open]

    def _reconcile(self, session: Session) -> None:
        if session.halt_reason is None:
            detail = f"session {session.session_id} was left open"
            self._write_halt(session.session_id, HaltReason.UNEXPECTED_HALT, detail)
        ended_at = self._last_activity(session)
        self._end(session, ended_at)
        self._advance_boundary(ended_at)

    def _last_activity(self, session: Session) -> int:
        """The latest time that the session itself wrote into its books."""
        rows = self._read(
            "SELECT max(?1, "
            "coalesce((SELECT max(updated_at) FROM orders WHERE session_id = ?2), 0), "
            "coalesce((SELECT max(ts) FROM inventory_ledger WHERE session_id = ?2), 0), "
            "coalesce((SELECT max(ts) FROM valuation_snapshots WHERE session_id = ?2), 0), "
            "coalesce((SELECT max(ts) FROM market_snapshots WHERE session_id = ?2), 0))",
            (session.started_at, session.session_id),
        )
        return int(rows[0][0])
