"""Short hands for histories and views, for the tests of the oracles."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from crashlab.model.contract import Contract, Durability, FaultClass, Promise
from crashlab.model.finding import Finding
from crashlab.model.history import Ended, EndKind, History, StepRecord, StepState
from crashlab.model.step import Effect, Row, Table
from crashlab.oracles.all import judge_all
from crashlab.oracles.view import Recovered, View

TABLE = Table("t", ("k",), ("v",))
PREFIX = Contract(process_death=Promise(Durability.PREFIX))
NOTHING = Contract(process_death=Promise(Durability.NONE, well_formed=False))


def effect(key: Any, value: Any) -> Effect:
    table, column = key if isinstance(key, tuple) else ("t", key)
    return Effect(table, (column,), None if value is None else (value,))


class Lab:
    """Writes a history step by step on one clock, and judges what came back."""

    ACKED, REFUSED, OPEN = StepState.ACKED, StepState.REFUSED, StepState.OPEN
    PREFIX, NOTHING = PREFIX, NOTHING

    def __init__(self) -> None:
        self.steps: list[StepRecord] = []
        self.clock = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def begin(self, effects: dict[Any, Any], lane: str = "main", process: int = 0) -> int:
        """Begin a step; `effects` is key → value (None deletes), a table named by ("table", key)."""
        made = tuple(effect(key, value) for key, value in effects.items())
        now = self.tick()
        self.steps.append(StepRecord(lane, process, len(self.steps), StepState.OPEN, made, now, now))
        return len(self.steps) - 1

    def end(self, index: int, state: StepState = StepState.ACKED) -> None:
        now = self.tick()
        self.steps[index] = msgspec.structs.replace(self.steps[index], state=state, end_ns=now, end_seq=now)

    def step(
        self,
        effects: dict[Any, Any],
        state: StepState = StepState.ACKED,
        lane: str = "main",
        process: int = 0,
    ) -> None:
        index = self.begin(effects, lane, process)
        if state is not StepState.OPEN:
            self.end(index, state)

    def view(
        self,
        rows: dict[Any, Any] | None = None,
        *,
        contract: Contract | None = None,
        fault_class: FaultClass = FaultClass.PROCESS_DEATH,
        tables: tuple[Table, ...] = (TABLE,),
        synchronous: str = "FULL",
        **recovered: Any,
    ) -> View:
        back: dict[str, dict[Row, Row]] = {"t": {(key,): (value,) for key, value in (rows or {}).items()}}
        history = History("c", tuple(self.steps), (), (), Ended(EndKind.SIGNALLED, 9))
        return View(
            "planted",
            fault_class,
            contract or Contract(),
            tables,
            history,
            Recovered(**{"rows": back, **recovered}),
            synchronous,
        )

    def judge(self, rows: dict[Any, Any] | None = None, **options: Any) -> set[str]:
        return names(judge_all(self.view(rows, **options)))


def names(findings: Iterable[Finding]) -> set[str]:
    return {f"{finding.identity.oracle}/{finding.identity.invariant}" for finding in findings}


@pytest.fixture
def lab() -> Lab:
    return Lab()
