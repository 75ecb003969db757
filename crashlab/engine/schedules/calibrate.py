"""How many points a script will have, from a few runs without a preemption: strategies draw their places from it."""

from collections.abc import Callable, Iterable

from crashlab.engine.schedules.ran import Ran, Road
from crashlab.engine.schedules.sources import ALL
from crashlab.model.schedule import Script
from crashlab.writers.schedule.decide import Mark
from crashlab.writers.schedule.support import first_runnable
from crashlab.writers.schedule.turns import ACTOR_SHIFT

__all__ = ["NO_POINTS", "Costs", "calibrate"]

POINTS_MIN = 10
_CALL = (1 << ACTOR_SHIFT) - 1
NO_POINTS = frozenset({Mark.BUSY, Mark.SLEEP, Mark.LOCK, Mark.FINISH})
"""Marks of a trace at which control does not pass by a grant's end."""


class Costs:
    """Points by kind of step. `label(lane, place, params)` names the kind."""

    def __init__(self, label: Callable[..., str]) -> None:
        self._label = label
        self._sums: dict[str, tuple[int, int]] = {}
        self._longest = 0

    def learn(self, script: Script, ran: Ran) -> None:
        """Take the steps of one run, told apart by their marks."""
        if any(len(actor.steps) >= ALL for actor in script.actors):  # no run has as many points as steps were asked for
            self._longest = max(self._longest, ran.points)
        places = [iter(actor.steps) for actor in script.actors]
        now: dict[int, str] = {}
        for byte in ran.trace[::2]:
            actor, call = byte >> ACTOR_SHIFT, byte & _CALL
            if actor >= len(places) or call in NO_POINTS:
                continue
            if call == Mark.STEP:
                now[actor] = self._label(script.actors[actor].lane, next(places[actor]), script.params)
                count, points = self._sums.get(now[actor], (0, 0))
                self._sums[now[actor]] = (count + 1, points)
            if actor in now:
                count, points = self._sums[now[actor]]
                self._sums[now[actor]] = (count, points + 1)

    def of(self, label: str) -> float:
        """Points of a step of this kind; of an average one where none was seen."""
        known = self._sums.get(label)
        if known is not None:
            return known[1] / known[0]
        count = sum(count for count, _ in self._sums.values())
        return sum(points for _, points in self._sums.values()) / count if count else POINTS_MIN

    def points(self, script: Script) -> int:
        """Points of a whole script, at least 10."""
        steps = (
            self.of(self._label(actor.lane, place, script.params)) for actor in script.actors for place in actor.steps
        )
        return max(POINTS_MIN, min(int(sum(steps)), self._longest) if self._longest else int(sum(steps)))


def calibrate(road: Road, scripts: Iterable[Script], label: Callable[..., str]) -> tuple[Costs, list[Ran]]:
    """Run the scripts, each without a preemption; return what their steps cost, and the runs."""
    costs = Costs(label)
    runs = []
    for script in scripts:
        ran = road.run(script, first_runnable)
        costs.learn(script, ran)
        runs.append(ran)
    return costs, runs
