"""The history of a trial: what the program said it did, and how it ended."""

from enum import StrEnum
from functools import cached_property

import msgspec

from crashlab.model.step import Effect


class StepState(StrEnum):
    """What is known of a step: acked (commit returned), refused (it raised), open (neither)."""

    ACKED = "acked"
    REFUSED = "refused"
    OPEN = "open"


class StepRecord(msgspec.Struct, frozen=True):
    """One step as the log has it; times are monotonic nanoseconds of one machine.

    `effects` are those that happened if acked, those that may have happened otherwise. `begin_seq` and
    `end_seq` order records within one process exactly; across processes the nanoseconds do.
    """

    lane: str
    process: int
    seq: int
    state: StepState
    effects: tuple[Effect, ...]
    begin_ns: int
    begin_seq: int
    end_ns: int = 0
    end_seq: int = 0
    error: str = ""

    def ended_before(self, other: "StepRecord") -> bool:
        """True if this step was acked before the other one began (real-time order)."""
        if self.state is not StepState.ACKED:
            return False
        if self.process == other.process:
            return self.end_seq < other.begin_seq
        return self.end_ns < other.begin_ns


class PhaseRecord(msgspec.Struct, frozen=True):
    """One phase entered by the program; `leave_ns` is 0 if it never left (it died inside)."""

    name: str
    process: int
    thread: int
    enter_ns: int
    enter_seq: int
    leave_ns: int = 0
    detail: str = ""


class NoteRecord(msgspec.Struct, frozen=True):
    """A remark of the program or the lab, in order."""

    ns: int
    process: int
    text: str


class EndKind(StrEnum):
    """How a writer's process ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    DEADLINE = "deadline"


class Ended(msgspec.Struct, frozen=True):
    """How process 0 ended, told by the operating system, and what the lab did to it.

    `code` is the exit code or the signal number. `hung_up` says that the master end of the terminal was
    closed while the process ran; `grace_kill` that it outlived the grace. `fired` is the log's own mark
    that the crash point was reached.
    """

    kind: EndKind
    code: int
    hung_up: bool = False
    grace_kill: bool = False
    start_ns: int = 0
    end_ns: int = 0
    stderr: str = ""


class History(msgspec.Struct, frozen=True, dict=True):
    """All that a trial's processes logged, merged, and how the writer ended."""

    case_id: str
    steps: tuple[StepRecord, ...]
    phases: tuple[PhaseRecord, ...]
    notes: tuple[NoteRecord, ...]
    ended: Ended
    last_ns: int = 0
    settings: dict[str, str] = {}

    @cached_property
    def acked(self) -> tuple[StepRecord, ...]:
        """The acked steps, oldest ack first."""
        return tuple(sorted((s for s in self.steps if s.state is StepState.ACKED), key=lambda s: (s.end_ns, s.end_seq)))

    def open_phases(self, process: int = 0) -> tuple[PhaseRecord, ...]:
        """The phases that the process was in when it ended, outermost first."""
        return tuple(p for p in self.phases if p.process == process and not p.leave_ns)
