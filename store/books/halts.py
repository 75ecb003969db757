"""Why a session ended: the reasons, and where they are kept."""

import signal
from enum import StrEnum
from typing import Final

from store.books.writes import BookWrites
from store.engine_state import EngineState
from store.errors import StoreValidation
from store.validation import did_you_mean, integer, shown, text

HALT_REASON: Final = "halt.reason"
HALT_DETAIL: Final = "halt.detail"
MAX_DETAIL: Final = 2000


class HaltReason(StrEnum):
    """Every reason a session may end for; free text goes to `halt.detail`."""

    DURATION_ELAPSED = "duration_elapsed"
    ENGINE_REQUESTED_HALT = "engine_requested_halt"
    RISK_XRP_EXPOSURE = "risk_xrp_exposure"
    RISK_RLUSD_EXPOSURE = "risk_rlusd_exposure"
    RISK_RPC_FAILURE = "risk_rpc_failure"
    RISK_STALE_LEDGER = "risk_stale_ledger"
    RISK_GATEWAY_UNHEALTHY = "risk_gateway_unhealthy"
    KILL_SWITCH = "kill_switch"
    RECONCILER_HALT = "reconciler_halt"
    INTERRUPTED_SIGINT = "interrupted_sigint"
    INTERRUPTED_SIGTERM = "interrupted_sigterm"
    INTERRUPTED_SIGBREAK = "interrupted_sigbreak"
    STARTUP_FAILURE = "startup_failure"
    UNEXPECTED_HALT = "unexpected_halt"


_SIGNALS: Final = {
    "SIGINT": HaltReason.INTERRUPTED_SIGINT,
    "SIGTERM": HaltReason.INTERRUPTED_SIGTERM,
    "SIGBREAK": HaltReason.INTERRUPTED_SIGBREAK,  # Windows: Ctrl+Break, and a console that is closed
}


def checked_reason(value: object) -> HaltReason:
    """The reason of that name; raises StoreValidation for another."""
    try:
        return HaltReason(value)  # type: ignore[arg-type]
    except ValueError:
        raise StoreValidation(
            f"unknown halt reason {shown(value)}; {did_you_mean(value, [reason.value for reason in HaltReason])}"
        ) from None


def halt_reason_of_signal(signum: int) -> HaltReason:
    """The reason for a session that a signal ended; raises StoreValidation for a signal that ends none."""
    for name, reason in _SIGNALS.items():
        if getattr(signal, name, None) == signum:
            return reason
    raise StoreValidation(f"signal {shown(signum)} is none of {', '.join(_SIGNALS)}")


def halt_detail_of(error: BaseException) -> str:
    """An exception's type and message as text that `record_halt` accepts, whatever the message holds."""
    plain = f"{type(error).__name__}: {error}".replace("\0", "\\0")
    return plain.encode("utf-8", "backslashreplace").decode()[:MAX_DETAIL]


class Halts(BookWrites, EngineState):
    """Recording why a session halts, in its row and in the engine state."""

    def record_halt(self, session_id: int, reason: HaltReason | str, detail: str = "") -> None:
        """Write `halt.reason`, `halt.detail` and the session's `halt_reason`; the latest one counts.

        On a closed session a repetition changes nothing. Raises StoreValidation for an unknown reason or session,
        and for another reason than a closed session's.
        """
        integer(session_id, "session_id", least=1)
        reason, detail = checked_reason(reason), text(detail, "detail", MAX_DETAIL)
        with self._atomic():
            rows = self._read("SELECT ended_at, halt_reason FROM sessions WHERE session_id = ?", (session_id,))
            if not rows:
                raise StoreValidation(f"there is no session {session_id} to halt")
            ended_at, recorded = rows[0]
            if ended_at is None:
                self._write_halt(session_id, reason, detail)
            elif recorded != reason:
                raise StoreValidation(f"session {session_id} is closed with halt reason {recorded}, not {reason}")

    def _write_halt(self, session_id: int, reason: HaltReason, detail: str) -> None:
        """Write always: a value left from an earlier session may be the same one."""
        self._write("UPDATE sessions SET halt_reason = ? WHERE session_id = ?", (reason.value, session_id))
        self.set_engine_state(HALT_REASON, reason.value)
        self.set_engine_state(HALT_DETAIL, detail)

    def _clear_halt(self) -> None:
        """Forget the last session's halt: a session that recovers nothing starts without one."""
        self._write("DELETE FROM engine_state WHERE key IN (?, ?)", (HALT_REASON, HALT_DETAIL))
