"""Making a failing schedule smaller, as long as it fails in the same way.

Greedy, in this order until nothing more goes: whole actors, steps, segments (with one gone, its neighbours are one, and
an actor that is not stopped runs on), pairs of steps, another schedule of one step less, and a program without what is
passed over in it. What is kept is the identity of the finding. The result is a local minimum: nothing single can be
taken from it.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, islice

import msgspec

from crashlab.engine.schedules.calibrate import NO_POINTS
from crashlab.engine.schedules.ran import Ran, Road
from crashlab.engine.schedules.replay import Segments
from crashlab.engine.schedules.sources import Source
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY
from crashlab.errors import LabError
from crashlab.model.schedule import Actor, Schedule, Script, Segment
from crashlab.model.seed import rng_for
from crashlab.writers.schedule.decide import Decide, Mark
from crashlab.writers.schedule.turns import ACTOR_SHIFT

__all__ = ["ShrinkLimits", "Shrunk", "shrink"]


_CALL = (1 << ACTOR_SHIFT) - 1
PAIRS_OF_MAX = 10
SEARCHED_FROM, SEARCHED, SHIFTED = 6, 100, 20


class ShrinkLimits(msgspec.Struct, frozen=True):
    """Bounds of one reduction."""

    runs_max: int = 8000
    seconds: float = 30.0


class Shrunk(msgspec.Struct, frozen=True):
    """The smaller schedule and its run; `runs` were made. `limited`: a limit ended it, so it may not be minimal."""

    schedule: Schedule
    ran: Ran
    runs: int
    limited: bool = False


DEFAULT_SHRINK = ShrinkLimits()


class _Limit(Exception):  # noqa: N818 - it ends the search, it is no error
    pass


def shrink(road: Road, schedule: Schedule, source: Source, limits: ShrinkLimits = DEFAULT_SHRINK) -> Shrunk:
    """Shrink a schedule, keeping the finding that it names.

    Raises:
        LabError: it does not fail here in that way.
    """
    search = _Search(road, schedule, limits)
    limited = False
    try:
        search.run(source)
    except _Limit:
        limited = True
    return Shrunk(
        search.found.schedule(search.script, road.engine, road.name, schedule.finding),
        search.found,
        search.runs,
        limited,
    )


class _Search:
    def __init__(self, road: Road, schedule: Schedule, limits: ShrinkLimits) -> None:
        self._road = road
        self._finding = schedule.finding
        self._limits = limits
        self._until = time.monotonic() + limits.seconds
        self.runs = 0
        self.script = schedule.script
        first = self._fails(schedule.script, Segments(schedule.segments))
        if first is None:
            raise LabError(f"the schedule does not fail here by {schedule.finding}, so there is nothing to reduce")
        self.found = first

    def run(self, source: Source) -> None:
        self._try(_reached(self.script, self.found), self.found.segments)
        before: tuple[Script, tuple[Segment, ...]] | None = None
        while before != (self.script, self.found.segments):
            before = (self.script, self.found.segments)
            for script, segments in self._without_actors():
                self._try(script, segments)
            self._steps()
            self._segments()
            if before == (self.script, self.found.segments):
                self._two_steps()
            if before == (self.script, self.found.segments):
                self._other_schedules()
            self._try(*source.plain(self.script, self.found.segments))

    def _fails(self, script: Script, decide: Decide) -> Ran | None:
        if self.runs >= self._limits.runs_max or time.monotonic() > self._until:
            raise _Limit
        self.runs += 1
        ran = self._road.run(script, decide)
        return ran if self._finding in ran.identities() else None

    def _try(self, script: Script, segments: Sequence[Segment]) -> bool:
        if (script, tuple(segments)) == (self.script, self.found.segments) or not script.actors:
            return False
        ran = self._fails(script, Segments(segments))
        if ran is None or self._size(script, ran) >= self._size(self.script, self.found):
            return False
        self.script, self.found = script, ran
        return True

    @staticmethod
    def _size(script: Script, ran: Ran) -> tuple[int, int, int]:
        return (script.size, len(ran.segments), len(script.actors))

    def _without_actors(self) -> Iterator[tuple[Script, list[Segment]]]:
        for number in range(len(self.script.actors)):
            if self.script.actors[number].steps:
                rest = [segment for segment in self.found.segments if segment.actor != number]
                yield _with_steps(self.script, number, ()), rest

    def _steps(self) -> None:
        for number in range(len(self.script.actors)):
            for place in self.script.actors[number].steps:
                self._without({(number, place)})

    def _two_steps(self) -> None:
        """Steps that only go together; of a few, because all pairs are tried."""
        if self.script.size > PAIRS_OF_MAX:
            return
        every = [(number, place) for number, actor in enumerate(self.script.actors) for place in actor.steps]
        any(self._without({first, second}) for first, second in combinations(every, 2))

    def _without(self, dropped: set[tuple[int, int]]) -> bool:
        """Try without some steps; what comes after them is stopped where it was, or after as many points as before."""
        smaller = self.script
        for number, place in dropped:
            smaller = _with_steps(smaller, number, tuple(n for n in smaller.actors[number].steps if n != place))
        return self._try(smaller, _without_points(self.script, self.found, dropped)) or self._try(
            smaller, self.found.segments
        )

    def _other_schedules(self) -> None:
        """Drop one step and look for another schedule of the rest that fails alike, where many steps are left."""
        if not SEARCHED_FROM <= self.script.size <= PAIRS_OF_MAX:
            return
        dropped = [(number, place) for number, actor in enumerate(self.script.actors) for place in actor.steps]
        for search in (self._shifted, self._drawn):
            for number, place in dropped:
                smaller = _with_steps(
                    self.script, number, tuple(n for n in self.script.actors[number].steps if n != place)
                )
                for decide in search(number, place):
                    ran = self._fails(smaller, decide)
                    if ran is not None:
                        self.script, self.found = smaller, ran
                        return

    def _shifted(self, number: int, place: int) -> Iterator[Decide]:
        """The same segments, one of them a few points longer or shorter: without that step others make other calls."""
        segments = _without_points(self.script, self.found, {(number, place)})
        for at, segment in enumerate(segments):
            for calls in range(max(0, segment.calls - SHIFTED), segment.calls + SHIFTED + 1):
                yield Segments([*segments[:at], Segment(segment.actor, calls, segment.fault), *segments[at + 1 :]])

    def _drawn(self, number: int, place: int) -> Iterator[Decide]:
        for draw in range(SEARCHED):
            yield DEFAULT_STRATEGY.decide(rng_for(draw, "shrink", number, place), self.found.points, {})

    def _segments(self) -> None:
        at = 0
        while at < len(self.found.segments):
            segments = self.found.segments
            if not self._try(self.script, segments[:at] + segments[at + 1 :]):
                at += 1


def _without_points(script: Script, ran: Ran, dropped: set[tuple[int, int]]) -> list[Segment]:
    """The run's segments without the points of some steps (actor, place)."""
    points = (byte for byte in ran.trace[::2] if byte & _CALL not in NO_POINTS)
    places = [iter(each.steps) for each in script.actors]
    now: dict[int, int] = {}
    rest = []
    for segment in ran.segments:
        kept = 0
        for byte in islice(points, segment.calls):
            if byte & _CALL == Mark.STEP and segment.actor < len(places):
                now[segment.actor] = next(places[segment.actor], -1)
            kept += (segment.actor, now.get(segment.actor, -1)) not in dropped
        rest.append(Segment(segment.actor, kept, segment.fault))
    return rest


def _reached(script: Script, ran: Ran) -> Script:
    """The script without the steps that no lane came to."""
    begun = Counter(byte >> ACTOR_SHIFT for byte in ran.trace[::2] if byte & _CALL == Mark.STEP)
    actors = tuple(Actor(actor.lane, actor.steps[: begun[n]]) for n, actor in enumerate(script.actors))
    return msgspec.structs.replace(script, actors=actors)


def _with_steps(script: Script, number: int, steps: tuple[int, ...]) -> Script:
    actors = list(script.actors)
    actors[number] = Actor(actors[number].lane, steps)
    return msgspec.structs.replace(script, actors=tuple(actors))
