"""No fault: the writer runs to its end. The control of every other fault.

Must survive: everything. It fires if the writer exits with code 0.
"""

from crashlab.errors import UsageError
from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing, describe_end
from crashlab.faults.text import FaultText
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History


class NoFault(FaultBase, frozen=True):
    """Nothing bad happens."""

    @classmethod
    def parse(cls, text: FaultText) -> "NoFault":
        """Parse `none`."""
        text.allow()
        if text.selector:
            raise UsageError(f"fault {text.source!r}: 'none' has no selector")
        return cls()

    def __str__(self) -> str:
        return "none"

    @property
    def fault_class(self) -> FaultClass:
        """No fault."""
        return FaultClass.NONE

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """A run that ended of itself with code 0."""
        clean = ended.kind is EndKind.EXITED and ended.code == 0
        return Firing(clean, "ran to its end" if clean else f"did not run to its end: {describe_end(ended)}")
