"""The outcome of one trial, as plain data."""

import msgspec

from crashlab.model.case import Case
from crashlab.model.finding import Finding, Verdict
from crashlab.model.history import Ended
from crashlab.model.story import Story


class Exposure(msgspec.Struct, frozen=True):
    """What lived only in the WAL at the fault, and what the main file alone would be.

    `frames`: committed frames whose page is not identical in main. `rows` and `seconds`: acked effects
    that the main file alone does not hold, and the age of the oldest of them at the end of the run.
    `main_alone`: readable, no-schema, malformed, empty or missing.
    """

    frames: int = 0
    frames_uncommitted: int = 0
    rows: int = 0
    seconds: float = 0.0
    wal_bytes: int = 0
    main_alone: str = ""


class StateCount(msgspec.Struct, frozen=True):
    """What a trial that judges many computed crash states looked at; see `crashlab.states.coverage.Coverage`.

    `generated` states were looked at, `distinct` of them different, in `classes` classes and on `disks` single disks;
    real SQLite recovered `recoveries`, `cross_checked` of these to check a class. `failed`: states in failing classes.
    """

    generated: int = 0
    distinct: int = 0
    classes: int = 0
    disks: int = 0
    recoveries: int = 0
    cross_checked: int = 0
    failed: int = 0

    def plus(self, other: "StateCount") -> "StateCount":
        """Return both together. States, classes and disks of different runs are different."""
        return StateCount(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))

    def __str__(self) -> str:
        return (
            f"{self.generated:,} crash states, {self.distinct:,} distinct: {self.classes:,} classes and {self.disks:,} "
            f"single disks, {self.recoveries:,} real recoveries, {self.cross_checked:,} of them cross-checks"
        )


class Outcome(msgspec.Struct, frozen=True):
    """What one trial showed. `phase` is where the writer was when it died; `fired` says how, or why not.

    `story` is there for failing trials that were kept, `states` for trials that judge many computed states.
    """

    trial_id: str
    case: Case
    verdict: Verdict
    ended: Ended
    fired: str = ""
    phase: str = ""
    findings: tuple[Finding, ...] = ()
    acked: int = 0
    found: int = 0
    exposure: Exposure = Exposure()
    error: str = ""
    case_dir: str = ""
    settings: dict[str, str] = {}
    timings_us: dict[str, int] = {}
    story: Story | None = None
    states: StateCount | None = None
