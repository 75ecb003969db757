"""An unkilled run: what its databases are like, what follows its acks, which columns name files.

From here on the program itself is the measure. What it does not do when nobody kills it is not asked of it when it
is killed.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from crashlab.engine.program.kills.orders import AckRule, Place, Reference, Survey
from crashlab.engine.program.kills.read import Column, Content, Reader, copy_databases, databases_in, remove_tree

__all__ = ["reference_of", "survey"]

CHECKS = ("integrity_check", "quick_check")
KINDS = ("value", "high", "count")
FILES_MAX = 1_000
"""A column with more paths than this is not looked at as one of file names."""


def survey(work: Path, before: Path, scratch: Path, keys: Sequence[str]) -> Survey:
    """Look at what an unkilled run left. `before`: its directory as it was; `keys`: of its acks, in order."""
    starts = _contents(before, scratch / "before")
    names = databases_in(work)
    copies = scratch / "after"
    copy_databases(work, names, copies)
    ends: dict[str, Content] = {}
    checks: dict[str, str] = {}
    unsound: list[tuple[str, str]] = []
    acks: dict[str, list[Place]] = {kind: [] for kind in KINDS}
    files: list[Place] = []
    for name in names:
        with Reader(copies / name) as reader:
            problem = ""
            for check in CHECKS:
                content = reader.content(check)
                if not content.problem:
                    checks[name] = check
                    break
                problem = content.problem
            else:
                unsound.append((name, problem))
                continue
            ends[name] = content
            start = starts.get(name, Content())
            for table, rows in content.rows.items():
                columns = reader.columns(table)
                if keys and rows - start.rows.get(table, 0) == len(keys):
                    acks["count"].append(Place(name, table))
                for number, column in enumerate(columns):
                    place = Place(name, table, number, column.name)
                    for kind in _follows(column, keys):
                        acks[kind].append(place)
                    if _names_files(column, work):
                        files.append(place)
    for place in list(acks["high"]):
        if _was_high(before, scratch / "high", place, keys):
            acks["high"].remove(place)
    remove_tree(scratch)
    return Survey(
        {name: content.schema for name, content in starts.items()},
        {name: content.schema for name, content in ends.items()},
        {name: content.rows for name, content in starts.items()},
        {name: content.rows for name, content in ends.items()},
        checks,
        tuple(name for name in names if _changed(work, before, name)),
        tuple(unsound),
        {kind: tuple(places) for kind, places in acks.items()},
        tuple(files),
    )


def reference_of(surveys: Sequence[Survey], *, acked: bool) -> Reference:
    """Return what all unkilled runs have in common."""
    last = surveys[-1]
    rule = AckRule()
    for kind in KINDS:
        common = set(last.acks[kind]).intersection(*(set(each.acks[kind]) for each in surveys))
        if acked and common:
            rule = AckRule(kind, tuple(sorted(common)))
            break
    files = set(last.files).intersection(*(set(each.files) for each in surveys))
    return Reference(last, rule, tuple(sorted(files)))


def _contents(directory: Path, scratch: Path) -> dict[str, Content]:
    names = databases_in(directory)
    copy_databases(directory, names, scratch)
    found = {}
    for name in names:
        with Reader(scratch / name) as reader:
            found[name] = reader.content("quick_check")
    return found


def _follows(column: Column, keys: Sequence[str]) -> list[str]:
    """In which ways a column follows the acks."""
    if not keys or "" in keys:
        return []
    kinds = ["value"] if column.values.issuperset(keys) else []
    numbers = [int(key) for key in keys if key.isdecimal() and key.isascii()]
    if len(numbers) == len(keys) and numbers == sorted(numbers) and column.high == numbers[-1]:
        kinds.append("high")
    return kinds


def _was_high(before: Path, scratch: Path, place: Place, keys: Sequence[str]) -> bool:
    """Whether a column held the last ack's number before the run."""
    if not (before / place.database).is_file():
        return False
    copy_databases(before, (place.database,), scratch)
    with Reader(scratch / place.database) as reader:
        columns = reader.columns(place.table)
    remove_tree(scratch)
    high = columns[place.column].high if place.column < len(columns) else None
    return high is not None and high >= int(keys[-1])


def _names_files(column: Column, work: Path) -> bool:
    if not 0 < len(column.texts) <= FILES_MAX or any(len(text) > 1000 or "\0" in text for text in column.texts):
        return False
    return all(named_file(work, text) is not None for text in column.texts)


def named_file(work: Path, text: str) -> Path | None:
    """Return the file below `work` that a text names, None if there is none."""
    path = Path(os.path.normpath(work / text))
    try:
        return path if path.is_relative_to(work) and path.is_file() else None
    except OSError:  # longer than a file's name may be
        return None


def _changed(work: Path, before: Path, name: str) -> bool:
    """Whether a database is another than before; one without a byte was never committed to."""
    for suffix in ("", "-wal"):
        old, new = Path(f"{before / name}{suffix}"), Path(f"{work / name}{suffix}")
        if (old.read_bytes() if old.is_file() else b"") != (new.read_bytes() if new.is_file() else b""):
            return True
    return False
