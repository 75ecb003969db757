"""One run of a script: what each actor does, and the history of it."""

import itertools
from collections.abc import Callable
from typing import Any

from crashlab.engine.schedules.harm import Harm
from crashlab.engine.schedules.phases import Phases
from crashlab.engine.schedules.reads import Read
from crashlab.engine.schedules.walindex import impossible
from crashlab.errors import SubjectError, did_you_mean
from crashlab.model.history import Ended, EndKind, History, NoteRecord, StepRecord, StepState
from crashlab.model.phase import MARK_CLOSE
from crashlab.model.schedule import Script
from crashlab.model.step import Lane
from crashlab.writers.schedule.context import ScheduledContext
from crashlab.writers.schedule.decide import Decide, Mark
from crashlab.writers.schedule.turns import Turns

__all__ = ["Play"]


class Play:
    """The actors' bodies; afterwards `history()`, `reads`, `wal_index` (what was impossible in it, ""), `opened`.

    `harm`: looks at the open files after each step; `harmed`: what it saw, by invariant.
    """

    def __init__(
        self,
        workload: Any,
        script: Script,
        turns: Turns,
        context: ScheduledContext,
        phases: Phases,
        decide: Decide,
        harm: Harm | None = None,
    ) -> None:
        self._workload = workload
        self._script = script
        self._turns = turns
        self._context = context
        self._decide = decide
        self._harm = harm
        self.harmed: dict[str, str] = {}
        self._count = itertools.count(1)
        context.moment = phases.moment = self._count.__next__
        self._phases = phases
        self._steps: list[StepRecord] = []
        self._under_way: dict[str, StepRecord] = {}
        self._instance: Any = None
        self._lanes: list[Lane] = []
        self.opened = False
        self.reads: list[Read] = []
        self.wal_index = ""
        self.beginning: Callable[[int, int], object] | None = None
        self.begins: Callable[[], object] = lambda: None
        self.ended: Callable[[], object] = lambda: None

    def bodies(self) -> list[Callable[[], None]]:
        """What each actor does, in their order.

        Raises:
            SubjectError: the script names a lane that the workload has not.
        """
        known = {lane.name: lane for lane in self._workload.lanes(self._context) if lane.process == 0}
        for actor in self._script.actors:
            lane = known.get(actor.lane)
            if lane is None:
                raise SubjectError(
                    f"the schedule has a lane {actor.lane!r}, the workload has: {', '.join(known) or 'none'}"
                    f"{did_you_mean(actor.lane, known)}"
                )
            self._lanes.append(lane)
        return [self._main, *(lambda number=number: self._play(number) for number in range(1, len(self._lanes)))]

    def _main(self) -> None:
        turns = self._turns
        self._instance = self._workload.open(self._context)
        self.opened = True
        self.begins()
        turns.begin(self._decide)
        others = range(1, len(self._lanes))
        try:
            self._play(0)
            if not turns.has_finished(others):
                turns.wait(Mark.LOCK, lambda: turns.has_finished(others), timed=False)
        finally:
            if not turns.adopted:
                turns.end()
                self.ended()
            if not turns.gave_up:  # then others stand inside their connections; the road closes those at the end
                self._phases.enter(MARK_CLOSE)
                self._instance.close()
                self._phases.leave(MARK_CLOSE)  # only a close() that returned was a clean one

    def _play(self, number: int) -> None:
        wanted = self._script.actors[number].steps
        if not wanted:
            return
        turns, lane, last = self._turns, self._lanes[number], max(wanted)
        tick = self._context.stepped.tick
        for place, step in enumerate(self._workload.steps(lane, self._instance, self._context)):
            if place in wanted:
                if self.beginning is not None:
                    self.beginning(number, place)
                turns.step_begins()
                self._do(lane, step)
                turns.step_ends()
                tick()
                if not self.wal_index:
                    self.wal_index = impossible(turns.mapped)
                if self._harm is not None and not turns.gave_up:  # what follows the lab's own copying is nobody's harm
                    self.harmed.update(self._harm.look())
            if place >= last:
                return

    def _do(self, lane: Lane, step: Any) -> None:
        begun = next(self._count)
        state, error, happened = StepState.ACKED, "", None
        self._under_way[lane.name] = StepRecord(lane.name, 0, step.seq, StepState.OPEN, step.effects, begun, begun)
        try:
            happened = step.do()
            if happened is not None:
                happened = tuple(happened)
        except Exception as raised:
            state, error = StepState.REFUSED, f"{type(raised).__name__}: {raised}"[:500]
        ended = next(self._count)
        effects = step.effects if happened is None or step.reads else happened
        record = StepRecord(lane.name, 0, step.seq, state, effects, begun, begun, ended, ended, error)
        del self._under_way[lane.name]
        self._steps.append(record)
        if step.reads and happened is not None:
            rows = {(seen.table, seen.key): seen.value for seen in happened if seen.value is not None}
            self.reads.append(Read(record, step.reads, rows))

    def history(self, *, died: bool = False) -> History:
        """What was done, for the oracles; steps that are under way count only where all `died`."""
        return History(
            case_id="",
            steps=(*self._steps, *(self._under_way.values() if died else ())),
            phases=tuple(self._phases.records),
            notes=tuple(NoteRecord(moment, 0, text) for moment, text in self._context.notes),
            ended=Ended(EndKind.EXITED, 0),
            last_ns=next(self._count),
        )
