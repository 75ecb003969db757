"""What a walk found: every page's owner, every tree's size, and the problems."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from crashlab.sqlite.problems import Problems, Scope
from crashlab.sqlite.schema import Schema, Tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Accounting", "Role", "TreeUse"]


class Role(IntEnum):
    """What a page is used for."""

    UNUSED = 0
    INTERIOR = 1
    LEAF = 2
    OVERFLOW = 3
    FREE_TRUNK = 4
    FREE_LEAF = 5
    POINTER_MAP = 6
    LOCK = 7
    BROKEN = 8
    """A tree points to it, and it is no b-tree page of that tree's kind."""


@dataclass(frozen=True, slots=True)
class TreeUse:
    """One tree: pages by role, levels, entries and bytes of their records, as far as the tree could be followed.

    ``table`` says whether its keys are rowids (None where its root is broken). ``problems`` counts those on
    its pages, a page that another tree uses too among them.
    """

    tree: Tree
    table: bool | None
    depth: int
    interior: int
    leaves: int
    overflow: int
    broken: int
    entries: int
    payload_bytes: int
    problems: int

    @property
    def pages(self) -> int:
        """All its pages."""
        return self.interior + self.leaves + self.overflow + self.broken


@dataclass(frozen=True, slots=True, eq=False)
class Accounting:
    """The result of a walk.

    ``roles`` and ``owners`` are arrays indexed by page number: a :class:`Role`, and the index of the tree in
    ``trees`` (-1: none).
    """

    pages: int
    schema: Schema
    trees: tuple[TreeUse, ...]
    roles: "NDArray[np.uint8]"
    owners: "NDArray[np.int32]"
    problems: Problems

    @property
    def scope(self) -> Scope | None:
        """The worst that is wrong; None where nothing is."""
        return self.problems.scope

    @property
    def unused(self) -> "NDArray[np.int64]":
        """Numbers of the pages that nothing points to: never in a sound database."""
        return self.of(Role.UNUSED)

    def of(self, role: Role) -> "NDArray[np.int64]":
        """Numbers of the pages with this role."""
        found: NDArray[np.int64] = (self.roles[1:] == role).nonzero()[0] + 1
        return found

    def use(self, page: int) -> tuple[Role, TreeUse | None]:
        """What a page is used for, and by which tree; UNUSED for a number out of range."""
        if not 1 <= page <= self.pages:
            return Role.UNUSED, None
        owner = int(self.owners[page])
        return Role(int(self.roles[page])), self.trees[owner] if owner >= 0 else None

    def tree(self, name: str) -> TreeUse | None:
        """The tree of a table or index by name, in any case."""
        wanted = name.lower()
        return next((use for use in self.trees if use.tree.name.lower() == wanted), None)

    @property
    def damaged(self) -> tuple[TreeUse, ...]:
        """The trees with problems."""
        return tuple(use for use in self.trees if use.problems)
