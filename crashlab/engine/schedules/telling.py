"""The course of one run in words: which calls each actor made before control passed, and the wal-index then."""

from crashlab.engine.schedules.ran import Passing
from crashlab.engine.schedules.walindex import look_at
from crashlab.log.trace import Role
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.schedule.decide import CALL_NAMES, Mark
from crashlab.writers.schedule.turns import Turns

__all__ = ["Teller"]

# https://sqlite.org/walformat.html#wal_locks and https://sqlite.org/c3ref/c_shm_exclusive.html
_LOCKS = ("WRITE", "CKPT", "RECOVER", "READ0", "READ1", "READ2", "READ3", "READ4")
_SHM_UNLOCK, _SHM_SHARED = 1, 4
_MAIN_LOCKS = ("NONE", "SHARED", "RESERVED", "PENDING", "EXCLUSIVE")
_SIZED = frozenset({Operation.READ, Operation.WRITE})
PASSINGS_MAX = 10_000


class Teller(Listener):
    """Hears every call of a schedule; afterwards `course` has the segments."""

    operations = frozenset(Operation) - {Operation.SLEEP, Operation.RANDOMNESS}

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._calls: list[str] = []
        self.course: list[Passing] = []

    def begins(self) -> None:
        """The schedule proper begins: what came before was the program's opening."""
        self._calls.clear()
        self.course.clear()

    def before(self, call: Call) -> None:
        """Write the call down."""
        if self._turns.on and not self._turns.over:
            self._calls.append(call_text(call))

    def marked(self, mark: Mark, text: str = "") -> None:
        """Write a mark down."""
        self._calls.append(text or CALL_NAMES[mark])

    def passed_on(self, actor: int) -> None:
        """The actor was stopped, or the run is over."""
        if len(self.course) < PASSINGS_MAX:
            self.course.append(Passing(actor, tuple(self._calls), look_at(self._turns.mapped)))
        self._calls.clear()


def call_text(call: Call) -> str:
    """Return what a call is about in a few words."""
    operation = call.operation
    if operation is Operation.SHM_LOCK:
        last = call.offset + call.size - 1
        lock = _LOCKS[call.offset] if 0 <= call.offset < len(_LOCKS) else str(call.offset)
        lock += "" if last == call.offset else f"..{_LOCKS[last] if last < len(_LOCKS) else last}"
        verb = "unlock" if call.flags & _SHM_UNLOCK else "lock"
        return f"{verb} {lock} {'shared' if call.flags & _SHM_SHARED else 'exclusive'}"
    if operation in (Operation.LOCK, Operation.UNLOCK):
        level = _MAIN_LOCKS[call.flags] if 0 <= call.flags < len(_MAIN_LOCKS) else str(call.flags)
        return f"{operation.value} {level}"
    role = "" if call.role in (Role.SHM, Role.OTHER) else f"{call.role.name.lower()} "
    if operation in _SIZED:
        return f"{operation.value} {role}{call.size}@{call.offset}"
    return f"{operation.value} {role}".rstrip()
