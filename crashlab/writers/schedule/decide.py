"""The contract between those who run a schedule and those who choose it.

A *point* lies before each call of SQLite to its operating system layer (whatever file of SQLite it is about) and
before each step. The running actor passes points as long as its *grant* lasts. `Decide` is asked

- at START, before anybody has run;
- at a POINT, when the grant is used up: the actor stands before a call that is not yet made;
- at a YIELD: the actor waits for somebody. Its step met BUSY and will be tried again, SQLite sleeps in a retry loop,
  the program sleeps, or waits for a lock of the program's that another actor holds. It is *blocked* until another
  actor completes a step (a waiter for a lock: until the lock is free). Where all are blocked, time passes: all sleepers
  and BUSY ones are runnable again. If none is, it is a deadlock, and nobody is asked;
- at a FINISH: the actor has no more steps.

*Runnable* is who has neither finished nor is blocked, in ascending order, never nobody. At a POINT the asking actor is
among them; at a YIELD it is only if all others are blocked or have finished. An actor that yields or finishes loses
what was left of its grant. Passed points, as `Segment.calls` counts them, are those that the actor went past; the one
where it was stopped counts for its next segment. So a run is told by its grants and no more, and decides the same way
again when it gets the same answers. Every choice must come from a seed and from what is given here: never from a clock.

A fault is one more decision: it strikes the actor where its grant is used up, before the call it was about to make.
What a fault does is for the one who runs the schedule; one that doesn't know it refuses by name.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeAlias

from crashlab.sqlite.tap.operation import Operation

__all__ = ["CALLS", "CALL_NAMES", "ENDLESS", "Decide", "Grant", "Mark", "Why"]

ENDLESS = 1 << 60
"""Points of a grant that ends only where the actor finishes or waits."""

CALLS: dict[Operation, int] = {operation: number for number, operation in enumerate(Operation)}
"""The number of each operation, as it stands in a trace; part of what a digest means."""


class Mark(IntEnum):
    """What else stands in a trace beside operations: why an actor yielded, the start of a step, and of a statement on a
    connection that several actors may use.
    """

    STEP = 24
    BUSY = 25
    SLEEP = 26
    LOCK = 27
    FINISH = 28
    STATEMENT = 29


CALL_NAMES: dict[int, str] = {
    **{number: operation.value for operation, number in CALLS.items()},
    **{mark.value: mark.name.lower() for mark in Mark},
}


class Why(IntEnum):
    """Why somebody has to decide."""

    START = 0
    POINT = 1
    YIELD = 2
    FINISH = 3


class Grant(NamedTuple):
    """`actor` runs and may pass `calls` points; where they are used up, `fault` befalls it ("" none)."""

    actor: int
    calls: int
    fault: str = ""


Answer: TypeAlias = Grant | tuple[int, int, str]


class Decide(Protocol):
    """Who goes on, and for how long before it is asked again."""

    def __call__(self, why: Why, actor: int, call: int, points: int, runnable: Sequence[int], /) -> Answer:
        """Choose one of `runnable`.

        `actor`: who ran (-1 at START). `call`: at a POINT the number in `CALLS` of what it is about to do, or
        Mark.STEP; at a YIELD the Mark that says why; else Mark.FINISH. `points`: passed so far by all, this one not.
        """
