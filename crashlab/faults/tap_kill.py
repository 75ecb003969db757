"""SIGKILL at an exact call of SQLite to its file system, whole or torn. Fault class: process death.

`kill@wal.write#5` dies before the fifth write to a WAL, `kill@wal.write#5+1024` after 1024 bytes of it,
`kill@main.sync.after#1` when the sync has been done but SQLite does not know. Must survive: every acked
step. It fired if the writer died of signal 9 after the tap had marked the call.
"""

from crashlab.errors import UsageError
from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing, describe_end, log_says_fired
from crashlab.faults.kill import SIGKILL
from crashlab.faults.text import FaultText
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History
from crashlab.sqlite.tap import Killer, Selector
from crashlab.writers.order import TapPlan


def parse_selector(text: FaultText) -> Selector:
    """Read a tap selector out of a fault's text.

    Raises:
        UsageError: no such role or operation.
    """
    keys = "".join(f" {name}={text.options[name]}" for name in ("phase", "file") if name in text.options)
    number = "" if text.n is None else f"#{text.n}"
    try:
        return Selector.parse(f"{text.selector}{number}{keys}")
    except UsageError as error:
        raise UsageError(f"fault {text.source!r}: {error}") from None


class TapKill(FaultBase, frozen=True):
    """`kill@wal.write#5+1024`; `selector` is canonical."""

    selector: str
    torn_bytes: int | None = None

    @classmethod
    def parse(cls, text: FaultText) -> "TapKill":
        """Parse a kill whose selector names a file role and an operation."""
        text.allow("phase", "file")
        selector = parse_selector(text)
        Killer(selector, torn_bytes=text.offset)  # refuses what cannot be torn
        return cls(str(selector), text.offset)

    def __str__(self) -> str:
        what, space, keys = self.selector.partition(" ")
        torn = "" if self.torn_bytes is None else f"+{self.torn_bytes}"
        return f"kill@{what}{torn}{space}{keys}"

    @property
    def fault_class(self) -> FaultClass:
        """Process death."""
        return FaultClass.PROCESS_DEATH

    def tap(self) -> TapPlan:
        """Kill at the selected call."""
        return TapPlan(selector=self.selector, torn_bytes=-1 if self.torn_bytes is None else self.torn_bytes)

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """Died of signal 9 at the call that the tap marked."""
        if ended.kind is EndKind.SIGNALLED and ended.code == SIGKILL and log_says_fired(history):
            return Firing(fired=True, how="killed by signal 9")
        return Firing(fired=False, how=f"no call matched {self.selector}: the writer {describe_end(ended)}")
