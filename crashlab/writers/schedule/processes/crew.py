"""The coordinator of actors that are processes: it asks `decide`, hands the token on, and lets faults befall them.

The processes live from schedule to schedule; one that was killed, or had to be, is forked anew before the next. Who
makes a crew must have no threads and no database open: the processes are forks of it.
"""

from collections.abc import Callable, Sequence

from crashlab.errors import LabError
from crashlab.writers.schedule.decide import Decide, Mark, Why
from crashlab.writers.schedule.processes.member import Part
from crashlab.writers.schedule.processes.members import GAVE_UP, Members
from crashlab.writers.schedule.processes.memory import Word
from crashlab.writers.schedule.processes.turns import ProcessTurns
from crashlab.writers.schedule.turns import EMPTY_GRANTS_MAX

__all__ = ["KILLED", "Course", "Crew", "Strike"]

KILLED = "killed"
GRANT_S = 5.0
TIMES_PASS_MAX = 200
"""How often in a row all actors may wait for time to pass, without a step completed, before it is a livelock."""

Strike = Callable[["Crew", int, str, int], bool]
"""(crew, actor, fault, call): a fault befalls an actor that stands before a call; False if it cannot befall it."""


class Course:
    """How one schedule went.

    `segments`: (actor, points passed, fault). `ends`: by actor, "" or why it did not finish: `killed`, `died: …`,
    `raised: …`. `gave_up`: "" or why the schedule was given up: `points`, `deadlock`, `livelock`, `spins: …`,
    `waits: …`, or what a fault said that ended it.
    """

    def __init__(self, actors: int) -> None:
        self.segments: list[tuple[int, int, str]] = []
        self.ends = [""] * actors
        self.gave_up = ""
        self.points = 0


class _Wait:
    """A blocked actor, and what had happened when it became so."""

    __slots__ = ("asks", "events", "moves", "timed")

    def __init__(self, words: memoryview, moves: int) -> None:
        self.events, self.moves = words[Word.EVENTS], moves
        self.timed, self.asks = bool(words[Word.TIMED]), bool(words[Word.ASKS])


class Crew:
    """Actors in processes. `part`: what a process does; `turns`: made before anything that waits was imported.

    `points_max`: of a schedule. `grant_s`: an actor that has not come back after so long is stuck. `strike`: carries
    out faults; without one they are refused.
    """

    def __init__(
        self,
        turns: ProcessTurns,
        part: Part,
        *,
        points_max: int = 20_000,
        grant_s: float = GRANT_S,
        strike: Strike | None = None,
    ) -> None:
        self.shared = turns.shared
        self.members = Members(turns, part, grant_s)
        self.course = Course(0)
        self._points_max = points_max
        self._strike = strike

    def run(self, homes: Sequence[int], orders: Sequence[bytes], decide: Decide) -> Course:
        """Run one schedule: the processes open in their order, play as `decide` says, and close in their order.

        `homes[a]`: the process in which actor `a` lives, numbered from 0; `orders[p]`: what process `p` is told.

        Raises:
            SubjectError: a process could not open or close; it says which and why.
            LabError: `decide` chose somebody who cannot run.
            LimitError: an actor told too much.
        """
        members = self.members
        self.course = course = Course(len(homes))
        self.shared.clear()
        try:
            members.open(homes, orders)
            self._play(decide)
            if course.gave_up:
                members.kill_all()
            members.close_open()
        except BaseException:
            members.kill_all()
            raise
        return course

    def kill(self, actor: int) -> None:
        """End the process that an actor lives in with SIGKILL, all of its actors with it."""
        self.members.kill(self.members.homes[actor])

    def answer(self, actor: int, rc: int) -> None:
        """Let the call before which an actor stands be answered `rc` instead of being made."""
        self.shared.words[Word.TOLD + actor] = rc + 1

    def stop_here(self, why: str) -> None:
        """End the schedule where it stands: all processes are killed, which is what `why` names."""
        self.course.gave_up = why

    def close(self) -> None:
        """End all processes."""
        self.members.close()

    def _play(self, decide: Decide) -> None:
        words, course, members = self.shared.words, self.course, self.members
        alive = list(range(len(members.homes)))
        blocked: dict[int, _Wait] = {}
        ran_out: set[int] = set()
        times_passed = events = moves = empty = 0
        why, me, call = Why.START, -1, int(Mark.FINISH)
        part: list[int] = []  # the segment that is not over: its actor and the points passed
        while alive and not course.gave_up:
            if words[Word.EVENTS] != events:
                events, times_passed = words[Word.EVENTS], 0
            runnable = _runnable(alive, blocked, events, moves, ran_out)
            if not runnable:
                times_passed += 1
                ran_out.update(a for a in alive if blocked[a].timed)
                runnable = sorted(ran_out)
                if not runnable or times_passed > TIMES_PASS_MAX:
                    course.gave_up = "livelock" if runnable else "deadlock"
                    break
            actor, calls, fault = decide(why, me, call, course.points, runnable)
            if actor not in runnable:
                raise LabError(f"{decide!r} chose actor {actor}, who cannot run; there are {runnable}")
            if part and (why is not Why.POINT or actor != me):
                course.segments.append((part[0], part[1], ""))
                part = []
            calls = min(calls, self._points_max - course.points)
            empty = 0 if calls else empty + 1
            if empty > EMPTY_GRANTS_MAX:
                raise LabError(f"{EMPTY_GRANTS_MAX} grants of no points one after another")
            blocked.pop(actor, None)
            words[Word.LEFT], words[Word.RAN_OUT], words[Word.IN_VAIN] = calls, actor in ran_out, 0
            ran_out.discard(actor)
            ended = members.hand_to(actor)
            passed = calls - words[Word.LEFT]
            course.points += passed
            moves += not words[Word.IN_VAIN]
            part = [actor, passed + (part[1] if part else 0)]
            me, why, call = actor, Why.FINISH, int(Mark.FINISH)
            if ended:
                self._has_ended(actor, ended, alive)
            elif words[Word.WHY] == Why.FINISH:
                alive.remove(actor)
            elif words[Word.WHY] == Why.YIELD:
                why, call = Why.YIELD, words[Word.CALL]
                blocked[actor] = _Wait(words, moves)
            else:
                why, call = Why.POINT, words[Word.CALL]
                if course.points >= self._points_max:
                    course.gave_up = "points"
                elif fault:
                    if self._strike is None:
                        raise LabError(f"fault {fault!r}: this crew knows none")
                    struck = self._strike(self, actor, fault, call)
                    course.segments.append((actor, part[1], fault if struck else ""))
                    part = []
                    if not members.has(actor):
                        self._has_ended(actor, KILLED, alive)
                        why, call = Why.FINISH, int(Mark.FINISH)
        if part:
            course.segments.append((part[0], part[1], ""))

    def _has_ended(self, actor: int, how: str, alive: list[int]) -> None:
        """An actor did not finish; where its process is gone, its other actors have not either."""
        homes = self.members.homes
        if how.startswith(GAVE_UP):
            self.course.gave_up = how.removeprefix(GAVE_UP)
        gone = not self.members.has(actor)
        for other in [other for other in alive if other == actor or (gone and homes[other] == homes[actor])]:
            alive.remove(other)
            self.course.ends[other] = how
        self.shared.words[Word.EVENTS] += 1


def _runnable(alive: list[int], blocked: dict[int, _Wait], events: int, moves: int, ran_out: set[int]) -> list[int]:
    """Who waits for a step is runnable when there was one; who has something to ask, when anybody has moved."""
    if not blocked:
        return alive.copy()
    return [
        actor
        for actor in alive
        if actor not in blocked
        or blocked[actor].events != events
        or (blocked[actor].asks and blocked[actor].moves != moves)
        or actor in ran_out
    ]
