"""Commits as rows: which rows each wrote, when they were acked, and which of them are exposed or not synced."""

from bisect import bisect_right
from collections import Counter

from crashlab.model.history import History, StepRecord, StepState
from crashlab.model.step import Row

__all__ = ["Rows"]

Key = tuple[str, Row]


class Rows:
    """The rows of one run; `now` is the clock's time, set by the owner.

    A commit belongs to the acked step that was under way; where several lanes were, to the one acked next.
    """

    def __init__(self, history: History) -> None:
        own = [step for step in history.steps if step.process == 0 and step.state is StepState.ACKED]
        self._steps = sorted(own, key=lambda step: step.end_seq)
        self._ends = [step.end_seq for step in self._steps]
        self._keys = [{(effect.table, effect.key) for effect in step.effects} for step in self._steps]
        self._step_of: list[int] = []  # commit → step, -1 for none
        self._frames_of: list[int] = []  # commit → exposed frames
        self._acked_at: dict[int, float] = {}
        self._exposed: Counter[Key] = Counter()
        self._unsynced: set[Key] = set()
        self._waiting: list[int] = []  # commits whose ack has not come yet
        self._waiting_unsynced: set[int] = set()
        self.now = 0.0
        self.oldest = 0
        """The oldest commit with an exposed frame, or the next commit to come."""

    @property
    def newest(self) -> int:
        """The newest commit's number, -1 for none."""
        return len(self._step_of) - 1

    @property
    def exposed(self) -> int:
        """Different acked rows in commits with an exposed frame."""
        return len(self._exposed)

    @property
    def unsynced(self) -> int:
        """Different acked rows that no sync has covered."""
        return len(self._unsynced)

    def commit(self, seq: int) -> None:
        """Take a commit frame, by its place in the log."""
        place = bisect_right(self._ends, seq)
        found = place < len(self._steps) and self._steps[place].begin_seq < seq
        self._step_of.append(place if found else -1)
        self._frames_of.append(0)
        if found:
            self._waiting.append(self.newest)
            self._waiting_unsynced.add(self.newest)

    def synced(self) -> None:
        """Take a sync of the WAL: it covers all commits before it."""
        self._unsynced.clear()
        self._waiting_unsynced.clear()

    def acked(self, seq: int) -> None:
        """Take all acks before a place in the log."""
        left = []
        for commit in self._waiting:
            step = self._step_of[commit]
            if self._ends[step] >= seq:
                left.append(commit)
                continue
            self._acked_at[commit] = self.now
            if commit in self._waiting_unsynced:
                self._unsynced |= self._keys[step]
            if self._frames_of[commit]:
                self._exposed.update(self._keys[step])
        self._waiting = left
        self._waiting_unsynced.intersection_update(left)

    def change(self, commit: int, frames: int) -> None:
        """So many more of a commit's frames are exposed."""
        before = self._frames_of[commit]
        after = self._frames_of[commit] = before + frames
        if after and commit < self.oldest:
            self.oldest = commit
        if commit in self._acked_at and bool(before) != bool(after):
            for key in self._keys[self._step_of[commit]]:
                self._exposed[key] += 1 if after else -1
                if not self._exposed[key]:
                    del self._exposed[key]

    def oldest_ack(self) -> float | None:
        """Return the clock's time of the oldest ack in an exposed commit; moves `oldest` on."""
        while self.oldest <= self.newest and not self._frames_of[self.oldest]:
            self.oldest += 1
        for commit in range(self.oldest, self.newest + 1):
            if self._frames_of[commit] and commit in self._acked_at:
                return self._acked_at[commit]
        return None

    def step(self, index: int) -> StepRecord:
        """Return an acked step, by the order of the acks."""
        return self._steps[index]
