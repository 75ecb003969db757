"""SIGKILL (TerminateProcess on Windows) at a crash point. Fault class: process death.

Must survive: every acked step, at any `synchronous`; the page cache outlives the process. It says nothing
about a power loss. It fired if the writer died of signal 9 after its log had reached the crash point.
"""

from crashlab.errors import UsageError, did_you_mean
from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing, describe_end, log_says_fired
from crashlab.faults.text import FaultText, format_duration
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History
from crashlab.model.phase import Phase
from crashlab.writers.order import Action, Moment, Trigger

SIGKILL = 9
PHASES = tuple(phase.value for phase in Phase if phase not in (Phase.STEP, Phase.BETWEEN))


def parse_moment(text: FaultText) -> tuple[Moment, str, int]:
    """Read the selector of a fault that hits a running writer: `ack#k`, `phase=NAME#k` or `start`."""
    if text.offset is not None:
        raise UsageError(f"fault {text.source!r}: '+bytes' needs a write to tear, such as kill@wal.write#5+1024")
    n = 1 if text.n is None else text.n
    if n < 1:
        raise UsageError(f"fault {text.source!r}: #{n}, expected #1 or more")
    head, _, phase = text.selector.partition("=")
    if head == "phase":
        if phase not in PHASES:
            raise UsageError(
                f"fault {text.source!r}: unknown phase {phase!r}; known: {', '.join(PHASES)}"
                f"{did_you_mean(phase, PHASES)}"
            )
        return Moment.PHASE, phase, n
    known = ("ack", "start", "phase=NAME")
    if text.selector not in ("ack", "start"):
        raise UsageError(
            f"fault {text.source!r}: unknown selector {text.selector!r}; known: {', '.join(known)}"
            f"{did_you_mean(text.selector, known)}"
        )
    if text.selector == "start" and text.n is not None:
        raise UsageError(f"fault {text.source!r}: a run starts once, so 'start' takes no #n")
    return Moment(text.selector), "", n


def format_moment(moment: Moment, phase: str, n: int) -> str:
    """Print a selector; the inverse of `parse_moment`."""
    if moment is Moment.START:
        return "start"
    return f"phase={phase}#{n}" if moment is Moment.PHASE else f"ack#{n}"


class Kill(FaultBase, frozen=True):
    """`kill@ack#17 delay=300us`."""

    moment: Moment
    phase: str = ""
    n: int = 1
    delay_us: int = 0

    @classmethod
    def parse(cls, text: FaultText) -> "Kill":
        """Parse the options of a kill."""
        text.allow("delay")
        moment, phase, n = parse_moment(text)
        return cls(moment, phase, n, text.microseconds("delay", 0))

    def __str__(self) -> str:
        delay = f" delay={format_duration(self.delay_us)}" if self.delay_us else ""
        return f"kill@{format_moment(self.moment, self.phase, self.n)}{delay}"

    @property
    def fault_class(self) -> FaultClass:
        """Process death."""
        return FaultClass.PROCESS_DEATH

    def trigger(self) -> Trigger:
        """The crash point."""
        return Trigger(self.moment, Action.KILL, self.phase, self.n, self.delay_us)

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """Died of signal 9, and its log had come to the crash point."""
        if ended.kind is EndKind.SIGNALLED and ended.code == SIGKILL and log_says_fired(history):
            return Firing(fired=True, how="killed by signal 9")
        return Firing(fired=False, how=f"the kill never hit: the writer {describe_end(ended)}")
