"""What crosses between the lab and a keeper, as plain data, and what an unkilled run taught."""

import msgspec

from crashlab.model.finding import Finding
from crashlab.writers.tree.run import TreeLimits, TreeRan

EVIDENCE, WORK = "evidence", "work"
"""Below a run's area: its working directory, and a copy of it as the kill left it, if it was restarted there."""

__all__ = ["AckRule", "Judged", "KeeperOrder", "KeeperSays", "Look", "Place", "Reference", "Survey"]


class Place(msgspec.Struct, frozen=True, order=True):
    """A column of a table, or with `column` -1 the table."""

    database: str
    table: str
    column: int = -1
    name: str = ""

    def __str__(self) -> str:
        return f"{self.database}: {self.table}{f'.{self.name}' if self.name else ''}"


class AckRule(msgspec.Struct, frozen=True):
    """What an ack promises, as the unkilled runs show it. `kind`:

    value: what the pattern caught is a value in one of `places`. high: it is a number, and the largest number in one
    of them is at least that. count: one of these tables has got a row for each ack. '': nothing follows the acks.
    """

    kind: str = ""
    places: tuple[Place, ...] = ()


class Survey(msgspec.Struct, frozen=True):
    """What an unkilled run showed. `schema_start`, `schema_end`: objects by database; `rows_start`: by table of it.

    `check`: the strictest check that each database passes. `changed`: those with a commit. `unsound`: (database, what
    SQLite says) where none is passed.
    """

    schema_start: dict[str, tuple[str, ...]]
    schema_end: dict[str, tuple[str, ...]]
    rows_start: dict[str, dict[str, int]]
    rows_end: dict[str, dict[str, int]]
    check: dict[str, str]
    changed: tuple[str, ...]
    unsound: tuple[tuple[str, str], ...]
    acks: dict[str, tuple[Place, ...]]
    files: tuple[Place, ...]


class Reference(msgspec.Struct, frozen=True):
    """What killed runs are judged by."""

    survey: Survey
    acks: AckRule = AckRule()
    files: tuple[Place, ...] = ()


class Look(msgspec.Struct, frozen=True):
    """What became of one database. `schema`: as at the start, at the end, part of it, or other.

    `frames`: committed frames in its WAL before anything opened it.
    """

    database: str
    schema: str
    rows: int
    frames: int
    problem: str = ""
    strange: tuple[str, ...] = ()


class KeeperOrder(msgspec.Struct, frozen=True, tag=True):
    """One run. `before`: what its working directory holds; `theirs`: the path that stands for it in words.

    `area`: a directory of the run's own, made by the keeper and removed unless `keep` and something was found.
    `reference`: None for an unkilled run, which is surveyed. `hooked`: Python is guarded, and tells what it refused.
    """

    area: str
    before: str
    theirs: str
    argv: tuple[str, ...]
    subject: str
    environment: dict[str, str] = {}
    ack_on: str = ""
    signal: int = 0
    after_open: bool = False
    after_acks: int = 0
    delay_us: int = 0
    grace_s: float = 2.0
    limits: TreeLimits = TreeLimits()
    restart: tuple[str, ...] = ()
    reference: Reference | None = None
    hooked: bool = False
    keep: bool = False


class Judged(msgspec.Struct, frozen=True):
    """What came of a run. `pythons`, `refused`: from the hook, if it was there. `problem`: why nothing can be said."""

    ran: TreeRan
    looks: tuple[Look, ...] = ()
    findings: tuple[Finding, ...] = ()
    restarted: bool = False
    survey: Survey | None = None
    work_gone: bool = False
    pythons: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    problem: str = ""


class KeeperSays(msgspec.Struct, frozen=True):
    """What a keeper says: the stage it enters, or at the end what came of the run, or why nothing did."""

    stage: str = ""
    judged: Judged | None = None
    error: str = ""
    usage: bool = False
