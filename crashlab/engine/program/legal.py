"""The program's own history as the oracle: a recovered database must be what it was after some commit.

The database after each commit is what real SQLite reads from the files at that moment of the run; it is compared by
its content (schema, and every row of every table that has rows of its own), so that free pages and change counters
are no findings.
"""

from pathlib import Path
from typing import Any

import msgspec

from crashlab.engine.program.commits import Commits
from crashlab.engine.program.named import Named, Namer, NamesSeen
from crashlab.engine.program.record import Ack
from crashlab.errors import LimitError
from crashlab.states.materialise import Materialiser
from crashlab.states.recover import Logical, Probe, can_read_only, recover
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

__all__ = ["Legal", "find_legal"]

COMMITS_MAX = 5_000
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2"
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY 1"


class Legal(msgspec.Struct, frozen=True):
    """What is legal for one database.

    `numbers`: by content, the commits after which the database had it, ascending. `unsound`: commits after which it
    was malformed, with SQLite's words. `acked`: for each ack of the run the commit that it promises. `named`: files
    that rows name, as the `namer` finds them.
    """

    commits: Commits
    probe: Probe
    numbers: dict[bytes, tuple[int, ...]]
    unsound: tuple[tuple[int, str], ...]
    acked: tuple[int, ...]
    named: dict[str, Named]
    namer: Namer
    key_column: str

    def required(self, moment: int, acks: tuple[Ack, ...], *, kill: bool) -> tuple[int, int]:
        """Return the commits that must be there at a moment: by the settings alone, and by acks."""
        settings = self.commits.done(moment) if kill else self.commits.promised(moment)
        promised = 0
        for ack, number in zip(acks, self.acked, strict=True):
            if ack.moment > moment:
                break
            if number > promised and (kill or (number and self.commits.at_once[number - 1])):
                promised = number
        return settings, promised


def find_legal(trace: Trace, commits: Commits, acks: tuple[Ack, ...], scratch: Path) -> Legal:
    """Read the database after each commit.

    Raises:
        LimitError: there are too many commits.
    """
    if len(commits.ops) > COMMITS_MAX:
        raise LimitError(
            f"{commits.database}: {len(commits.ops)} commits, at most {COMMITS_MAX} are followed; give the program "
            "less to do"
        )
    moments = [0, *(op + 1 for op in commits.ops)]
    with Materialiser(trace, scratch) as files:
        reader = _Reader(files, commits.database)
        tables = sorted({str(name) for moment in moments for name in reader.tables(moment)})
        queries = (_SCHEMA, *(f"SELECT * FROM {_quoted(table)} NOT INDEXED" for table in tables))
        probe = Probe(commits.database, queries)
        numbers: dict[bytes, list[int]] = {}
        unsound: list[tuple[int, str]] = []
        first_seen = _FirstSeen(tables)
        namer = Namer(trace)
        names = NamesSeen(trace, commits, namer)
        for number, moment in enumerate(moments):
            logical = reader.read(moment, probe)
            numbers.setdefault(logical.digest, []).append(number)
            if not logical.sound:
                unsound.append((number, logical.error or logical.problems[0]))
            first_seen.see(number, logical)
            names.see(moment, logical)
        named = names.files(files)
    keys = tuple(ack.key for ack in acks)
    column, by_key = first_seen.column_of(keys)
    acked = tuple(by_key[ack.key] if by_key else commits.done(ack.moment) for ack in acks)
    return Legal(
        commits,
        probe,
        {digest: tuple(found) for digest, found in numbers.items()},
        tuple(unsound),
        acked,
        named,
        namer,
        column,
    )


class _Reader:
    """Real SQLite on the files as they were at a moment."""

    def __init__(self, files: Materialiser, database: str) -> None:
        self._files = files
        self._database = database

    def tables(self, moment: int) -> tuple[Any, ...]:
        """The names of the tables that have rows of their own."""
        found = self.read(moment, Probe(self._database, (_TABLES,), quick_check=False)).results
        return () if not found or isinstance(found[0], str) else tuple(row[0] for row in found[0])

    def read(self, moment: int, probe: Probe) -> Logical:
        directory = self._files.show(CrashState(KILL, moment))
        if can_read_only(self._files.sizes(), self._database):
            return recover(directory, probe, read_only=True)
        logical = recover(directory, probe, read_only=False)
        self._files.clear()
        return logical


class _FirstSeen:
    """In which column the keys of all acks turn up, and after which commit each did first."""

    def __init__(self, tables: list[str]) -> None:
        self._tables = tables
        self._columns: dict[tuple[str, int], dict[str, int]] = {}

    def see(self, number: int, logical: Logical) -> None:
        for table, result in zip(self._tables, logical.results[1:], strict=False):
            if isinstance(result, str):
                continue
            for row in result:
                for place, value in enumerate(row):
                    if isinstance(value, int | str):
                        self._columns.setdefault((table, place), {}).setdefault(str(value), number)

    def column_of(self, keys: tuple[str, ...]) -> tuple[str, dict[str, int]]:
        """Return the column that has every key, the one that promises least where there are several."""
        wanted = set(keys)
        if not wanted or "" in wanted:
            return "", {}
        found = [
            (sum(seen[key] for key in wanted), table, place, seen)
            for (table, place), seen in self._columns.items()
            if wanted <= seen.keys()
        ]
        if not found:
            return "", {}
        _, table, place, seen = min(found, key=lambda each: each[:3])
        return f"{table}, column {place + 1}", seen


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
