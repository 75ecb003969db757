"""Faults as decisions of a schedule: what befalls an actor where its grant is used up, before its next call.

    kill        its process dies by SIGKILL there, and all actors of it. Others go on; it does not come back. Of
                threads all die: they are one process
    power       the machine stops there: everybody dies, and of what was written and not synced any part may be gone
    io:EIO      the call that comes next fails as an I/O error, and is not made
    io:ENOSPC   so it does, of a write, because the disk is full

The contract: a fault befalls only an actor that passes the point; one that has finished or waits by then is missed.
An I/O error is missed too where the call is none that can fail so. What was missed is no evidence of anything.
"""

import random
from collections.abc import Sequence

from crashlab.errors import UsageError, did_you_mean
from crashlab.model.contract import FaultClass
from crashlab.model.schedule import Segment
from crashlab.sqlite.tap.operation import FULL, IO_ERROR_CODES, Operation
from crashlab.writers.schedule.decide import CALLS, Answer, Decide, Grant, Why

__all__ = [
    "FAULTS",
    "IO_ERRORS",
    "KILL",
    "POWER",
    "Struck",
    "fault_class_of",
    "known_fault",
    "parse_faults",
    "result_of_call",
]

KILL, POWER = "kill", "power"
IO_ERRORS = ("io:EIO", "io:ENOSPC")
FAULTS: dict[str, FaultClass] = {
    KILL: FaultClass.PROCESS_DEATH,
    POWER: FaultClass.POWER_LOSS,
    **dict.fromkeys(IO_ERRORS, FaultClass.IO_ERROR),
}
_OPERATIONS = {number: operation for operation, number in CALLS.items()}
_SHARE = 1.5
"""A fault falls within so many lengths of the schedule: some come after its end, and are missed."""


def parse_faults(text: str) -> tuple[str, ...]:
    """Read the kinds of faults that schedules may have: `kill,power,io`; "" for none.

    Raises:
        UsageError: an unknown one.
    """
    found: list[str] = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        kinds = IO_ERRORS if word == "io" else (word,)
        if kinds[0] not in FAULTS:
            known = f"kill, power, io or {', '.join(IO_ERRORS)}"
            raise UsageError(f"fault {word!r}: expected {known}{did_you_mean(word, FAULTS)}")
        found += [kind for kind in kinds if kind not in found]
    return tuple(found)


def fault_class_of(segments: Sequence[Segment]) -> FaultClass:
    """Return the class of what befell the actors; the gravest, if it was more than one."""
    classes = {FAULTS[segment.fault] for segment in segments if segment.fault in FAULTS}
    for grave in (FaultClass.POWER_LOSS, FaultClass.PROCESS_DEATH, FaultClass.IO_ERROR):
        if grave in classes:
            return grave
    return FaultClass.NONE


def known_fault(fault: str) -> str:
    """Return the fault, if it is one that can be.

    Raises:
        UsageError: it is unknown.
    """
    if fault not in FAULTS:
        raise UsageError(f"fault {fault!r}: expected one of {', '.join(FAULTS)}{did_you_mean(fault, FAULTS)}")
    return fault


def result_of_call(fault: str, call: int) -> int | None:
    """Return what the call is answered under an I/O error, None where it cannot fail so."""
    operation = _OPERATIONS.get(call)
    if operation is None or operation is Operation.CLOSE:
        return None
    if fault == "io:ENOSPC":
        return FULL if operation is Operation.WRITE else None
    return IO_ERROR_CODES.get(operation)


class Struck:
    """Decides as another does, but for one fault at a point drawn with `rng` from a schedule of about `points`."""

    def __init__(self, decide: Decide, rng: random.Random, points: int, kinds: Sequence[str]) -> None:
        self._decide = decide
        self.fault = rng.choice(list(kinds))
        self._at = rng.randint(1, max(1, int(points * _SHARE)))
        self._rest = 0
        self._given = self._over = False

    @property
    def records(self) -> bool:
        """Whether what reaches the files has to be recorded for it."""
        return self.fault == POWER

    def __call__(self, why: Why, actor: int, call: int, points: int, runnable: Sequence[int], /) -> Answer:
        """See `crashlab.writers.schedule.decide`."""
        self._over = self._over or (self._given and points >= self._at)
        rest, self._rest = self._rest, 0
        if rest and self._over and why is Why.POINT and actor in runnable:
            return Grant(actor, rest)
        chosen, calls, fault = self._decide(why, actor, call, points, runnable)
        if self._over or points + calls < self._at:
            return Grant(chosen, calls, fault)
        self._given = True
        before = max(0, self._at - points)
        self._rest = calls - before
        return Grant(chosen, before, self.fault)
