"""What the tail of a WAL still holds behind the end of its chain: earlier generations, and frames behind a tear.

A WAL that is restarted is written over from its beginning; what the new generation has not reached yet is of an
earlier one, with other salts. SQLite never looks at it again. A frame's checksum covers the one before it, so that
each frame with its predecessor still in place is proven whole by it, without the header of its generation: only
the first of a run cannot be.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.checksum import FRAME_HEADER, frame_headers, frame_links
from crashlab.sqlite.pages import PageSource, laid_over
from crashlab.sqlite.wal import HEADER_SIZE, Wal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Generation", "Generations", "Remnant", "generations", "laid_over_remnant"]

MAX_REMNANTS = 64
_WINDOW = 4 << 20


@dataclass(frozen=True, slots=True)
class Remnant:
    """Consecutive frames with the same salts of which each but the first is proven by the one before it.

    ``first`` is the first frame's number. ``pages[i]`` and ``commit_sizes[i]`` belong to frame ``first + i``.
    ``commits`` count frames up to and with each commit frame, from ``first``. ``first_proven`` is true only
    where ``first`` follows the valid chain, or a frame whose own page is torn but whose stored checksum is right.
    """

    first: int
    pages: tuple[int, ...]
    commit_sizes: tuple[int, ...]
    commits: tuple[int, ...]
    first_proven: bool

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.pages)


@dataclass(frozen=True, slots=True)
class Generation:
    """All remnants with the same salts. ``current``: the salts are the header's, so these lie behind a tear."""

    salts: tuple[int, int]
    current: bool
    frames: int
    remnants: tuple[Remnant, ...]


@dataclass(frozen=True, slots=True)
class Generations:
    """Generations in the order of their first frames; ``more`` counts the remnants beyond MAX_REMNANTS.

    A remnant of one frame of which nothing is proven is counted in ``lone`` and not kept.
    """

    found: tuple[Generation, ...]
    more: int
    lone: int


def generations(data: Buffer, wal: Wal) -> Generations:
    """Look through the frames behind the chain of a parsed WAL; nothing where its header is invalid.

    Both byte orders of the checksum are those of the header: a generation written on a machine of the other
    order is not recognised.
    """
    import numpy as np

    if wal.header is None or not wal.page_size or not wal.tail_frames:
        return Generations((), 0, 0)
    stride = FRAME_HEADER + wal.page_size
    first, count = wal.valid, wal.tail_frames
    table = np.empty((count, 6), dtype=np.uint32)
    linked = np.zeros(count, dtype=bool)  # whether a frame follows from the one before it
    a_window = max(1, _WINDOW // stride)
    before = _stored(data, wal, first - 1)
    for start in range(0, count, a_window):
        here = min(a_window, count - start)
        part = data.read(HEADER_SIZE + (first + start) * stride, here * stride)
        rows = frame_headers(part, page_size=wal.page_size, frames=here, offset=0)
        table[start : start + here] = rows
        linked[start : start + here] = frame_links(
            part, rows, page_size=wal.page_size, seed=(before[4], before[5]), big_endian=wal.header.big_endian
        )
        before = tuple(rows[-1].tolist())
    alike = np.ones(count, dtype=bool)
    alike[1:] = (table[1:, 2] == table[:-1, 2]) & (table[1:, 3] == table[:-1, 3])
    alike[0] = (int(table[0, 2]), int(table[0, 3])) == wal.header.salts
    return _grouped(table, linked & alike & (table[:, 0] > 0), first, wal.header.salts)


def laid_over_remnant(main: Buffer, data: Buffer, wal: Wal, remnant: Remnant, frames: int) -> PageSource:
    """The main file with a remnant's first ``frames`` frames (one of its ``commits``) over it.

    That is a database of the past only where the main file has not moved on since; the walk tells.
    Raises ValueError where no commit ends there.
    """
    if frames not in remnant.commits:
        raise ValueError(f"no commit ends at frame count {frames}; commits end at {remnant.commits[:10]}")
    pages = remnant.commit_sizes[frames - 1]
    newest = dict(zip(remnant.pages[:frames], range(frames), strict=True))
    overlay = {
        page: wal.offset(remnant.first + frame) + FRAME_HEADER for page, frame in newest.items() if page <= pages
    }
    return laid_over(main, data, overlay, page_size=wal.page_size, pages=pages)


def _stored(data: Buffer, wal: Wal, frame: int) -> tuple[int, ...]:
    """The header fields of a frame as they stand; before the first frame the checksum of the file's header."""
    if frame < 0:
        return (0, 0, 0, 0, *(wal.header.checksum if wal.header else (0, 0)))
    raw = data.read(wal.offset(frame), FRAME_HEADER)
    return tuple(int.from_bytes(raw[at : at + 4]) for at in range(0, FRAME_HEADER, 4))


def _grouped(
    table: "NDArray[np.uint32]", linked: "NDArray[np.bool_]", first: int, current: tuple[int, int]
) -> Generations:
    starts = (~linked).nonzero()[0].tolist()
    if not starts or starts[0]:
        starts.insert(0, 0)
    found: dict[tuple[int, int], list[Remnant]] = {}
    frames: dict[tuple[int, int], int] = {}
    kept = more = lone = 0
    for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
        salts = (int(table[start, 2]), int(table[start, 3]))
        if salts not in found and len(found) == MAX_REMNANTS:
            more += 1
            continue
        frames[salts] = frames.get(salts, 0) + stop - start
        remnants = found.setdefault(salts, [])
        if stop - start == 1 and not linked[start]:
            lone += 1
        elif kept == MAX_REMNANTS:
            more += 1
        else:
            kept += 1
            rows = table[start:stop]
            commits = tuple((rows[:, 1].nonzero()[0] + 1).tolist())
            pages, sizes = tuple(rows[:, 0].tolist()), tuple(rows[:, 1].tolist())
            remnants.append(Remnant(first + start, pages, sizes, commits, bool(linked[start])))
    groups = (Generation(salts, salts == current, frames[salts], tuple(remnants)) for salts, remnants in found.items())
    return Generations(tuple(groups), more, lone)
