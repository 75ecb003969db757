"""The index that the row oracles share: per key who wrote it, what came back, and who can have been last.

Built once a trial. A key with one acked writer whose value came back needs no thought and only its step's
number is kept; every other key becomes a `KeyState` that the oracles reason about.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from crashlab.errors import SubjectError, did_you_mean
from crashlab.model.history import StepRecord, StepState
from crashlab.model.step import Row, Table

INITIAL = -1
"""Stands for "no step wrote it" among the candidates for a key's last writer."""

Horizon: TypeAlias = dict[int, tuple[int, int]]
"""process → (latest begin_seq, latest begin_ns) of a set of steps."""


def precedes(a: StepRecord, b: StepRecord) -> bool:
    """True if `a` was over (acked or refused) before `b` began: real-time order.

    Unlike `StepRecord.ended_before` this includes refused steps: a commit that failed has happened or not
    by the time it raised.
    """
    if a.state is StepState.OPEN:
        return False
    if a.process == b.process:
        return a.end_seq < b.begin_seq
    return a.end_ns < b.begin_ns


def horizon(steps: Iterable[StepRecord]) -> Horizon:
    """Return how late steps of each process began; `followed` asks it."""
    latest: Horizon = {}
    for step in steps:
        process = step.process
        before = latest.get(process)
        if before is None or step.begin_seq > before[0]:  # one process's sequence and clock agree
            latest[process] = (step.begin_seq, step.begin_ns)
    return latest


def followed(step: StepRecord, by: Horizon) -> bool:
    """True if one of the steps behind `by` began after `step` was over."""
    if step.state is StepState.OPEN:
        return False
    for process, (seq, ns) in by.items():  # noqa: SIM110 - any() costs three times as much here
        if step.end_seq < seq if process == step.process else step.end_ns < ns:
            return True
    return False


class KeyState:
    """One key: `writers` are (index of the step, value) pairs, `found` is what came back (None: no row)."""

    __slots__ = ("found", "key", "table", "writers")

    def __init__(self, table: str, key: Row, found: Row | None, writers: list[tuple[int, Row | None]]) -> None:
        self.table = table
        self.key = key
        self.found = found
        self.writers = writers

    def candidates(self, steps: Sequence[StepRecord], known: Iterable[int]) -> list[int]:
        """Return who can have written what came back last, by value and by real time.

        `known` are steps that are in the database for certain: a writer that one of them followed, or the
        initial nothing if one of them wrote, cannot be last. Empty if nothing explains the value.
        """
        found = self.found
        same = [index for index, value in self.writers if value == found]
        later = horizon(steps[index] for index in known)
        if later:
            return [index for index in same if not followed(steps[index], later)]
        return [INITIAL, *same] if found is None else same


class KeyIndex:
    """All keys of a trial.

    `open_keys`: the keys that need thought. `plain`: the index of the step for every key that does not.
    `strays`: (table, key, value) of rows whose key no step ever wrote. `steps`: the history's steps.
    """

    __slots__ = ("open_keys", "plain", "steps", "strays")

    def __init__(self, steps: Sequence[StepRecord], tables: tuple[Table, ...], rows: Mapping[str, dict[Row, Row]]):
        """Index the steps against the rows that came back.

        Raises:
            SubjectError: an effect on a table that the workload does not declare, so nobody can judge it.
        """
        written: dict[str, dict[Row, list[tuple[int, Row | None]]]] = {table.name: {} for table in tables}
        for index, step in enumerate(steps):
            for effect in step.effects:
                keys = written.get(effect.table)
                if keys is None:
                    raise SubjectError(
                        f"step {step.seq} of lane {step.lane!r} has an effect on table {effect.table!r}, which the "
                        f"workload's tables do not declare{did_you_mean(effect.table, written)}"
                    )
                writers = keys.get(effect.key)
                if writers is None:
                    keys[effect.key] = [(index, effect.value)]
                elif writers[-1][0] == index:  # within a step the last word counts
                    writers[-1] = (index, effect.value)
                else:
                    writers.append((index, effect.value))
        self.steps = steps
        self.plain: list[int] = []
        self.open_keys: list[KeyState] = []
        self.strays: list[tuple[str, Row, Row]] = []
        acked = [step.state is StepState.ACKED for step in steps]
        for table, keys in written.items():
            self._sort_out(table, keys, rows.get(table, {}), acked)

    def _sort_out(
        self, table: str, keys: dict[Row, list[tuple[int, Row | None]]], rows: dict[Row, Row], acked: list[bool]
    ) -> None:
        known = 0
        for key, writers in keys.items():
            found = rows.get(key)
            if found is not None:
                known += 1
                if len(writers) == 1 and writers[0][1] == found and acked[writers[0][0]]:
                    self.plain.append(writers[0][0])
                    continue
            self.open_keys.append(KeyState(table, key, found, writers))
        if known != len(rows):
            self.strays.extend((table, key, value) for key, value in rows.items() if key not in keys)
