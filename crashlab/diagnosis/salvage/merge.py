"""Rows of another generation added to the database that was chosen: two WALs that grew from one main file.

Where a process goes on in a WAL that has lost its name, others begin a new one, and both are acknowledged. Neither is
a continuation of the other. What they have in common is the main file: a row that it has was there before both.
"""

import hashlib

import msgspec

from crashlab.diagnosis.salvage.lift import Lifted, Lost, lift
from crashlab.diagnosis.salvage.load import Loader, Place
from crashlab.diagnosis.salvage.rebuild import Rebuilt
from crashlab.diagnosis.salvage.report import Table
from crashlab.diagnosis.salvage.target import Target
from crashlab.errors import LimitError
from crashlab.sqlite.accounting import Accounting
from crashlab.sqlite.columns import table_columns
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.schema import Purpose, Tree
from crashlab.sqlite.walk import walk

__all__ = ["existing_loaders", "merge"]

_MERGED = (Purpose.TABLE, Purpose.FTS_CONTENT)


def existing_loaders(target: Target, found: Accounting, encoding: str) -> dict[str, Loader]:
    """Loaders for the tables of a database that was copied page by page."""
    made = {}
    for use in found.trees:
        columns = table_columns(use.tree.name, use.tree.sql) if use.tree.purpose in _MERGED else None
        if columns is not None:
            made[use.tree.name] = Loader(target, use.tree.name, columns, encoding)
    return made


def merge(
    other: PageSource,
    ancestor: PageSource,
    target: Target,
    made: Rebuilt,
    *,
    label: str,
    renumber: bool,
    rows_max: int,
) -> None:
    """Add the rows that `other` has and the new database has not, unless the main file had them before both.

    A row that both have with different contents stays as it is; the other's is set aside. With `renumber`, a row that
    is new in both under the same rowid gets a new one. Raises LimitError beyond `rows_max` rows.
    """
    found, before = walk(other), walk(ancestor)
    target.connection.execute("create temp table if not exists before(k blob primary key, h blob) without rowid")
    left = rows_max
    for at, use in enumerate(found.trees):
        if use.tree.purpose not in _MERGED:
            continue
        loader = _loader(target, made, use.tree, other.encoding)
        if loader is None:
            made.missing.append(f"{use.tree.name} of {label}: another schema, so its rows were not merged")
            continue
        target.connection.execute("delete from before")
        _remember(target, loader, ancestor, before)
        _Merge(target, made, loader, label, renumber=renumber).run(other, found, at)
        left -= use.entries
        if left < 0:
            raise LimitError("more rows to merge than the limit; --rows-max")
    target.connection.execute("drop table before")


def _loader(target: Target, made: Rebuilt, tree: Tree, encoding: str) -> Loader | None:
    known = next((each for name, each in made.loaders.items() if name.lower() == tree.name.lower()), None)
    columns = table_columns(tree.name, tree.sql)
    if columns is None:
        return None
    if known is None and tree.purpose is Purpose.TABLE and not target.create(tree.sql):
        known = made.loaders[tree.name] = Loader(target, tree.name, columns, encoding)
        made.tables[tree.name] = Table(tree.name)
    return known if known is not None and known.columns == columns else None


def _remember(target: Target, loader: Loader, ancestor: PageSource, before: Accounting) -> None:
    """Hashes of the rows that the main file alone has, by key."""
    at = next(
        (number for number, use in enumerate(before.trees) if use.tree.name.lower() == loader.table.lower()), None
    )
    if at is None:
        return
    for item in lift(ancestor, before, at):
        if isinstance(item, Lifted) and not item.problem and loader.fits(item.values):
            place = loader.arranged(item.rowid, item.values)
            row = (_key(loader, place), _hash(loader.comparable(place)))
            target.connection.execute("insert or ignore into before values (?, ?)", row)


def _key(loader: Loader, place: Place) -> bytes:
    return _hash(tuple(place.values[at] for at in loader.key) if loader.key else (place.rowid,))


def _hash(values: tuple[object, ...]) -> bytes:
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _Merge:
    """One table of one generation."""

    def __init__(self, target: Target, made: Rebuilt, loader: Loader, label: str, *, renumber: bool) -> None:
        self.target, self.made, self.loader, self.label, self.renumber = target, made, loader, label, renumber
        self.added = self.renumbered = self.stale = self.lost = 0

    def run(self, other: PageSource, found: Accounting, at: int) -> None:
        for item in lift(other, found, at):
            if isinstance(item, Lost) or item.problem or item.doubt or not self.loader.fits(item.values):
                self.lost += 1
            else:
                self._row(self.loader.arranged(item.rowid, item.values), f"{self.label}, page {item.page}")
        name, made = self.loader.table, self.made
        known = made.tables.get(name, Table(name))
        made.tables[name] = msgspec.structs.replace(
            known, merged=known.merged + self.added, renumbered=known.renumbered + self.renumbered
        )
        if self.lost:
            made.missing.append(f"{name} of {self.label}: {self.lost} pages or rows can't be read or are in doubt")
        if self.stale:
            made.notes.append(
                f"{name}: {self.stale} rows of {self.label} are as the main file alone has them, and were deleted or"
                " changed in the chosen source: left out"
            )

    def _row(self, place: Place, where: str) -> None:
        loader = self.loader
        there, mine = loader.found(place), loader.comparable(place)
        if there == mine:
            return
        sql = "select h from before where k = ?"
        before = self.target.connection.execute(sql, (_key(loader, place),)).fetchone()
        if before is not None and before[0] == _hash(mine):
            self.stale += 1
        elif there is None:
            self.added += loader.put(place, where)
        elif self.renumber and before is None and not loader.columns.without_rowid and self._anew(place):
            self.added += 1
            self.renumbered += 1
        else:
            loader.set_aside(place.rowid, place.values, "the chosen source has another row under this key", where)

    def _anew(self, place: Place) -> bool:
        return not self.loader.insert(place, keep_rowid=False)
