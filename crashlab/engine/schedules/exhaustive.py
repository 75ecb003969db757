"""Every schedule of every small program, within a bound of preemptions.

Stateless depth-first search over decisions (Musuvathi and Qadeer, "Iterative context bounding", 2007): a schedule is
the places where it differs from the plainest one, and each place after its last difference begets another. A change of
actor where somebody waits or has finished costs nothing; one at a point costs a preemption. Who waits for a lock stays
blocked until somebody completes a step: branching at every retry would not end.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from crashlab.engine.schedules.generic import generic_script
from crashlab.model.schedule import Script
from crashlab.writers.schedule.decide import Answer, Why

__all__ = ["Branch", "Deviating", "programs", "schedules_of"]

ACTORS, STEPS_MAX = 3, 2

Branch = tuple[tuple[tuple[int, int], ...], int]
"""Places (decisions by number) where another actor is chosen, and the preemptions that are left."""


class Deviating:
    """Decides by a branch, and finds the branches that follow from it."""

    def __init__(self, branch: Branch) -> None:
        self._elsewhere: Mapping[int, int] = dict(branch[0])
        self._places, self._left = branch
        self._last = max(self._elsewhere, default=-1)
        self._number = -1
        self.following: list[Branch] = []

    def __call__(self, why: Why, actor: int, _call: int, _points: int, runnable: Sequence[int], /) -> Answer:
        """See `crashlab.writers.schedule.decide`."""
        self._number += 1
        number = self._number
        stays = actor if why is Why.POINT else next((n for n in runnable if n != actor), runnable[0])
        if number <= self._last:
            chosen = self._elsewhere.get(number, stays)
            if chosen not in runnable:
                chosen = stays
        else:
            chosen = stays
            cost = int(why is Why.POINT)
            if cost <= self._left:
                for other in runnable:
                    if other not in (stays, actor):
                        self.following.append(((*self._places, (number, other)), self._left - cost))
        return (chosen, 1 if why is Why.POINT and chosen == actor else 0, "")


def programs(kinds: str = "IC", autocheckpoint: int = 1000) -> Iterator[Script]:
    """All programs of up to two steps for three actors, up to symmetry, the smallest first."""
    words = ["".join(word) for n in range(1, STEPS_MAX + 1) for word in itertools.product(kinds, repeat=n)]
    every = itertools.combinations_with_replacement(words, ACTORS)
    for chosen in sorted(every, key=lambda chosen: sum(map(len, chosen))):
        yield generic_script("|".join(chosen), autocheckpoint)


def schedules_of(script: Script, preemptions: int) -> Iterator[tuple[Script, Deviating]]:
    """Yield each schedule of a script once; the caller runs it before it asks for the next."""
    stack: list[Branch] = [((), preemptions)]
    while stack:
        deviating = Deviating(stack.pop())
        yield script, deviating
        stack.extend(deviating.following)
