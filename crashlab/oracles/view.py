"""What every oracle is handed: the history, what came back, and what was promised."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

from crashlab.model.contract import Contract, Durability, FaultClass, Promise
from crashlab.model.finding import Finding, Identity
from crashlab.model.history import History
from crashlab.model.step import Row, Table
from crashlab.oracles.keys import KeyIndex
from crashlab.oracles.presence import Presence


class Recovered(msgspec.Struct, frozen=True):
    """The database after the program's own restart path, read by a connection of the lab.

    `rows`: table → key → value for the declared tables; a table that does not exist is absent. `duplicates`:
    (table, key) pairs that came back more than once. The check results are the problem lines, empty for ok.
    `refused` says that the restart path raised; the rest is then empty. `sidecars_after_clean_close` maps
    the names of sidecar files that remained with content after a run that closed cleanly to their sizes.
    """

    rows: dict[str, dict[Row, Row]] = {}
    duplicates: tuple[tuple[str, Row], ...] = ()
    refused: str = ""
    quick_check: tuple[str, ...] = ()
    integrity_check: tuple[str, ...] = ()
    foreign_key_check: tuple[str, ...] = ()
    wal_index_problems: tuple[str, ...] = ()
    sidecars_after_clean_close: dict[str, int] = {}
    closed_cleanly: bool = False
    other_connections: bool = False
    check_problems: dict[str, tuple[str, ...]] = {}


class View(msgspec.Struct, frozen=True, dict=True):
    """One trial as the oracles see it."""

    subject: str
    fault_class: FaultClass
    contract: Contract
    tables: tuple[Table, ...]
    history: History
    recovered: Recovered
    synchronous: str = "FULL"

    @property
    def promise(self) -> Promise:
        """What the contract promises for this trial's fault class."""
        return self.contract.promise(self.fault_class, self.synchronous)

    @property
    def rows_judged(self) -> bool:
        """False if the program refused to start, or nothing at all is promised about rows.

        Interference is judged even under NONE: rows may then be gone, but not be wrong.
        """
        if self.recovered.refused:
            return False
        return self.promise.durability is not Durability.NONE or self.fault_class is FaultClass.INTERFERENCE

    @cached_property
    def index(self) -> KeyIndex:
        """The keys, their writers and what came back; built once and shared."""
        return KeyIndex(self.history.steps, self.tables, self.recovered.rows)

    @cached_property
    def presence(self) -> Presence:
        """Which steps are there for certain and which for certain not; built once and shared."""
        return Presence(self.index, all_acked=self.promise.durability is Durability.ALL)

    def finding(self, oracle: str, invariant: str, message: str, **evidence: Any) -> Finding:
        """Build a finding of this trial; evidence is plain data, bounded by the caller."""
        return Finding(Identity(oracle, invariant, self.subject, self.fault_class.value), message, evidence)


Oracle: TypeAlias = Callable[[View], Iterator[Finding]]
