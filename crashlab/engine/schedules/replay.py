"""Running explicit segments: a schedule again, without what drew it."""

from collections.abc import Sequence

import msgspec

from crashlab.engine.schedules.faults import POWER
from crashlab.engine.schedules.ran import Ran, Road
from crashlab.model.schedule import Schedule, Segment
from crashlab.writers.schedule.decide import Answer, Why
from crashlab.writers.schedule.support import first_runnable

__all__ = ["Replayed", "Segments", "replay"]


class Segments:
    """Decides as segments say; one whose actor cannot run is passed over, and after the last nobody is preempted."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._next = 0

    @property
    def records(self) -> bool:
        """Whether what reaches the files has to be recorded: for a power loss."""
        return any(segment.fault == POWER for segment in self._segments)

    def __call__(self, why: Why, actor: int, call: int, points: int, runnable: Sequence[int], /) -> Answer:
        """See `crashlab.writers.schedule.decide`."""
        while self._next < len(self._segments):
            segment = self._segments[self._next]
            self._next += 1
            if segment.actor in runnable:
                return (segment.actor, segment.calls, segment.fault)
        return first_runnable(why, actor, call, points, runnable)


class Replayed(msgspec.Struct, frozen=True):
    """How often a schedule failed again in the same way (`alike`), and how often call for call (`identical`)."""

    times: int
    alike: int
    identical: int
    last: Ran

    @property
    def exact(self) -> bool:
        """Whether every run failed alike and was identical."""
        return self.alike == self.identical == self.times

    @property
    def text(self) -> str:
        """The sentence that reports it."""
        return f"reproduced {self.alike}/{self.times}, call for call {self.identical}/{self.times}"


def replay(road: Road, schedule: Schedule, times: int) -> Replayed:
    """Run a schedule `times` times; identical is a run whose digest of every call and result is the schedule's."""
    alike = identical = 0
    for _ in range(times):
        ran = road.run(schedule.script, Segments(schedule.segments))
        alike += schedule.finding in ran.identities()
        identical += ran.digest == schedule.digest
    return Replayed(times, alike, identical, ran)
