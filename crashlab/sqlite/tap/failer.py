"""I/O errors: what SQLite is told when a disk fails, fills up, or lies."""

from collections.abc import Callable
from enum import StrEnum

from crashlab.errors import UsageError
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import (
    FULL,
    IO_ERROR_CODES,
    IOERR_READ,
    OK,
    Operation,
)
from crashlab.sqlite.tap.selector import Selector, Trip


class Failure(StrEnum):
    """How a call fails.

    `EIO`: it is not done, and SQLite is told what the unix VFS answers to EIO. `ENOSPC`: the disk is full; a
    write, the only call to which the VFS says so, is not done. `FSYNC`: a sync fails and nothing is synced.
    `SHORT_WRITE`: the disk fills up in the middle of a write. `READ`: a read fails. `DROPPED`: it is not done
    and SQLite is told that it was (a disk that lies).
    """

    EIO = "EIO"
    ENOSPC = "ENOSPC"
    FSYNC = "fsync"
    SHORT_WRITE = "short-write"
    READ = "read"
    DROPPED = "dropped"


_ALLOWED: dict[Failure, frozenset[Operation]] = {
    Failure.EIO: frozenset(IO_ERROR_CODES) - {Operation.CLOSE},
    Failure.ENOSPC: frozenset({Operation.WRITE, Operation.TRUNCATE, Operation.OPEN, Operation.SHM_MAP}),
    Failure.FSYNC: frozenset({Operation.SYNC}),
    Failure.SHORT_WRITE: frozenset({Operation.WRITE}),
    Failure.READ: frozenset({Operation.READ}),
    Failure.DROPPED: frozenset({Operation.WRITE, Operation.TRUNCATE, Operation.SYNC, Operation.DELETE}),
}


class Failer(Listener):
    """Fails the call that a selector names; with `persistent`, every matching call from then on.

    `written_bytes`: how much of a short write arrives; half of it when not given. `on_fire(text)` is called
    at each failure, to leave a record. `clear()` repairs the disk: nothing fails any more.

    Raises:
        UsageError: that failure cannot happen to that operation.
    """

    def __init__(
        self,
        selector: Selector,
        failure: Failure = Failure.EIO,
        *,
        persistent: bool = False,
        written_bytes: int | None = None,
        on_fire: Callable[[str], object] | None = None,
    ) -> None:
        allowed = _ALLOWED[failure]
        if selector.operation not in allowed:
            raise UsageError(f"{failure} at {selector}: expected one of the operations {', '.join(sorted(allowed))}")
        if selector.after:
            raise UsageError(f"{failure} at {selector}: an error is the call's own result; leave out '.after'")
        if written_bytes is not None and (failure is not Failure.SHORT_WRITE or written_bytes < 0):
            raise UsageError(f"{failure} at {selector}: written bytes {written_bytes} are for a short-write, from 0")
        self.operations = frozenset({selector.operation})
        self.trip = Trip(selector, from_then_on=persistent)
        self._failure = failure
        self._written_bytes = written_bytes
        self._on_fire = on_fire

    def clear(self) -> None:
        """The fault has gone; calls are counted on."""
        self.trip.enabled = False

    def before(self, call: Call) -> int | None:
        """Answer in the place of the operation when its time has come."""
        if not self.trip.due(call):
            return None
        if self._on_fire is not None:
            self._on_fire(f"{self._failure} {self.trip.selector} offset={call.offset} size={call.size}")
        match self._failure:
            case Failure.DROPPED:
                return OK
            case Failure.SHORT_WRITE:
                part = call.size // 2 if self._written_bytes is None else self._written_bytes
                if part:
                    call.perform(min(part, max(call.size - 1, 0)))
                return FULL
            case Failure.ENOSPC if call.operation is Operation.WRITE:
                return FULL
            case Failure.READ:
                return IOERR_READ
        return IO_ERROR_CODES[call.operation]
