"""Risk limits and which halt a reading past one of them is."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal

from store.books.halts import HaltReason
from store.books.units import ONE, Holdings, checked_holdings
from store.errors import StoreValidation
from store.validation import number, shown


@dataclass(frozen=True)
class RiskLimits:
    """Past each of these the engine halts; there are no defaults. Raises StoreValidation unless all are above 0.

    Exposures in whole XRP and RLUSD, failures in calls to the ledger's RPC in a row, times in seconds.
    """

    max_xrp_exposure: float
    max_rlusd_exposure: float
    max_rpc_failures: float
    max_ledger_age_seconds: float
    max_gateway_unhealthy_seconds: float

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = number(getattr(self, field.name), f"risk.{field.name}")
            if limit <= 0:
                raise StoreValidation(f"risk.{field.name} must be greater than 0, not {shown(limit)}")


@dataclass(frozen=True)
class RiskReadings:
    """What the engine sees now; raises StoreValidation for numbers that are none."""

    held: Holdings
    rpc_failures: int = 0
    ledger_age_seconds: float = 0
    gateway_unhealthy_seconds: float = 0

    def __post_init__(self) -> None:
        checked_holdings(self.held, "held")
        for name in ("rpc_failures", "ledger_age_seconds", "gateway_unhealthy_seconds"):
            if number(getattr(self, name), name) < 0:
                raise StoreValidation(f"{name} must not be negative, not {shown(getattr(self, name))}")


def risk_halt(limits: RiskLimits, readings: RiskReadings) -> tuple[HaltReason, str] | None:
    """The first limit that is passed, as halt reason and detail, or None: "xrp exposure limit (115.20 > 100.0)"."""
    for reason, what, value, limit in _pairs(limits, readings):
        if value > Decimal(str(limit)):
            return reason, f"{what} limit ({_digits(value)} > {limit})"
    return None


def _pairs(limits: RiskLimits, readings: RiskReadings) -> Iterator[tuple[HaltReason, str, Decimal, float]]:
    held = readings.held
    yield HaltReason.RISK_XRP_EXPOSURE, "xrp exposure", _whole(held.xrp_drops), limits.max_xrp_exposure
    yield HaltReason.RISK_RLUSD_EXPOSURE, "rlusd exposure", _whole(held.rlusd_micros), limits.max_rlusd_exposure
    yield HaltReason.RISK_RPC_FAILURE, "rpc failure", Decimal(readings.rpc_failures), limits.max_rpc_failures
    age, unhealthy = Decimal(str(readings.ledger_age_seconds)), Decimal(str(readings.gateway_unhealthy_seconds))
    yield HaltReason.RISK_STALE_LEDGER, "ledger age", age, limits.max_ledger_age_seconds
    yield HaltReason.RISK_GATEWAY_UNHEALTHY, "gateway unhealthy", unhealthy, limits.max_gateway_unhealthy_seconds


def _whole(units: int) -> Decimal:
    return Decimal(units) / ONE


def _digits(value: Decimal) -> str:
    """At least two decimal places, and as many more as tell the value from its limit."""
    whole, _, part = format(value, "f").partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"
