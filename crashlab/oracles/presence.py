"""Which steps are in the recovered database for certain, which for certain not; the rest is never guessed."""

from collections.abc import Collection

from crashlab.model.history import StepState
from crashlab.oracles.keys import INITIAL, KeyIndex, KeyState, precedes

PASSES_MAX = 3


class Presence:
    """What each step's effects show. Indexes are those of the history's steps.

    `shown`: steps with an effect that only they can have left. `missing`: step → a key where the step's
    effect is not there and no later write can have covered it. `covers`: (a, b) if a's effect on some key
    lies over that of b, for steps both shown. A step in both `shown` and `missing` is torn.
    """

    __slots__ = ("_index", "covers", "missing", "shown")

    def __init__(self, index: KeyIndex, *, all_acked: bool) -> None:
        """Reason over the keys; `all_acked` says that every acked step has to be there (promise ALL)."""
        self._index = index
        self.shown: set[int] = set()
        self.missing: dict[int, KeyState] = {}
        self.covers: set[tuple[int, int]] = set()
        if not index.open_keys:
            return  # every key has one writer, and its value: all are shown, none misses
        plain = set(index.plain)
        acked = {i for i, step in enumerate(index.steps) if step.state is StepState.ACKED} if all_acked else set()
        known = plain | acked
        lasts: list[tuple[int, KeyState]] = []
        for _ in range(PASSES_MAX):
            self.shown, self.missing, lasts = plain.copy(), {}, []
            for state in index.open_keys:
                self._reason(state, known, lasts)
            better = (known | self.shown).difference(self.missing)
            if better == known:
                break
            known = better
        for last, state in lasts:
            for other, _ in state.writers:
                if other != last and other in self.shown:
                    self.covers.add((last, other))

    def _reason(self, state: KeyState, known: Collection[int], lasts: list[tuple[int, KeyState]]) -> None:
        steps = self._index.steps
        writers = state.writers
        candidates = state.candidates(steps, [index for index, _ in writers if index in known])
        if not candidates:  # a known step's effect is not there: say which, from the values alone
            candidates = state.candidates(steps, ())
        if not candidates:
            return  # a value that nobody wrote shows nothing; durability reports it
        if len(candidates) == 1 and candidates[0] != INITIAL:
            self.shown.add(candidates[0])
            lasts.append((candidates[0], state))
        found = state.found
        before = [steps[c] for c in candidates if c != INITIAL]
        for index, value in writers:
            if value != found and index not in self.missing:
                step = steps[index]
                for other in before:
                    if not precedes(other, step):
                        break
                else:
                    self.missing[index] = state

    @property
    def torn(self) -> list[int]:
        """Steps of which one effect is there and another is not."""
        return [index for index in self.missing if index in self.shown]

    @property
    def absent(self) -> list[int]:
        """Steps of which an effect is missing and none is shown."""
        return [index for index in self.missing if index not in self.shown]
