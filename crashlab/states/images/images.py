"""The image of the database that SQLite would recover from a crash state: a hash over its pages, and their number.

As SQLite does it (pager.c, wal.c): an empty main file has no content, whatever lies beside it; a hot journal is rolled
back into the main file; then a WAL's valid frames up to the last commit lie over it. What this module does not follow
(another page size, a super-journal, a very large database) it says by returning no key, and such a state is
recovered by itself.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crashlab.log.trace import Role, TraceKind
from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.journal import parse_journal
from crashlab.states.bits import Bits, Ints, unpack
from crashlab.states.images.chain import EMPTY, HEADER, UNKNOWN, Chain, page_hash
from crashlab.states.images.slots import WHOLE, File, Layout
from crashlab.states.images.sources import Kill, Losses, Source
from crashlab.states.models import Batch
from crashlab.states.pending import DATA_KINDS, ENTRY_KINDS, Epoch, apply_entry
from crashlab.states.trace import Trace

__all__ = ["Images"]

BYTES_MAX = 64 << 20
PAGES_MAX = 1 << 15
_NO_CONTENT = b"no content"
_UNKNOWN = object()

_Rolled = tuple[dict[int, Bits], int] | None
"""What a rollback writes, page → hash, and the size that it cuts to; None without one."""


class Images:
    """Images of one database of a trace. Enter the epochs in order, from the first.

    `watch`: other files by name, with the bytes that they should have (None: any). Which of them are there, and right,
    is part of the key; of all others nothing is.
    """

    def __init__(self, trace: Trace, database: str, watch: Mapping[str, bytes | None]) -> None:
        self.trace = trace
        self._names = (database, f"{database}-wal", f"{database}-journal")
        self._watch = dict(watch)
        self.page_size = _page_size(trace, database)
        self._chain = Chain(self.page_size) if self.page_size else None
        self._wanted = self._followed()
        self._durable: dict[int, bytearray] = {}
        self._hashes: dict[int, tuple[Bits, NDArray[np.bool_]]] = {}
        self._layouts = {
            0: Layout(self.page_size or 512),
            1: Layout(self.page_size + 24, HEADER),
            2: Layout(WHOLE),
        }
        self.follows = bool(self.page_size) and self._size() <= BYTES_MAX

    def enter(self, epoch: Epoch) -> None:
        """Go on to an epoch."""
        if epoch.number == 0:
            self._durable.clear()
            self._hashes.clear()
        for op in epoch.settled:
            if self.trace.kinds[op] in DATA_KINDS and self.trace.inodes[op] in self._wanted:
                self._settle(op)
        self._epoch = epoch
        self._files: dict[tuple[int, int], File] = {}
        self._pieces: Any = None

    def keys(self, batch: Batch, chosen: Ints, *, kill: bool) -> list[bytes | None]:
        """Return the key of each chosen state of a batch, None where there is none."""
        if not self.follows:
            return [None] * len(chosen)
        if self._pieces is not batch.pieces:
            self._pieces, self._files = batch.pieces, {}
        if not kill:
            table = unpack(batch.rows[chosen], batch.pieces.total)
            return self._keys(Losses(table, batch.pieces.starts), len(chosen))
        found: list[bytes | None] = []
        moments = batch.moments[chosen]
        for moment in np.unique(moments).tolist():
            rows = chosen[moments == moment]  # states of a moment come in a row
            done = self._epoch.count(moment)
            torn = batch.torn_bytes[rows]
            pending = self._epoch.pending
            op = pending[done] if done < len(pending) else -1
            if torn.any() and op != moment:
                op = -1  # a write to a file that no longer has a name
            found += self._keys(Kill(done, batch.pieces.starts, op, torn), len(rows))
        return found

    def _keys(self, source: Source, many: int) -> list[bytes | None]:
        found: list[bytes | None] = [None] * many
        epoch = self._epoch
        groups: dict[tuple[int, ...], list[Ints]] = {}
        for entries, rows in source.entries(epoch, self._pieces.is_entry):
            names = epoch.names
            if entries:
                names = dict(names)
                for op in entries:
                    apply_entry(self.trace, op, names)
            inodes = tuple(names.get(name, -1) for name in (*self._names, *self._watch))
            groups.setdefault(inodes, []).append(rows)
        for inodes, parts in groups.items():
            rows = np.concatenate(parts)
            keys = self._databases(source, rows, inodes[0], inodes[1], inodes[2])
            sides = self._sides(source, rows, inodes[3:])
            for place, row in enumerate(rows.tolist()):
                key = keys[place]
                found[row] = None if key is None else key + sides[place]
        return found

    def _databases(self, source: Source, rows: Ints, main: int, wal: int, journal: int) -> list[bytes | None]:
        found: list[bytes | None] = [_NO_CONTENT] * len(rows)
        if main < 0:
            return found
        file = self._file(main, 0)
        pages = -(-source.sizes(file, rows) // self.page_size)
        some = np.flatnonzero(pages)
        rows, pages = rows[some], pages[some]
        if not len(rows):
            return found
        rolled, which = self._rolled(source, rows, journal)
        nodes = self._walk(source, rows, wal)
        groups, inverse = np.unique(np.stack((which, nodes)), axis=1, return_inverse=True)
        inverse = inverse.reshape(-1)
        for number, (back, node) in enumerate(groups.T.tolist()):
            mine = np.flatnonzero(inverse == number)
            keys: list[bytes | None]
            if rolled[back] is _UNKNOWN or node == UNKNOWN:
                keys = [None] * len(mine)
            else:
                keys = self._images(source, rows[mine], file, main, pages[mine], rolled[back], int(node))
            for place, key in zip(mine.tolist(), keys, strict=True):
                found[int(some[place])] = key
        return found

    def _images(
        self, source: Source, rows: Ints, file: File, main: int, pages: Ints, rolled: _Rolled, node: int
    ) -> list[bytes | None]:
        assert self._chain is not None
        over: dict[int, Bits] = {}
        counts = pages
        if rolled is not None:
            over, size = rolled
            if not size:
                return [_NO_CONTENT] * len(rows)
            counts = np.full(len(rows), size)
        if node != EMPTY:
            from_wal, size = self._chain.pages(node)
            over = over | from_wal
            counts = np.full(len(rows), size)
        if int(counts.max()) > PAGES_MAX:
            return [None] * len(rows)
        image = self._untouched(main, file, counts, over)
        for slot in file.slots.values():
            page = slot.number + 1
            if page in over or page > int(counts.max()):
                continue
            values, inverse = source.split(file, slot, rows, lambda data, page=page: page_hash(page, data))  # type: ignore[misc]
            hashes = np.array(values)[inverse]
            image ^= np.where((counts >= page)[:, None], hashes, np.uint64(0))
        for page, hashed in over.items():
            image ^= np.where((counts >= page)[:, None], hashed, np.uint64(0))
        return [image[row].tobytes() + count.to_bytes(4, "little") for row, count in enumerate(counts.tolist())]

    def _untouched(self, main: int, file: File, counts: Ints, over: Mapping[int, Bits]) -> Bits:
        """The part of pages that nothing lies over and nothing pending changes; beyond the file they are zeros."""
        most = int(counts.max())
        hashes, known = self._hashes.get(main) or (np.zeros((0, 2), np.uint64), np.zeros(0, np.bool_))
        if len(known) < most:
            more = most - len(known)
            hashes = np.concatenate((hashes, np.zeros((more, 2), np.uint64)))
            known = np.concatenate((known, np.zeros(more, np.bool_)))
            self._hashes[main] = hashes, known
        for place in np.flatnonzero(~known[:most]).tolist():
            start = place * self.page_size
            data = bytes(file.durable[start : start + self.page_size]).ljust(self.page_size, b"\0")
            hashes[place] = page_hash(place + 1, data)
            known[place] = True
        base = np.zeros((most + 1, 2), dtype=np.uint64)
        base[1:] = hashes[:most]
        base[[page for page in (*over, *(place + 1 for place in file.slots)) if page <= most]] = 0
        image: Bits = np.bitwise_xor.accumulate(base, axis=0)[counts]
        return image

    def _rolled(self, source: Source, rows: Ints, journal: int) -> tuple[list[Any], Ints]:
        """What hot journals write back, and which of them each row has."""
        nothing = np.zeros(len(rows), dtype=np.int64)
        if journal < 0:
            return [None], nothing
        file = self._file(journal, 2)
        if 0 not in file.slots:
            return [file.constant(0, self._roll)], nothing
        return source.split(file, file.slots[0], rows, self._roll)

    def _roll(self, data: bytes) -> Any:
        journal = parse_journal(MemoryBuffer(data), self.page_size)
        if not journal.page_size:  # no header that SQLite takes for one: it deletes the file
            return None
        # Without records too, as of a transaction that made the database, it cuts the file to its first size.
        if journal.super_journal or journal.page_size != self.page_size:
            return _UNKNOWN
        written = {page: page_hash(page, data[start : start + self.page_size]) for page, start in journal.pages.items()}
        return written, journal.original_pages

    def _walk(self, source: Source, rows: Ints, wal: int) -> Ints:
        """The node of the last commit that each row's WAL leads to."""
        chain = self._chain
        assert chain is not None
        commits: Ints = np.full(len(rows), EMPTY, dtype=np.int64)
        if wal < 0:
            return commits
        file = self._file(wal, 1)
        sizes = source.sizes(file, rows)
        alive = np.flatnonzero(sizes >= HEADER)
        nodes = commits.copy()
        number = 0
        together = UNKNOWN  # the node at which all rows still are
        while len(alive):
            slot = file.slots.get(number)
            make = chain.frame if number else chain.root
            values: list[Any]
            if slot is None:
                values, which = [file.constant(number, make)], np.zeros(len(alive), dtype=np.int64)
            else:
                values, which = source.split(file, slot, rows[alive], make)
            if number and len(values) == 1 and together > EMPTY:
                together = chain.step(together, values[0])
                if together == EMPTY:
                    break
                nodes[alive], commits[alive] = together, chain.commit(together)
                number += 1
                end = HEADER + number * chain.stride
                if int(sizes[alive].min()) < end:
                    alive = alive[sizes[alive] >= end]
                continue
            if not number:
                nodes[alive] = np.array(values)[which]
            else:
                unique, inverse = np.unique(nodes[alive] * len(values) + which, return_inverse=True)
                following = [chain.step(int(pair) // len(values), values[int(pair) % len(values)]) for pair in unique]
                nodes[alive] = np.array(following)[inverse.reshape(-1)]
            commits[alive] = [UNKNOWN if node == UNKNOWN else chain.commit(node) if node else commits[place]
                              for place, node in zip(alive.tolist(), nodes[alive].tolist(), strict=True)]  # fmt: skip
            number += 1
            alive = alive[(nodes[alive] > EMPTY) & (sizes[alive] >= HEADER + number * chain.stride)]
            first = int(nodes[alive[0]]) if len(alive) else UNKNOWN
            together = first if first > EMPTY and (nodes[alive] == first).all() else UNKNOWN
        return commits

    def _sides(self, source: Source, rows: Ints, inodes: tuple[int, ...]) -> list[bytes]:
        """For each row what is so of the watched files: 0 not there, 1 other than wanted, 2 as wanted."""
        told = np.zeros((len(rows), len(inodes)), dtype=np.uint8)
        for place, (inode, wanted) in enumerate(zip(inodes, self._watch.values(), strict=True)):
            if inode < 0:
                continue
            if wanted is None:
                told[:, place] = 2
                continue
            file = self._file(inode, 2)

            def same(data: bytes, wanted: bytes = wanted) -> int:
                return 2 if data == wanted else 1

            if 0 in file.slots:
                values, which = source.split(file, file.slots[0], rows, same)
                told[:, place] = np.array(values)[which]
            else:
                told[:, place] = file.constant(0, same)
        return [row.tobytes() for row in told]

    def _file(self, inode: int, layout: int) -> File:
        found = self._files.get((inode, layout))
        if found is None:
            found = File(self.trace, self._pieces, inode, self._bytes(inode), self._layouts[layout])
            self._files[(inode, layout)] = found
        return found

    def _bytes(self, inode: int) -> bytearray:
        found = self._durable.get(inode)
        if found is None:
            found = self._durable[inode] = bytearray(self.trace.initial_bytes(inode))
        return found

    def _settle(self, op: int) -> None:
        trace = self.trace
        inode = trace.inodes[op]
        data, offset = self._bytes(inode), trace.offsets[op]
        end = offset + trace.lengths[op]
        if trace.kinds[op] == TraceKind.TRUNCATE:
            end = max(offset, len(data))
            del data[offset:]
        if len(data) < offset:
            data.extend(bytes(offset - len(data)))
        if trace.kinds[op] == TraceKind.WRITE:
            data[offset:end] = trace.data(op)
        if inode in self._hashes:
            self._hashes[inode][1][offset // self.page_size : -(-end // self.page_size)] = False

    def _followed(self) -> set[int]:
        """Inodes that ever had one of the names, and so may have it in a crash state."""
        trace, wanted = self.trace, {*self._names, *self._watch}
        found = {inode for name, inode in trace.initial_names.items() if name in wanted}
        for op in range(len(trace)):
            if trace.kinds[op] in ENTRY_KINDS:
                target = trace.paths[trace.targets[op]] if trace.targets[op] >= 0 else ""
                if trace.paths[trace.names[op]] in wanted or target in wanted:
                    found.add(trace.inodes[op])
        return found

    def _size(self) -> int:
        """The most bytes that the followed files may hold together."""
        trace = self.trace
        ends = {inode: len(trace.initial_bytes(inode)) for inode in self._wanted}
        for op in range(len(trace)):
            if trace.kinds[op] == TraceKind.WRITE and trace.inodes[op] in ends:
                inode = trace.inodes[op]
                ends[inode] = max(ends[inode], trace.offsets[op] + trace.lengths[op])
        return sum(ends.values())


def _page_size(trace: Trace, database: str) -> int:
    """Return the one page size of a database in a whole run, 0 where there were several or none."""
    sizes: set[int] = set()
    for number, file in enumerate(trace.files):
        if file.path == database and file.role is Role.MAIN and file.initial:
            sizes.add(_said(trace.initial_bytes(number)[:18]))
    for op in range(len(trace)):
        if trace.kinds[op] != TraceKind.WRITE or trace.files[trace.inodes[op]].role is not Role.MAIN:
            continue
        if trace.files[trace.inodes[op]].path == database and not trace.offsets[op]:
            sizes.add(_said(bytes(trace.data(op)[:18])))
    sizes.discard(0)
    return sizes.pop() if len(sizes) == 1 else 0


def _said(head: bytes) -> int:
    if len(head) < 18:
        return 0
    (size,) = struct.unpack_from(">H", head, 16)
    return 65536 if size == 1 else int(size)
