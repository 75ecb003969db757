"""What is drawn: operations that fit a model's state, I/O errors, and the crash state of a leg."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from crashlab.states.models import Policy
from crashlab.strategies import crash_states
from harness.machines.driver import Driver
from harness.machines.system import Operation

Drawn = TypeVar("Drawn")
Draw = Callable[[st.SearchStrategy[Any]], Any]
Arguments = Mapping[str, Callable[[Draw, Any], dict[str, Any]]]
"""An operation's name → how its arguments are drawn, given the model; None stands for leaving one out."""


CRASHES = (Policy.KILL, Policy.KILL, Policy.KILL, Policy.PREFIX, Policy.SYNCED_ONLY, Policy.SUBSET, Policy.TORN)
AT_COMMIT = (("wal.write", "EIO"), ("wal.sync", "fsync"), ("wal.write", "short-write"), ("wal.write", "ENOSPC"))
AT_CLOSE = (("main.write", "EIO"), ("main.sync", "EIO"), ("wal.sync", "EIO"), ("wal.truncate", "EIO"))
CALLS_MAX = 4


def pick(draw: Draw, known: Sequence[Drawn], otherwise: Drawn) -> Drawn:
    """Draw one of those that are there, the latest first; now and then one that is not."""
    one: Drawn = draw(st.sampled_from([*reversed(known), otherwise]))
    return one


def one_of(draw: Draw, values: Sequence[Drawn]) -> Drawn:
    """Draw one of the values; shrinks to the first."""
    one: Drawn = draw(st.sampled_from(values))
    return one


def draw_operation(draw: Draw, model: Any, names: Sequence[str], arguments: Arguments) -> Operation:
    """Draw one of the operations, and arguments for it."""
    name = one_of(draw, names)
    return name, {key: value for key, value in arguments[name](draw, model).items() if value is not None}


def failures(known: Sequence[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str, bool]]:
    """Return a strategy for selector, error, and whether it persists; a sync has one call an operation."""

    def spelled(what: tuple[str, str], n: int, persistent: bool) -> tuple[str, str, bool]:
        return f"{what[0]}#{n if what[0].endswith('write') else 1}", what[1], persistent

    return st.builds(spelled, st.sampled_from(known), st.integers(1, CALLS_MAX), st.booleans())


def crashes(driver: Driver) -> st.SearchStrategy[str]:
    """Return a strategy for the crash states of the driver's leg, which it ends.

    Half of them lie in the last operation that changed something, the others in any one, or in the close.
    """
    trace = driver.end_leg()
    numbers = range(len(driver.done) - 1, -1, -1)
    changed = next((n for n in numbers if driver.done[n].after[-1] != driver.done[n].before), numbers[0])
    places = [changed] * max(3, len(numbers) // 2) + list(numbers)

    def within(drawn: tuple[int, Policy]) -> st.SearchStrategy[str]:
        done = driver.done[drawn[0]]
        moments = driver.leg.moments(done.begin, done.end)
        return crash_states(trace, policies=(drawn[1],), first=moments[0], last=moments[-1]).map(str)

    return st.tuples(st.sampled_from(places), st.sampled_from(CRASHES)).flatmap(within)
