"""Rows lifted out of one tree, page by page, with what could not be read and which keys that costs.

Unlike :func:`crashlab.sqlite.rows.tree_rows` it knows the bounds that a page's parents set: a row outside of them
is in doubt (its page may belong to another tree), and a page that can't be read costs at most the rowids between.
A page or an overflow chain that the walk gave to another tree is not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from crashlab.sqlite.accounting import Accounting, Role
from crashlab.sqlite.btree import Cell, parse_cell, parse_page, payload
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.records import Value, decode

__all__ = ["Lifted", "Lost", "lift", "lift_page"]

MAX_DEPTH = 20
MAX_PAYLOAD = 1 << 28
MAX_BAD_CELLS = 20


@dataclass(frozen=True, slots=True)
class Lifted:
    """A row. `problem`: its values are incomplete; `doubt`: its page may not belong to this tree. Empty: neither."""

    rowid: int | None
    values: tuple[Value, ...]
    page: int
    problem: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """A page or cell that can't be read. The rowids it may have held are above `after` and not above `upto`."""

    page: int
    why: str
    after: int | None
    upto: int | None


@dataclass(frozen=True, slots=True)
class _Visit:
    page: int
    after: int | None
    upto: int | None
    depth: int


def lift(source: PageSource, found: Accounting, tree: int) -> Iterator[Lifted | Lost]:
    """Everything in the tree with this index in `found.trees`, in its order. Each page is read once at most."""
    table = found.trees[tree].tree.without_rowid is not True
    seen: set[int] = set()
    overflow: set[int] = set()
    stack: list[Iterator[_Visit | Lifted | Lost]] = []

    def enter(visit: _Visit) -> Lost | None:
        if visit.page in seen:
            return Lost(visit.page, "page came before in this tree", visit.after, visit.upto)
        if visit.depth > MAX_DEPTH:
            return Lost(visit.page, f"page is deeper than {MAX_DEPTH} levels", visit.after, visit.upto)
        seen.add(visit.page)
        stack.append(_page(source, found, tree, visit, overflow, table=table))
        return None

    enter(_Visit(found.trees[tree].tree.root, None, None, 1))
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, _Visit):
            lost = enter(step)
            if lost:
                yield lost
        else:
            yield step


def lift_page(source: PageSource, found: Accounting, page: int) -> Iterator[Lifted | Lost]:
    """The rows of one page alone, which belongs to no tree."""
    for step in _page(source, found, -1, _Visit(page, None, None, 1), set(), table=None):
        if not isinstance(step, _Visit):
            yield step


def _page(
    source: PageSource, found: Accounting, tree: int, visit: _Visit, overflow: set[int], *, table: bool | None
) -> Iterator[_Visit | Lifted | Lost]:
    role, use = found.use(visit.page)
    if tree >= 0 and use not in (None, found.trees[tree]) and role is not Role.BROKEN:
        # The walk gave it to the tree that came first; so each page is read once, however many trees point to it.
        yield Lost(visit.page, f"page belongs to {use.tree.name if use else ''}", visit.after, visit.upto)
        return
    data = source.page(visit.page)
    page = parse_page(data, visit.page, source.usable)
    problem = page.problem
    if not problem and table is not None and page.kind is not None and page.kind.table is not table:
        problem = f"a page of kind {page.kind.name.lower().replace('_', ' ')}, of another tree"
    if problem or page.kind is None:
        yield Lost(visit.page, problem, visit.after, visit.upto)
        return
    doubt = ""
    cells = [parse_cell(data, page, at, source.usable) for at in page.cells]
    if any(isinstance(cell, Cell) and _outside(cell.rowid, visit) for cell in cells):
        doubt = "rowids of the page are outside of what the pages above it allow"
    after, bad = visit.after, 0
    left = 2 * source.usable  # cells of a sound page don't overlap; hostile ones would multiply the work
    for cell in cells:
        if isinstance(cell, str):
            bad += 1
            if bad <= MAX_BAD_CELLS:
                yield Lost(visit.page, cell, after, visit.upto)
            continue
        if cell.left:
            key = cell.rowid if page.kind.table else None
            yield _Visit(cell.left, after, key if key is not None else visit.upto, visit.depth + 1)
            after = key if key is not None else after
        if page.kind.leaf or not page.kind.table:
            left -= cell.size
            if left < 0:
                yield Lost(visit.page, "cells overlap; the rest of the page was not read", after, visit.upto)
                break
            yield _row(source, found, tree, visit, data, cell, overflow, doubt)
            after = cell.rowid if cell.rowid is not None else after
    if page.right:
        yield _Visit(page.right, after, visit.upto, visit.depth + 1)


def _row(
    source: PageSource,
    found: Accounting,
    tree: int,
    visit: _Visit,
    data: bytes,
    cell: Cell,
    overflow: set[int],
    doubt: str,
) -> Lifted:
    record, problem = payload(source, data, cell, limit=MAX_PAYLOAD, seen=overflow)
    if cell.overflow and not problem and tree >= 0:
        problem = _strange_chain(source, found, tree, cell)
    values, wrong = decode(record, source.encoding)
    return Lifted(cell.rowid, values, visit.page, problem or wrong, doubt)


def _outside(rowid: int | None, visit: _Visit) -> bool:
    below = rowid is not None and visit.after is not None and rowid <= visit.after
    return below or (rowid is not None and visit.upto is not None and rowid > visit.upto)


def _strange_chain(source: PageSource, found: Accounting, tree: int, cell: Cell) -> str:
    """Whether a page of an overflow chain is, by the walk, something else."""
    page, left = cell.overflow, cell.payload - cell.local
    while left > 0 and 0 < page <= source.pages:
        role, use = found.use(page)
        if role is not Role.OVERFLOW or use is not found.trees[tree]:
            return f"overflow page {page} belongs to {use.tree.name if use else 'nothing'}"
        page = int.from_bytes(source.head(page, 4))
        left -= source.usable - 4
    return ""
