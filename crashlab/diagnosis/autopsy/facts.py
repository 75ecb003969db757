"""From the bytes of copies to facts and features. Nothing here opens anything with SQLite.

The features are named as those of the gallery are (`crashlab.gallery.stage.ending`), so that an exhibit's picture can
be held against them; the finer ones are added here.
"""

from contextlib import ExitStack

from crashlab.diagnosis.autopsy.bits import Flip, flipped_frame_bits, flipped_wal_header_bits
from crashlab.diagnosis.autopsy.damage import SOUND, damage_of, owners_of, with_keys
from crashlab.diagnosis.autopsy.report import (
    CommitFacts,
    Damage,
    Facts,
    HeaderFacts,
    JournalFacts,
    Remains,
    ShmFacts,
    WalFacts,
)
from crashlab.diagnosis.autopsy.wal_features import base_of, tail_features, wal_word
from crashlab.sqlite.accounting import Accounting
from crashlab.sqlite.buffers import Buffer, FileBuffer, MemoryBuffer
from crashlab.sqlite.compare import commits
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.generations import generations
from crashlab.sqlite.header import FileKind, HeaderReport, read_header
from crashlab.sqlite.journal import Journal, JournalState, parse_journal, rolled_back
from crashlab.sqlite.pages import PageSource, database, guess_page_size
from crashlab.sqlite.shm import WalIndex, parse_shm
from crashlab.sqlite.wal import ChainEnd, Wal, parse_wal_buffer

__all__ = ["examine"]

NOT_BEGUN = "not begun"
TIMELINE_MAX = 40
TREES_MAX = 8
STARVED_FRAMES = 100
_SHM_READ = 136
_SHM_OPENING = (0, 3)  # unixLockSharedMemory in os_unix.c


def examine(evidence: Triplet, *, keys: bool = False) -> Facts:
    """Read the copies. `keys`: also compare index keys with their tables, which takes time.

    Any bytes are accepted. Raises LabError where a file that is there can't be read.
    """
    with ExitStack() as stack:

        def opened(path: object) -> FileBuffer | None:
            return stack.enter_context(FileBuffer(str(path))) if path in there else None

        there = evidence.existing()
        main, wal, shm, journal = (opened(path) for path in evidence.paths)
        return _examine(main, wal, shm, journal, keys=keys)


def _examine(
    main: Buffer | None, wal: Buffer | None, shm: Buffer | None, journal: Buffer | None, *, keys: bool
) -> Facts:
    body: Buffer = main or MemoryBuffer(b"")
    report = read_header(body.read(0, 512), body.size)
    log = parse_wal_buffer(wal) if wal is not None else None
    index = parse_shm(shm.read(0, _SHM_READ)) if shm is not None else None
    page_size = report.header.page_size if report.header else 0
    undo = parse_journal(journal, page_size) if journal is not None else None
    nothing_yet = _nothing_yet(report, body, undo)
    lone = database(body)
    alone, found = damage_of(lone, repair=False)
    view, whole, before = lone, alone, found
    if undo is not None and journal is not None and undo.state is JournalState.HOT:
        view = rolled_back(body, journal, undo)
        whole, found = damage_of(view)
        whole = Damage(SOUND) if nothing_yet else whole
    elif log is not None and log.committed and body.size:
        view = database(body, wal, parsed=log)
        whole, found = damage_of(view)
    elif whole.scope != SOUND:
        whole, found = damage_of(view)
    if keys:
        whole = with_keys(whole, view, found)
    timeline = _timeline(body, wal, log, found)
    seen = _wal_facts(body, wal, log, view)
    facts = Facts(
        header=_header_facts(report, body, missing=main is None),
        wal=seen,
        shm=_shm_facts(index),
        journal=_journal_facts(undo),
        alone=alone,
        whole=whole,
        commits=tuple(timeline),
        features={},
    )
    was_one = report.kind is FileKind.NOT_A_DATABASE and guess_page_size(body) > 0
    features = _features(facts, report, log, index, undo, was_one=was_one, nothing_yet=nothing_yet)
    if log is not None and wal is not None:
        features |= tail_features(log, wal, seen, fresh=bool(index and index.header and not index.header.max_frame))
        features["wal.base"] = base_of(report, body, wal, log, seen)
        features["wal.takes"] = "rows" if _takes_rows(before, found) else "none"
    return Facts(
        **{name: getattr(facts, name) for name in Facts.__struct_fields__ if name != "features"}, features=features
    )


def _header_facts(report: HeaderReport, main: Buffer, *, missing: bool) -> HeaderFacts:
    starts = _starts_with(main)
    if missing:
        return HeaderFacts("missing", "there is no main file", "none")
    header = report.header
    if header is None or not header.page_size:
        return HeaderFacts(str(report.kind), report.detail, starts, main.size)
    return HeaderFacts(
        kind=str(report.kind),
        detail=report.detail,
        starts_with=starts,
        bytes=main.size,
        pages=-(-main.size // header.page_size),
        header_pages=header.size_pages if header.size_is_valid else 0,
        page_size=header.page_size,
        mode="wal" if header.wal_mode else "rollback",
        change_counter=header.change_counter,
        schema_cookie=header.schema_cookie,
        freelist_pages=header.freelist_pages,
        auto_vacuum=header.auto_vacuum,
        encoding=header.encoding,
        user_version=header.user_version,
        written_by=header.library,
    )


def _starts_with(main: Buffer) -> str:
    """What the first bytes look like: a header, a b-tree page that belongs elsewhere, text, zeros or something else."""
    raw = main.read(0, 64)
    if not raw:
        return "none"
    if raw.startswith(b"SQLite format 3\0"):
        return "header"
    if not raw.strip(b"\0"):
        return "zeros"
    cells, content = int.from_bytes(raw[3:5]), int.from_bytes(raw[5:7]) or 65536
    if raw[0] in (2, 5, 10, 13) and len(raw) == 64 and cells and 8 + 2 * cells <= content:
        return "b-tree page"
    return "text" if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in raw[:16]) else "other"


def _wal_facts(main: Buffer, data: Buffer | None, log: Wal | None, view: PageSource) -> WalFacts | None:
    if log is None or data is None:
        return None
    repair = ""
    if log.end is ChainEnd.HEADER:
        repair = _in_words(flipped_wal_header_bits(data.read(0, 32)), "the WAL's header")
    elif log.tail_frames and log.end in (ChainEnd.CHECKSUM, ChainEnd.SALT, ChainEnd.PAGE_ZERO):
        repair = _in_words(flipped_frame_bits(data, log), f"frame {log.valid + 1}")
    remains = []
    for generation in generations(data, log).found:
        proven = sum(sum(at > 1 or remnant.first_proven for at in remnant.commits) for remnant in generation.remnants)
        remains.append(Remains(generation.salts, generation.current, generation.frames, proven))
    first_one = next((frame for frame, page in enumerate(log.pages[: log.committed]) if page == 1), None)
    counter = -1
    if first_one is not None:
        header = read_header(data.read(log.offset(first_one) + 24, 512), log.page_size).header
        counter = header.change_counter if header else -1
    return WalFacts(
        bytes=log.size,
        problem=log.problem,
        salts=log.header.salts if log.header else (0, 0),
        page_size=log.page_size,
        chain=log.valid,
        commits=len(log.commits),
        committed=log.committed,
        database_pages=log.database_pages,
        end=str(log.end),
        repair=repair,
        remains=tuple(remains),
        first_counter=counter,
        holes=_holes(main, log, view) if log.committed and main.size else 0,
    )


def _in_words(flips: tuple[Flip, ...], of: str) -> str:
    if not flips:
        return ""
    one = f"bit {flips[0].bit} of byte {flips[0].byte}"
    which = one if len(flips) == 1 else f"one of {len(flips)} bits, such as {one},"
    return f"{which} of {of} turned over makes it right"


def _holes(main: Buffer, log: Wal, view: PageSource) -> int:
    """Pages that the last commit counts, and that neither the WAL nor the main file has."""
    held = main.size // log.page_size
    if view.claimed_pages <= held:
        return 0
    beyond = sum(page > held for page in view.overlay)
    return view.claimed_pages - held - beyond - (held < view.lock_page <= view.claimed_pages)


def _timeline(main: Buffer, data: Buffer | None, log: Wal | None, found: Accounting) -> list[CommitFacts]:
    if log is None or data is None or not log.commits:
        return []
    owners = owners_of(found)
    return [
        CommitFacts(
            number=commit.number,
            frames=commit.frames,
            pages=len(commit.pages),
            database_pages=commit.database_pages,
            in_main=commit.in_main,
            trees=tuple(sorted({owners[page] for page in commit.pages if page in owners}))[:TREES_MAX],
        )
        for commit in commits(main, data, log, last=TIMELINE_MAX)
    ]


def _shm_facts(index: WalIndex | None) -> ShmFacts | None:
    if index is None:
        return None
    known = index.header
    return ShmFacts(
        bytes=index.size,
        problem=index.problem,
        max_frame=known.max_frame if known else 0,
        backfilled=index.backfilled,
        attempted=index.backfill_attempted,
        read_marks=tuple(mark for mark in index.read_marks if mark != 0xFFFFFFFF),
        salts=known.salts if known else (0, 0),
    )


def _journal_facts(undo: Journal | None) -> JournalFacts | None:
    if undo is None:
        return None
    return JournalFacts(
        undo.size, str(undo.state), len(undo.pages), undo.original_pages, undo.super_journal, undo.problem
    )


def _features(
    facts: Facts,
    report: HeaderReport,
    log: Wal | None,
    index: WalIndex | None,
    undo: Journal | None,
    *,
    was_one: bool,
    nothing_yet: bool,
) -> dict[str, str]:
    """The features; `was_one`: what is no database now has pages that look like those of one."""
    header, wal = facts.header, facts.wal
    committed = log.committed if log else 0
    hot = undo is not None and undo.state is JournalState.HOT
    readable = header.kind == FileKind.DATABASE or was_one or (facts.whole.scope == SOUND and committed > 0)
    readable = readable and not nothing_yet
    features = {
        "main": NOT_BEGUN if nothing_yet else header.kind,
        "main.mode": header.mode,
        "main.start": header.starts_with,
        "main.pages": "short" if report.missing_pages else "whole",
        "main.size": "none" if nothing_yet else _size(facts, covered=bool(committed or hot)),
        "alone": facts.alone.scope if header.kind == FileKind.DATABASE else "none",
        "damage": facts.whole.scope if readable else "none",
        "damage.where": (facts.whole.where or "none") if readable else "none",
        "one.bit": "yes" if facts.whole.repair else "no",
        "wal": "missing",
        "wal.end": "none" if log is None else str(log.end),
        "wal.fit": "none",
        "wal.base": "none",
        "wal.tail": "none",
        "wal.seam": "none",
        "wal.gone": "no",
        "wal.restarted": "no",
        "wal.commits": "some" if committed else "none",
        "shm": "missing",
        "shm.frames": "none",
        "shm.starved": _starved(index),
        "journal": "present" if undo is not None and undo.size else "missing",
        "journal.state": "missing" if undo is None else str(undo.state),
    }
    if log is not None and committed and header.kind == FileKind.DATABASE:
        lone, both = facts.alone.scope == SOUND, facts.whole.scope == SOUND
        features["wal.fit"] = ("ok" if lone else "repairs") if both else ("breaks" if lone else "neither")
        features["mode.clash"] = "yes" if header.mode == "rollback" else "no"
    if index is not None:
        features["shm"] = "impossible" if index.impossible else ("index" if index.header else "unusable")
        if features["shm"] == "unusable" and index.size >= _SHM_READ:
            features["shm"] = "not built"  # zeros, or a writer died between the copies: the next opener builds it
        elif features["shm"] == "unusable" and index.size in _SHM_OPENING:
            features["shm"] = "opening"  # the first opener makes it, and cuts it to 3 bytes, before it is built
    known = index.header if index is not None else None
    if known is not None and known.max_frame and (log is None or log.end is ChainEnd.EMPTY):
        features["wal.gone"] = "yes"
    if log is not None and log.header is not None and known is not None:
        if known.salts != log.header.salts:
            features["shm.frames"] = "other" if known.max_frame else "restarted"
        elif known.max_frame == committed:
            features["shm.frames"] = "equal"
        else:
            features["shm.frames"] = "behind" if known.max_frame < committed else "ahead"
    if log is not None and wal is not None:
        features["wal"] = wal_word(log)
    return features


def _nothing_yet(report: HeaderReport, main: Buffer, undo: Journal | None) -> bool:
    """Whether the first transaction ever was under way: the journal takes the file back to no page at all.

    The change counter, 1 after that transaction, tells it from an old database beside another one's journal.
    """
    if undo is None or undo.state is not JournalState.HOT or undo.original_pages:
        return False
    if report.kind is FileKind.DATABASE and report.header is not None:
        return report.header.change_counter <= 1
    return report.kind in (FileKind.ZERO_LENGTH, FileKind.TRUNCATED) or not main.read(0, 100).strip(b"\0")


def _starved(index: WalIndex | None) -> str:
    """Whether a checkpoint ended at a reader's mark, with many frames behind it that it was to copy."""
    known = index.header if index is not None else None
    if index is None or known is None:
        return "none"
    at_mark = index.backfilled and index.backfilled == index.backfill_attempted in index.read_marks[1:]
    return "yes" if at_mark and known.max_frame - index.backfilled >= STARVED_FRAMES else "no"


def _takes_rows(alone: Accounting, whole: Accounting) -> bool:
    """Whether some table has fewer rows with the WAL than without it: deleted by it, or never to have been replayed."""
    rows = {use.tree.name: use.entries for use in alone.trees if not use.tree.index}
    return any(use.entries < rows.get(use.tree.name, 0) for use in whole.trees if not use.tree.index)


def _size(facts: Facts, *, covered: bool) -> str:
    """The main file's length against its header; not told where a WAL or journal explains any."""
    header = facts.header
    if not header.header_pages or (covered and facts.whole.scope == SOUND):
        return "none"
    if header.pages == header.header_pages:
        return "exact"
    if covered and header.pages > header.header_pages:
        return "none"
    return "short" if header.pages < header.header_pages else "long"
