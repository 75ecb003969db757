"""Steps, lanes and effects: the model of what a workload meant to be in the database."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

# Each element is None, int, float, str or bytes, as SQLite has them; msgspec cannot tell str from bytes
# in a union, msgpack itself can.
Row: TypeAlias = tuple[Any, ...]


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """One key's new value: `table, key → value`; a value of None is a tombstone (deleted)."""

    table: str
    key: Row
    value: Row | None


class Lane(msgspec.Struct, frozen=True):
    """A sequence of steps that run one after another; lanes run concurrently.

    `process` 0 is the writer that the fault hits. Lanes of other processes (a dashboard reader) run in
    processes of their own and are ended by the lab when process 0 has ended. `pins` says that the lane
    holds a read snapshot open, so that checkpoints cannot finish and a WAL may outlive a clean close.
    """

    name: str
    process: int = 0
    pins: bool = False


class Step(msgspec.Struct, frozen=True):
    """One transaction attempt on a lane.

    `effects` are those that may happen (logged before `do` is called); `do` runs the transaction and
    returns the effects that did happen, or None for "all of them".

    `reads` names tables that the step reads whole, in one transaction; it writes nothing, and what `do` returns is
    every row that it saw. Schedules judge whether some moment of the step had these rows.
    """

    seq: int
    effects: tuple[Effect, ...]
    do: Callable[[], Iterable[Effect] | None]
    reads: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """How the lab reads one table back: key and value columns, and a row's check of itself.

    `verify(key, value)` returns False for a row whose content cannot be right whatever happened
    (a checksum carried in the row, or a value that follows from its key).
    """

    name: str
    key: tuple[str, ...]
    value: tuple[str, ...]
    verify: Callable[[Row, Row], bool] | None = None

    @property
    def query(self) -> str:
        """The SELECT that returns key columns then value columns."""
        columns = ", ".join(_quoted(column) for column in (*self.key, *self.value))
        return f"SELECT {columns} FROM {_quoted(self.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
