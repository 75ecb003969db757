"""Which page belongs to which tree, and everything that is wrong on the way.

One walk over all trees at once, level by level, so that pages are parsed by the hundred
(:mod:`crashlab.sqlite.bulk`). Every page is opened once at most: a second pointer to it is a problem and is not
followed, which bounds the work by the size of the file, whatever its bytes.

What SQLite's integrity_check finds and this does not: an index key that differs from its row's, keys of an
index in the wrong order, NOT NULL, CHECK, UNIQUE and type violations, and anything about a partial index.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crashlab.sqlite.accounting import Accounting, Role, TreeUse
from crashlab.sqlite.btree import Cell, payload
from crashlab.sqlite.bulk import Bulk, last_integers, mixed, parse_many, record_problems
from crashlab.sqlite.contents import compare_contents, lists_of
from crashlab.sqlite.freelist import read_freelist
from crashlab.sqlite.ledger import NO_TREE, Ints, Ledger
from crashlab.sqlite.pages import PAD, PageSource
from crashlab.sqlite.problems import Collector, Kind, Scope
from crashlab.sqlite.ptrmap import Pointer
from crashlab.sqlite.rows import MAX_DEPTH
from crashlab.sqlite.schema import Schema, Tree, read_schema
from crashlab.sqlite.statements import statement_problems

__all__ = ["walk"]

_BATCH = 2 << 20  # bytes of pages parsed together
_TAIL_MAX = 1 << 20
_SPILLED_MAX = 16  # cells with overflow that fit into a page: 12 of 512 bytes, fewer of more


def walk(source: PageSource, schema: Schema | None = None) -> Accounting:
    """Walk all trees, the freelist and the pointer map. Pass ``schema`` where it was read already.

    Any bytes are accepted. The pages are read once; memory is some 20 bytes a page beside a few MB.
    """
    if not source.page_size:
        return _nothing(source)
    schema = schema or read_schema(source)
    walker = _Walker(source, schema.trees)
    ledger = walker.ledger
    _check_header(ledger, schema)
    _claim_freelist(ledger)
    walker.run()
    uses = walker.uses()
    compare_contents(ledger, uses, walker.sums.tolist(), walker.summed.tolist())
    if not any(use.problems for use in uses):
        ledger.check_pointer_map()
    problems = ledger.collector
    unused = np.flatnonzero(ledger.roles[1:] == Role.UNUSED) + 1
    for done, page in enumerate(unused.tolist()):
        if not problems.wants(Kind.NEVER_USED):
            problems.count(Kind.NEVER_USED, Scope.SPACE, len(unused) - done)
            break
        problems.add(Kind.NEVER_USED, Scope.SPACE, page=page)
    return Accounting(source.pages, schema, walker.uses(), ledger.roles, ledger.owners, problems.result())


def _nothing(source: PageSource) -> Accounting:
    problems = Collector()
    if source.main.size:
        detail = f"{source.report.kind}: {source.report.detail}"
        problems.add(Kind.HEADER, Scope.STRUCTURE, page=1, detail=detail)
    none = np.zeros(1, dtype=np.uint8)
    return Accounting(0, Schema((), (), ()), (), none, none.astype(np.int32) - 1, problems.result())


def _check_header(ledger: Ledger, schema: Schema) -> None:
    source, header = ledger.source, ledger.source.report.header
    if source.claimed_pages > source.pages:
        ledger.problem(Kind.SHORT_FILE, detail=f"{source.pages} of {source.claimed_pages} pages")
    for text in schema.problems:
        ledger.problem(Kind.SCHEMA, page=1, detail=text)
    for name, text in statement_problems(schema.entries):
        ledger.problem(Kind.SCHEMA, page=1, detail=f"{name}: {text}")
    if header is None:
        ledger.problem(Kind.HEADER, page=1, detail=source.report.detail)
        return
    raw = source.head(1, 24)
    if raw[21:24] != b"\x40\x20\x20" or header.read_version > 2 or header.schema_format & 0xFF > 4:
        detail = f"payload fractions {list(raw[21:24])}, format {header.read_version}, schema {header.schema_format}"
        ledger.problem(Kind.HEADER, page=1, detail=detail)
    largest = max((tree.root for tree in schema.trees), default=0)
    if header.largest_root_page and header.largest_root_page != largest:
        detail = f"largest root page is {largest}, the header says {header.largest_root_page}"
        ledger.problem(Kind.HEADER, page=1, detail=detail, scope=Scope.SPACE)
    if header.incremental_vacuum and not header.largest_root_page:
        detail = "incremental vacuum without auto-vacuum"
        ledger.problem(Kind.HEADER, page=1, detail=detail, scope=Scope.SPACE)
    if source.usable != source.page_size - header.reserved_bytes:
        ledger.problem(Kind.HEADER, page=1, detail=f"{header.reserved_bytes} bytes reserved in every page")


def _claim_freelist(ledger: Ledger) -> None:
    free = read_freelist(ledger.source)
    for page, text in free.problems:
        ledger.problem(Kind.FREELIST, page=page, detail=text, scope=Scope.SPACE)
    for role, pages in ((Role.FREE_TRUNK, free.trunks), (Role.FREE_LEAF, free.leaves)):
        for page in pages:
            ledger.claim_one(page, NO_TREE, 0, role, Pointer.FREE)


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """Pages of one depth of all trees, in the order of their keys, each with the bounds its parent sets.

    Rowids are above ``lower`` and not above ``upper``, where ``above`` and ``below`` say there is such a bound.
    """

    pages: Ints
    trees: Ints
    parents: Ints
    lower: Ints
    upper: Ints
    above: NDArray[np.bool_]
    below: NDArray[np.bool_]

    def take(self, chosen: "NDArray[np.bool_] | slice") -> "_Level":
        return _Level(*(getattr(self, name)[chosen] for name in _FIELDS))


_FIELDS = ("pages", "trees", "parents", "lower", "upper", "above", "below")


class _Walker:
    def __init__(self, source: PageSource, trees: tuple[Tree, ...]) -> None:
        self.source = source
        self.ledger = Ledger(source, trees)
        count = len(trees)
        self.family = np.full(count, -1, dtype=np.int8)  # 1: keys are rowids, 0: records, -1: not known
        self.leaf_depth = np.full(count, -1, dtype=np.int64)
        self.depth = np.zeros(count, dtype=np.int64)
        self.entries = np.zeros(count, dtype=np.int64)
        self.payload = np.zeros(count, dtype=np.int64)
        self.sums = np.zeros(count, dtype=np.uint64)
        self.summed = np.ones(count, dtype=bool)
        self.listing = np.zeros(count, dtype=bool)
        self.listing[[at for at in lists_of(trees) if trees[at].index]] = True
        keyed = {None: -1, True: 1, False: 0}
        self.without_rowid = np.array([keyed[tree.without_rowid] for tree in trees], dtype=np.int8)

    def run(self) -> None:
        roots = np.array([tree.root for tree in self.ledger.trees], dtype=np.int64)
        zero, no = np.zeros(len(roots), dtype=np.int64), np.zeros(len(roots), dtype=bool)
        level = _Level(roots, np.arange(len(roots)), zero, zero, zero, no, no)
        a_batch = max(1, _BATCH // self.source.page_size)
        for depth in range(MAX_DEPTH):
            pointer = Pointer.CHILD if depth else Pointer.ROOT
            level = level.take(self.ledger.claim(level.pages, level.trees, level.parents, pointer))
            if not len(level.pages):
                return
            batches = range(0, len(level.pages), a_batch)
            below = [self._visit(level.take(slice(start, start + a_batch)), depth) for start in batches]
            level = _Level(*(np.concatenate([getattr(part, name) for part in below]) for name in _FIELDS))
        self.ledger.many(Kind.TOO_DEEP, level.pages, level.trees)

    def uses(self) -> tuple[TreeUse, ...]:
        owners, roles, count = self.ledger.owners, self.ledger.roles, len(self.ledger.trees)

        def pages(role: Role) -> list[int]:
            found: list[int] = np.bincount(owners[roles == role], minlength=count).tolist()
            return found

        columns = zip(
            self.ledger.trees,
            [None if known < 0 else bool(known) for known in self.family.tolist()],
            self.depth.tolist(),
            *(pages(role) for role in (Role.INTERIOR, Role.LEAF, Role.OVERFLOW, Role.BROKEN)),
            self.entries.tolist(),
            self.payload.tolist(),
            self.ledger.per_tree.tolist(),
            strict=True,
        )
        return tuple(TreeUse(*column) for column in columns)

    def _visit(self, level: _Level, depth: int) -> _Level:
        """Parse the pages of a level, note what is wrong with them, and return their children."""
        ledger = self.ledger
        flat = self.source.many(level.pages.tolist())
        bulk = parse_many(flat, level.pages, self.source.page_size, self.source.usable)
        for issue, pages in bulk.issues:
            ledger.many(issue, level.pages[pages], level.trees[pages])
        fits = self._fits(level, bulk, depth)
        ledger.roles[level.pages[~fits]] = Role.BROKEN
        inner = fits & (bulk.kind < 10)
        ledger.roles[level.pages[inner]] = Role.INTERIOR
        np.maximum.at(self.depth, level.trees[fits], depth + 1)
        self._check_shape(level, bulk, fits, depth)
        malformed = record_problems(flat, bulk, self.source.usable)
        malformed = malformed[fits[malformed]]
        ledger.many(Kind.RECORD, level.pages[malformed], level.trees[malformed])
        cells = np.flatnonzero(fits[bulk.page])
        page, tree = bulk.page[cells], level.trees[bulk.page[cells]]
        kind, rowid = bulk.kind[page], bulk.rowid[cells]
        outside = ((kind == 13) | (kind == 5)) & (
            (level.above[page] & (rowid <= level.lower[page])) | (level.below[page] & (rowid > level.upper[page]))
        )
        strays = np.unique(page[outside])
        ledger.many(Kind.ROWID_ORDER, level.pages[strays], level.trees[strays], lambda _: "beyond its parent's bounds")
        entries = cells[kind != 5]
        trees = level.trees[bulk.page[entries]]
        self.entries += np.bincount(trees, minlength=len(self.entries))
        sizes = np.bincount(trees, weights=bulk.payload[entries].astype(np.float64), minlength=len(self.entries))
        self.payload += np.minimum(sizes, float(1 << 62)).astype(np.int64)
        self._sum_rowids(tree[kind == 13], rowid[kind == 13])
        whole = self._follow_overflow(level, bulk, entries)
        self._sum_listed(flat, level, bulk, entries, whole)
        return _children(level, bulk, inner)

    def _fits(self, level: _Level, bulk: Bulk, depth: int) -> NDArray[np.bool_]:
        """Which pages are b-tree pages of their tree's kind; the root decides which that is."""
        known = bulk.kind > 0
        tables = (bulk.kind == 5) | (bulk.kind == 13)
        if not depth:
            roots = known & (self.without_rowid[level.trees] != tables)
            self.family[level.trees[roots]] = tables[roots]
        fits: NDArray[np.bool_] = known & (self.family[level.trees] == tables)
        odd = np.flatnonzero(known & ~fits)
        self.ledger.many(Kind.WRONG_KIND, level.pages[odd], level.trees[odd], lambda at: f"kind {bulk.kind[odd[at]]}")
        return fits

    def _check_shape(self, level: _Level, bulk: Bulk, fits: NDArray[np.bool_], depth: int) -> None:
        """No empty pages but roots, and all leaves of a tree at one depth."""
        if depth:
            empty = np.flatnonzero(fits & bulk.clean & (bulk.counts == 0))
            self.ledger.many(Kind.EMPTY_PAGE, level.pages[empty], level.trees[empty])
        leaves = np.flatnonzero(fits & (bulk.kind >= 10))
        first = self.leaf_depth[level.trees[leaves]]
        fresh = leaves[first < 0]
        self.leaf_depth[level.trees[fresh]] = depth
        deeper = leaves[(first >= 0) & (first != depth)]
        self.ledger.many(Kind.DEPTH, level.pages[deeper], level.trees[deeper])

    def _follow_overflow(self, level: _Level, bulk: Bulk, entries: Ints) -> dict[int, bool]:
        """Claim the overflow chains of these cells; cell -> whether the chain was whole."""
        spilled = entries[bulk.local[entries] < bulk.payload[entries]]
        a_page = self.source.usable - 4
        # Each takes an eighth of its page or so; cells that overlap would multiply the work.
        rank = np.arange(len(spilled)) - np.searchsorted(bulk.page[spilled], bulk.page[spilled])
        spilled = spilled[rank < _SPILLED_MAX]
        lengths = -(-(bulk.payload[spilled] - bulk.local[spilled]) // a_page)
        pages = bulk.page[spilled]
        whole: dict[int, bool] = {}
        columns = (spilled, level.trees[pages], level.pages[pages], bulk.overflow[spilled], lengths)
        for cell, tree, page, first, length in zip(*(column.tolist() for column in columns), strict=True):
            if length > self.source.pages:
                detail = f"a record of {length} overflow pages in a database of {self.source.pages}"
                self.ledger.problem(Kind.OVERFLOW_CHAIN, page=page, tree=tree, detail=detail)
                whole[cell] = False
            else:
                whole[cell] = self.ledger.chain(tree, page, first, length)
        return whole

    def _sum_rowids(self, trees: Ints, rowids: Ints) -> None:
        np.add.at(self.sums, trees, mixed(rowids))

    def _sum_listed(
        self, flat: NDArray[np.uint8], level: _Level, bulk: Bulk, entries: Ints, whole: dict[int, bool]
    ) -> None:
        """Sum the rowids that index entries end with."""
        trees = level.trees[bulk.page[entries]]
        entries = entries[self.listing[trees]]
        spilled = bulk.local[entries] < bulk.payload[entries]
        local, long = entries[~spilled], entries[spilled]
        rowids, good = last_integers(flat, bulk.body[local], bulk.payload[local])
        trees = level.trees[bulk.page[local]]
        self.summed[trees[~good]] = False
        self._sum_rowids(trees[good], rowids[good])
        for cell in long.tolist():
            tree = int(level.trees[bulk.page[cell]])
            tail = self._tail(flat, level, bulk, cell) if whole.get(cell) else None
            if tail is None:
                self.summed[tree] = False
            else:
                self._sum_rowids(np.array([tree]), np.array([tail], dtype=np.int64))

    def _tail(self, flat: NDArray[np.uint8], level: _Level, bulk: Bulk, cell: int) -> int | None:
        """The last column of an index entry with overflow, if that is an integer."""
        start = int(bulk.page[cell]) * self.source.page_size
        data = flat[start : start + self.source.page_size].tobytes()
        size, body = int(bulk.payload[cell]), int(bulk.body[cell]) - start
        parsed = Cell(0, None, size, body, int(bulk.local[cell]), int(bulk.overflow[cell]), 0)
        record, problem = payload(self.source, data, parsed, limit=_TAIL_MAX, seen=set())
        if problem:
            return None
        padded = np.frombuffer(record.ljust(size + PAD, b"\0"), dtype=np.uint8)
        value, good = last_integers(padded, np.zeros(1, dtype=np.int64), np.array([size], dtype=np.int64))
        return int(value[0]) if good[0] else None


def _children(level: _Level, bulk: Bulk, inner: NDArray[np.bool_]) -> _Level:
    """The children of interior pages, in order, with the bounds that the cells between them set."""
    pages = np.flatnonzero(inner)
    counts = bulk.counts[pages]
    starts = np.cumsum(counts + 1) - (counts + 1)
    cells = np.flatnonzero(inner[bulk.page])
    position = np.zeros(len(inner), dtype=np.int64)
    position[pages] = np.arange(len(pages))
    within = np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)
    slots = starts[position[bulk.page[cells]]] + within
    last = starts + counts
    total = int((counts + 1).sum())
    owner = np.repeat(pages, counts + 1)
    children = np.empty(total, dtype=np.int64)
    children[slots], children[last] = bulk.left[cells], bulk.right[pages]
    lower, above = level.lower[owner], level.above[owner]
    upper, below = level.upper[owner], level.below[owner]
    keyed = bulk.kind[bulk.page[cells]] == 5
    slots, keys = slots[keyed], bulk.rowid[cells[keyed]]
    upper[slots], below[slots] = keys, True
    lower[slots + 1], above[slots + 1] = keys, True
    return _Level(children, level.trees[owner], level.pages[owner], lower, upper, above, below)
