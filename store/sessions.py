"""Sessions: one row for each run of the engine."""

from typing import NamedTuple

from store.books.balances import Balances, SessionHoldings
from store.books.halts import MAX_DETAIL, HaltReason, Halts, checked_reason
from store.books.units import Holdings
from store.errors import StoreValidation
from store.validation import integer, text

_COLUMNS = (
    "session_id, parent_id, started_at, ended_at, opening_xrp_drops, opening_rlusd_micros, "
    "ending_xrp_drops, ending_rlusd_micros, halt_reason"
)


class Session(NamedTuple):
    """A run of the engine; times in nanoseconds since 1970, balances in drops and micro units.

    `ended_at` and the ending balances are None while it is open. `halt_reason` is None until one is recorded.
    """

    session_id: int
    parent_id: int | None
    started_at: int
    ended_at: int | None
    opening_xrp_drops: int = 0
    opening_rlusd_micros: int = 0
    ending_xrp_drops: int | None = None
    ending_rlusd_micros: int | None = None
    halt_reason: str | None = None


class Sessions(Balances, Halts):
    """Creating, closing and listing sessions."""

    def create_session(self, parent: int | None = None) -> int:
        """Open a session and return its number; `parent` is the session it recovers.

        It opens with all the engine holds. Without a parent the last halt's reason and detail are cleared, with
        one they are kept. Raises StoreValidation when there is no such parent, or the clock runs backwards.
        """
        if parent is not None:
            integer(parent, "parent", least=1)
        with self._atomic():
            if parent is not None and self.get_session(parent) is None:
                raise StoreValidation(f"there is no session {parent} to be the parent")
            session_id, _ = self._write(
                "INSERT INTO sessions (parent_id, started_at, opening_xrp_drops, opening_rlusd_micros) "
                "VALUES (?, ?, ?, ?)",
                (parent, self._boundary_time(), *self.holdings()),
            )
            if parent is None:
                self._clear_halt()
        return session_id

    def close_session(self, session_id: int, reason: HaltReason | str | None = None, detail: str = "") -> bool:
        """Set `ended_at` and the ending balances, and record the halt if a `reason` is given.

        True when this call closed it, False (and nothing is changed) when it was closed before. Raises
        StoreValidation when there is no such session or reason, or the clock runs backwards.
        """
        integer(session_id, "session_id", least=1)
        text(detail, "detail", MAX_DETAIL)
        why = None if reason is None else checked_reason(reason)
        with self._atomic():
            session = self.get_session(session_id)
            if session is None:
                raise StoreValidation(f"there is no session {session_id} to close")
            if session.ended_at is not None:
                return False
            if why is not None:
                self._write_halt(session_id, why, detail)
            self._end(session, self._boundary_time())
        return True

    def session_holdings(self, session_id: int) -> SessionHoldings:
        """A session's balances by its own books; raises StoreValidation when there is no such session."""
        with self._lock:
            session = self.get_session(session_id)
            if session is None:
                raise StoreValidation(f"there is no session {session_id}")
            return self._holdings_of(session)

    def get_session(self, session_id: int) -> Session | None:
        """The session, or None."""
        integer(session_id, "session_id", least=1)
        rows = self._read(f"SELECT {_COLUMNS} FROM sessions WHERE session_id = ?", (session_id,))
        return Session(*rows[0]) if rows else None

    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        return [Session(*row) for row in self._read(f"SELECT {_COLUMNS} FROM sessions ORDER BY session_id")]

    def open_sessions(self) -> list[Session]:
        """Sessions without `ended_at`: the running one, and any that a crash left open."""
        rows = self._read(f"SELECT {_COLUMNS} FROM sessions WHERE ended_at IS NULL ORDER BY session_id")
        return [Session(*row) for row in rows]

    def _end(self, session: Session, ended_at: int) -> None:
        ending = self._holdings_of(session._replace(ended_at=ended_at)).total
        self._write(
            "UPDATE sessions SET ended_at = ?, ending_xrp_drops = ?, ending_rlusd_micros = ? WHERE session_id = ?",
            (ended_at, *ending, session.session_id),
        )

    def _holdings_of(self, session: Session) -> SessionHoldings:
        opening = Holdings(session.opening_xrp_drops, session.opening_rlusd_micros)
        return self._session_holdings(session.session_id, opening, (session.started_at, session.ended_at))
