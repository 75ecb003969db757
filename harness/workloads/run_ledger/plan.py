"""What happens in a run, drawn from the seed beforehand: scenes of moments, in which roles make their moves.

Every process draws the same plan and plays its own role in it. The moves of one role in a moment follow each
other; the roles of one moment play at the same time; a moment begins when the one before it is over.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple
from zlib import crc32

OWNER, RIVAL, REAPER = "owner", "rival", "reaper"
_TWICE: Final = 0.25


class Act(StrEnum):
    """What a role does: an operation of the ledger, or something that happens to its process."""

    START = "start"
    RUN = "run"
    ADVANCE = "advance"
    HEARTBEAT = "heartbeat"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RECORD = "record"
    COUNT = "count"
    REAP = "reap"
    ADOPT = "adopt"
    RESTART = "restart"
    RESUME = "resume"
    LOOK = "look"
    JUMP = "jump"
    STOP = "stop"
    CONTINUE = "continue"


class How(StrEnum):
    """A circumstance of a move."""

    PLAINLY = ""
    TWICE = "twice"  # the same call again: nobody knows whether the first one was heard
    BLOCKED = "blocked"  # somebody else holds the write lock for too long
    INSIDE = "inside"  # of a completion's finalise: the owner there waits for the rival
    IF_NOT_YET = "if not yet"  # told that it is done


class Job(NamedTuple):
    """A run to be; everything but its name follows from the name or is the scene's."""

    run_id: str
    agent: str

    @property
    def protocol(self) -> str:
        """Which protocol it runs."""
        return f"protocol-{crc32(self.run_id.encode()) % 3}"

    @property
    def total_steps(self) -> int:
        """How many steps it has: three or four."""
        return 3 + crc32(self.run_id.encode()) % 2

    @property
    def known_at_start(self) -> bool:
        """Whether the number of steps is known before it has loaded."""
        return bool(crc32(self.run_id.encode()) & 4)


NO_JOB: Final = Job("", "")


class Move(NamedTuple):
    """One move; `seconds` is how long time passes, or how long a move of a tight moment is held up."""

    role: str
    act: Act
    job: Job = NO_JOB
    step: int = 0
    how: How = How.PLAINLY
    seconds: float = 0.0


class Moment(NamedTuple):
    """Moves that are made together; `tight` starts the roles at once and widens the windows of their races."""

    moves: tuple[Move, ...]
    tight: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """Who takes part."""
        return tuple(dict.fromkeys(move.role for move in self.moves))


class Cast(NamedTuple):
    """Who there is: the roles in the order of their processes, or all in one (`alone`)."""

    workers: tuple[str, ...]
    reaper: str
    alone: bool

    @property
    def roles(self) -> tuple[str, ...]:
        """Everybody."""
        return tuple(dict.fromkeys((*self.workers, self.reaper)))

    def process(self, role: str) -> int:
        """The process that plays a role."""
        return 0 if self.alone else self.roles.index(role)


def make_cast(workers: int, *, reaper: bool) -> Cast:
    """The cast: the owner, the rival and further workers; without a reaper of its own the rival reaps."""
    names = (OWNER, RIVAL, *(f"worker{number}" for number in range(2, workers)))
    return Cast(names, REAPER if reaper else RIVAL, alone=workers == 1)


class Scene:
    """Collects the moments of one scene; `name()` gives names that no other scene has."""

    def __init__(self, cast: Cast, rng: random.Random, name: Callable[[], str]) -> None:
        self.cast = cast
        self.rng = rng
        self.moments: list[Moment] = []
        self._name = name

    def job(self, agent: str = "") -> Job:
        """A new run, of an agent of its own if none is given."""
        name = self._name()
        return Job(name, agent or f"agent-{name}")

    def then(self, *moves: Move) -> None:
        """Moves one after the other, whoever makes them."""
        self.moments += [Moment((move,)) for move in moves]

    def together(self, *parts: Sequence[Move], tight: bool = False) -> None:
        """Several roles' moves at the same time; alone, one role after the other in a drawn order."""
        order = list(parts)
        if self.cast.alone:
            self.rng.shuffle(order)
        self.moments.append(Moment(tuple(move for part in order for move in part), tight))

    def work(self, role: str, job: Job, steps: int) -> list[Move]:
        """The moves that start a run and bring it to so many steps, some of them made twice."""
        begin = [
            Move(role, Act.START, job, how=self.perhaps_twice()),
            Move(role, Act.RUN, job, how=self.perhaps_twice()),
        ]
        return begin + self.advance(role, job, range(1, steps + 1))

    def advance(self, role: str, job: Job, steps: Iterable[int]) -> list[Move]:
        """The moves that do these steps of a run."""
        return [Move(role, Act.ADVANCE, job, step, self.perhaps_twice()) for step in steps]

    def perhaps_twice(self) -> How:
        """Draw whether a call is repeated."""
        return How.TWICE if self.rng.random() < _TWICE else How.PLAINLY
