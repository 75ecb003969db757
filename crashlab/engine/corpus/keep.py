"""Keeping cases in a corpus and throwing them out; a case is in it whole or not at all."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from crashlab.engine.corpus.entry import NOTE, Entry, load_entry
from crashlab.errors import UsageError

PASSES = "passes"


class Kept(msgspec.Struct, frozen=True):
    """What became of a case, in words, and the entry that the corpus has now; `changed` if that is a new one."""

    entry: Entry
    what: str
    changed: bool = True


def keep(root: Path, entry: Entry, there: Entry | None) -> Kept:
    """Copy a case into the corpus, unless it has one no larger of the same finding.

    Raises:
        UsageError: the corpus cannot be written.
    """
    if there is not None and there.weight <= entry.weight:
        return Kept(there, "one no larger is kept already", changed=False)
    try:
        target = _place(root, Path(entry.directory), entry.name)
    except (OSError, shutil.Error) as error:
        why = getattr(error, "strerror", None) or str(error)[:200]
        raise UsageError(f"the corpus {root} cannot be written ({why}); choose another with --corpus DIR") from None
    if there is not None and Path(there.directory) != target:
        shutil.rmtree(there.directory, ignore_errors=True)
    what = "kept" if there is None else "kept in place of a larger one"
    return Kept(load_entry(target), what)


def _place(root: Path, source: Path, name: str) -> Path:
    """Copy under a hidden name, then move into place; what was there before goes last."""
    root.mkdir(parents=True, exist_ok=True)
    making, old = (root / f".{name}.{what}{os.getpid()}" for what in ("new", "old"))
    target = root / name
    shutil.rmtree(making, ignore_errors=True)
    try:
        shutil.copytree(source, making, ignore=shutil.ignore_patterns(NOTE), symlinks=True)
        if target.exists():
            target.rename(old)
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def superfluous(entries: Iterable[Entry]) -> list[tuple[Entry, str]]:
    """Return the cases that a corpus can do without, each with the reason: not the smallest, or fixed."""
    smallest: dict[str, Entry] = {}
    for entry in entries:
        best = smallest.get(entry.identity)
        if best is None or entry.weight < best.weight:
            smallest[entry.identity] = entry
    found = []
    for entry in entries:
        if smallest[entry.identity] is not entry:
            found.append((entry, "a case no larger shows the same finding"))
        elif entry.checked is not None and entry.checked.verdict == PASSES:
            found.append((entry, f"in the last check 0 of {entry.checked.judged} failed"))
    return found
