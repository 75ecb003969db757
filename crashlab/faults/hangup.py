"""The terminal goes away (console closed): SIGHUP, a grace period, then SIGKILL. Fault class: process death.

What `CTRL_CLOSE_EVENT` does on Windows, on a real pseudo-terminal: the writer is session leader, the
master end closes. Four kinds of program: `default` dies of SIGHUP; `ignore` stays silent until the grace
ends; `print` ignores it and dies of EIO at its next print; `handle` runs `close()` and is killed in the
middle of it if the grace is too short. Must survive: every acked step. It fired if the writer ran when the
master end closed, and ended by SIGHUP, EIO, its own handler, or the grace kill.
"""

import signal

from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing, describe_end, log_says_fired
from crashlab.faults.kill import SIGKILL, format_moment, parse_moment
from crashlab.faults.text import FaultText, format_duration
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History
from crashlab.writers.order import Action, HangUp, Moment, OnHangUp, Trigger

GRACE_US = 5_000_000
_SIGHUP = getattr(signal, "SIGHUP", 1)


class HangUpFault(FaultBase, frozen=True):
    """`hangup@ack#5 on=handle grace=5s`."""

    moment: Moment
    phase: str = ""
    n: int = 1
    on: OnHangUp = OnHangUp.DEFAULT
    grace_us: int = GRACE_US

    @classmethod
    def parse(cls, text: FaultText) -> "HangUpFault":
        """Parse the options of a hang-up."""
        text.allow("on", "grace")
        moment, phase, n = parse_moment(text)
        on = OnHangUp(text.choice("on", tuple(OnHangUp), OnHangUp.DEFAULT))
        return cls(moment, phase, n, on, text.microseconds("grace", GRACE_US, most_s=60))

    def __str__(self) -> str:
        on = "" if self.on is OnHangUp.DEFAULT else f" on={self.on.value}"
        grace = "" if self.grace_us == GRACE_US else f" grace={format_duration(self.grace_us)}"
        return f"hangup@{format_moment(self.moment, self.phase, self.n)}{on}{grace}"

    @property
    def fault_class(self) -> FaultClass:
        """Process death."""
        return FaultClass.PROCESS_DEATH

    def trigger(self) -> Trigger:
        """The moment at which the master end closes."""
        return Trigger(self.moment, Action.HANG_UP, self.phase, self.n)

    def hangup(self) -> HangUp:
        """The terminal and the grace."""
        return HangUp(self.on, self.grace_us / 1e6)

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """It ran when the master end closed, and ended in one of the four ways."""
        if not (log_says_fired(history) and ended.hung_up):
            return Firing(fired=False, how=f"the terminal never closed on a running writer: it {describe_end(ended)}")
        if ended.kind is EndKind.SIGNALLED:
            if ended.grace_kill and ended.code == SIGKILL:
                return Firing(fired=True, how="killed at the end of the grace")
            if ended.code == _SIGHUP:
                return Firing(fired=True, how="ended by SIGHUP")
        elif ended.kind is EndKind.EXITED:
            if any(note.text.startswith("hang-up: ") for note in history.notes):
                return Firing(fired=True, how=f"ended by its own handler, exit code {ended.code}")
            if ended.code and any(
                note.text.startswith("crashed: ") and "Errno 5" in note.text for note in history.notes
            ):
                return Firing(fired=True, how="ended by EIO on its next print")
        return Firing(fired=False, how=f"the terminal closed, but the writer {describe_end(ended)} for another reason")
