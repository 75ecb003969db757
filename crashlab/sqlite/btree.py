"""One b-tree page: its header, its cells, and the payload of a cell with its overflow chain.

Format: https://sqlite.org/fileformat2.html#b_tree_pages . Any bytes are accepted. For a whole database see
:mod:`crashlab.sqlite.walk`, which parses pages by the thousand; this module reads what is inside one.
"""

from enum import IntEnum
from typing import NamedTuple

from crashlab.sqlite.pages import PageSource

__all__ = ["BtreePage", "Cell", "PageKind", "local_payload", "parse_cell", "parse_page", "payload", "varint"]


class PageKind(IntEnum):
    """The first byte of a b-tree page."""

    INDEX_INTERIOR = 2
    TABLE_INTERIOR = 5
    INDEX_LEAF = 10
    TABLE_LEAF = 13

    @property
    def leaf(self) -> bool:
        """Whether pages of this kind have no children."""
        return self >= 10

    @property
    def table(self) -> bool:
        """Whether keys are rowids; otherwise they are records: an index, or a table WITHOUT ROWID."""
        return self in (5, 13)


class BtreePage(NamedTuple):
    """A page's header. ``cells`` are the offsets within the page, out of range or not; ``right`` is the last child.

    ``content`` is where cell content begins, ``fragments`` the bytes lost between cells. ``problem`` is empty
    or says why the page can't be used; the fields then are as far as they go.
    """

    number: int
    kind: PageKind | None
    cells: tuple[int, ...]
    right: int
    content: int
    first_freeblock: int
    fragments: int
    problem: str


class Cell(NamedTuple):
    """One cell. ``payload`` is its record's length in bytes, ``local`` of them at ``body`` within the page.

    ``left`` is the left child (0 on leaves), ``rowid`` None in index trees, ``overflow`` the first overflow
    page (0 without one), ``size`` the bytes that the cell takes.
    """

    left: int
    rowid: int | None
    payload: int
    body: int
    local: int
    overflow: int
    size: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned value of the variable-length integer at ``at``, and the offset behind it.

    https://sqlite.org/fileformat2.html#varint . Raises IndexError where the bytes end before it does.
    """
    value = 0
    for behind in range(at + 1, at + 9):
        byte = data[behind - 1]
        if byte < 0x80:
            return value << 7 | byte, behind
        value = value << 7 | byte & 0x7F
    return value << 8 | data[at + 8], at + 9


def local_payload(payload: int, usable: int, kind: int) -> int:
    """How many bytes of a payload stay on the b-tree page; the rest goes to overflow pages."""
    most = usable - 35 if kind == PageKind.TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if payload <= most:
        return payload
    least = (usable - 12) * 32 // 255 - 23
    local = least + (payload - least) % (usable - 4)
    return local if local <= most else least


def parse_page(data: bytes, number: int, usable: int) -> BtreePage:
    """Parse the bytes of page ``number``, whose first 100 bytes are the database header where that is 1."""
    at = 100 if number == 1 else 0
    if len(data) < at + 12:
        return BtreePage(number, None, (), 0, 0, 0, 0, "no such page" if not data else f"{len(data)} bytes")
    if data[at] not in (2, 5, 10, 13):
        return BtreePage(number, None, (), 0, 0, 0, 0, f"first byte is {data[at]}")
    kind = PageKind(data[at])
    free, count, content = (int.from_bytes(data[at + field : at + field + 2]) for field in (1, 3, 5))
    content = content or 65536
    first = at + (8 if kind.leaf else 12)
    problem = ""
    if count > (len(data) - 8) // 6:
        problem = f"{count} cells, more than a page of {len(data)} bytes can hold"
    elif first + 2 * count > content or content > usable:
        problem = f"{count} cells, but their content begins at {content}"
    cells: tuple[int, ...] = ()
    if not problem:
        cells = tuple(int.from_bytes(data[place : place + 2]) for place in range(first, first + 2 * count, 2))
    right = 0 if kind.leaf else int.from_bytes(data[at + 8 : at + 12])
    return BtreePage(number, kind, cells, right, content, free, data[at + 7], problem)


def parse_cell(data: bytes, page: BtreePage, at: int, usable: int) -> Cell | str:
    """Parse the cell at offset ``at``; a string says why that is no cell."""
    kind = page.kind
    if kind is None or not page.content <= at <= usable - 4:
        return f"cell at {at}, outside of {page.content}..{usable - 4}"
    left, body, rowid, size = 0, at, None, 0
    try:
        if not kind.leaf:
            left = int.from_bytes(data[at : at + 4])
            body += 4
        if kind is not PageKind.TABLE_INTERIOR:
            size, body = varint(data, body)
        if kind.table:
            unsigned, body = varint(data, body)
            rowid = unsigned - (1 << 64) if unsigned >> 63 else unsigned
    except IndexError:
        return f"cell at {at} extends beyond the page"
    local = local_payload(size, usable, kind)
    behind = body + local + (4 if local < size else 0)
    if behind > usable:
        return f"cell at {at} extends beyond the page"
    overflow = int.from_bytes(data[behind - 4 : behind]) if local < size else 0
    taken = behind - at if kind is PageKind.TABLE_INTERIOR else max(4, behind - at)
    return Cell(left, rowid, size, body, local, overflow, taken)


def payload(source: PageSource, data: bytes, cell: Cell, *, limit: int, seen: set[int]) -> tuple[bytes, str]:
    """Return a cell's whole record and an empty string, or as much as there is of it and what is wrong.

    ``limit`` bounds its length in bytes. ``seen`` collects the overflow pages used; one that is in it already
    ends the chain, which bounds the work over all cells and breaks cycles.
    """
    if cell.payload > limit:
        return data[cell.body : cell.body + cell.local], f"record of {cell.payload} bytes, the limit is {limit}"
    parts = [data[cell.body : cell.body + cell.local]]
    left, page = cell.payload - cell.local, cell.overflow
    while left > 0:
        if page in seen:
            return b"".join(parts), f"overflow page {page} is used twice"
        seen.add(page)
        found = source.head(page, source.usable)
        if not found:
            return b"".join(parts), f"overflow page {page} is not there, {left} bytes of the record are missing"
        page = int.from_bytes(found[:4])
        parts.append(found[4 : min(4 + left, source.usable)])
        left -= source.usable - 4
    return b"".join(parts), ""
