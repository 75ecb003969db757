"""What the processes of a schedule told, and the history that it makes.

All of it stands in one order, that in which it happened, because one process runs at a time. A step that has begun
and not ended belongs to a process that was killed: its effects may have happened.
"""

from collections.abc import Callable, Sequence

import msgspec

from crashlab.engine.schedules.ran import Passing
from crashlab.engine.schedules.reads import Read
from crashlab.log.format import Kind
from crashlab.log.history import build_history
from crashlab.log.record import Record
from crashlab.log.trace import DONE, HEAD, TraceKind
from crashlab.model.history import Ended, EndKind, History
from crashlab.model.phase import MARK_CLOSE
from crashlab.model.step import Effect
from crashlab.writers.schedule.processes.memory import Shared

__all__ = ["Tale", "Teller", "read_tale"]

_READ, _INDEX, _PASSING, _HARM = 200, 201, 202, 203
_read = msgspec.msgpack.Decoder(tuple[str, int, tuple[str, ...], tuple[Effect, ...]])
_harm = msgspec.msgpack.Decoder(tuple[str, str])
_passing = msgspec.msgpack.Decoder(Passing)
_encode = msgspec.msgpack.encode


class Teller:
    """One process's way to tell."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.process = 0

    def append(self, kind: int, payload: bytes) -> int:
        """Append any record and return its number: as a log's `append`, for a recorder."""
        return self._shared.append(kind, self.process, payload)

    def write_around(self, file: int, data: bytes, do: Callable[..., int], *arguments: int) -> int:
        """Record a write around `do(*arguments)`, as a log's `write_around`."""
        start = self.append(TraceKind.WRITE, HEAD.pack(file, 0, arguments[-1]) + data)
        rc = do(*arguments)
        self.append(TraceKind.DONE, DONE.pack(start, rc))
        return rc

    def begin(self, lane: str, seq: int, effects: Sequence[Effect]) -> None:
        """A step begins."""
        self.append(Kind.BEGIN, _encode((lane, seq, effects)))

    def ack(self, lane: str, seq: int, effects: Sequence[Effect] | None) -> None:
        """A step has returned."""
        self.append(Kind.ACK, _encode((lane, seq, effects)))

    def refused(self, lane: str, seq: int, error: str) -> None:
        """A step has raised."""
        self.append(Kind.REFUSED, _encode((lane, seq, error)))

    def read(self, lane: str, seq: int, tables: Sequence[str], rows: Sequence[Effect]) -> None:
        """A step has read these tables whole."""
        self.append(_READ, _encode((lane, seq, tables, rows)))

    def note(self, text: str) -> None:
        """A remark of the program."""
        self.append(Kind.NOTE, _encode(text))

    def closing(self, *, done: bool) -> None:
        """The process begins to close, or has closed."""
        self.append(Kind.LEAVE if done else Kind.ENTER, _encode((MARK_CLOSE, "")))

    def wal_index(self, text: str) -> None:
        """Something in the wal-index was impossible."""
        self.append(_INDEX, text.encode())

    def harm(self, invariant: str, text: str) -> None:
        """Something was done to an open file."""
        self.append(_HARM, _encode((invariant, text)))

    def passing(self, passing: Passing) -> None:
        """An actor was stopped."""
        self.append(_PASSING, _encode(passing))


class Tale(msgspec.Struct, frozen=True):
    """What was told. `wal_index`: what was impossible in it, ""; `harmed`: what was done to open files, by invariant.

    `records`: all, the trace's operations among them.
    """

    history: History
    reads: tuple[Read, ...]
    wal_index: str
    course: tuple[Passing, ...]
    records: tuple[Record, ...]
    harmed: dict[str, str]


def read_tale(shared: Shared) -> Tale:
    """Read what the processes have told in the last schedule.

    Raises:
        RecordError: a step that began twice, or an ack without a begin.
    """
    records = shared.records()
    history = build_history("", [record for record in records if record.kind < _READ], Ended(EndKind.EXITED, 0))
    steps = {(step.process, step.lane, step.seq): step for step in history.steps}
    reads = []
    index = ""
    harmed: dict[str, str] = {}
    course: list[Passing] = []
    for record in records:
        if record.kind == _READ:
            lane, seq, tables, seen = _read.decode(record.payload)
            rows = {(effect.table, effect.key): effect.value for effect in seen if effect.value is not None}
            reads.append(Read(steps[(record.process, lane, seq)], tables, rows))
        elif record.kind == _INDEX:
            index = index or record.payload.decode()
        elif record.kind == _HARM:
            harmed.setdefault(*_harm.decode(record.payload))
        elif record.kind == _PASSING:
            passing = _passing.decode(record.payload)
            if course and course[-1].actor == passing.actor:
                passing = Passing(passing.actor, course.pop().calls + passing.calls, passing.look)
            course.append(passing)
    return Tale(history, tuple(reads), index, tuple(course), tuple(records), harmed)
