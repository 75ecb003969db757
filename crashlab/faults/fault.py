"""What a fault is to the engine, and the table of all kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from crashlab.errors import UsageError, did_you_mean
from crashlab.faults.crash_state import CrashStateFault, is_crash_state
from crashlab.faults.damage import Damage
from crashlab.faults.firing import Firing
from crashlab.faults.hangup import HangUpFault
from crashlab.faults.io_error import IoError
from crashlab.faults.kill import Kill
from crashlab.faults.none import NoFault
from crashlab.faults.states import StatesFault
from crashlab.faults.tap_kill import TapKill
from crashlab.faults.text import FaultText, split_fault
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, History
from crashlab.writers.order import HangUp, TapPlan, Trigger


class Fault(Protocol):
    """A fault as a value; `str()` gives its canonical text."""

    @property
    def fault_class(self) -> FaultClass:
        """The class that every claim about this fault names."""

    def trigger(self) -> Trigger | None:
        """What the writer counts to find the crash point, if the fault hits a running writer."""

    def hangup(self) -> HangUp | None:
        """The terminal that goes away, if it does."""

    def tap(self) -> TapPlan | None:
        """What the tap does in the writer, if it is needed."""

    def apply(self, database: Path) -> str:
        """Do to the files of a dead writer what the fault does; return what was done, '' for nothing."""

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """Say from the wait status and the log whether the fault happened."""


def parse_kill(text: FaultText) -> Fault:
    """A kill at a moment of the log, or (`role.operation`) at a call of SQLite's."""
    return TapKill.parse(text) if "." in text.selector else Kill.parse(text)


PARSERS: dict[str, Callable[[FaultText], Fault]] = {
    "none": NoFault.parse,
    "kill": parse_kill,
    "hangup": HangUpFault.parse,
    "io-error": IoError.parse,
    "damage": Damage.parse,
    "states": StatesFault.parse,
}


KINDS = (*PARSERS, "power-loss")


def parse_fault(text: str) -> Fault:
    """Parse a fault's text form.

    Raises:
        UsageError: unknown kind, selector or option, or a number out of range.
    """
    if is_crash_state(text):
        return CrashStateFault.parse(text)
    parts = split_fault(text)
    parse = PARSERS.get(parts.kind)
    if parse is None:
        raise UsageError(
            f"unknown fault {parts.kind!r} in {text!r}; known: {', '.join(KINDS)}{did_you_mean(parts.kind, KINDS)}"
        )
    return parse(parts)
