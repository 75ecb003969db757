"""Exposure: what lives only in the write-ahead log.

From the bytes of a copied main file and its WAL. Lose the WAL (a copy without it, a clean-up, a stale
restore) and this is what goes; a main file alone stands at some earlier moment, or at none.
"""

from dataclasses import dataclass

from crashlab.sqlite.checksum import FRAME_HEADER
from crashlab.sqlite.wal import Wal, latest_pages, parse_wal

__all__ = ["Exposure", "exposed_frames", "measure_exposure"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the WAL has and the main file hasn't.

    A committed frame counts as exposed when its page belongs to the database after the last commit and the
    main file holds neither this image of the page nor a later one: for each page, the committed frames
    behind the newest frame that is byte for byte the main file's page, or all of them when none is. A
    checkpointed frame, a frame that a later checkpointed frame replaced and an uncommitted frame don't
    count.

    ``frames``: exposed frames. ``pages``: pages whose newest committed image isn't in the main file.
    ``bytes``: the bytes of these frames' pages. ``commits``: commits with at least one exposed frame.
    ``committed_frames``: all committed frames, for comparison. ``main_pages`` / ``database_pages``: size of
    the main file, and of the database after the last commit (the main file's own where nothing is
    committed).
    """

    frames: int
    pages: int
    bytes: int
    commits: int
    committed_frames: int
    main_pages: int
    database_pages: int


def measure_exposure(main: bytes | memoryview, wal: bytes | memoryview, parsed: Wal | None = None) -> Exposure:
    """Compare a main file's bytes with its WAL's. Pass ``parsed`` when ``parse_wal(wal)`` was done already.

    Any bytes are accepted: a WAL that SQLite would ignore exposes nothing.
    """
    log = parse_wal(wal) if parsed is None else parsed
    page_size = log.page_size
    if not log.committed:
        pages = len(main) // page_size if page_size else 0
        return Exposure(0, 0, 0, 0, 0, pages, pages)
    exposed, pages_outside = _exposed(main, wal, log)
    return Exposure(
        frames=len(exposed),
        pages=pages_outside,
        bytes=len(exposed) * page_size,
        commits=_commits(exposed, log.commits),
        committed_frames=log.committed,
        main_pages=len(main) // page_size,
        database_pages=log.database_pages,
    )


def exposed_frames(main: bytes | memoryview, wal: bytes | memoryview, parsed: Wal | None = None) -> list[int]:
    """Return the numbers of the exposed frames, as :class:`Exposure` defines them, newest first."""
    log = parse_wal(wal) if parsed is None else parsed
    return _exposed(main, wal, log)[0] if log.committed else []


def _exposed(main: bytes | memoryview, wal: bytes | memoryview, log: Wal) -> tuple[list[int], int]:
    """The exposed frames, newest first, and the number of pages whose newest image isn't in the main file."""
    page_size = log.page_size
    stride = FRAME_HEADER + page_size
    exposed: list[int] = []
    outside: dict[int, bytes] = {}
    for page, frame in latest_pages(log).items():
        there = bytes(main[(page - 1) * page_size : page * page_size])
        at = log.offset(frame) + FRAME_HEADER
        if there != bytes(wal[at : at + page_size]):
            outside[page] = there
    settled: set[int] = set()
    pages_of = log.pages
    for frame in range(log.committed - 1, -1, -1) if outside else ():
        page = pages_of[frame]
        if page not in outside or page in settled:
            continue
        at = log.offset(0) + frame * stride + FRAME_HEADER
        if outside[page] == wal[at : at + page_size]:
            settled.add(page)
        else:
            exposed.append(frame)
    return exposed, len(outside)


def _commits(descending: list[int], commits: tuple[int, ...]) -> int:
    """How many commits the frames, given newest first, belong to."""
    count = 0
    at = len(commits) - 1
    last = -1
    for frame in descending:
        while at > 0 and commits[at - 1] > frame:
            at -= 1
        if at != last:
            count += 1
            last = at
    return count
