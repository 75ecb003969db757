"""The owner's side: a process that runs schedules, watched, ended when it sticks, and started anew."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from crashlab import errors
from crashlab.engine.schedules.explore import Budget, Counted, Failure
from crashlab.engine.schedules.orders import Explore, Greeting, Order, Ready, Replay, Says, Shrink, Tell
from crashlab.engine.schedules.ran import Ran
from crashlab.engine.schedules.replay import Replayed
from crashlab.engine.schedules.shrink import Shrunk
from crashlab.engine.watched import WatchedProcess
from crashlab.errors import CrashlabError, LabError, LimitError
from crashlab.model.schedule import Schedule
from crashlab.writers.frames import read_frame, send_frame

__all__ = ["Explored", "Explorer"]

START_S = 60.0
SILENCE_S = 20.0
"""Beyond the limit of one schedule: a process that says nothing for so long hangs inside C."""

STUCK_MAX = 3
T = TypeVar("T")


class Explored(msgspec.Struct):
    """A campaign's outcome. `stuck`: schedules that did not come to their end, by number, and how."""

    counted: Counted
    failures: list[Failure] = []
    stuck: list[tuple[int, str]] = []


class Explorer:
    """A process that runs schedules of one subject; a context manager.

    `root`: an empty directory for it, which is emptied again.

    Raises: SubjectError, UsageError, TapUnavailableError (as the process said), LabError.
    """

    def __init__(self, greeting: Greeting) -> None:
        self._greeting = greeting
        self._silence_s = greeting.limits.seconds_max + SILENCE_S
        self._child: WatchedProcess | None = None
        self.engine = ""
        self.actors = 0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def explore(
        self,
        strategy: str,
        seed: int,
        budget: Budget,
        *,
        faults: tuple[str, ...] = (),
        told: Callable[[Counted], object] = lambda _: None,
    ) -> Explored:
        """Explore under a budget; a schedule that sticks is told by number, and the rest goes on without it.

        Raises:
            LimitError: the first `STUCK_MAX` all stuck, by name, and nothing failed.
        """
        explored = Explored(Counted())
        while True:
            order = Explore(strategy, seed, _left(budget, explored), explored.counted.next_number, faults)
            before = msgspec.structs.replace(explored.counted)
            stuck = ""
            for says in self._ask(order):
                if says.failure is not None:
                    explored.failures.append(says.failure)
                if says.counted is not None:
                    explored.counted = _sum(before, says.counted)
                    told(explored.counted)
                stuck = stuck or says.stuck
            if not stuck:
                return explored
            explored.stuck.append((explored.counted.next_number, stuck))
            explored.counted.next_number += 1
            if len(explored.stuck) >= STUCK_MAX or explored.counted.seconds >= budget.seconds:
                return explored
            self._restart()

    def replay(self, schedule: Schedule, times: int) -> Replayed:
        """Run a schedule again.

        Raises:
            LimitError: it did not come to its end.
        """
        return self._one(Replay(schedule, times), lambda says: says.replayed)

    def shrink(self, schedule: Schedule) -> Shrunk:
        """Make a schedule smaller; raises as `replay`, and LabError if it does not fail here."""
        return self._one(Shrink(schedule), lambda says: says.shrunk)

    def tell(self, schedule: Schedule, keep: Path | None = None) -> Ran:
        """Run a schedule once and tell its course; raises as `replay`."""
        return self._one(Tell(schedule, str(keep or "")), lambda says: says.told)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _start(self) -> None:
        root = Path(self._greeting.root)
        root.mkdir(exist_ok=True)
        for path in root.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        self._child = child = WatchedProcess("crashlab.engine.schedules.worker")
        try:
            with child.deadline(START_S):
                send_frame(child.stdin, self._greeting)
                ready = read_frame(child.stdout, Ready)
        except (OSError, LabError) as error:
            raise LabError(f"the process for schedules did not start: {error}") from error
        if ready is None or ready.error:
            self.close()
            raise (
                _error(ready.kind, ready.error)
                if ready
                else LabError(
                    f"subject {self._greeting.subject!r}: importing or opening it "
                    + (f"took over {START_S:.0f} s" if child.overdue else "ended the process for schedules")
                )
            )
        self.engine, self.actors = ready.engine, ready.actors

    def _restart(self) -> None:
        self.close()
        self._start()

    def _one(self, order: Order, part: Callable[[Says], T | None]) -> T:
        found: T | None = None
        for says in self._ask(order):
            found = part(says) or found
            if says.stuck:
                self._restart()
                raise LimitError(f"the schedule did not come to its end: {says.stuck}")
        if found is None:
            raise LabError("the process for schedules gave no answer")
        return found

    def _ask(self, order: Order) -> Iterator[Says]:
        """Send an order and yield what is said; what the process cannot say itself is said for it."""
        child = self._child
        if child is None:
            raise LabError("the process for schedules is not running")
        try:
            send_frame(child.stdin, order)
            while True:
                with child.deadline(self._silence_s):
                    says = read_frame(child.stdout, Says)
                if says is None:
                    break
                if says.error:
                    raise _error(says.kind, says.error)
                yield says
                if says.done:
                    return
        except OSError:
            pass  # it died: told below
        code = child.process.wait()
        why = f"hangs: nothing was heard for {self._silence_s:.0f} s" if child.overdue else f"died with code {code}"
        yield Says(stuck=f"the process that ran it {why}", done=True)


def _error(kind: str, message: str) -> CrashlabError:
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, CrashlabError):
        return found(message)
    return LimitError(message) if kind == "StuckError" else LabError(message)


def _left(budget: Budget, explored: Explored) -> Budget:
    counted = explored.counted
    return Budget(
        max(0.0, budget.seconds - counted.seconds),
        max(1, budget.schedules - counted.schedules) if budget.schedules else 0,
        budget.failures_max - len(explored.failures),
        budget.oracles,
    )


def _sum(before: Counted, now: Counted) -> Counted:
    """Add what one process counted to what those before it had."""
    total = msgspec.structs.replace(now)
    for name in ("schedules", "points", "switches", "acked", "refused", "judged", "missed"):
        setattr(total, name, getattr(before, name) + getattr(now, name))
    total.seconds, total.cpu_s = before.seconds + now.seconds, before.cpu_s + now.cpu_s
    for name in ("refusals", "problems", "befell"):
        merged = dict(getattr(before, name))
        for text, count in getattr(now, name).items():
            merged[text] = merged.get(text, 0) + count
        setattr(total, name, merged)
    return total
