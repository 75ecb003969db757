"""The coordinator of actors that are processes: it forks them, asks `decide`, hands the token on, and kills.

The actors live from schedule to schedule; one that was killed, or had to be, is forked anew before the next. The
process that makes a crew must have no threads and no database open: its actors are forks of it.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NoReturn, Protocol

from crashlab.errors import LabError, SubjectError, UsageError
from crashlab.writers.schedule.decide import Decide, Mark, Why
from crashlab.writers.schedule.processes.memory import Shared, Word
from crashlab.writers.schedule.processes.stuck import StackFile, Stuck, look
from crashlab.writers.schedule.processes.token import Token
from crashlab.writers.schedule.processes.turns import ActorTurns
from crashlab.writers.schedule.turns import EMPTY_GRANTS_MAX

__all__ = ["Course", "Crew", "Part", "Reply", "Strike"]

_PR_SET_PDEATHSIG = 1
OPEN_S, GRANT_S = 20.0, 5.0
TIMES_PASS_MAX = 200
"""How often in a row all actors may wait for time to pass, without a step completed, before it is a livelock."""


class Part(Protocol):
    """What one actor does, in its process; made anew there for each schedule from the order that it is given."""

    def open(self, turns: ActorTurns, order: bytes) -> None:
        """Make ready; alone, and no part of the schedule."""

    def play(self) -> None:
        """Do the steps."""

    def close(self) -> None:
        """Clear away; alone, and no part of the schedule."""


class Command(IntEnum):
    """What an actor is told with the token."""

    GO_ON = 0
    OPEN = 1
    PLAY = 2
    CLOSE = 3


class Reply(IntEnum):
    """Why an actor hands the token back, beside `decide.Why`."""

    DONE = 10
    RAISED = 11


Strike = Callable[["Crew", int, str, int], None]
"""(crew, actor, fault, call): a fault befalls an actor that stands before a call."""


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


class Crew:
    """`actors` processes, each doing the `Part` that `parts(actor)` makes in it.

    `points_max`: of a schedule. `grant_s`: an actor that has not come back after so long is stuck. `strike`: carries
    out faults; without one they are refused.
    """

    def __init__(
        self,
        actors: int,
        parts: Callable[[int, Shared], Part],
        *,
        points_max: int = 20_000,
        grant_s: float = GRANT_S,
        strike: Strike | None = None,
    ) -> None:
        if not (hasattr(os, "fork") and hasattr(os, "pidfd_open")):
            raise UsageError("schedules of processes need Linux; here the actors can be threads")
        self.actors = actors
        self.shared = Shared(4 * points_max)
        self.course = Course(actors)
        self._parts = parts
        self._points_max = points_max
        self._grant_s = grant_s
        self._strike = strike
        self._home = Token()
        self._go = [Token() for _ in range(actors)]
        self._stacks = [StackFile() for _ in range(actors)]
        self._pids = [0] * actors
        self._pidfds = [-1] * actors
        self._owner = os.getpid()

    # -- a schedule -------------------------------------------------------------------------------------

    def run(self, orders: Sequence[bytes], decide: Decide) -> Course:
        """Run one schedule: all open in their order, play as `decide` says, and close in their order.

        Raises:
            SubjectError: an actor could not open; it says which and why.
            LabError: `decide` chose somebody who cannot run.
            LimitError: an actor told too much.
        """
        self.course = course = Course(self.actors)
        self.shared.clear()
        for actor in range(self.actors):
            if not self._pids[actor]:
                self._fork(actor)
        try:
            for actor, order in enumerate(orders):
                self.shared.post(order)
                self._tell(actor, Command.OPEN, OPEN_S, "opening")
            self._play(decide)
            if course.gave_up:
                self.kill_all()
            for actor in range(self.actors):
                if self._pids[actor]:
                    self._tell(actor, Command.CLOSE, OPEN_S, "closing")
        except BaseException:
            self.kill_all()
            raise
        return course

    def kill(self, actor: int) -> None:
        """End an actor's process with SIGKILL, and wait until it is gone and its locks with it."""
        pid, self._pids[actor] = self._pids[actor], 0
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(self._pidfds[actor])

    def kill_all(self) -> None:
        """End all actors."""
        for actor in range(self.actors):
            self.kill(actor)
        while select.select([self._home.descriptor], [], [], 0)[0]:
            self._home.take()

    def answer(self, actor: int, rc: int) -> None:
        """Let the call before which an actor stands be answered `rc` instead of being made."""
        self.shared.words[Word.TOLD + actor] = rc + 1

    def stop_here(self, why: str) -> None:
        """End the schedule where it stands: all actors are killed, which is what `why` names."""
        self.course.gave_up = why

    def close(self) -> None:
        """End all actors and release everything."""
        self.kill_all()
        for token in (self._home, *self._go):
            token.close()
        for stack in self._stacks:
            stack.close()
        self.shared.close()

    # -- the coordinator's loop -------------------------------------------------------------------------

    def _play(self, decide: Decide) -> None:
        words, course = self.shared.words, self.course
        alive, begun = list(range(self.actors)), set[int]()
        blocked: dict[int, tuple[int, bool]] = {}
        ran_out = set[int]()
        passed_all = times_passed = events = empty = 0
        why, me, call = Why.START, -1, int(Mark.FINISH)
        segment: list[int] = []
        while alive:
            if words[Word.EVENTS] != events:
                events, times_passed = words[Word.EVENTS], 0
            runnable = [a for a in alive if a not in blocked or blocked[a][0] != events]
            if not runnable:
                times_passed += 1
                ran_out.update(a for a in alive if blocked[a][1])
                runnable = [a for a in alive if a in ran_out]
                if not runnable or times_passed > TIMES_PASS_MAX:
                    course.gave_up = "livelock" if runnable else "deadlock"
                    break
            actor, calls, fault = decide(why, me, call, passed_all, runnable)
            if actor not in runnable:
                raise LabError(f"{decide!r} chose actor {actor}, who cannot run; there are {runnable}")
            if segment and (why is not Why.POINT or actor != me):
                course.segments.append((segment[0], segment[1], ""))
                segment = []
            blocked.pop(actor, None)
            calls = min(calls, self._points_max - passed_all)
            empty = 0 if calls else empty + 1
            if empty > EMPTY_GRANTS_MAX:
                raise LabError(f"{EMPTY_GRANTS_MAX} grants of no points one after another")
            words[Word.LEFT], words[Word.RAN_OUT] = calls, actor in ran_out
            ran_out.discard(actor)
            words[Word.COMMAND] = Command.GO_ON if actor in begun else Command.PLAY
            begun.add(actor)
            ended = self._hand_to(actor, self._grant_s)
            passed = calls - (words[Word.LEFT] if not ended else 0)
            passed_all += passed
            segment = [actor, passed + (segment[1] if segment else 0)]
            me, call = actor, words[Word.CALL]
            if ended:
                why, call = Why.FINISH, int(Mark.FINISH)
                alive.remove(actor)
                words[Word.EVENTS] += 1
                course.ends[actor] = ended
            elif words[Word.WHY] == Why.FINISH:
                why = Why.FINISH
                alive.remove(actor)
            elif words[Word.WHY] == Why.YIELD:
                why = Why.YIELD
                blocked[actor] = (words[Word.EVENTS], bool(words[Word.TIMED]))
            else:
                why = Why.POINT
                if passed_all >= self._points_max:
                    course.gave_up = "points"
                elif fault:
                    course.segments.append((actor, segment[1], fault))
                    segment = []
                    self._befall(actor, fault, call)
                    if not self._pids[actor]:
                        why, call = Why.FINISH, int(Mark.FINISH)
                        alive.remove(actor)
                        words[Word.EVENTS] += 1
                        course.ends[actor] = "killed"
            if course.gave_up:
                break
        if segment:
            course.segments.append((segment[0], segment[1], ""))

    def _befall(self, actor: int, fault: str, call: int) -> None:
        if self._strike is None:
            raise LabError(f"fault {fault!r} in a schedule of a crew that knows none")
        self._strike(self, actor, fault, call)

    def _hand_to(self, actor: int, seconds: float) -> str:
        """Give the token and wait for it; return how the actor's process ended if it did not bring it back."""
        self._go[actor].give()
        poller = select.poll()
        poller.register(self._home.descriptor, select.POLLIN)
        poller.register(self._pidfds[actor], select.POLLIN)
        ready = poller.poll(seconds * 1000)
        if not ready:
            stuck: Stuck = look(self._pids[actor], self._stacks[actor])
            self.course.gave_up = f"{stuck.how}: actor {actor}" + (f" at {stuck.where}" if stuck.where else "")
            self.kill(actor)
            return self.course.gave_up
        if any(descriptor == self._home.descriptor for descriptor, _ in ready):
            self._home.take()
            if self.shared.words[Word.WHY] == Reply.RAISED:
                return f"raised: {self.shared.mail().decode('utf-8', 'replace')}"
            return ""
        pid, self._pids[actor] = self._pids[actor], 0
        _, status = os.waitpid(pid, 0)
        os.close(self._pidfds[actor])
        if os.WIFSIGNALED(status):
            return f"died: signal {os.WTERMSIG(status)}"
        return f"died: exit code {os.WEXITSTATUS(status)}"

    def _tell(self, actor: int, command: Command, seconds: float, doing: str) -> None:
        self.shared.words[Word.COMMAND] = command
        ended = self._hand_to(actor, seconds)
        if ended:
            raise SubjectError(f"actor {actor}, {doing}: {ended}")

    # -- processes --------------------------------------------------------------------------------------

    def _fork(self, actor: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            self._live(actor)
        self._pids[actor] = pid
        self._pidfds[actor] = os.pidfd_open(pid)

    def _live(self, actor: int) -> NoReturn:
        """The life of an actor's process."""
        code = 70
        try:
            if sys.platform.startswith("linux"):
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != self._owner:
                os._exit(code)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._stacks[actor].listen()
            turns = ActorTurns(self.shared, actor, self._go[actor], self._home)
            part = self._parts(actor, self.shared)
            while True:
                self._go[actor].take()
                self._obey(turns, part)
        finally:
            os._exit(code)

    def _obey(self, turns: ActorTurns, part: Part) -> None:
        words = self.shared.words
        command = words[Word.COMMAND]
        try:
            if command == Command.OPEN:
                part.open(turns, self.shared.mail())
            elif command == Command.PLAY:
                turns.begin()
                part.play()
                turns.finish()
                return
            else:
                part.close()
        except BaseException as error:
            turns.on = False
            self.shared.post(f"{type(error).__name__}: {error}"[:1000].encode())
            words[Word.WHY] = Reply.RAISED
        else:
            words[Word.WHY] = Reply.DONE
        self._home.give()
