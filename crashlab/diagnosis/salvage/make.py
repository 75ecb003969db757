"""From a choice to a new database: page by page where the source is sound, else row by row, then checked."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crashlab.diagnosis.salvage.generations import MAIN, Sources
from crashlab.diagnosis.salvage.merge import existing_loaders, merge
from crashlab.diagnosis.salvage.orphans import add_orphans
from crashlab.diagnosis.salvage.rebuild import Rebuilt, finish, rebuild
from crashlab.diagnosis.salvage.report import Table
from crashlab.diagnosis.salvage.target import Target, new_database, opened, quoted
from crashlab.diagnosis.salvage.virtual import check_full_text, full_text, rebuild_full_text
from crashlab.errors import LabError, LimitError, UsageError
from crashlab.sqlite.accounting import Accounting
from crashlab.sqlite.check import foreign_key_check, integrity_check
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.schema import Purpose
from crashlab.sqlite.walk import walk

__all__ = ["Made", "Wish", "make"]

LINES_MAX = 20
_BATCH = 2 << 20
_SHOWN = (Purpose.TABLE, Purpose.FTS_CONTENT, Purpose.SHADOW)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made. `method`: auto, pages or rows."""

    choice: str
    merge: tuple[str, ...] = ()
    renumber: bool = False
    orphans: bool = False
    method: str = "auto"
    pages_max: int = 1 << 24
    rows_max: int = 1 << 28
    seconds: float = 600.0


class Made(msgspec.Struct, frozen=True):
    """What was made; the parts of the ledger that only the making knows."""

    method: str
    why_method: str
    tables: tuple[Table, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    checks: dict[str, tuple[str, ...]]


def make(sources: Sources, wish: Wish, path: Path) -> Made:
    """Make the database at a path that must not exist. Raises LimitError, UsageError, and whatever `path` does."""
    view = sources.view(wish.choice)
    if not view.page_size:
        raise UsageError(
            f"{wish.choice} is {view.report.kind}: {view.report.detail or 'nothing to read'}; choose another (--list)"
        )
    if view.pages > wish.pages_max:
        raise LimitError(f"{view.pages} pages, the limit is {wish.pages_max}; --pages-max")
    found = walk(view)
    sound = not found.problems
    label = "the main file" if wish.choice == MAIN else f"generation {wish.choice}"
    if wish.method == "pages" and not sound:
        raise UsageError(f"{label} has {found.problems.total} problems, so its pages are not taken as they are; rows")
    why = "asked for"
    if wish.method != "rows" and sound:
        try:
            made = _by_pages(sources, wish, view, found, path)
        except sqlite3.DatabaseError as error:
            why = f"every page is sound, but SQLite refuses them: {error}"
        else:
            bad = [name for name, lines in made.checks.items() if lines and name != "foreign_key_check"]
            if wish.method == "pages" or not bad:
                return made
            why = f"every page is sound, but {bad[0]} fails: {made.checks[bad[0]][0]}"
        if wish.method == "pages":
            raise LabError(f"{why}; --method rows")
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    elif not sound:
        why = f"the source has {found.problems.total} problems ({found.scope})"
    return _by_rows(sources, wish, view, found, path, why, label)


def _by_pages(sources: Sources, wish: Wish, view: PageSource, found: Accounting, path: Path) -> Made:
    write_pages(view, path)
    made = Rebuilt()
    with opened(path, seconds=wish.seconds) as target:
        made.loaders = existing_loaders(target, found, view.encoding) if wish.merge else {}
        for use in found.trees:
            if use.tree.purpose in _SHOWN:
                made.tables[use.tree.name] = Table(use.tree.name, use.entries)
        if wish.merge:
            _merge_into(target, sources, wish, found, made)
        return _made("pages", "every page of the source is sound", target, found, made)


def _by_rows(
    sources: Sources, wish: Wish, view: PageSource, found: Accounting, path: Path, why: str, label: str
) -> Made:
    entries = found.schema.entries
    with new_database(path, view.report.header, seconds=wish.seconds) as target:
        made = rebuild(view, found, target, rows_max=wish.rows_max, label=label)
        if wish.orphans:
            add_orphans(view, found, target, made)
        for name in wish.merge:
            _merge_one(target, sources, wish, name, made)
        finish(entries, target, made)
    header = view.report.header
    if header is not None and header.reserved_bytes:
        made.notes.append(f"{header.reserved_bytes} bytes were reserved in every page; the new file reserves none")
    if not wish.orphans and len(found.unused):
        made.notes.append(f"{len(found.unused)} pages belong to nothing; --orphans looks for rows in them")
    with opened(path, seconds=wish.seconds) as target:
        return _made("rows", why, target, found, made)


def _merge_into(target: Target, sources: Sources, wish: Wish, found: Accounting, made: Rebuilt) -> None:
    """Merge into a database that has its triggers already: they are taken away meanwhile."""
    run = target.connection.execute
    run("pragma synchronous=off")
    run("pragma ignore_check_constraints=on")
    run("begin")
    entries = found.schema.entries
    for entry in entries:
        if entry.type == "trigger":
            target.run(f"drop trigger {quoted(entry.name)}")
    for name in wish.merge:
        _merge_one(target, sources, wish, name, made)
    made.missing += rebuild_full_text(target, full_text(entries))
    finish(tuple(entry for entry in entries if entry.type == "trigger"), target, made)
    run("commit")


def _merge_one(target: Target, sources: Sources, wish: Wish, name: str, made: Rebuilt) -> None:
    label = "the main file" if name == MAIN else f"generation {name}"
    merge(
        sources.view(name), sources.alone, target, made,
        label=label, renumber=wish.renumber, rows_max=wish.rows_max,
    )  # fmt: skip


def _made(method: str, why: str, target: Target, found: Accounting, made: Rebuilt) -> Made:
    """Count what is there, and let SQLite check it."""
    tables = []
    for name, table in made.tables.items():
        loader = made.loaders.get(name)
        if loader is not None:
            table = msgspec.structs.replace(table, aside=loader.aside, aside_table=loader.aside_table)
        tables.append(table if table.problem else msgspec.structs.replace(table, rows=target.count(name)))
    lines = integrity_check(target.connection, LINES_MAX)
    unknown = next((line for line in lines if "no such collation" in line or "no such function" in line), "")
    if unknown:  # the program's own; what the walk says stands
        made.notes.append(f"SQLite could not check the indexes here: {unknown}")
        lines = ()
    checks = {
        "integrity_check": lines,
        "foreign_key_check": foreign_key_check(target.connection, LINES_MAX),
        "full-text integrity-check": tuple(check_full_text(target, found.schema.entries)[:LINES_MAX]),
    }
    return Made(method, why, tuple(tables), tuple(made.missing), tuple(made.notes), checks)


def write_pages(view: PageSource, path: Path) -> None:
    """Write the pages of a source, one behind another, into a file that must not exist."""
    a_batch = max(1, _BATCH // view.page_size)
    with open(path, "xb") as file:
        for start in range(1, view.pages + 1, a_batch):
            numbers: Sequence[int] = range(start, min(start + a_batch, view.pages + 1))
            file.write(view.many(numbers)[: len(numbers) * view.page_size].tobytes())
        _fit_header(file.fileno(), view)


def _fit_header(descriptor: int, view: PageSource) -> None:
    """The size in the header is believed only where it fits the change counter: make both say what is so."""
    raw = view.head(1, 100)
    if int.from_bytes(raw[28:32]) != view.pages or raw[24:28] != raw[92:96]:
        os.lseek(descriptor, 28, os.SEEK_SET)
        os.write(descriptor, view.pages.to_bytes(4))
        os.lseek(descriptor, 92, os.SEEK_SET)
        os.write(descriptor, raw[24:28])
    os.lseek(descriptor, 0, os.SEEK_END)
