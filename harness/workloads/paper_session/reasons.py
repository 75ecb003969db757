"""Why the sessions of a run end: every reason there is, each brought about in its own way."""

import random
import signal
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from store import HaltReason, Holdings, RiskLimits, RiskReadings, halt_detail_of, halt_reason_of_signal, risk_halt
from store.books.units import ONE

_SIGNALS = {
    HaltReason.INTERRUPTED_SIGINT: "SIGINT",
    HaltReason.INTERRUPTED_SIGTERM: "SIGTERM",
    HaltReason.INTERRUPTED_SIGBREAK: "SIGBREAK",
}


class Halt(NamedTuple):
    """How a session will end: `reason`; `off_by` hundredths of a percent that the engine miscounts one asset by."""

    reason: HaltReason
    off_by: int
    miscounts_xrp: bool

    def told(self, limits: RiskLimits, session: int) -> tuple[HaltReason, str]:
        """Reason and detail, by the store's own classification of what happened."""
        reason = self.reason
        found = risk_halt(limits, past(limits, reason)) if reason.value.startswith("risk_") else None
        if found is not None:
            return found
        if hasattr(signal, _SIGNALS.get(reason, "")):
            number = getattr(signal, _SIGNALS[reason])
            return halt_reason_of_signal(number), f"session {session} got signal {int(number)}"
        if reason is HaltReason.UNEXPECTED_HALT:
            return reason, halt_detail_of(RuntimeError(f"session {session} \0 ended"))
        return reason, f"session {session} ended"

    def miscount(self, counted: Holdings) -> Holdings:
        """What the engine says it holds."""
        xrp, rlusd = counted
        if self.miscounts_xrp:
            return Holdings(xrp + xrp * self.off_by // 10_000, rlusd)
        return Holdings(xrp, rlusd + rlusd * self.off_by // 10_000)


def doubt(error: Exception) -> tuple[HaltReason, str]:
    """Reason and detail of an engine that does not know its own state any more."""
    return HaltReason.UNEXPECTED_HALT, halt_detail_of(error)


def past(limits: RiskLimits, reason: HaltReason, over: int = 1) -> RiskReadings:
    """Readings past one limit by the least amount (`over=0`: exactly at it)."""
    more = over / 10**6
    match reason:
        case HaltReason.RISK_XRP_EXPOSURE:
            return RiskReadings(Holdings(round(limits.max_xrp_exposure * ONE) + over, 0))
        case HaltReason.RISK_RLUSD_EXPOSURE:
            return RiskReadings(Holdings(0, round(limits.max_rlusd_exposure * ONE) + over))
        case HaltReason.RISK_RPC_FAILURE:
            return RiskReadings(Holdings(), rpc_failures=int(limits.max_rpc_failures) + over)
        case HaltReason.RISK_STALE_LEDGER:
            return RiskReadings(Holdings(), ledger_age_seconds=limits.max_ledger_age_seconds + more)
        case _:
            return RiskReadings(Holdings(), gateway_unhealthy_seconds=limits.max_gateway_unhealthy_seconds + more)


def halts(rng: random.Random, *, same: bool, off_by: Sequence[int]) -> Iterator[Halt]:
    """Yield the ends of a run's sessions: all reasons in an order of the seed's, or one of them again and again."""
    reasons = list(HaltReason)
    rng.shuffle(reasons)
    while True:
        for reason in reasons[:1] if same else reasons:
            yield Halt(reason, rng.choice(off_by), rng.random() < 0.5)
