"""Strategies: which actor runs, as values with a text form.

    bpr:P       P preemptions at uniformly drawn points, a random target each (bounded preemption, random)
    pct:D       priorities, and D - 1 points where the running actor gets the lowest (Burckhardt et al., "A Randomized
                Scheduler with Probabilistic Guarantees of Finding Bugs", 2010)
    sticky:Q    a random walk that leaves the running actor with probability Q per cent at each point
    rare:N      N preemptions, preferably where few have been so far in this campaign
    exhaustive  every schedule of every small program with at most one preemption: see `exhaustive`

Where somebody has to wait or has finished, the next one is drawn. The same seed gives the same decisions; those of
`rare` depend on the schedules before it too.
"""

import math
import random
from collections.abc import Sequence

import msgspec

from crashlab.errors import UsageError, did_you_mean
from crashlab.writers.schedule.decide import ENDLESS, Answer, Decide, Why

__all__ = ["DEFAULT_STRATEGY", "EXHAUSTIVE", "Strategy", "parse_strategy"]

EXHAUSTIVE = "exhaustive"
_RANGES = {"bpr": (0, 20, 3), "pct": (1, 20, 3), "sticky": (1, 100, 5), "rare": (1, 20, 3), EXHAUSTIVE: (0, 2, 1)}


class Strategy(msgspec.Struct, frozen=True):
    """A kind and its number. Make it with `parse_strategy`."""

    kind: str
    number: int

    def __str__(self) -> str:
        """Return the text form."""
        return f"{self.kind}:{self.number}"

    def decide(self, rng: random.Random, points: int, rare: dict[int, int]) -> Decide:
        """Return who decides one schedule of about so many points; `rare` is the campaign's own memory.

        Raises:
            UsageError: of `exhaustive`, which is no way to draw one.
        """
        if self.kind == "bpr":
            return _Bounded(rng, points, self.number)
        if self.kind == "pct":
            return _Priorities(rng, points, self.number)
        if self.kind == "sticky":
            return _Sticky(rng, self.number / 100)
        if self.kind == "rare":
            return _Rare(rng, points, self.number, rare)
        raise UsageError(f"strategy {self} draws no single schedules")


def parse_strategy(text: str) -> Strategy:
    """Read a strategy from its text form; without a number it has its usual one.

    Raises:
        UsageError: an unknown kind, or a number out of range.
    """
    kind, colon, number = text.strip().partition(":")
    if kind not in _RANGES:
        raise UsageError(f"strategy {text!r}: expected one of {', '.join(_RANGES)}{did_you_mean(kind, _RANGES)}")
    low, high, usual = _RANGES[kind]
    if not colon:
        return Strategy(kind, usual)
    if not number.isascii() or not number.isdigit() or not low <= int(number) <= high:
        raise UsageError(f"strategy {text!r}: expected {kind}:{low} to {kind}:{high}")
    return Strategy(kind, int(number))


DEFAULT_STRATEGY = parse_strategy("bpr")


class _Drawn:
    """Draws whoever is next where one has to be."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random

    def _one_of(self, runnable: Sequence[int]) -> int:
        return runnable[int(self._random() * len(runnable))]

    def _other(self, runnable: Sequence[int], actor: int) -> int:
        others = [number for number in runnable if number != actor]
        return others[int(self._random() * len(others))] if others else actor


class _Bounded(_Drawn):
    def __init__(self, rng: random.Random, points: int, preemptions: int) -> None:
        super().__init__(rng)
        self._at = sorted({rng.randint(1, points) for _ in range(preemptions)})

    def __call__(self, why: Why, actor: int, _call: int, points: int, runnable: Sequence[int], /) -> Answer:
        chosen = self._one_of(runnable) if why is Why.START else self._other(runnable, actor)
        for at in self._at:
            if at > points + 1:
                return (chosen, at - 1 - points, "")
        return (chosen, ENDLESS, "")


class _Priorities(_Drawn):
    def __init__(self, rng: random.Random, points: int, depth: int) -> None:
        super().__init__(rng)
        self._rng = rng
        self._at: dict[int, int] = {}
        for place, at in enumerate(sorted(rng.randint(1, points) for _ in range(depth - 1))):
            self._at.setdefault(at, -1 - place)
        self._priorities: dict[int, float] = {}
        self._lowest = -depth

    def __call__(self, why: Why, actor: int, _call: int, points: int, runnable: Sequence[int], /) -> Answer:
        priorities = self._priorities
        for number in runnable:
            if number not in priorities:
                priorities[number] = self._random()
        if why is Why.POINT and points + 1 in self._at:
            priorities[actor] = self._at.pop(points + 1)
        elif why is Why.YIELD:
            self._lowest -= 1
            priorities[actor] = self._lowest
        chosen = max(runnable, key=priorities.__getitem__)
        if why is Why.YIELD and chosen == actor:
            chosen = self._other(runnable, actor)
        following = min((at for at in self._at if at > points + 1), default=ENDLESS)
        return (chosen, following - 1 - points if following < ENDLESS else ENDLESS, "")


class _Sticky(_Drawn):
    def __init__(self, rng: random.Random, leave: float) -> None:
        super().__init__(rng)
        self._log = math.log1p(-leave) if leave < 1 else -math.inf

    def __call__(self, why: Why, actor: int, _call: int, _points: int, runnable: Sequence[int], /) -> Answer:
        chosen = self._other(runnable, actor) if why is Why.YIELD else self._one_of(runnable)
        stays = int(math.log(1 - self._random()) / self._log)
        return (chosen, stays + (why is Why.POINT and chosen == actor), "")


class _Rare(_Drawn):
    def __init__(self, rng: random.Random, points: int, preemptions: int, counts: dict[int, int]) -> None:
        super().__init__(rng)
        self._left = preemptions
        self._base = preemptions / points
        self._counts = counts
        self._before: dict[int, int] = {}

    def __call__(self, why: Why, actor: int, call: int, _points: int, runnable: Sequence[int], /) -> Answer:
        if why is not Why.POINT:
            chosen = self._one_of(runnable) if why is Why.START else self._other(runnable, actor)
            return (chosen, 0 if self._left else ENDLESS, "")
        before = self._before.get(actor, 0)
        self._before[actor] = call
        if not self._left:
            return (actor, ENDLESS, "")
        if len(runnable) > 1:
            site = before << 8 | call
            count = self._counts.get(site, 0)
            if self._random() < max(1 / (1 + count), self._base):
                self._counts[site] = count + 1
                self._left -= 1
                return (self._other(runnable, actor), 0 if self._left else ENDLESS, "")
        return (actor, 1, "")
