"""The method `rows`: schema and rows of a damaged database, written through SQLite into an empty one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from crashlab.diagnosis.salvage.lift import Lifted, Lost, lift
from crashlab.diagnosis.salvage.load import Loader, aside
from crashlab.diagnosis.salvage.report import Gap, Table
from crashlab.diagnosis.salvage.target import ASIDE, Target, quoted
from crashlab.diagnosis.salvage.virtual import full_text, module_of, rebuild_full_text, shadows_to_copy
from crashlab.errors import LimitError
from crashlab.sqlite.accounting import Accounting
from crashlab.sqlite.columns import table_columns
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.records import Value
from crashlab.sqlite.schema import Purpose, SchemaEntry, Tree

__all__ = ["Rebuilt", "finish", "rebuild"]

GAPS_MAX = 1_000
_UNIQUE = re.compile(r"\s*create\s+unique\b", re.IGNORECASE)
_INTERNAL = ("sqlite_sequence", "sqlite_stat1")


@dataclass(slots=True)
class Rebuilt:
    """What became of each table, in the schema's order, and what else is to be said."""

    tables: dict[str, Table] = field(default_factory=dict)
    loaders: dict[str, Loader] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Gaps:
    """The gaps of one table; the first GAPS_MAX are kept, consecutive ones of one reason are one."""

    def __init__(self) -> None:
        self.kept: list[Gap] = []
        self.total = 0

    def add(self, page: int, why: str, after: int | None, upto: int | None) -> None:
        self.total += 1
        if len(self.kept) < GAPS_MAX:
            self.kept.append(Gap(page, why, after, upto))


def rebuild(source: PageSource, found: Accounting, target: Target, *, rows_max: int, label: str) -> Rebuilt:
    """Fill an empty database with everything that can be lifted. `label`: the source, for rows set aside.

    What has to come after the last row is left to `finish`. Raises LimitError beyond `rows_max` rows.
    """
    return _Rebuild(source, found, target, rows_max, label).run()


def finish(entries: Sequence[SchemaEntry], target: Target, made: Rebuilt) -> None:
    """Add what comes after the last row: indexes, full-text indexes, views, and triggers, which would have fired."""
    for entry in entries:
        if entry.type == "index" and entry.sql and not _UNIQUE.match(entry.sql):
            _statement(target, made, entry, "index")
    made.missing += rebuild_full_text(target, [name for name in full_text(entries) if target.has("table", name)])
    for kind in ("view", "trigger"):
        for entry in entries:
            if entry.type == kind:
                _statement(target, made, entry, kind)
    made.missing += [
        f"the program's own {name} is not here: what depends on it is not as the program would have it; REINDEX there"
        for name in target.supplied
    ]


def _statement(target: Target, made: Rebuilt, entry: SchemaEntry, kind: str) -> None:
    if target.has(entry.type, entry.name):
        return
    error = target.create(entry.sql)
    if not error and not target.has(entry.type, entry.name):
        error = "its statement makes nothing of that name"
    if error:
        made.missing.append(f"{kind} {entry.name}: {error}")


class _Rebuild:
    def __init__(self, source: PageSource, found: Accounting, target: Target, rows_max: int, label: str) -> None:
        self.source, self.found, self.target, self.label = source, found, target, label
        self.left = rows_max
        self.made = Rebuilt()
        self.entries = found.schema.entries
        self.by_name = {use.tree.name.lower(): at for at, use in enumerate(found.trees) if not use.tree.index}

    def run(self) -> Rebuilt:
        made = self.made
        made.missing += [f"of the schema: {text}" for text in self.found.schema.problems]
        shadows: list[Tree] = []
        for use in self.found.trees:
            if use.tree.purpose in (Purpose.FTS_INDEX, Purpose.FTS_CONTENT, Purpose.SHADOW):
                shadows.append(use.tree)
            elif use.tree.purpose is Purpose.TABLE:
                self._table(use.tree)
        for entry in self.entries:
            if module_of(entry):
                _statement(self.target, made, entry, "virtual table")
        for entry in self.entries:  # before the rows, so that none can break them; the others are quicker after them
            if entry.type == "index" and _UNIQUE.match(entry.sql):
                _statement(self.target, made, entry, "index")
        for name in list(made.loaders):
            self._rows(name)
        for tree in shadows:
            self._shadow(tree)
        self._internal()
        return made

    def _table(self, tree: Tree) -> None:
        name = tree.name
        error = self.target.create(tree.sql)
        if not error and not self.target.has("table", name):
            error = "its statement makes no table of that name"
        columns = None if error else table_columns(name, tree.sql)
        if columns is None:
            self._only_aside(tree, error or "its columns can't be told")
            return
        self.made.loaders[name] = Loader(self.target, name, columns, self.source.encoding)

    def _only_aside(self, tree: Tree, problem: str) -> None:
        """The rows of a table that can't be made, with columns by number."""
        gaps, count, name = _Gaps(), 0, ""
        for item in lift(self.source, self.found, self._at(tree.name)):
            if isinstance(item, Lost):
                gaps.add(item.page, item.why, item.after, item.upto)
                continue
            self._count()
            names = [""] * max(1, min(len(item.values), 200))
            reason = item.problem or item.doubt or problem
            key = f"{tree.name}_{len(names)}"
            name = aside(
                self.target, key, names, item.rowid, item.values, reason, self._where(item), encoding=self._text()
            )
            count += 1
        self.made.tables[tree.name] = Table(
            tree.name, aside=count, aside_table=name, gaps=tuple(gaps.kept), gaps_total=gaps.total, problem=problem
        )

    def _rows(self, name: str) -> None:
        loader, gaps = self.made.loaders[name], _Gaps()
        for item in lift(self.source, self.found, self._at(name)):
            if isinstance(item, Lost):
                gaps.add(item.page, item.why, item.after, item.upto)
            else:
                self._count()
                self._row(loader, item, gaps)
        if not loader.keeps_rowids:
            self.made.notes.append(f"{name}: its columns hide every name of the rowid, so rowids are new")
        self.made.tables[name] = Table(
            name, loader.loaded, aside=loader.aside, aside_table=loader.aside_table,
            gaps=tuple(gaps.kept), gaps_total=gaps.total,
        )  # fmt: skip

    def _row(self, loader: Loader, item: Lifted, gaps: _Gaps) -> None:
        reason = item.problem or item.doubt
        if not reason and not loader.fits(item.values):
            reason = f"{len(item.values)} columns, its table has {len(loader.columns.names)}"
        if not reason:
            loader.put(loader.arranged(item.rowid, item.values), self._where(item))
            return
        if item.problem:
            before = None if item.rowid is None else item.rowid - 1
            gaps.add(item.page, item.problem, before, item.rowid)
        place = loader.arranged(item.rowid, item.values[: len(loader.columns.names)])
        loader.set_aside(item.rowid, place.values, reason, self._where(item))

    def _shadow(self, tree: Tree) -> None:
        """A shadow table's rows as they are; where its module is not here, its own statement makes the table."""
        if not self.target.has("table", tree.name):
            self._table(tree)
        elif shadows_to_copy(tree.purpose, tree.name):
            columns = table_columns(tree.name, tree.sql)
            if columns is None:
                self._only_aside(tree, "its columns can't be told")
                return
            self.target.run(f"delete from {quoted(tree.name)}")
            self.made.loaders[tree.name] = Loader(self.target, tree.name, columns, self.source.encoding)
        else:
            return
        if tree.name in self.made.loaders:
            self._rows(tree.name)

    def _internal(self) -> None:
        """Counters of AUTOINCREMENT as they were, and the statistics of ANALYZE; they are made by SQLite itself."""
        if "sqlite_stat1" in self.by_name:
            self.target.run("analyze sqlite_schema")
        for name in _INTERNAL:
            if name not in self.by_name:
                continue
            if not self.target.has("table", name):
                continue
            columns = table_columns(name, "")
            assert columns is not None
            self.target.run(f"delete from {name}")
            loader = Loader(self.target, name, columns, self.source.encoding)
            for item in lift(self.source, self.found, self.by_name[name]):
                if isinstance(item, Lost) or item.problem:
                    why = item.why if isinstance(item, Lost) else item.problem
                    self.made.missing.append(f"{name}, page {item.page}: {why}")
                elif loader.fits(item.values) and not _of_aside(item.values):
                    loader.insert(loader.arranged(item.rowid, item.values))

    def _at(self, name: str) -> int:
        return self.by_name[name.lower()]

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise LimitError("more rows than the limit; --rows-max")

    def _where(self, item: Lifted) -> str:
        return f"{self.label}, page {item.page}"

    def _text(self) -> str:
        return self.source.encoding


def _of_aside(values: tuple[Value, ...]) -> bool:
    return bool(values) and isinstance(values[0], str) and values[0].startswith(ASIDE)
