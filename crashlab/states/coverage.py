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
    states. `images`: different recovered databases among those outside the classes, `image_states` of them;
    `unjudged`: states that nothing covers, as too many different ones were met.
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
    images: int = 0
    image_states: int = 0
    unjudged: int = 0

    @property
    def judged(self) -> int:
        """Different states that were judged."""
        return self.distinct - self.unjudged

    def __str__(self) -> str:
        exist = f"{int(self.exist):,}" if len(self.exist) <= 15 else f"about 10^{len(self.exist) - 1}"
        images = f", {self.images:,} page images of {self.image_states:,} states" if self.images else ""
        unjudged = f", {self.unjudged:,} left unjudged: too many that differ" if self.unjudged else ""
        return (
            f"{self.policy}: {exist} states exist, {self.generated:,} looked at, {self.distinct:,} distinct, "
            f"{self.classes:,} classes{images} and {self.disks:,} disks outside them, {self.recoveries:,} real "
            f"recoveries, {self.cross_checked:,} of them cross-checks with {len(self.mismatches)} mismatches"
            f"{unjudged}; {self.stop}"
        )
