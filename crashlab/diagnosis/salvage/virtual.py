"""Virtual tables: full-text indexes are built anew from their content, what other modules keep is copied as it is."""

import re
from collections.abc import Iterable

from crashlab.diagnosis.salvage.target import Target, quoted
from crashlab.sqlite.schema import Purpose, SchemaEntry

__all__ = ["check_full_text", "full_text", "module_of", "rebuild_full_text", "shadows_to_copy"]

_MODULE = re.compile(r"\s*create\s+virtual\s+table\b.*?\busing\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL)
_CONTENTLESS = re.compile(r"\bcontent\s*=\s*(''|\"\")", re.IGNORECASE)


def module_of(entry: SchemaEntry) -> str:
    """The module of a virtual table in lower case; empty for anything else."""
    found = _MODULE.match(entry.sql) if entry.type == "table" and not entry.root else None
    return found[1].lower() if found else ""


def full_text(entries: Iterable[SchemaEntry]) -> list[str]:
    """Names of the FTS3, FTS4 and FTS5 tables that an index can be built for from content."""
    return [
        entry.name
        for entry in entries
        if module_of(entry) in ("fts3", "fts4", "fts5") and not _CONTENTLESS.search(entry.sql)
    ]


def shadows_to_copy(purpose: Purpose, name: str) -> bool:
    """Whether a shadow table's rows are to be copied: what nothing else can give again."""
    if purpose is Purpose.FTS_INDEX:
        return name.lower().endswith("_config")
    return purpose in (Purpose.FTS_CONTENT, Purpose.SHADOW)


def rebuild_full_text(target: Target, names: Iterable[str]) -> list[str]:
    """Build the indexes anew; returns what failed, one line each."""
    problems = []
    for name in names:
        error = target.run(f"insert into {quoted(name)}({quoted(name)}) values ('rebuild')")
        if error:
            problems.append(f"the full-text index {name} can't be built: {error}")
    return problems


def check_full_text(target: Target, entries: Iterable[SchemaEntry]) -> list[str]:
    """What the full-text tables' own check says; a table whose module is not here is one line too."""
    lines = []
    for entry in entries:
        if not module_of(entry).startswith("fts"):
            continue
        name = quoted(entry.name)
        error = target.run(f"insert into {name}({name}) values ('integrity-check')")
        if error:
            lines.append(f"{entry.name}: {error}")
    return lines
