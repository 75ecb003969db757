"""The book of a walk: who owns each page, who pointed to it, and what was wrong with that."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from crashlab.sqlite.accounting import Role
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.problems import Collector, Kind, Scope
from crashlab.sqlite.ptrmap import Pointer, pointer_map, pointer_map_pages
from crashlab.sqlite.schema import Tree

__all__ = ["Ints", "Ledger"]

Ints = NDArray[np.int64]

NO_TREE = -1


class Ledger:
    """Claims on pages. The first claim stands; a later one is a problem and is refused."""

    def __init__(self, source: PageSource, trees: Sequence[Tree]) -> None:
        self.source = source
        self.trees = trees
        self.collector = Collector()
        self.roles = np.zeros(source.pages + 1, dtype=np.uint8)
        self.owners = np.full(source.pages + 1, NO_TREE, dtype=np.int32)
        self.per_tree = np.zeros(len(trees), dtype=np.int64)
        self._mapped = source.auto_vacuum
        entries = source.pages + 1 if self._mapped else 0
        self._pointers = np.zeros(entries, dtype=np.uint8)
        self._parents = np.zeros(entries, dtype=np.uint32)
        self.reserved = pointer_map_pages(source)
        self.roles[list(self.reserved)] = Role.POINTER_MAP
        if source.lock_page <= source.pages:
            self.roles[source.lock_page] = Role.LOCK

    def problem(
        self, kind: Kind, *, page: int = 0, tree: int = NO_TREE, detail: str = "", scope: Scope | None = None
    ) -> None:
        """Note one problem; its scope is its tree's unless given."""
        if tree >= 0:
            self.per_tree[tree] += 1
            scope = scope or self.trees[tree].scope
        name = self.trees[tree].name if tree >= 0 else ""
        self.collector.add(kind, scope or Scope.STRUCTURE, page=page, tree=name, detail=detail)

    def many(self, kind: Kind, pages: Ints, trees: Ints, detail: Callable[[int], str] = lambda _: "") -> None:
        """Note a problem for each of ``pages``; ``detail`` gets its index and is asked only where it is kept."""
        done = 0
        while done < len(pages) and self.collector.wants(kind):
            self.problem(kind, page=int(pages[done]), tree=int(trees[done]), detail=detail(done))
            done += 1
        if done < len(pages):
            counts = np.bincount(trees[done:], minlength=len(self.trees))
            self.per_tree += counts
            for tree in counts.nonzero()[0].tolist():
                self.collector.count(kind, self.trees[tree].scope, int(counts[tree]))

    def claim(self, pages: Ints, trees: Ints, parents: Ints, pointer: Pointer) -> NDArray[np.bool_]:
        """Claim b-tree pages for trees; says which claims stand. A role is for the caller to refine."""
        there = (pages >= 1) & (pages <= self.source.pages)
        gone = np.flatnonzero(~there)
        if len(gone):
            self.many(Kind.NO_SUCH_PAGE, parents[gone], trees[gone], lambda at: f"page {pages[gone[at]]}")
        first = np.zeros(len(pages), dtype=bool)
        first[np.unique(pages, return_index=True)[1]] = True
        safe = np.where(there, pages, 0)
        free = self.roles[safe] == Role.UNUSED
        stands: NDArray[np.bool_] = there & first & free
        self.roles[pages[stands]] = Role.LEAF
        self.owners[pages[stands]] = trees[stands]
        if self._mapped:
            self._pointers[pages[stands]] = pointer
            self._parents[pages[stands]] = parents[stands]
        refused = np.flatnonzero(there & ~stands)
        for done, at in enumerate(refused.tolist()):
            if not self.collector.wants(Kind.DOUBLE_USE):
                self.many(Kind.DOUBLE_USE, pages[refused[done:]], trees[refused[done:]])
                break
            self._refuse(int(pages[at]), int(trees[at]), int(parents[at]))
        return stands

    def claim_one(self, page: int, tree: int, parent: int, role: Role, pointer: Pointer) -> bool:
        """Claim one page; whether the claim stands. ``tree`` is NO_TREE for the freelist."""
        if not 1 <= page <= self.source.pages:
            self.problem(Kind.NO_SUCH_PAGE, page=parent, tree=tree, detail=f"page {page}")
            return False
        if self.roles[page] != Role.UNUSED:
            self._refuse(page, tree, parent)
            return False
        self.roles[page] = role
        self.owners[page] = tree
        if self._mapped:
            self._pointers[page] = pointer
            self._parents[page] = parent
        return True

    def chain(self, tree: int, page: int, first: int, length: int) -> bool:
        """Claim an overflow chain of ``length`` pages that begins at ``first``; whether it was whole."""
        before, pointer, at = page, Pointer.FIRST_OVERFLOW, first
        for done in range(length):
            if not at:
                detail = f"{done} of {length} pages"
                self.problem(Kind.OVERFLOW_CHAIN, page=page, tree=tree, detail=detail)
                return False
            if not self.claim_one(at, tree, before, Role.OVERFLOW, pointer):
                return False
            before, pointer = at, Pointer.LATER_OVERFLOW
            at = int.from_bytes(self.source.head(at, 4))
        if at:
            detail = f"goes on at page {at} after its {length} pages"
            self.problem(Kind.OVERFLOW_CHAIN, page=page, tree=tree, detail=detail)
        return not at

    def check_pointer_map(self) -> None:
        """Compare the pointer map with the claims."""
        if not self._mapped:
            return
        kinds, parents = pointer_map(self.source)
        wrong = (self._pointers > 0) & ((kinds != self._pointers) | (parents != self._parents))
        wrong[:2] = False  # page 1 has no entry
        pages = np.flatnonzero(wrong)
        for done, page in enumerate(pages.tolist()):
            if not self.collector.wants(Kind.POINTER_MAP):
                self.collector.count(Kind.POINTER_MAP, Scope.SPACE, len(pages) - done)
                break
            detail = f"kind {kinds[page]} parent {parents[page]}, found {self._pointers[page]} {self._parents[page]}"
            self.collector.add(Kind.POINTER_MAP, Scope.SPACE, page=page, detail=detail)

    def _refuse(self, page: int, tree: int, parent: int) -> None:
        role, other = Role(int(self.roles[page])), int(self.owners[page])
        if role in (Role.POINTER_MAP, Role.LOCK):
            self.problem(Kind.RESERVED_PAGE, page=parent, tree=tree, detail=f"page {page}")
            return
        worst = min((self.trees[one].scope for one in (tree, other) if one >= 0), key=list(Scope).index, default=None)
        owner = f"{self.trees[other].name}, " if other >= 0 else ""
        if other >= 0 and other != tree:
            self.per_tree[other] += 1
        name = role.name.lower().replace("_", " ")
        detail = f"pointed to by page {parent}; already {owner}{name}"
        self.problem(Kind.DOUBLE_USE, page=page, tree=tree, detail=detail, scope=worst or Scope.SPACE)
