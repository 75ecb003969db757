"""The schema, read from page 1: which tree begins at which page, and what it is for.

Format: https://sqlite.org/fileformat2.html#storage_of_the_sql_database_schema . Any bytes are accepted.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.problems import Scope
from crashlab.sqlite.rows import tree_rows

__all__ = ["Purpose", "Schema", "SchemaEntry", "Tree", "read_schema"]

MAX_ENTRIES = 100_000
"""Entries of a schema that are read; a real one has far fewer."""


class Purpose(StrEnum):
    """What a tree is for, which decides what its damage means."""

    SCHEMA = "schema"
    TABLE = "table"
    INDEX = "index"
    FTS_INDEX = "full-text index"
    """A shadow table of FTS5, FTS4 or FTS3 that ``rebuild`` makes anew from the content."""
    FTS_CONTENT = "full-text content"
    """The shadow table that holds the text itself."""
    SHADOW = "shadow table"
    """Of another virtual table, such as an R-tree."""
    INTERNAL = "internal table"
    """``sqlite_sequence``, ``sqlite_stat1`` and the like."""


_WITHOUT_ROWID = re.compile(r"\bwithout\s+rowid\b[^)]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tree:
    """One b-tree. ``name`` is the table's or the index's own, ``table`` that of the table it belongs to."""

    root: int
    name: str
    table: str
    purpose: Purpose
    sql: str

    @property
    def index(self) -> bool:
        """Whether it is an index."""
        return self.purpose is Purpose.INDEX

    @property
    def without_rowid(self) -> bool | None:
        """Whether its keys are records and not rowids; None where the statement is not there to tell."""
        if self.index:
            return True
        return bool(_WITHOUT_ROWID.search(self.sql)) if self.sql or self.purpose is Purpose.SCHEMA else None

    @property
    def scope(self) -> Scope:
        """What damage to it means. An index on a shadow table is as replaceable as any."""
        return {Purpose.INDEX: Scope.INDEX, Purpose.FTS_INDEX: Scope.FTS}.get(self.purpose, Scope.STRUCTURE)


@dataclass(frozen=True, slots=True)
class SchemaEntry:
    """A row of ``sqlite_schema``: ``type`` is ``table``, ``index``, ``view`` or ``trigger``; ``root`` may be 0."""

    type: str
    name: str
    table: str
    root: int
    sql: str


@dataclass(frozen=True, slots=True)
class Schema:
    """All entries in their order, the trees among them (the schema's own first), and what was wrong."""

    entries: tuple[SchemaEntry, ...]
    trees: tuple[Tree, ...]
    problems: tuple[str, ...]

    def tree(self, name: str) -> Tree | None:
        """The tree of a table or index by its name, in any case; None where there is none."""
        wanted = name.lower()
        return next((tree for tree in self.trees if tree.name.lower() == wanted), None)

    def indexes(self, table: str) -> tuple[Tree, ...]:
        """The indexes of a table."""
        wanted = table.lower()
        return tuple(tree for tree in self.trees if tree.index and tree.table.lower() == wanted)


SCHEMA_TREE = Tree(1, "sqlite_schema", "sqlite_schema", Purpose.SCHEMA, "")

_MODULE = re.compile(r"\s*create\s+virtual\s+table\b.*?\busing\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL)
_CONTENTLESS = re.compile(r"\bcontent\s*=\s*(''|\"\")", re.IGNORECASE)
_FTS_REBUILT = ("data", "idx", "docsize", "config", "segments", "segdir", "stat")
_SHADOWS = {"rtree": ("node", "rowid", "parent"), "geopoly": ("node", "rowid", "parent")}


def read_schema(source: PageSource) -> Schema:
    """Read the schema; what is damaged is left out and named in ``problems`` (at most 100 of them)."""
    entries: list[SchemaEntry] = []
    problems: list[str] = []

    def note(text: str) -> None:
        if len(problems) < 100:
            problems.append(text)

    for row in tree_rows(source, 1):
        if row.problem:
            note(f"page {row.page}: {row.problem}")
        if len(row.values) < 5 or row.problem:
            continue
        kind, name, table, root, sql = row.values[:5]
        if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(table, str):
            note(f"row {row.rowid} has no type, name or table")
            continue
        if len(entries) == MAX_ENTRIES:
            note(f"more than {MAX_ENTRIES} entries; the rest was not read")
            break
        page = root if isinstance(root, int) else 0
        entries.append(SchemaEntry(kind, name, table, page, sql if isinstance(sql, str) else ""))
    shadows = _shadows(entries)
    trees = [SCHEMA_TREE]
    for entry in entries:
        if entry.type in ("table", "index") and entry.root:
            if not 1 < entry.root <= source.pages:
                note(f"{entry.name} has root page {entry.root}, and there are {source.pages}")
            trees.append(Tree(entry.root, entry.name, entry.table, _purpose(entry, shadows), entry.sql))
        elif entry.type == "table" and not entry.root and not _MODULE.match(entry.sql):
            note(f"{entry.name} has no root page")
    return Schema(tuple(entries), tuple(trees), tuple(problems))


def _shadows(entries: list[SchemaEntry]) -> dict[str, Purpose]:
    """Name of every shadow table -> what it is for, by the virtual tables that are there."""
    found: dict[str, Purpose] = {}
    for entry in entries:
        module = _MODULE.match(entry.sql)
        if entry.type != "table" or entry.root or not module:
            continue
        name, using = entry.name.lower(), module[1].lower()
        if using.startswith("fts"):
            rebuilt = Purpose.SHADOW if _CONTENTLESS.search(entry.sql) else Purpose.FTS_INDEX
            found |= {f"{name}_{part}": rebuilt for part in _FTS_REBUILT}
            found[f"{name}_content"] = Purpose.FTS_CONTENT
        found |= {f"{name}_{part}": Purpose.SHADOW for part in _SHADOWS.get(using, ())}
    return found


def _purpose(entry: SchemaEntry, shadows: dict[str, Purpose]) -> Purpose:
    if entry.type == "index":
        return Purpose.INDEX
    if entry.name.lower().startswith("sqlite_"):
        return Purpose.INTERNAL
    return shadows.get(entry.name.lower(), Purpose.TABLE)
