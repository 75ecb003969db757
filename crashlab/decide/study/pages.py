"""Exposure kept up to date, write by write: the frames of the WAL, the pages of main, and what differs.

The same definition as `crashlab.sqlite.exposure` has for one pair of files; the tests compare the two.
"""

import hashlib
from collections import Counter

__all__ = ["Difference", "Pages"]

Difference = Counter[int]
"""Commit → how many more of its frames are exposed; negative for fewer."""


class Pages:
    """The frames of the WAL's generation and the pages of main, by a digest of their content.

    `size`: of a page, 0 before there was a WAL. `committed`: frames up to and with the newest commit frame.
    """

    def __init__(self) -> None:
        self.size = 0
        self.committed = 0
        self._frames: list[tuple[int, bytes, int]] = []  # page, digest, commit
        self._headers: dict[int, tuple[int, int]] = {}
        self._of_page: dict[int, list[int]] = {}
        self._outside: dict[int, list[int]] = {}
        self._main: dict[int, bytes] = {}
        self._database_pages = 0
        self._shrunk = False

    def __len__(self) -> int:
        return len(self._frames)

    def begin(self, size: int) -> Difference:
        """Begin a generation (or none, after a truncation): what the old one exposed is no longer in the WAL."""
        gone = Counter[int]()
        for outside in self._outside.values():
            self._count(gone, outside, -1)
        if self.size and size != self.size:
            self._main.clear()
        self.size = size
        self._frames.clear()
        self._headers.clear()
        self._of_page.clear()
        self._outside.clear()
        self.committed = 0
        return gone

    def announce(self, frame: int, page: int, database_pages: int) -> None:
        """Take a frame's header; `database_pages` is not 0 in a commit frame."""
        self._headers[frame] = (page, database_pages)

    def complete(self, frame: int, data: bytes | memoryview) -> bool:
        """Take a frame's page; return whether it commits."""
        page, database_pages = self._headers.get(frame, (0, 0))
        if not page or frame > len(self._frames):
            return False
        del self._frames[frame:]
        self._frames.append((page, _digest(data), -1))
        if database_pages:
            self._shrunk = database_pages < self._database_pages
            self._database_pages = database_pages
        return database_pages > 0

    def commit(self, commit: int) -> Difference:
        """Let all frames since the last commit belong to this one."""
        found = Counter[int]()
        for frame in range(self.committed, len(self._frames)):
            page, digest, _ = self._frames[frame]
            self._frames[frame] = (page, digest, commit)
            of_page = self._of_page.setdefault(page, [])
            of_page.append(frame)
            outside = self._outside.get(page)
            if outside is None or self._main.get(page) == digest:
                self._recount(found, page)
            elif page <= self._database_pages:
                outside.append(frame)
                found[commit] += 1
        self.committed = len(self._frames)
        if self._shrunk:
            for page in [page for page in self._outside if page > self._database_pages]:
                self._count(found, self._outside.pop(page), -1)
        return found

    def main_write(self, page: int, data: bytes | memoryview) -> Difference:
        """Take a page of the main file."""
        self._main[page] = _digest(data)
        found = Counter[int]()
        if page in self._of_page:
            self._recount(found, page)
        return found

    def cut_main(self, size: int) -> None:
        """Take a truncation of the main file. Only pages beyond the database's end go, which expose nothing."""
        for page in [page for page in self._main if self.size and page > size // self.size]:
            del self._main[page]

    def _recount(self, found: Difference, page: int) -> None:
        frames, main = self._of_page[page], self._main.get(page)
        newest = next((at for at in reversed(range(len(frames))) if self._frames[frames[at]][1] == main), -1)
        self._count(found, self._outside.pop(page, []), -1)
        if page <= self._database_pages:
            self._outside[page] = frames[newest + 1 :]
            self._count(found, self._outside[page], 1)

    def _count(self, into: Difference, frames: list[int], sign: int) -> None:
        for frame in frames:
            into[self._frames[frame][2]] += sign


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
