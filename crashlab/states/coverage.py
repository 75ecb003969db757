"""How much of what could have happened was looked at, as plain data."""

from enum import StrEnum

import msgspec

__all__ = ["Coverage", "Mismatch", "StopReason"]


class StopReason(StrEnum):
    """Why an exploration ended."""

    EXHAUSTED = "every state that exists was covered"
    BUDGET = "the budget of states was used up; the rest was sampled"
    STOPPED = "it was told to stop"
    MISMATCH = "two states of one class recovered to different contents"


class Mismatch(msgspec.Struct, frozen=True):
    """A member of a class that recovered otherwise than the class's representative: the lab is wrong."""

    state: str
    representative: str
    found: str
    expected: str


class Coverage(msgspec.Struct, frozen=True):
    """What was covered, of what exists.

    `exist`: crash states that exist under the model, exact; `exist_direct`: those of them that are outside
    the classes. `generated`: those looked at, which may repeat where they were sampled; `distinct`: without
    repeats. `classes`: classes they fell into; `disks`: different disks among those outside the classes.
    `recoveries`: by real SQLite, in all. `cross_checked`: recoveries of a second and further members of a
    class; `second_members`: classes of which more than one member was recovered; `lone`: classes that had
    only one. `compared`: recoveries without changing files that were repeated with. `outside`: reason →
    states.
    """

    policy: str
    exist: str
    exist_direct: str
    moments: int
    moments_sampled: int
    generated: int
    distinct: int
    classes: int
    disks: int
    recoveries: int
    cross_checked: int
    second_members: int
    lone: int
    compared: int
    mismatches: tuple[Mismatch, ...]
    outside: dict[str, int]
    stop: StopReason

    def __str__(self) -> str:
        exist = f"{int(self.exist):,}" if len(self.exist) <= 15 else f"about 10^{len(self.exist) - 1}"
        return (
            f"{self.policy}: {exist} states exist, {self.generated:,} looked at, {self.distinct:,} distinct, "
            f"{self.classes:,} classes and {self.disks:,} disks outside them, {self.recoveries:,} real recoveries, "
            f"{self.cross_checked:,} of them cross-checks with {len(self.mismatches)} mismatches; {self.stop}"
        )
