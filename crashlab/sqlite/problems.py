"""What can be wrong with a database's pages, and how much of it matters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Collector", "Kind", "Problem", "Problems", "Scope"]

MAX_OF_A_KIND = 100
"""Problems of one kind kept in full; all of them are counted."""


class Scope(StrEnum):
    """What is lost with the damage, worst first."""

    STRUCTURE = "structural"
    """Rows or the schema are in doubt."""
    FTS = "FTS only"
    """In the index of a full-text table: ``insert into t(t) values('rebuild')`` makes it anew."""
    INDEX = "index only"
    """In an index: ``REINDEX`` makes it anew from the table."""
    SPACE = "space only"
    """In the book-keeping of free pages and parents: every row can be read, but writing is unsafe. VACUUM."""


class Kind(StrEnum):
    """Kinds of problems; the text is what each says of its page."""

    SHORT_FILE = "the file is shorter than its header or commit says"
    HEADER = "a field of the database header is wrong"
    SCHEMA = "an entry of the schema can't be used"
    NO_SUCH_PAGE = "points to a page that is not there"
    RESERVED_PAGE = "points to a pointer-map page or the lock page"
    DOUBLE_USE = "page has a second use"
    NOT_BTREE = "is no b-tree page"
    WRONG_KIND = "b-tree page of another kind than its tree"
    EMPTY_PAGE = "b-tree page without cells below a root"
    DEPTH = "leaf at another depth than its tree's first"
    TOO_DEEP = "tree is deeper than SQLite can read"
    CELL_POINTER = "cell pointer out of range"
    CELL_OVERRUN = "cell extends beyond its page"
    OVERLAP = "cells or free blocks overlap"
    FREE_SPACE = "free space of the page is accounted wrongly"
    ROWID_ORDER = "rowid out of order"
    RECORD = "malformed record"
    OVERFLOW_CHAIN = "overflow chain is shorter or longer than its payload"
    FREELIST = "freelist is damaged"
    POINTER_MAP = "pointer map disagrees with the tree"
    NEVER_USED = "page belongs to nothing"
    INDEX_COUNT = "index has another number of entries than its table has rows"
    INDEX_ROWS = "index lists other rows than its table has"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. ``page`` is 0 where it concerns no one page, ``tree`` empty where it concerns no tree."""

    kind: Kind
    scope: Scope
    page: int
    tree: str
    detail: str

    def __str__(self) -> str:
        where = f"{self.tree or 'database'}{f' page {self.page}' if self.page else ''}"
        return f"{where}: {self.kind}{f' ({self.detail})' if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Problems:
    """The first MAX_OF_A_KIND of each kind, and how many there are of each kind and scope."""

    listed: tuple[Problem, ...] = ()
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    scopes: Mapping[Scope, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.kinds)

    @property
    def total(self) -> int:
        """How many there are, listed or not."""
        return sum(self.kinds.values())

    @property
    def more(self) -> str:
        """Such as ``and 1,234 more``; empty where all are listed."""
        left = self.total - len(self.listed)
        return f"and {left:,} more" if left else ""

    @property
    def scope(self) -> Scope | None:
        """The worst scope; None where there is no problem."""
        return next((scope for scope in Scope if self.scopes.get(scope)), None)


class Collector:
    """Collects problems, counts all and keeps the first of each kind."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self._kinds: Counter[Kind] = Counter()
        self._scopes: Counter[Scope] = Counter()

    def add(self, kind: Kind, scope: Scope, *, page: int = 0, tree: str = "", detail: str = "") -> None:
        """Add one problem."""
        if self.wants(kind):
            self._listed.append(Problem(kind, scope, page, tree, detail))
        self.count(kind, scope, 1)

    def wants(self, kind: Kind) -> bool:
        """Whether one more of this kind would be kept."""
        return self._kinds[kind] < MAX_OF_A_KIND

    def count(self, kind: Kind, scope: Scope, number: int) -> None:
        """Count problems that nobody needs in full."""
        self._kinds[kind] += number
        self._scopes[scope] += number

    def result(self) -> Problems:
        """All that was collected so far."""
        return Problems(tuple(self._listed), dict(+self._kinds), dict(+self._scopes))
