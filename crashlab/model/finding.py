"""Findings and verdicts."""

from enum import StrEnum
from typing import Any

import msgspec


class Verdict(StrEnum):
    """A trial's outcome. MISSED: the fault never fired. ERROR: the lab broke, never a pass."""

    PASS = "PASS"
    FAIL = "FAIL"
    MISSED = "MISSED"
    ERROR = "ERROR"
    INCONCLUSIVE = "INCONCLUSIVE"


class Identity(msgspec.Struct, frozen=True, order=True):
    """What makes two findings the same bug, whatever the rows."""

    oracle: str
    invariant: str
    subject: str
    fault_class: str

    def __str__(self) -> str:
        """Return the one-line form used in tables and file names."""
        return f"{self.oracle}/{self.invariant} · {self.subject} · {self.fault_class}"


class Finding(msgspec.Struct, frozen=True):
    """Something that contradicts the contract, with its evidence in plain data."""

    identity: Identity
    message: str
    evidence: dict[str, Any] = {}
