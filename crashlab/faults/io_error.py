"""An I/O error from the file system, once or from then on. Fault class: I/O error.

`io-error@main.sync#2 error=EIO mode=persistent`. Errors: EIO, ENOSPC, fsync, short-write, read. Must
survive: every acked step; a commit that met the error is unknown. The program may refuse to go on, but
clearly. It fired if the tap answered a call with the error and the writer then ended of itself.
"""

from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing, describe_end, log_says_fired
from crashlab.faults.tap_kill import parse_selector
from crashlab.faults.text import FaultText
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History
from crashlab.sqlite.tap import Failer, Failure
from crashlab.writers.order import TapPlan

ONCE, PERSISTENT = "once", "persistent"
ERRORS = tuple(failure.value for failure in Failure if failure is not Failure.DROPPED)


class IoError(FaultBase, frozen=True):
    """`io-error@main.sync#2 error=EIO mode=persistent`; `selector` is canonical."""

    selector: str
    error: str = Failure.EIO.value
    mode: str = ONCE

    @classmethod
    def parse(cls, text: FaultText) -> "IoError":
        """Parse the options of an I/O error."""
        text.allow("error", "mode", "phase", "file")
        selector = parse_selector(text)
        error = text.choice("error", ERRORS, Failure.EIO.value)
        Failer(selector, Failure(error))  # refuses an error that the operation cannot have
        return cls(str(selector), error, text.choice("mode", (ONCE, PERSISTENT), ONCE))

    def __str__(self) -> str:
        what, space, keys = self.selector.partition(" ")
        mode = "" if self.mode == ONCE else f" mode={self.mode}"
        return f"io-error@{what} error={self.error}{mode}{space}{keys}"

    @property
    def fault_class(self) -> FaultClass:
        """I/O error."""
        return FaultClass.IO_ERROR

    def tap(self) -> TapPlan:
        """Fail the selected call."""
        return TapPlan(selector=self.selector, failure=self.error, persistent=self.mode == PERSISTENT)

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """The tap failed a call, and the writer ended of itself."""
        if not log_says_fired(history):
            return Firing(fired=False, how=f"no call matched {self.selector}: the writer {describe_end(ended)}")
        if ended.kind is EndKind.EXITED:
            return Firing(fired=True, how=f"failed with {self.error}; the writer {describe_end(ended)}")
        return Firing(fired=False, how=f"after the error the writer {describe_end(ended)}")
