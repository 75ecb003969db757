"""What a program promises: per fault class and, for a power loss, per effective `synchronous`."""

from enum import StrEnum

import msgspec


class FaultClass(StrEnum):
    """The kinds of bad luck; a claim always names one. A kill is not a power loss."""

    NONE = "no fault"
    PROCESS_DEATH = "process death"
    POWER_LOSS = "power loss"
    IO_ERROR = "I/O error"
    INTERFERENCE = "interference"


class Durability(StrEnum):
    """How much of what was acked must come back."""

    ALL = "all"
    PREFIX = "prefix"
    NONE = "none"


class Promise(msgspec.Struct, frozen=True):
    """One promise: what comes back, and whether the file must be well-formed.

    `may_refuse`: the program may answer with a clear refusal to start instead (and then nothing is lost:
    the operator knows, and the evidence is still there).
    """

    durability: Durability = Durability.ALL
    well_formed: bool = True
    may_refuse: bool = False


_NAMES = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}


def _sqlite_power_loss() -> dict[str, Promise]:
    return {
        "OFF": Promise(Durability.NONE, well_formed=False),
        "NORMAL": Promise(Durability.PREFIX),
        "FULL": Promise(),
        "EXTRA": Promise(),
    }


class Contract(msgspec.Struct, frozen=True):
    """A subject's promises. The defaults are what SQLite itself promises in WAL mode.

    `power_loss` is keyed by the effective `PRAGMA synchronous` (OFF, NORMAL, FULL, EXTRA); see
    https://sqlite.org/pragma.html#pragma_synchronous. `interference` may refuse to open
    (a refusal is no loss) but may not hand out wrong rows.
    """

    process_death: Promise = Promise()
    power_loss: dict[str, Promise] = msgspec.field(default_factory=_sqlite_power_loss)
    io_error: Promise = Promise()
    interference: Promise = Promise(Durability.NONE, well_formed=False, may_refuse=True)

    def promise(self, fault_class: FaultClass, synchronous: str = "FULL") -> Promise:
        """Return the promise for a fault class under an effective `synchronous`, by name or SQLite's number."""
        match fault_class:
            case FaultClass.POWER_LOSS:
                return self.power_loss.get(_NAMES.get(synchronous, synchronous.upper()), Promise())
            case FaultClass.IO_ERROR:
                return self.io_error
            case FaultClass.INTERFERENCE:
                return self.interference
            case _:
                return self.process_death
