"""The pointer map of an auto-vacuum database: for every page its kind and its parent.

Format: https://sqlite.org/fileformat2.html#pointer_map_or_ptrmap_pages . Any bytes are accepted.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from crashlab.sqlite.pages import PageSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Pointer", "pointer_map", "pointer_map_pages"]


class Pointer(IntEnum):
    """First byte of an entry. Parents: none (0), none (0), a b-tree page, the overflow page before, a b-tree page."""

    ROOT = 1
    FREE = 2
    FIRST_OVERFLOW = 3
    LATER_OVERFLOW = 4
    CHILD = 5


def pointer_map_pages(source: PageSource) -> tuple[int, ...]:
    """Numbers of the pages that hold the map; none where the database has no auto-vacuum.

    The first is page 2, and each maps the ``usable / 5`` pages behind it. One that would fall on the lock page
    comes one later (``ptrmapPageno`` in btree.c).
    """
    if not source.auto_vacuum:
        return ()
    places = range(2, source.pages + 1, source.usable // 5 + 1)
    moved = (place + (place == source.lock_page) for place in places)
    return tuple(place for place in moved if place <= source.pages)


def pointer_map(source: PageSource) -> "tuple[NDArray[np.uint8], NDArray[np.uint32]]":
    """Return kinds and parents, indexed by page number; zero where the map has no entry."""
    import numpy as np

    kinds = np.zeros(source.pages + 1, dtype=np.uint8)
    parents = np.zeros(source.pages + 1, dtype=np.uint32)
    most = source.usable // 5
    for place in pointer_map_pages(source):
        count = min(most, source.pages - place)
        raw = np.frombuffer(source.page(place).ljust(5 * count, b"\0"), dtype=np.uint8)[: 5 * count].reshape(-1, 5)
        kinds[place + 1 : place + 1 + count] = raw[:, 0]
        words = np.ascontiguousarray(raw[:, 1:]).view(">u4")
        parents[place + 1 : place + 1 + count] = words[:, 0]
    return kinds, parents
