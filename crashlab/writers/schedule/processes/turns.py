"""A process's end of a schedule of processes: what `crashlab.writers.schedule.turns.Turns` is to threads.

The grant is counted down here; only where it is used up does the coordinator hear of the actor. A process may have
several actors, each a thread that waits for a token of its own.
"""

from _thread import get_ident
from collections.abc import Callable

from crashlab.errors import SubjectError
from crashlab.model.schedule import ACTORS_MAX
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.schedule.decide import Mark, Why
from crashlab.writers.schedule.handles import Handles
from crashlab.writers.schedule.processes.memory import Shared, Word
from crashlab.writers.schedule.processes.token import Token
from crashlab.writers.schedule.turns import ACTOR_SHIFT

__all__ = ["ProcessTurns"]


class ProcessTurns:
    """The actors of one process; made before the processes are forked, so that whatever is imported then can use it.

    `current`: the actor that runs, or ran last; `on`: a schedule runs. `mapped`: where its files have the wal-index.
    `handles`: as that of `Turns`.
    `strangers`: threads that nobody scheduled and that used SQLite. `marked`, `passed_on`: as those of `Turns`.
    """

    gave_up = ""
    """Never: who gives a schedule up ends its processes."""

    def __init__(self, shared: Shared) -> None:
        self.on = False
        self.left = self.current = self.base = self.ident = 0
        self.trace = bytearray()
        self.strangers: set[int] = set()
        self.mapped: dict[int, int] = {}
        self.handles: Handles | None = None
        self.passed_on: Callable[[int], object] | None = None
        self.marked: Callable[..., object] | None = None
        self.shared = shared
        self.home = Token()
        self.go = [Token() for _ in range(ACTORS_MAX)]
        self._words = shared.words
        self._playing = 0

    @property
    def mine(self) -> bool:
        """Whether the calling thread is the actor whose turn it is."""
        return self.on and get_ident() == self.ident

    def expect(self, actors: int) -> None:
        """Before a schedule: how many actors of this process will play."""
        self.strangers.clear()
        self.trace.clear()
        self._playing = actors
        self.on = True

    def enter(self, actor: int) -> None:
        """The calling thread is this actor; it has been given its first grant."""
        self._is_running(actor)

    def finish(self, told: int = Why.FINISH) -> None:
        """The actor has no more steps; `told`: or why it will do no more."""
        self._playing -= 1
        self.on = self._playing > 0
        self.step_ends()
        self._leave(told, Mark.FINISH)

    def step_begins(self) -> None:
        """Stand before a step: a point."""
        self.pass_point(Mark.STEP)

    def pass_point(self, mark: Mark) -> None:
        """Stand before something that is no call of SQLite."""
        if self.left:
            self.left -= 1
        else:
            self.stop(mark, None)
        self._mark(mark)

    def step_ends(self) -> None:
        """A step is completed, or something else was done that others may wait for."""
        self._words[Word.EVENTS] += 1

    def wait(self, mark: Mark, ready: Callable[[], bool] | None = None, *, timed: bool = True) -> bool:
        """Let others run until `ready()`, or without one until somebody completes a step.

        `timed`: it also ends where nobody else can run, because then only time could pass. Return False if it did.
        """
        words, me = self._words, self.current
        self._mark(mark)
        again = False
        while True:
            words[Word.TIMED], words[Word.ASKS], words[Word.IN_VAIN] = timed, ready is not None, again
            self._leave(Why.YIELD, mark)
            self.go[me].take()
            self._is_running(me)
            if ready is not None and ready():
                return True
            if words[Word.RAN_OUT]:
                return False
            if ready is None:
                return True
            again = True

    def stop(self, call: int, operation: Operation | None) -> int | None:
        """The grant is used up: stand before `call` until there is another. Return what it is told instead of its call.

        An answer is for a call; one that comes before a step waits for the next call at which the actor is stopped.
        """
        if get_ident() != self.ident:
            self.strangers.add(get_ident())
            return None
        words, me = self._words, self.current
        while True:
            self._leave(Why.POINT, call)
            self.go[me].take()
            self._is_running(me)
            if words[Word.TOLD + me] and operation is not None:
                told = words[Word.TOLD + me] - 1
                words[Word.TOLD + me] = 0
                return told
            if self.left:
                self.left -= 1
                return None

    def adopt(self) -> int:
        """Refuse a thread that the program starts: it would be no part of the schedule.

        Raises:
            SubjectError: always.
        """
        raise SubjectError("the program starts a thread of its own: only schedules of threads know what to do with it")

    def close(self) -> None:
        """Release the tokens."""
        for token in (self.home, *self.go):
            token.close()

    def _is_running(self, actor: int) -> None:
        self.current, self.ident, self.base = actor, get_ident(), actor << ACTOR_SHIFT
        self.left = self._words[Word.LEFT]

    def _mark(self, mark: Mark) -> None:
        if self.marked is not None and mark is not Mark.STEP:
            self.marked(mark)
        self.trace.append(self.base | mark)
        self.trace.append(0)

    def _leave(self, why: int, call: int) -> None:
        words = self._words
        if self.passed_on is not None:
            self.passed_on(self.current)
        words[Word.LEFT], words[Word.WHY], words[Word.CALL] = self.left, why, call
        if self.trace:
            self.shared.extend_trace(self.trace)
            self.trace.clear()
        self.home.give()
