"""The scenes: each a situation in which ledgers of several processes have gone wrong.

A trial plays them all, in an order of its seed's. The good ledger and a broken one get the same schedule.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Final

from harness.workloads.run_ledger.plan import OWNER, RIVAL, Act, Cast, How, Job, Moment, Move, Scene

CAP: Final = 2
PATIENCE_S: Final = 1.0
"""A run whose heartbeat is older than this, on the shared clock, may be failed or adopted."""

_LONG_S: Final = 1.5 * PATIENCE_S
_HELD_UP_S: Final = 0.003
"""Real seconds for which a side of a race is held up between what it has read and what it will write."""


def work(scene: Scene) -> None:
    """All workers at once, each with a run of its own from its start to its end."""

    def life(role: str) -> list[Move]:
        job = scene.job()
        moves = scene.work(role, job, job.total_steps)
        moves.insert(2, Move(role, Act.RECORD, job, how=scene.perhaps_twice()))
        return [*moves, Move(role, Act.COMPLETE, job, how=How.TWICE)]

    scene.together(*map(life, scene.cast.workers))
    scene.then(Move(OWNER, Act.LOOK))


def late_cancel(scene: Scene) -> None:
    """A cancel that comes after the run has completed."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, job.total_steps))
    scene.then(Move(OWNER, Act.COMPLETE, job, how=How.TWICE), Move(RIVAL, Act.CANCEL, job, how=How.TWICE))
    scene.then(Move(OWNER, Act.RECORD, job))  # an ended run takes no more of them


def racing_cancel(scene: Scene) -> None:
    """A cancel at the very moment of the completion; once the one is held up, once the other."""
    for late in (OWNER, RIVAL):
        job = scene.job()
        scene.then(*scene.work(OWNER, job, job.total_steps))
        scene.together(*_race(Move(OWNER, Act.COMPLETE, job), Move(RIVAL, Act.CANCEL, job), late), tight=True)


def _race(first: Move, second: Move, late: str) -> Iterator[list[Move]]:
    for move in (first, second):
        yield [move._replace(seconds=_HELD_UP_S if move.role == late else 0.0)]


def late_loader(scene: Scene) -> None:
    """A loader that finishes after the run was cancelled."""
    job = scene.job()
    scene.then(Move(OWNER, Act.START, job), Move(RIVAL, Act.CANCEL, job), Move(OWNER, Act.RUN, job, how=How.TWICE))


def racing_loader(scene: Scene) -> None:
    """A cancel at the very moment at which the loading is finished; once the one is held up, once the other."""
    for late in (OWNER, RIVAL):
        job = scene.job()
        scene.then(Move(OWNER, Act.START, job))
        scene.together(*_race(Move(OWNER, Act.RUN, job), Move(RIVAL, Act.CANCEL, job), late), tight=True)
        scene.then(Move(OWNER, Act.ADVANCE, job, step=1))


def late_heartbeat(scene: Scene) -> None:
    """A heartbeat that comes after the run was cancelled."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, 1))
    scene.then(Move(RIVAL, Act.CANCEL, job), Move(OWNER, Act.HEARTBEAT, job, how=How.TWICE))


def long_finalise(scene: Scene) -> None:
    """A cancel while the owner is finalising: it wins, at once."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, job.total_steps))
    scene.together([Move(OWNER, Act.COMPLETE, job, how=How.INSIDE)], [Move(RIVAL, Act.CANCEL, job, how=How.INSIDE)])


def full_house(scene: Scene) -> None:
    """Everybody wants the agent's last place at once."""
    first = scene.job()
    scene.then(Move(OWNER, Act.START, first))
    jobs = {role: scene.job(first.agent) for role in scene.cast.workers}
    scene.together(*([Move(role, Act.START, job, seconds=_HELD_UP_S)] for role, job in jobs.items()), tight=True)
    scene.together(*([Move(role, Act.FAIL, job)] for role, job in jobs.items()))
    scene.then(Move(OWNER, Act.FAIL, first))


def paused_and_reaped(scene: Scene) -> None:
    """An owner is stopped past its heartbeat and its run failed; then it goes on as if nothing had happened."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, 1))
    _pause(scene, scene.cast.reaper, Act.REAP, job)
    scene.then(Move(OWNER, Act.HEARTBEAT, job), Move(OWNER, Act.ADVANCE, job, step=3), Move(OWNER, Act.COMPLETE, job))


def paused_and_adopted(scene: Scene) -> None:
    """An owner is stopped past its heartbeat and its run adopted; then both would go on with it."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, 1))
    _pause(scene, RIVAL, Act.ADOPT, job)
    scene.then(Move(OWNER, Act.HEARTBEAT, job), Move(OWNER, Act.ADVANCE, job, step=3))
    scene.then(*scene.advance(RIVAL, job, range(3, job.total_steps + 1)))
    scene.then(Move(OWNER, Act.COMPLETE, job), Move(RIVAL, Act.COMPLETE, job, how=How.TWICE))


def _pause(scene: Scene, stopper: str, meanwhile: Act, job: Job) -> None:
    """Time passes in which the owner does nothing; in a process of its own it is stopped in the middle of work."""
    passing = [Move(stopper, Act.JUMP, seconds=_LONG_S), Move(stopper, meanwhile, job)]
    if scene.cast.alone:
        scene.then(*passing)
        return
    beat = Move(OWNER, Act.HEARTBEAT, job)
    stop = Move(stopper, Act.STOP, seconds=scene.rng.uniform(0, 0.001))
    scene.together(
        [beat, Move(OWNER, Act.ADVANCE, job, step=2), beat, beat, beat],
        [stop, *passing, Move(stopper, Act.CONTINUE)],
    )


def all_alive(scene: Scene) -> None:
    """A reaper comes by while everybody's heartbeats are younger than its patience."""
    mine, theirs = scene.job(), scene.job()
    scene.then(*scene.work(OWNER, mine, 1), *scene.work(RIVAL, theirs, 1))
    for _ in range(3):
        scene.together([Move(OWNER, Act.HEARTBEAT, mine)], [Move(RIVAL, Act.HEARTBEAT, theirs)])
        seconds = scene.rng.uniform(0.4, 0.8) * PATIENCE_S
        scene.then(Move(scene.cast.reaper, Act.JUMP, seconds=seconds), Move(scene.cast.reaper, Act.REAP))
    scene.then(Move(OWNER, Act.FAIL, mine, how=How.TWICE), Move(RIVAL, Act.FAIL, theirs))


def gone_while_loading(scene: Scene) -> None:
    """An owner that never finishes loading."""
    job = scene.job()
    scene.then(Move(OWNER, Act.START, job), Move(scene.cast.reaper, Act.JUMP, seconds=_LONG_S))
    scene.then(Move(scene.cast.reaper, Act.REAP), Move(OWNER, Act.RUN, job))


def restart(scene: Scene) -> None:
    """The owner's program restarts, while a sibling's run is alive, and goes on with its own."""
    mine, theirs = scene.job(), scene.job()
    scene.then(*scene.work(RIVAL, theirs, 1), *scene.work(OWNER, mine, 2))
    scene.then(Move(OWNER, Act.RESTART), Move(OWNER, Act.RESUME, mine, how=How.TWICE))
    scene.then(*scene.advance(OWNER, mine, range(3, mine.total_steps + 1)), Move(RIVAL, Act.ADVANCE, theirs, step=2))
    scene.together([Move(OWNER, Act.COMPLETE, mine)], [Move(RIVAL, Act.CANCEL, theirs)])


def locked_out(scene: Scene) -> None:
    """The completion meets a write lock that is held for too long; the owner tries again."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, job.total_steps))
    scene.then(Move(OWNER, Act.COMPLETE, job, how=How.BLOCKED), Move(OWNER, Act.LOOK))
    scene.then(Move(OWNER, Act.COMPLETE, job, how=How.IF_NOT_YET), Move(OWNER, Act.LOOK))


def passive_count(scene: Scene) -> None:
    """Runs are counted while one of them has not been heard of for long; its owner is only slow."""
    job = scene.job()
    scene.then(*scene.work(OWNER, job, 1), Move(OWNER, Act.JUMP, seconds=_LONG_S))
    scene.together([Move(OWNER, Act.COUNT, job)], [Move(RIVAL, Act.COUNT, job)])
    scene.then(Move(OWNER, Act.HEARTBEAT, job), Move(OWNER, Act.CANCEL, job))


def unnoticed_end(scene: Scene) -> None:
    """A run is cancelled and its owner never asks about it again."""
    job, later = scene.job(), scene.job()
    scene.then(Move(OWNER, Act.START, job), Move(RIVAL, Act.CANCEL, job))
    scene.then(Move(OWNER, Act.START, later), Move(OWNER, Act.CANCEL, later))


SCENES: Final[tuple[Callable[[Scene], None], ...]] = (
    work,
    late_cancel,
    racing_cancel,
    late_loader,
    racing_loader,
    late_heartbeat,
    long_finalise,
    full_house,
    paused_and_reaped,
    paused_and_adopted,
    all_alive,
    gone_while_loading,
    restart,
    locked_out,
    passive_count,
    unnoticed_end,
)


def make_plan(cast: Cast, rng: random.Random, count: int) -> tuple[Moment, ...]:
    """Draw `count` scenes: each once before any a second time."""
    numbers = itertools.count()
    moments: list[Moment] = []
    waiting: list[Callable[[Scene], None]] = []
    for _ in range(count):
        if not waiting:
            waiting = list(SCENES)
            rng.shuffle(waiting)
        scene = Scene(cast, rng, lambda: f"run-{next(numbers)}")
        waiting.pop()(scene)
        moments += scene.moments
    return tuple(moments)
