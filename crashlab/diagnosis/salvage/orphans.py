"""Leaf pages that no tree reaches any more, matched to tables by the shape of their rows; only when asked for.

A page that nothing points to may be live (its parent is lost) or long dead (its trunk of the freelist is lost).
So what it gives is marked, and never replaces a row that a tree gave.
"""

import msgspec

from crashlab.diagnosis.salvage.lift import Lifted, lift_page
from crashlab.diagnosis.salvage.load import Loader, aside
from crashlab.diagnosis.salvage.rebuild import Rebuilt
from crashlab.diagnosis.salvage.report import Gap, Table
from crashlab.diagnosis.salvage.target import Target
from crashlab.sqlite.accounting import Accounting
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.records import Value

__all__ = ["add_orphans"]

PAGES_MAX = 200_000
_NAME = "orphans"


def add_orphans(source: PageSource, found: Accounting, target: Target, made: Rebuilt) -> None:
    """Put the rows of orphaned table leaves where exactly one table can have them, and set the others aside."""
    pages = [int(page) for page in found.unused[:PAGES_MAX].tolist() if source.head(int(page), 1) == b"\x0d"]
    affinities = {name: _affinities(target, loader) for name, loader in made.loaders.items()}
    placed: dict[str, int] = {}
    for page in pages:
        rows = [item for item in lift_page(source, found, page) if isinstance(item, Lifted) and not item.problem]
        fitting = [
            name
            for name, loader in made.loaders.items()
            if rows
            and not loader.columns.without_rowid
            and all(_plausible(row.values, loader, affinities[name]) for row in rows)
        ]
        inside = [name for name in fitting if _in_a_gap(rows, made.tables[name].gaps)]
        fitting = inside if len(inside) == 1 else fitting
        label = f"orphaned page {page}"
        for row in rows:
            if len(fitting) == 1:
                loader = made.loaders[fitting[0]]
                if loader.put(loader.arranged(row.rowid, row.values), label):
                    placed[loader.table] = placed.get(loader.table, 0) + 1
            else:
                reason = f"could be of {', '.join(fitting[:10])}" if fitting else "of no table that is known"
                names = [""] * max(1, min(len(row.values), 200))
                key = f"{_NAME}_{len(names)}"
                name = aside(target, key, names, row.rowid, row.values, reason, label, encoding=source.encoding)
                known = made.tables.get(key, Table(key, problem="rows of pages that belong to no tree"))
                made.tables[key] = msgspec.structs.replace(known, aside=known.aside + 1, aside_table=name)
    for name, count in placed.items():
        made.tables[name] = msgspec.structs.replace(made.tables[name], orphans=count)


def _in_a_gap(rows: list[Lifted], gaps: tuple[Gap, ...]) -> bool:
    """Whether all rowids are among those that one lost page cost the table."""
    return any(
        all(
            row.rowid is not None
            and (gap.after is None or row.rowid > gap.after)
            and (gap.upto is None or row.rowid <= gap.upto)
            for row in rows
        )
        for gap in gaps
    )


def _affinities(target: Target, loader: Loader) -> list[tuple[str, bool]]:
    """Of each stored column: its declared type in capitals, and whether it may be NULL."""
    name = loader.table.replace('"', '""')
    info = {str(row[1]).lower(): row for row in target.connection.execute(f'pragma table_xinfo("{name}")')}
    return [
        (str(info[each.lower()][2]).upper(), not info[each.lower()][3]) if each.lower() in info else ("", True)
        for each in loader.columns.names
    ]


def _plausible(values: tuple[Value, ...], loader: Loader, kinds: list[tuple[str, bool]]) -> bool:
    """Whether a record can be a row: as many columns, and values as their declared types would have stored them."""
    if len(values) != len(kinds):
        return False
    for at, (value, (kind, nullable)) in enumerate(zip(values, kinds, strict=True)):
        if at == loader.columns.alias:
            if value is not None:
                return False
        elif value is None:
            if not nullable:
                return False
        elif "INT" in kind:
            if not isinstance(value, int):
                return False
        elif any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
            if not isinstance(value, str | bytes):
                return False
        elif any(word in kind for word in ("REAL", "FLOA", "DOUB")) and not isinstance(value, int | float):
            return False
    return True
