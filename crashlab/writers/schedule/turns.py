"""Threads of one process that take turns: one runs, and only at a point, a wait or an end does another.

Each actor has a raw lock, held while it may not run; who passes control releases the next one's and waits for its
own. Every call of SQLite to its operating system layer comes through `gate`, which counts the actor's grant down and
asks here when it is used up: a call within a grant costs a comparison, a subtraction and two bytes of the trace.

What is not explored: nobody is stopped inside a call, between the instructions of SQLite and of Python (the program's
own statements run whole between two points), or where SQLite holds a static mutex (`xRandomness`). Before an open, a
close, a delete or `xShmUnmap` it holds none, in its default build and without a shared cache, so these are points.
"""

from _thread import LockType, allocate_lock, get_ident, start_new_thread
from collections.abc import Callable, Sequence

from crashlab.errors import LabError, LimitError, UsageError
from crashlab.model.schedule import ACTORS_MAX
from crashlab.sqlite.tap.operation import IO_ERROR_CODES, IOERR, NEVER_FAIL, Operation
from crashlab.writers.schedule.decide import ENDLESS, Answer, Decide, Grant, Mark, Why
from crashlab.writers.schedule.handles import Handles
from crashlab.writers.schedule.support import AbandonedError, closed_lock, first_runnable, require_turns, told

__all__ = ["ACTOR_SHIFT", "AbandonedError", "Turns", "first_runnable", "require_turns"]

ACTOR_SHIFT = 5
"""A byte of the trace is the actor above these bits and the call or mark in them."""

ABANDONED_CALLS_MAX = 20_000
EMPTY_GRANTS_MAX = 1000
MISSED = -1
"""What `strike` returns where the fault cannot befall that call; the segment then has none."""

_STILL_DONE = frozenset({Operation.CLOSE, Operation.UNLOCK, *NEVER_FAIL})


class _Wait:
    __slots__ = ("ready", "timed")

    def __init__(self, ready: Callable[[], bool] | None, timed: bool) -> None:
        self.ready = ready
        self.timed = timed


class Turns:
    """The actors' turns; one object for a process, one run after another.

    After a run: `told`, the trace of the schedule: two bytes for each call, who with what and the low byte of its
    result, and two for each mark; `segments` (actor, points passed, fault); `gave_up`: why it was given up, "" if it
    wasn't; `broke`: what went wrong in the lab itself; `errors`: (actor, what it raised); `strangers`: threads that
    nobody scheduled and that used SQLite meanwhile.
    `mapped`: where the first region of each open wal-index lies, readable as long as it stands here. `handles`: takes
    what SQLite has open, if somebody put it there before the gate was made.
    `strike(actor, fault, call)`: does what a fault is; what it returns, if not None, is the result of the call that is
    then not made. `passed_on(actor)`: called when an actor has been stopped or has finished, before the next one runs;
    `marked(mark)`: at each mark but the start of a step. `waiting`: who waited for what when it was given up.
    """

    def __init__(self) -> None:
        require_turns()
        self.on = False
        self.ident = self.current = self.base = self.left = 0
        self.trace = bytearray()
        self.segments: list[tuple[int, int, str]] = []
        self.mapped: dict[int, int] = {}
        self.handles: Handles | None = None
        self.strike: Callable[[int, str, int], int | None] | None = None
        self.passed_on: Callable[[int], object] | None = None
        self.marked: Callable[[Mark], object] | None = None
        self._idle = allocate_lock()
        self._idle.acquire()
        self._own = [closed_lock() for _ in range(ACTORS_MAX)]
        self._own_idents = [0] * ACTORS_MAX
        self._bodies: Sequence[Callable[[], None]] = ()
        for number in range(ACTORS_MAX):
            self._start_thread(number)
        self._clear((), 0)

    def _clear(self, bodies: Sequence[Callable[[], None]], points_max: int) -> None:
        self.trace.clear()
        self.segments.clear()
        self.mapped.clear()
        self.alive: list[int] = []
        self.errors: list[tuple[int, str]] = []
        self.strangers: set[int] = set()
        self.told = b""
        self.points_told = 0
        self.waiting = ""
        self.gave_up = ""
        self.broke: Exception | None = None
        self.locks: list[LockType] = self._own.copy()
        self.idents = self._own_idents.copy()
        self.adopted = 0
        self._bodies = bodies
        self._points_max = points_max
        self._decide: Decide = first_runnable
        self.over = False
        self._blocked: dict[int, _Wait] = {}
        self._ran_out: set[int] = set()
        self._granted = self._passed = self.left = self._before = 0
        self._fault = ""
        self._calls_given_up = 0

    # -- a run ------------------------------------------------------------------------------------------

    def start(self, bodies: Sequence[Callable[[], None]], points_max: int, *, plain: bool = False) -> None:
        """Begin a run of at most so many points: actor 0 runs its body, and it alone until it calls `begin`.

        `plain`: what it does until then starts no thread and waits for nobody, so nothing needs to be counted.
        """
        self._clear(bodies, points_max)
        self.alive.append(0)
        self._grant(Grant(0, ENDLESS))
        self.on = not plain
        self.locks[0].release()

    def begin(self, decide: Decide) -> None:
        """Called by actor 0 when all is ready: from now on every actor runs, and `decide` says who."""
        self.on = True
        self.trace.clear()
        self.segments.clear()
        self._decide = decide
        self.alive = sorted({*self.alive, *range(len(self._bodies))})
        self._granted = self._passed = self.left = self._before = 0
        self._pass_on(Why.START, Mark.FINISH)

    def end(self) -> None:
        """Called by an actor when the schedule is over: what it does from now on is no part of it."""
        if self.over:
            return
        self._close_segment()
        self.over = True
        self.told = bytes(self.trace)
        self.points_told = self.points
        if self.passed_on is not None:
            self.passed_on(self.current)
        self._decide = first_runnable
        if self.alive == [self.current]:
            self.on = False  # nobody is left to take turns with
        elif self.alive:
            self._grant(Grant(self.current, ENDLESS))

    def ended(self, seconds: float) -> bool:
        """Wait until all actors have finished; whether they had within `seconds`."""
        if not self._idle.acquire(timeout=seconds):
            return False
        self.on = False
        return True

    def has_finished(self, actors: Sequence[int]) -> bool:
        """Whether none of these actors has anything left to do."""
        return not any(actor in self.alive for actor in actors)

    def adopt(self) -> int:
        """Make room for a thread of the program's own as an actor; return its number. It has to `join_in`.

        Raises:
            LimitError: there are too many actors.
        """
        number = len(self._bodies) + self.adopted
        if number >= ACTORS_MAX:
            raise LimitError(f"the program starts threads of its own: more than {ACTORS_MAX} actors")
        self.adopted += 1
        self.locks[number] = closed_lock()
        self.alive.append(number)
        return number

    def join_in(self, number: int, body: Callable[[], None], there: LockType) -> None:
        """Be an adopted actor, on the calling thread; `there` is released when it can be given its turn."""
        self.idents[number] = get_ident()
        lock = self.locks[number]
        there.release()
        lock.acquire()
        self._carry_out(number, body)

    # -- points and waits -------------------------------------------------------------------------------

    @property
    def points(self) -> int:
        """How many points have been passed by all."""
        return self._before + self._granted - self.left

    @property
    def mine(self) -> bool:
        """Whether the calling thread is the actor whose turn it is."""
        return self.on and get_ident() == self.ident

    def step_begins(self) -> None:
        """The running actor stands before a step: a point.

        Raises:
            AbandonedError: the schedule was given up.
        """
        self.pass_point(Mark.STEP)

    def pass_point(self, mark: Mark) -> None:
        """The running actor stands before something that is no call of SQLite.

        Raises:
            AbandonedError: the schedule was given up.
        """
        if self.left:
            self.left -= 1
        else:
            self.stop(mark, None)
        if self.gave_up:
            raise AbandonedError
        self._mark(mark)

    def step_ends(self) -> None:
        """The running actor has completed a step: who waits for somebody may try again."""
        blocked = self._blocked
        if blocked:
            for number in [number for number, wait in blocked.items() if wait.ready is None]:
                del blocked[number]

    def wait(self, mark: Mark, ready: Callable[[], bool] | None = None, *, timed: bool = True) -> bool:
        """Let others run until `ready()`, or without one until somebody completes a step.

        `timed`: it also ends where nobody else can run, because then only time could pass. Return False if it did.

        Raises:
            AbandonedError: the schedule was given up.
        """
        me = self.current
        if len(self.trace) > 8 * self._points_max:  # it waits and looks, for ever
            self.give_up("points")
        if self.gave_up:
            raise AbandonedError
        self._blocked[me] = _Wait(ready, timed)
        self._mark(mark)
        self._pass_on(Why.YIELD, mark)
        if self.gave_up:
            raise AbandonedError
        if me in self._ran_out:
            self._ran_out.discard(me)
            return False
        return True

    def stop(self, call: int, operation: Operation | None) -> int | None:
        """The running actor's grant is used up: let somebody decide. Return what it is told instead of its call."""
        if get_ident() != self.ident:
            self.strangers.add(get_ident())
            return None
        told = None
        asked = 0
        while not self.left and not self.gave_up and told is None:
            asked += 1
            if self.points >= self._points_max:
                self.give_up("points")
            elif asked > EMPTY_GRANTS_MAX:
                self._break(LabError(f"{EMPTY_GRANTS_MAX} grants of no points one after another"))
            else:
                told = self._struck(call) if self._fault else None
                self._pass_on(Why.POINT, call)
        if self.gave_up:
            return self._refuse(operation)
        if told is None:
            self.left -= 1
        return told

    def give_up(self, why: str) -> None:
        """End the schedule where it stands: calls fail and waits raise until all actors have finished."""
        self.gave_up = self.gave_up or why
        self.waiting = self.waiting or ", ".join(chr(97 + number) for number in self._blocked)
        self._blocked.clear()
        self._ran_out.clear()
        used = self._granted - self.left
        self._before += used
        self._passed += used
        self._granted = self.left = 0

    # -- who is next ------------------------------------------------------------------------------------

    def _pass_on(self, why: Why, call: int) -> None:
        me = self.current
        runnable = self._runnable()
        if not runnable:
            self.give_up("deadlock")
            runnable = self.alive
        grant = self._choose(why, me, call, runnable)
        chosen = grant[0]
        if why is Why.POINT and chosen == me and not self._fault:
            self._passed += self._granted - self.left
        elif why is not Why.START:
            self._close_segment()
        self._grant(grant)
        if chosen == me and why is not Why.FINISH:
            return
        if self.passed_on is not None and not self.over:
            self.passed_on(me)
        mine = self.locks[me]
        self.locks[chosen].release()
        if why is not Why.FINISH:
            mine.acquire()

    def _choose(self, why: Why, me: int, call: int, runnable: Sequence[int]) -> Answer:
        if not self.gave_up:
            try:
                grant = self._decide(why, -1 if why is Why.START else me, call, self.points, runnable)
                if grant[0] in runnable:
                    return grant
                self._break(LabError(f"actor {grant[0]} was chosen, and cannot run; there are {list(runnable)}"))
            except Exception as error:
                self._break(error)
        return first_runnable(why, me, call, 0, runnable)

    def _grant(self, grant: Answer) -> None:
        chosen, calls, self._fault = grant
        self._before = self.points
        self.current = chosen
        self.base = chosen << ACTOR_SHIFT
        self.ident = self.idents[chosen]
        self._granted = self.left = 0 if self.gave_up else max(0, min(calls, self._points_max - self._before))

    def _close_segment(self) -> None:
        if not self.over:
            self.segments.append((self.current, self._passed + self._granted - self.left, self._fault))
        self._before = self.points
        self._granted = self._passed = self.left = 0
        self._fault = ""

    def _runnable(self) -> Sequence[int]:
        blocked = self._blocked
        if not blocked:
            return self.alive
        for number in [number for number, wait in blocked.items() if wait.ready is not None and wait.ready()]:
            del blocked[number]
        runnable = [number for number in self.alive if number not in blocked]
        if not runnable:  # nobody can go on, so time passes
            self._ran_out = {number for number, wait in blocked.items() if wait.timed}
            for number in self._ran_out:
                del blocked[number]
            runnable = [number for number in self.alive if number not in blocked]
        return runnable

    def _mark(self, mark: Mark) -> None:
        if self.marked is not None and mark is not Mark.STEP:
            self.marked(mark)
        self.trace.append(self.base | mark)
        self.trace.append(0)

    def _struck(self, call: int) -> int | None:
        try:
            if self.strike is None:
                raise UsageError(f"fault {self._fault!r}: schedules of threads do not know it")
            told = self.strike(self.current, self._fault, call)
            if told != MISSED:
                return told
            self._fault = ""
            return None
        except Exception as error:
            self._break(error)
            return None

    def _break(self, error: Exception) -> None:
        self.broke = self.broke or error
        self.give_up("error")

    def _refuse(self, operation: Operation | None) -> int | None:
        self._calls_given_up += 1
        if self._calls_given_up > ABANDONED_CALLS_MAX:
            closed_lock().acquire()  # a program that never ends: whoever waits for the run ends the process
        if operation is None or operation in _STILL_DONE:
            return None
        return IO_ERROR_CODES.get(operation, IOERR)

    # -- threads ----------------------------------------------------------------------------------------

    def _start_thread(self, number: int) -> None:
        lock, there = self._own[number], closed_lock()

        def work() -> None:
            self._own_idents[number] = get_ident()
            there.release()
            while True:
                lock.acquire()
                self._carry_out(number, self._bodies[number])

        start_new_thread(work, ())
        there.acquire()

    def _carry_out(self, number: int, body: Callable[[], None]) -> None:
        try:
            if not self.gave_up:
                body()
        except AbandonedError:
            pass
        except BaseException as error:
            self.errors.append((number, told(error)))
        self.alive.remove(number)
        self.step_ends()
        if self.alive:
            self._pass_on(Why.FINISH, Mark.FINISH)
        else:
            self.end()
            self._idle.release()
