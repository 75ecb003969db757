"""A computed crash state: what a kill or a power loss at one moment of a recorded run could have left.

`kill@op=831+512` (process death) and `power-loss@op=831 keep=0x1f torn=7:0x3 entries=0x2` (power loss); the
text is that of `crashlab.states.state`. The state is computed from a recording, so it always fires; that
the recording is whole is checked when it is made. Must survive a kill: every acked step. A power loss: what
the contract says for the effective `synchronous`.
"""

from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, History
from crashlab.states.state import KILL, CrashState, parse_state


class CrashStateFault(FaultBase, frozen=True):
    """A crash state of a recording, as a fault."""

    state: CrashState

    @classmethod
    def parse(cls, text: str) -> "CrashStateFault":
        """Parse a crash state's text.

        Raises:
            UsageError: it does not have the form.
        """
        return cls(parse_state(text))

    def __str__(self) -> str:
        return str(self.state)

    @property
    def fault_class(self) -> FaultClass:
        """Process death or power loss."""
        return FaultClass.PROCESS_DEATH if self.state.kind == KILL else FaultClass.POWER_LOSS

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """A computed state needs no luck."""
        return Firing(
            fired=True, how=f"computed from a recording: {self.state.kind} when {self.state.op} operations were done"
        )


def is_crash_state(text: str) -> bool:
    """True for the text of a computed state rather than of a fault that hits a process."""
    return text.lstrip().startswith(("power-loss@", "kill@op="))
