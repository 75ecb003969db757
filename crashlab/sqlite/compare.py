"""Page by page: two databases, the commits of a WAL, and where a copy or the main file stands among them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.checksum import FRAME_HEADER
from crashlab.sqlite.header import read_header
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.wal import Wal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Commit", "PageDiff", "Placement", "commits", "compare", "place"]

_BATCH = 2 << 20


@dataclass(frozen=True, slots=True, eq=False)
class PageDiff:
    """Pages of two databases. ``differing`` are the numbers of those that both have with other bytes.

    ``same`` counts the equal ones; ``first_only`` and ``second_only`` the pages at the end that one has more.
    """

    same: int
    differing: "NDArray[np.int64]"
    first_only: int
    second_only: int

    @property
    def equal(self) -> bool:
        """Whether there is no difference at all."""
        return not len(self.differing) and not self.first_only and not self.second_only


def compare(first: PageSource, second: PageSource) -> PageDiff:
    """Compare two databases page by page. Raises ValueError where their page sizes differ."""
    import numpy as np

    if first.page_size != second.page_size:
        raise ValueError(f"pages of {first.page_size} and {second.page_size} bytes can't be compared")
    both = min(first.pages, second.pages)
    found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    a_batch = max(1, _BATCH // max(1, first.page_size))
    for start in range(1, both + 1, a_batch):
        numbers = range(start, min(start + a_batch, both + 1))
        size = len(numbers) * first.page_size
        one, other = first.many(numbers)[:size], second.many(numbers)[:size]
        unequal = (one != other).reshape(len(numbers), -1).any(axis=1)
        found.append(unequal.nonzero()[0] + start)
    differing = np.concatenate(found)
    return PageDiff(both - len(differing), differing, first.pages - both, second.pages - both)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a WAL. ``number`` counts from 1; it ends with frame count ``frames``, of which ``written`` are its.

    ``pages`` are the pages it wrote, ``database_pages`` the size after it. ``in_main`` counts those whose image
    is byte for byte the main file's page now. ``change_counter`` and ``schema_cookie`` are of its page 1, None
    where it did not write it (in WAL mode the counter need not move with every commit).
    """

    number: int
    frames: int
    written: int
    pages: tuple[int, ...]
    database_pages: int
    in_main: int
    change_counter: int | None
    schema_cookie: int | None


def commits(main: Buffer, data: Buffer, wal: Wal, *, last: int | None = None) -> Iterator[Commit]:
    """The commits of the valid chain, in order; only the ``last`` so many where that is given."""
    size = wal.page_size
    first = max(0, len(wal.commits) - last) if last is not None else 0
    start = wal.commits[first - 1] if first else 0
    for number, frames in enumerate(wal.commits[first:], first + 1):
        newest = dict(zip(wal.pages[start:frames], range(start, frames), strict=True))
        images = ((page, _image(data, wal, frame)) for page, frame in newest.items())
        in_main = sum(image == main.read((page - 1) * size, size) for page, image in images)
        header = read_header(_image(data, wal, newest[1]), size).header if 1 in newest else None
        yield Commit(
            number=number,
            frames=frames,
            written=frames - start,
            pages=tuple(newest),
            database_pages=wal.commit_sizes[frames - 1],
            in_main=in_main,
            change_counter=header.change_counter if header else None,
            schema_cookie=header.schema_cookie if header else None,
        )
        start = frames


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a file stands among the commits of a WAL: 0 is before the first, k after commit k.

    ``pages`` counts the file's pages that the WAL has images of: what can be told by. ``agree`` are the spans
    (first, last) of commits with which all of them agree: none means that the file is of no one moment, such as a
    copy made while commits went on. ``best`` is the last commit that most pages agree with, ``best_pages`` how
    many. ``unknown`` pages match no image, and not the main file's from before the WAL either: older than all
    that is left, or of something else; they count as agreeing with 0 up to the first commit that wrote them.
    """

    pages: int
    agree: tuple[tuple[int, int], ...]
    possible: tuple[tuple[int, int], ...]
    best: int
    best_pages: int
    unknown: int


def place(file: PageSource, main: Buffer, data: Buffer, wal: Wal) -> Placement:
    """Place a backup, or the main file itself (as ``database(main)``), among the commits of ``main``'s WAL."""
    size, last = wal.page_size, len(wal.commits)
    versions = _versions(wal)
    # how many more pages agree with commit k than with k - 1
    steps, lenient = [0] * (last + 2), [0] * (last + 2)
    compared = unknown = 0
    for page, written in versions.items():
        found = file.page(page)
        if not found or file.page_size != size:
            continue
        compared += 1
        ends = [commit - 1 for commit, _ in written[1:]] + [last]
        matches = [_image(data, wal, frame) == found for _, frame in written]
        spans = [(commit, end) for (commit, _), end, same in zip(written, ends, matches, strict=True) if same]
        before = [(0, written[0][0] - 1)]
        if not spans:
            unknown += found != main.read((page - 1) * size, size)
            spans, before = before, []
        _count(steps, spans)
        _count(lenient, spans + before)
    agreeing, possible = list(accumulate(steps[:-1])), list(accumulate(lenient[:-1]))
    best_pages = max(agreeing)
    best = last - agreeing[::-1].index(best_pages)
    return Placement(compared, _spans(agreeing, compared), _spans(possible, compared), best, best_pages, unknown)


def _count(steps: list[int], spans: list[tuple[int, int]]) -> None:
    for first, end in spans:
        steps[first] += 1
        steps[end + 1] -= 1


def _versions(wal: Wal) -> dict[int, list[tuple[int, int]]]:
    """Page -> (commit, its last frame of the page there), in order."""
    found: dict[int, list[tuple[int, int]]] = {}
    start = 0
    for number, frames in enumerate(wal.commits, 1):
        newest = dict(zip(wal.pages[start:frames], range(start, frames), strict=True))
        for page, frame in newest.items():
            found.setdefault(page, []).append((number, frame))
        start = frames
    return found


def _spans(agreeing: list[int], wanted: int) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    for commit, count in enumerate(agreeing):
        if count != wanted:
            continue
        if spans and spans[-1][1] == commit - 1:
            spans[-1] = (spans[-1][0], commit)
        else:
            spans.append((commit, commit))
    return tuple(spans)


def _image(data: Buffer, wal: Wal, frame: int) -> bytes:
    return data.read(wal.offset(frame) + FRAME_HEADER, wal.page_size)
