"""What one schedule showed, and what runs one."""

from pathlib import Path
from typing import Protocol

import msgspec

from crashlab.errors import CrashlabError
from crashlab.model.finding import Finding
from crashlab.model.schedule import Schedule, Script, Segment
from crashlab.writers.schedule.decide import Decide

__all__ = ["Look", "Ran", "Road", "StuckError"]


class Look(msgspec.Struct, frozen=True):
    """The wal-index as the running process has it mapped: header and checkpoint information."""

    max_frame: int
    backfilled: int
    read_marks: tuple[int, ...]


class Passing(msgspec.Struct, frozen=True):
    """One segment as it was: its calls by name with what they were about, and the wal-index when it ended."""

    actor: int
    calls: tuple[str, ...]
    look: Look | None = None


class Ran(msgspec.Struct, frozen=True):
    """The outcome of one schedule. `trace`: two bytes for each call and mark, see `crashlab.writers.schedule.turns`.

    `problem`: why nothing can be said ("" it can): the schedule was given up, the program started threads that take
    no turns. `points`: how many were passed; `actors`: how many there were, threads of the program's own among them;
    `acked`, `refused`: steps.
    """

    segments: tuple[Segment, ...]
    trace: bytes
    points: int
    digest: str
    findings: tuple[Finding, ...] = ()
    problem: str = ""
    actors: int = 0
    acked: int = 0
    refused: int = 0
    refusals: tuple[str, ...] = ()
    course: tuple[Passing, ...] = ()

    def identities(self) -> tuple[str, ...]:
        """The identities of the findings, as text."""
        return tuple(str(finding.identity) for finding in self.findings)

    def schedule(self, script: Script, engine: str, road: str = "threads", finding: str = "") -> Schedule:
        """Return the schedule that this run was, in explicit segments."""
        return Schedule(script, self.segments, engine, road, self.points, self.digest, finding)


class StuckError(CrashlabError):
    """A schedule did not come to its end; the process in which it ran is of no more use. Exit 3.

    `kind`: `spins`, `waits` or `stays`; it stands in the verdict.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Road(Protocol):
    """Runs schedules of one subject, one after another."""

    name: str
    engine: str

    def run(self, script: Script, decide: Decide, *, tell: bool = False, keep: Path | None = None) -> Ran:
        """Run one schedule.

        `tell`: note the course of the run, for a story. `keep`: an empty directory for the files as the run left them.

        Raises:
            StuckError: it did not come to its end.
        """
