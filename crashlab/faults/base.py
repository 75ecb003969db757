"""What most faults do not do, so that each file holds only what its fault does."""

from pathlib import Path

import msgspec

from crashlab.writers.order import HangUp, TapPlan, Trigger


class FaultBase(msgspec.Struct, frozen=True):
    """A fault that counts nothing, has no terminal, needs no tap and leaves files alone."""

    def trigger(self) -> Trigger | None:
        """What the writer counts to find the crash point; none."""
        return None

    def hangup(self) -> HangUp | None:
        """The terminal that goes away; none."""
        return None

    def tap(self) -> TapPlan | None:
        """What the tap does in the writer; nothing."""
        return None

    def apply(self, database: Path) -> str:
        """Do to the files of an ended writer what the fault does; nothing."""
        return ""
