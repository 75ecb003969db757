"""The actor's end of a schedule whose actors are processes: what `crashlab.writers.schedule.turns.Turns` is to threads.

The grant is counted down here; only where it is used up does the coordinator hear of the actor.
"""

from _thread import get_ident
from collections.abc import Callable

from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.schedule.decide import Mark, Why
from crashlab.writers.schedule.processes.memory import Shared, Word
from crashlab.writers.schedule.processes.token import Token
from crashlab.writers.schedule.turns import ACTOR_SHIFT

__all__ = ["ActorTurns"]


class ActorTurns:
    """One actor, alone in its process. `mapped`: where its files have the wal-index. `on`: a schedule runs.

    `strangers`: threads that the program started and that used SQLite; nobody scheduled them.
    """

    def __init__(self, shared: Shared, actor: int, go: Token, home: Token) -> None:
        self.on = False
        self.left = 0
        self.ident = get_ident()
        self.trace = bytearray()
        self.strangers: set[int] = set()
        self.mapped: dict[int, int] = {}
        self.base = min(actor, 7) << ACTOR_SHIFT
        self._shared, self._words = shared, shared.words
        self._actor, self._go, self._home = actor, go, home

    @property
    def mine(self) -> bool:
        """Whether the calling thread is the actor, in a schedule."""
        return self.on and get_ident() == self.ident

    def begin(self) -> None:
        """The actor has been given its first grant."""
        self.strangers.clear()
        self.trace.clear()
        self.left = self._words[Word.LEFT]
        self.on = True

    def finish(self) -> None:
        """The actor has no more steps."""
        self.step_ends()
        self.on = False
        self._leave(Why.FINISH, Mark.FINISH)

    def step_begins(self) -> None:
        """Stand before a step: a point."""
        if self.left:
            self.left -= 1
        else:
            self.stop(Mark.STEP, None)
        self._mark(Mark.STEP)

    def step_ends(self) -> None:
        """A step is completed, or something else was done that others may wait for."""
        self._words[Word.EVENTS] += 1

    def wait(self, mark: Mark, ready: Callable[[], bool] | None = None, *, timed: bool = True) -> bool:
        """Let others run until `ready()`, or without one until somebody completes a step.

        `timed`: it also ends where nobody else can run, because then only time could pass. Return False if it did.
        """
        words = self._words
        while True:
            self._mark(mark)
            words[Word.TIMED] = timed
            self._leave(Why.YIELD, mark)
            self._return()
            if words[Word.RAN_OUT]:
                return False
            if ready is None or ready():
                return True

    def stop(self, call: int, operation: Operation | None) -> int | None:
        """The grant is used up: stand before `call` until there is another. Return what it is told instead of its call.

        An answer is for a call; one that comes before a step waits for the next call.
        """
        if get_ident() != self.ident:
            self.strangers.add(get_ident())
            return None
        words, place = self._words, Word.TOLD + self._actor
        while True:
            self._leave(Why.POINT, call)
            self._return()
            if words[place] and operation is not None:
                told = words[place] - 1
                words[place] = 0
                return told
            if self.left:
                self.left -= 1
                return None

    def _mark(self, mark: Mark) -> None:
        self.trace.append(self.base | mark)
        self.trace.append(0)

    def _leave(self, why: Why, call: int) -> None:
        words = self._words
        words[Word.LEFT], words[Word.WHY], words[Word.CALL] = self.left, why, call
        if self.trace:
            self._shared.extend_trace(self.trace)
            self.trace.clear()
        self._home.give()

    def _return(self) -> None:
        self._go.take()
        self.left = self._words[Word.LEFT]
