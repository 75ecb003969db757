"""Rows lifted out of a tree or a single page, damaged or not.

Damage costs the rows it sits on and no more: a page that can't be read is one row that says so, and the
rows beside it still come.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from crashlab.sqlite.btree import BtreePage, parse_cell, parse_page, payload
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.records import Value, decode

if TYPE_CHECKING:
    from crashlab.sqlite.columns import Columns
    from crashlab.sqlite.schema import Tree

__all__ = ["MAX_DEPTH", "MAX_PAYLOAD", "Row", "page_rows", "rows", "tree_rows"]

MAX_DEPTH = 20
"""Levels of a tree: SQLite reads no deeper (BTCURSOR_MAX_DEPTH)."""
MAX_PAYLOAD = 1 << 28
"""Bytes of a record that are put together, unless told otherwise."""


MAX_BAD_CELLS = 20
"""Cells of a page that can't be read and are told of one by one."""


class Row(NamedTuple):
    """One row, or one piece of damage.

    ``rowid`` is None in index trees (and so for tables WITHOUT ROWID) and for damage. ``values`` are as the
    record has them, or by the table's columns where :func:`rows` was given them; they may be incomplete
    where ``problem`` is not empty.
    """

    rowid: int | None
    values: tuple[Value, ...]
    page: int
    problem: str


def rows(
    source: PageSource, tree: "Tree", columns: "Columns | None" = None, *, max_payload: int = MAX_PAYLOAD
) -> Iterator[Row]:
    """Rows of a tree in its order, as :func:`tree_rows`; ``columns`` arranges values as a query would."""
    for row in tree_rows(source, tree.root, max_payload=max_payload):
        if columns is None or (row.problem and not row.values):
            yield row
        else:
            yield row._replace(values=columns.arrange(row.rowid, row.values))


def tree_rows(source: PageSource, root: int, *, max_payload: int = MAX_PAYLOAD) -> Iterator[Row]:
    """Records of the tree at page ``root``, in its order.

    Every page is used once at most, so that any bytes end: a page that comes a second time is damage.
    """
    pages: set[int] = {root}
    overflow: set[int] = set()
    # (page to open, 0) or (page number, generator under way)
    stack: list[Iterator[int | Row]] = [_steps(source, root, overflow, max_payload)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, Row):
            yield step
        elif step in pages:
            yield Row(None, (), step, "page came before in this tree")
        elif len(stack) == MAX_DEPTH:
            yield Row(None, (), step, f"page is deeper than {MAX_DEPTH} levels")
        else:
            pages.add(step)
            stack.append(_steps(source, step, overflow, max_payload))


def page_rows(source: PageSource, number: int, *, max_payload: int = MAX_PAYLOAD) -> Iterator[Row]:
    """Records of one page alone, whatever tree it belongs to or belonged to; its children are not followed."""
    for step in _steps(source, number, set(), max_payload):
        if isinstance(step, Row):
            yield step


def _steps(source: PageSource, number: int, overflow: set[int], limit: int) -> Iterator[int | Row]:
    """A page's rows, and the numbers of its children where they come."""
    data = source.page(number)
    usable = source.usable
    page = parse_page(data, number, usable)
    if page.problem:
        yield Row(None, (), number, page.problem)
        return
    bad = 0
    left = 2 * usable  # cells of a sound page don't overlap; hostile ones would multiply the work
    for at in page.cells:
        cell = parse_cell(data, page, at, usable)
        if isinstance(cell, str):
            if bad < MAX_BAD_CELLS:
                yield Row(None, (), number, cell)
            bad += 1
            continue
        if cell.left:
            yield cell.left
        if page.kind is not None and (page.kind.leaf or not page.kind.table):
            left -= cell.size
            if left < 0:
                yield Row(None, (), number, "cells overlap; the rest of the page was not read")
                break
            record, problem = payload(source, data, cell, limit=limit, seen=overflow)
            values, wrong = decode(record, source.encoding)
            yield Row(cell.rowid, values, number, problem or wrong)
    yield from _last(page)


def _last(page: BtreePage) -> Iterator[int]:
    if page.right:
        yield page.right
