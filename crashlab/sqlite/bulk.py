"""B-tree pages by the hundred: the parser of :mod:`crashlab.sqlite.btree` in numpy, with SQLite's page checks.

A database of a gigabyte has some ten million cells; one at a time they take minutes. The rules are those of
``btreeInitPage``, ``btreeComputeFreeSpace`` and ``checkTreePage`` in btree.c.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crashlab.sqlite.problems import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]

__all__ = ["Bulk", "last_integers", "mixed", "parse_many", "record_problems", "varints"]

_PAYLOAD_MAX = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Bulk:
    """Pages and their cells. Arrays of pages: ``kind`` (0: no b-tree page), ``right``, ``counts``, ``clean``.

    Arrays of cells, in the order of pages and of cells within them, without those that are out of bounds:
    ``page`` (index of the page here), ``left``, ``rowid``, ``payload`` and ``local`` (bytes), ``body`` (place
    in the flat bytes), ``overflow``. ``counts`` are the cells that are left, ``clean`` says that none was dropped
    and nothing overlaps. ``issues`` are (kind, indexes of pages).
    """

    kind: "Bytes"
    right: "Ints"
    counts: "Ints"
    clean: "Flags"
    page: "Ints"
    left: "Ints"
    rowid: "Ints"
    payload: "Ints"
    body: "Ints"
    local: "Ints"
    overflow: "Ints"
    issues: "list[tuple[Kind, Ints]]"


def parse_many(flat: "Bytes", numbers: "Ints", page_size: int, usable: int) -> Bulk:
    """Parse pages laid side by side in ``flat``, with at least 64 bytes behind them; ``numbers`` are theirs."""
    issues: list[tuple[Kind, Ints]] = []
    base = np.arange(len(numbers), dtype=np.int64) * page_size
    head = base + np.where(numbers == 1, 100, 0)
    kind = flat[head].copy()
    interior = (kind == 2) | (kind == 5)
    known = interior | (kind == 10) | (kind == 13)
    counts = _u16(flat, head + 3)
    content = _u16(flat, head + 5)
    content[content == 0] = 65536
    pointers = head + np.where(interior, 12, 8)
    fits = (counts <= (page_size - 8) // 6) & (pointers - base + 2 * counts <= content) & (content <= usable)
    _issue(issues, Kind.NOT_BTREE, ~known)
    _issue(issues, Kind.FREE_SPACE, known & ~fits)
    sound = known & fits
    kind[~sound] = 0
    counts[~sound] = 0
    right = np.where(interior & sound, _u32(flat, head + 8), 0)

    page = np.repeat(np.arange(len(numbers), dtype=np.int64), counts)
    within = np.arange(len(page), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    at = _u16(flat, pointers[page] + 2 * within)
    good = (at >= content[page]) & (at <= usable - 4)
    cells, bad = _cells(flat, base, kind, page, at, good, usable, issues)
    clean = sound & ~bad
    clean &= ~_covered_wrongly(flat, head, base, content, cells, clean, usable, issues)
    page, rowid = cells.page, cells.rowid
    if len(page) > 1:
        tables = (kind[page] == 5) | (kind[page] == 13)
        falling = (page[1:] == page[:-1]) & tables[1:] & (rowid[1:] <= rowid[:-1])
        if falling.any():
            issues.append((Kind.ROWID_ORDER, np.unique(page[1:][falling])))
    left_counts = np.bincount(page, minlength=len(numbers)).astype(np.int64)
    return Bulk(
        kind, right, left_counts, clean, page, cells.left, rowid, cells.payload, cells.body, cells.local,
        cells.overflow, issues,
    )  # fmt: skip


def record_problems(flat: "Bytes", bulk: Bulk, usable: int) -> "Ints":
    """Indexes of pages with a record whose header and length disagree, among the clean pages.

    Records whose header goes on in an overflow page are not looked at.
    """
    cells = np.flatnonzero(bulk.clean[bulk.page] & (bulk.kind[bulk.page] != 5))
    body, payload, local = bulk.body[cells], bulk.payload[cells], bulk.local[cells]
    length, used = varints(flat, body)
    size = np.minimum(length, _PAYLOAD_MAX).astype(np.int64)
    wrong = (size > payload) | (size < used)
    active = np.flatnonzero(~wrong & (size <= local))
    wrong_cells = [cells[wrong]]
    at, end, total = (body + used)[active], (body + size)[active], np.zeros(len(active), dtype=np.int64)
    expected, cells = (payload - size)[active], cells[active]
    for _ in range(_VECTOR_COLUMNS):
        if len(at) < _VECTOR_RECORDS:
            break
        ended = at >= end
        if ended.any():
            wrong_cells.append(cells[ended & ((at > end) | (total != expected))])
            going = ~ended
            at, end, total = at[going], end[going], total[going]
            expected, cells = expected[going], cells[going]
        step, serial = _serials(flat, at)
        at = at + step
        total += serial
    if len(at):  # the few widest records are left, one at a time
        rest = np.stack((at, end, expected - total), axis=1).tolist()
        wide = [begin > stop or _announced(flat[begin:stop].tobytes()) != size for begin, stop, size in rest]
        wrong_cells.append(cells[np.array(wide, dtype=bool)])
    return np.unique(bulk.page[np.concatenate(wrong_cells)])


_VECTOR_COLUMNS = 2000
_VECTOR_RECORDS = 64
_VECTOR_BLOCKS = 200
_SHORT = 128  # bytes of serial types up to which a plain loop is faster than numpy
_SERIAL_BYTES = 6
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, _PAYLOAD_MAX, _PAYLOAD_MAX)
_SMALL = np.array(_SIZES, dtype=np.int64)


def _serials(flat: "Bytes", at: "Ints") -> "tuple[Ints, Ints]":
    """Lengths of the serial types at these places, and the sizes of the values they announce."""
    types, steps = varints(flat, at)
    kinds = np.minimum(types, _PAYLOAD_MAX).astype(np.int64)
    return steps, np.where(kinds < 12, _SMALL[np.minimum(kinds, 11)], (kinds - 12) >> 1)


def _announced(types: bytes) -> int:
    """Bytes of values that a run of serial types announces; -1 where the last is cut off, or one is absurd."""
    if len(types) > _SHORT:
        return _announced_by_many(np.frombuffer(types, dtype=np.uint8))
    total = value = length = 0
    for byte in types:
        value, length = value << 7 | byte & 0x7F, length + 1
        if length > _SERIAL_BYTES:
            return -1
        if byte < 0x80:
            total += _SIZES[value] if value < 12 else (value - 12) >> 1
            value = length = 0
    return total if not length else -1


def _announced_by_many(types: "Bytes") -> int:
    """The same, by numpy."""
    ends = np.flatnonzero(types < 0x80)
    if not len(ends) or ends[-1] != len(types) - 1:
        return -1
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.max())
    if longest > _SERIAL_BYTES:
        return -1
    values = np.zeros(len(ends), dtype=np.int64)
    for place in range(longest):
        there = lengths > place
        values[there] |= (types[ends[there] - place] & 0x7F).astype(np.int64) << 7 * place
    return int(np.where(values < 12, _SMALL[np.minimum(values, 11)], (values - 12) >> 1).sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    page: "Ints"
    at: "Ints"
    size: "Ints"
    left: "Ints"
    rowid: "Ints"
    payload: "Ints"
    body: "Ints"
    local: "Ints"
    overflow: "Ints"


def _cells(
    flat: "Bytes",
    base: "Ints",
    kinds: "Bytes",
    page: "Ints",
    at: "Ints",
    good: "Flags",
    usable: int,
    issues: "list[tuple[Kind, Ints]]",
) -> "tuple[_Cells, Flags]":
    """Parse the cells whose pointers are good; also which pages had one dropped."""
    bad = np.zeros(len(base), dtype=bool)
    if not good.all():
        bad[page[~good]] = True
        _issue(issues, Kind.CELL_POINTER, bad)
        page, at = page[good], at[good]
    kind = kinds[page]
    inner = kind < 10
    start = base[page] + at
    left = np.where(inner, _u32(flat, start), 0)
    body = start + np.where(inner, 4, 0)
    payload = np.zeros(len(page), dtype=np.int64)
    with_payload = np.flatnonzero(kind != 5)
    value, length = varints(flat, body[with_payload])
    payload[with_payload] = np.minimum(value, _PAYLOAD_MAX).astype(np.int64)
    body[with_payload] += length
    rowid = np.zeros(len(page), dtype=np.int64)
    keyed = np.flatnonzero((kind == 5) | (kind == 13))
    value, length = varints(flat, body[keyed])
    rowid[keyed] = value.view(np.int64)
    body[keyed] += length
    most = np.where(kind == 13, usable - 35, (usable - 12) * 64 // 255 - 23)
    least = (usable - 12) * 32 // 255 - 23
    partly = least + (payload - least) % (usable - 4)
    local = np.where(payload <= most, payload, np.where(partly <= most, partly, least))
    spilled = local < payload
    behind = body + local + np.where(spilled, 4, 0)
    size = behind - start
    size[with_payload] = np.maximum(size[with_payload], 4)
    over = at + size > usable
    overflow = np.zeros(len(page), dtype=np.int64)
    spills = np.flatnonzero(spilled & ~over)
    overflow[spills] = _u32(flat, behind[spills] - 4)
    cells = _Cells(page, at, size, left, rowid, payload, body, local, overflow)
    if over.any():
        dropped = np.zeros(len(base), dtype=bool)
        dropped[page[over]] = True
        _issue(issues, Kind.CELL_OVERRUN, dropped)
        bad |= dropped
        kept = ~over
        cells = _Cells(
            page[kept], at[kept], size[kept], left[kept], rowid[kept], payload[kept], body[kept], local[kept],
            overflow[kept],
        )  # fmt: skip
    return cells, bad


def _covered_wrongly(
    flat: "Bytes",
    head: "Ints",
    base: "Ints",
    content: "Ints",
    cells: _Cells,
    checked: "Flags",
    usable: int,
    issues: "list[tuple[Kind, Ints]]",
) -> "Flags":
    """Pages where cells, free blocks and fragments do not add up to the content area, or overlap."""
    pages, starts, ends = [cells.page], [cells.at], [cells.at + cells.size]
    broken = np.zeros(len(base), dtype=bool)
    place = _u16(flat, head + 1)
    active = np.flatnonzero(checked & (place > 0))
    place = place[active]
    for _ in range(_VECTOR_BLOCKS):
        if not len(active):
            break
        outside = (place < content[active]) | (place > usable - 4)
        broken[active[outside]] = True
        active, place = active[~outside], place[~outside]
        following = _u16(flat, base[active] + place)
        end = place + _u16(flat, base[active] + place + 2)
        pages.append(active)
        starts.append(place)
        ends.append(end)
        wrong = (end > usable) | ((following > 0) & (following <= end + 3))
        broken[active[wrong]] = True
        going = ~wrong & (following > 0)
        active, place = active[going], following[going]
    for one, at in zip(active.tolist(), place.tolist(), strict=True):  # pages riddled with free blocks
        raw = flat[base[one] : base[one] + usable + 4].tobytes()
        blocks, whole = _freeblocks(raw, at, usable)
        broken[one] |= not whole
        pages.append(np.full(len(blocks), one, dtype=np.int64))
        starts.append(np.array([block[0] for block in blocks], dtype=np.int64))
        ends.append(np.array([block[1] for block in blocks], dtype=np.int64))
    page, start, end = np.concatenate(pages), np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(page * 131072 + start, kind="stable")
    page, start, end = page[order], start[order], end[order]
    overlapping = np.zeros(len(base), dtype=bool)
    if len(page) > 1:
        clash = (page[1:] == page[:-1]) & (start[1:] < end[:-1])
        overlapping[page[1:][clash]] = True
    used = np.bincount(page, weights=(end - start).astype(np.float64), minlength=len(base)).astype(np.int64)
    unaccounted = used + flat[head + 7] != usable - content
    overlapping &= checked & ~broken
    miscounted = checked & (broken | (unaccounted & ~overlapping))
    _issue(issues, Kind.OVERLAP, overlapping)
    _issue(issues, Kind.FREE_SPACE, miscounted)
    return overlapping | broken


def _freeblocks(raw: bytes, at: int, usable: int) -> tuple[list[tuple[int, int]], bool]:
    blocks: list[tuple[int, int]] = []
    while at <= usable - 4:
        following, end = int.from_bytes(raw[at : at + 2]), at + int.from_bytes(raw[at + 2 : at + 4])
        blocks.append((at, end))
        if not following:
            return blocks, end <= usable
        if following <= end + 3:
            return blocks, False
        at = following
    return blocks, False


def varints(flat: "Bytes", at: "Ints") -> "tuple[NDArray[np.uint64], Ints]":
    """Variable-length integers at these places: values and lengths in bytes."""
    first = flat[at]
    value = (first & 0x7F).astype(np.uint64)
    length = np.ones(len(at), dtype=np.int64)
    active = np.flatnonzero(first & 0x80)
    for more in range(1, 9):
        if not len(active):
            break
        byte = flat[at[active] + more]
        shift, part = (8, byte) if more == 8 else (7, byte & 0x7F)
        value[active] = value[active] << np.uint64(shift) | part.astype(np.uint64)
        length[active] = more + 1
        active = active[byte >= 0x80]
    return value, length


def mixed(rowids: "Ints") -> "NDArray[np.uint64]":
    """Scatter rowids over 64 bits: equal sets have equal sums modulo 2**64, others practically never."""
    bits = rowids.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    out: NDArray[np.uint64] = bits ^ (bits >> np.uint64(31))
    return out


def last_integers(flat: "Bytes", body: "Ints", payload: "Ints") -> "tuple[Ints, Flags]":
    """The last column of records that lie whole at ``body``, and which of them have an integer there.

    In an index of a table with rowids that is the rowid.
    """
    length, _ = varints(flat, body)
    header = np.minimum(length, _PAYLOAD_MAX).astype(np.int64)
    good = (header >= 2) & (header <= payload)
    serial = flat[body + np.where(good, header, 1) - 1].astype(np.int64)  # of one byte, as all integers' types are
    good &= ((serial >= 1) & (serial <= 6)) | (serial == 8) | (serial == 9)
    size = np.where(good, _SMALL[np.minimum(serial, 11)], 0)
    good &= header + size <= payload
    at = body + payload - size
    value = np.where(good & (size > 0) & (flat[at] >= 128), -1, 0).astype(np.int64)
    for byte in range(8):
        more = np.flatnonzero(good & (size > byte))
        if not len(more):
            break
        value[more] = value[more] << 8 | flat[at[more] + byte]
    value[good & (serial == 9)] = 1
    return value, good


def _u16(flat: "Bytes", at: "Ints") -> "Ints":
    return flat[at].astype(np.int64) << 8 | flat[at + 1]


def _u32(flat: "Bytes", at: "Ints") -> "Ints":
    """Big-endian 32-bit integers at these places."""
    return _u16(flat, at) << 16 | _u16(flat, at + 2)


def _issue(issues: "list[tuple[Kind, Ints]]", kind: Kind, pages: "Flags") -> None:
    if pages.any():
        issues.append((kind, np.flatnonzero(pages).astype(np.int64)))
