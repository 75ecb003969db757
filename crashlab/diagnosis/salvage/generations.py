"""Every database that the files can give: the main file, and each commit of each generation of each WAL."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crashlab.diagnosis.salvage.report import Choice, Image
from crashlab.errors import UsageError, did_you_mean
from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.checksum import FRAME_HEADER
from crashlab.sqlite.generations import Remnant, generations
from crashlab.sqlite.header import read_header
from crashlab.sqlite.journal import Journal, JournalState, parse_journal, rolled_back
from crashlab.sqlite.pages import PageSource, database, laid_over
from crashlab.sqlite.wal import Wal, parse_wal_buffer

__all__ = ["BEHIND", "CHAIN", "MAIN", "Generation", "Sources"]

CHAIN, BEHIND, EARLIER = "chain", "behind a break", "earlier generation"
MAIN = "main"


@dataclass(frozen=True)
class Generation:
    """Frames in the order in which they were written. `steps[i]`: how many of them up to and with commit i + 1.

    `frames`: (page, number in the file from 0, whether its bytes are proven). `sizes`: pages after each commit.
    `skipped`: broken frames between them. `moved`: commits that mix with newer pages of the main file. `stale`: the
    WAL was begun on an older main file than this one. `torn`: the first commit is one whose last frame is broken.
    """

    number: int
    kind: str
    wal: str
    data: Buffer
    parsed: Wal
    frames: tuple[tuple[int, int, bool], ...]
    steps: tuple[int, ...]
    sizes: tuple[int, ...]
    skipped: tuple[int, ...] = ()
    moved: frozenset[int] = frozenset()
    stale: bool = False
    torn: bool = False

    @property
    def commits(self) -> int:
        """How many of its commits can be chosen."""
        return len(self.steps)

    def newest(self, commit: int) -> dict[int, tuple[int, bool]]:
        """Page -> (frame, proven) as of a commit, without pages beyond the database's size then."""
        size = self.sizes[commit - 1]
        found = {page: (frame, proven) for page, frame, proven in self.frames[: self.steps[commit - 1]]}
        return {page: at for page, at in found.items() if page <= size}

    def marks(self, commit: int) -> tuple[str, ...]:
        """What speaks against a commit, in words."""
        marks = []
        if self.kind == BEHIND:
            frames = f"frame{'s' if len(self.skipped) > 1 else ''} {', '.join(str(at + 1) for at in self.skipped[:5])}"
            more = ", …" if len(self.skipped) > 5 else ""
            marks.append(f"no opener reads so far; the pages of broken {frames}{more} are left as they were before")
            if self.torn and commit == 1:
                marks.append(
                    "the last frame of this commit is broken; a kill leaves that too: perhaps it was never acked"
                )
        elif self.kind == EARLIER:
            marks.append("of an earlier generation: all other pages are as the main file has them now")
        if self.stale:
            marks.append("the WAL was begun on an older main file than this one: it takes pages back in time")
        if commit in self.moved:
            marks.append("the main file has newer images of some pages already: a mixture of two moments")
        unproven = sum(not proven for _, proven in self.newest(commit).values())
        if unproven:
            marks.append(f"{unproven} of its page images are not proven by a checksum")
        return tuple(marks)


class Sources:
    """The copies of the evidence, parsed. `wals`: (name for people, bytes)."""

    def __init__(self, main: Buffer, wals: Sequence[tuple[str, Buffer]], journal: Buffer | None = None) -> None:
        self.main = main
        self.alone = database(main)
        self.undo: Journal | None = None
        self._journal = journal
        if journal is not None:
            undo = parse_journal(journal, self.alone.page_size)
            self.undo = undo if undo.state is JournalState.HOT else None
        self.generations: list[Generation] = []
        self.problems: list[str] = []
        for name, data in wals:
            self._add(name, data)

    def _add(self, name: str, data: Buffer) -> None:
        wal = parse_wal_buffer(data)
        if wal.problem:
            self.problems.append(f"{name}: {wal.problem}")
            return
        chain = tuple((page, frame, True) for frame, page in enumerate(wal.pages))
        if wal.commits:
            sizes = tuple(wal.commit_sizes[upto - 1] for upto in wal.commits)
            self._append(CHAIN, name, data, wal, chain, wal.commits, sizes)
        found = generations(data, wal).found
        behind = [remnant for each in found if each.current for remnant in each.remnants]
        self._remnants(BEHIND, name, data, wal, chain, behind, _torn_commit(data, wal))
        for each in found:
            if not each.current:
                self._remnants(EARLIER, name, data, wal, (), each.remnants)

    def _remnants(
        self,
        kind: str,
        name: str,
        data: Buffer,
        wal: Wal,
        before: tuple[tuple[int, int, bool], ...],
        remnants: Iterable[Remnant],
        torn: int = 0,
    ) -> None:
        frames = list(before)
        steps, sizes, skipped = ([len(before)], [torn], [wal.valid]) if torn else ([], [], [])
        expected = wal.valid + bool(torn)
        for remnant in remnants:
            # The frame that ends the chain fails its checksum although the one before it is right: its bytes are wrong.
            broken = remnant.first == wal.valid and kind == BEHIND and not remnant.first_proven
            skipped += list(range(expected, remnant.first + broken))
            expected = remnant.first + remnant.frames
            done = len(frames) - broken
            frames += [
                (page, remnant.first + at, bool(at) or remnant.first_proven)
                for at, page in enumerate(remnant.pages)
                if at >= broken
            ]
            commits = [upto for upto in remnant.commits if upto > broken]
            steps += [done + upto for upto in commits]
            sizes += [remnant.commit_sizes[upto - 1] for upto in commits]
        if steps:
            lost = tuple(skipped) if kind == BEHIND else ()
            self._append(kind, name, data, wal, tuple(frames), tuple(steps), tuple(sizes), lost, torn=bool(torn))

    def _append(
        self,
        kind: str,
        name: str,
        data: Buffer,
        wal: Wal,
        frames: tuple[tuple[int, int, bool], ...],
        steps: tuple[int, ...],
        sizes: tuple[int, ...],
        skipped: tuple[int, ...] = (),
        *,
        torn: bool = False,
    ) -> None:
        number = len(self.generations) + 1
        moved = _moved(self.main, data, wal, frames, steps, sizes)
        stale = kind == CHAIN and _is_stale(self.main, data, wal)
        self.generations.append(
            Generation(number, kind, name, data, wal, frames, steps, sizes, skipped, moved, stale, torn)
        )

    def view(self, name: str) -> PageSource:
        """The pages of a choice, by its id."""
        generation, commit = self.find(name)
        if generation is None:
            return self.alone if self.undo is None or self._journal is None else self._undone(self._journal)
        overlay = {
            page: generation.parsed.offset(frame) + FRAME_HEADER
            for page, (frame, _) in generation.newest(commit).items()
        }
        size, pages = generation.parsed.page_size, generation.sizes[commit - 1]
        return laid_over(self.main, generation.data, overlay, page_size=size, pages=pages)

    def _undone(self, journal: Buffer) -> PageSource:
        assert self.undo is not None
        return rolled_back(self.main, journal, self.undo)

    def choice(self, name: str) -> Choice:
        """A choice without what a look at its trees would tell."""
        generation, commit = self.find(name)
        view = self.view(name)
        if generation is None:
            kind = "main file" if self.undo is None else "main file, rolled back by its journal"
            named = self.undo is not None and bool(self.undo.super_journal)
            marks = (
                "the journal names another file: if that is gone, the transaction had committed, and is undone here",
            )
            return Choice(MAIN, kind, pages=view.pages, page_size=view.page_size, marks=marks if named else ())
        upto = generation.frames[generation.steps[commit - 1] - 1][1] + 1
        return Choice(
            name, generation.kind, generation.wal, commit, upto, view.claimed_pages, view.page_size,
            marks=generation.marks(commit),
        )  # fmt: skip

    def images(self, name: str) -> tuple[Image, ...]:
        """Where the pages of a choice come from, those of the main file left out."""
        generation, commit = self.find(name)
        if generation is None:
            return ()
        newest = sorted(generation.newest(commit).items())
        return tuple(Image(page, frame + 1, proven) for page, (frame, proven) in newest)

    def canonical(self, name: str) -> str:
        """The id of a choice that may have been named by its generation alone. Raises as `find` does."""
        generation, commit = self.find(name)
        return f"{generation.number}:{commit}" if generation else MAIN

    def find(self, name: str) -> tuple[Generation | None, int]:
        """The generation and the commit of an id; of a generation alone, its last. Raises UsageError."""
        if name == MAIN:
            return None, 0
        first, colon, second = name.partition(":")
        numbers = [int(part) for part in (first, second) if part.isascii() and part.isdecimal() and len(part) < 10]
        if len(numbers) == 1 + bool(colon) and 1 <= numbers[0] <= len(self.generations):
            generation = self.generations[numbers[0] - 1]
            commit = numbers[1] if colon else generation.commits
            if 1 <= commit <= generation.commits:
                return generation, commit
        ends = [f"{each.number}:1 to {each.number}:{each.commits}" for each in self.generations]
        there = ", ".join([MAIN, *ends])
        raise UsageError(f"no choice {name!r}; there are {there} (--list){did_you_mean(name, [MAIN])}")


def _torn_commit(data: Buffer, wal: Wal) -> int:
    """The size in pages that a commit gave the database whose last frame alone is broken; 0 without such a commit.

    The frame's header says that it ends one; the transaction's other frames are in the chain.
    """
    raw = data.read(wal.offset(wal.valid), FRAME_HEADER) if wal.header and wal.uncommitted else b""
    if len(raw) < FRAME_HEADER or wal.header is None or not int.from_bytes(raw[:4]):
        return 0
    same = raw[8:16] == b"".join(salt.to_bytes(4) for salt in wal.header.salts)
    return int.from_bytes(raw[4:8]) if same else 0


def _is_stale(main: Buffer, data: Buffer, wal: Wal) -> bool:
    """Whether the main file is newer than what this WAL was begun on, by its first page.

    In WAL mode an image of page 1 carries a change counter that is at least the one which the writer found, and the
    schema cookie only grows. A main file with an image of this WAL is one that a checkpoint of it has written.
    """
    header = read_header(main.read(0, 512), main.size).header
    if header is None or header.page_size != wal.page_size:
        return header is not None
    ours, images = main.read(0, wal.page_size), []
    for frame, page in enumerate(wal.pages):
        if page == 1:
            images.append(data.read(wal.offset(frame) + FRAME_HEADER, wal.page_size))
    found = [read_header(image, wal.page_size).header for image in images]
    known = [each for each in found if each is not None]
    if ours in images or not known:
        return False
    older = min(each.change_counter for each in known) < header.change_counter
    return older or known[0].schema_cookie < header.schema_cookie


def _moved(
    main: Buffer,
    data: Buffer,
    wal: Wal,
    frames: tuple[tuple[int, int, bool], ...],
    steps: tuple[int, ...],
    sizes: tuple[int, ...],
) -> frozenset[int]:
    """The commits that can't be had whole: pages that only later frames have are in the main file already.

    A page that no frame up to a commit has comes from the main file. If the main file's image is that of a later
    frame, a checkpoint has been there.
    """
    size = wal.page_size
    first: dict[int, int] = {}
    images: dict[int, set[bytes]] = {}
    for at, (page, frame, _) in enumerate(frames):
        first.setdefault(page, at)
        images.setdefault(page, set()).add(_digest(data.read(wal.offset(frame) + FRAME_HEADER, size)))
    there = [(at, page) for page, at in first.items() if _digest(main.read((page - 1) * size, size)) in images[page]]
    there.sort()
    least = [page for _, page in there]  # from each on, the lowest page of it and all later ones
    for at in range(len(least) - 2, -1, -1):
        least[at] = min(least[at], least[at + 1])
    moved = set()
    for commit, (step, pages) in enumerate(zip(steps, sizes, strict=True), 1):
        at = bisect_left(there, (step, 0))
        if at < len(least) and least[at] <= pages:
            moved.add(commit)
    return frozenset(moved)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
