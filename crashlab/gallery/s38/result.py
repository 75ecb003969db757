"""What a reproduction of S38 found, as plain data; the words and the tables are made from this alone."""

import msgspec

from crashlab.errors import RecordError
from crashlab.gallery.s38.tour import TourRow
from crashlab.model.finding import Verdict

FORMAT_VERSION = 1
RESTARTED = "restarted"
COPIED_WHOLE = "copied-whole"
WAL_DELETED = "wal-deleted"
MAIN_ALONE = "main-alone"
INTERRUPTED = "interrupted"
"""How `Reproduction.stopped` begins after a Ctrl-C."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run's input. `rows` acked commits, the first `settled` checkpointed; `batch` rows left uncommitted.

    `fault` is the canonical text of the hang-up, `close_s` how long the engine's `close()` winds up before
    it writes, `hold_s` how long the writer waits for its end after the last commit.
    """

    seed: int
    rows: int
    settled: int
    batch: int
    auto_checkpoint: int
    fault: str
    close_s: float
    hold_s: float
    deadline_s: float


class OnDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files as the dead writer left them, read from a copy made before SQLite touched anything.

    `sizes`: file name to bytes. `frames_committed` and `frames_uncommitted` are the readable ones;
    `chain_end` is why reading ended there. Behind it lie `frames_unread` of this round of the log, which the
    open transaction wrote (SQLite rewrites such frames in place and puts the checksums right at the commit),
    and `frames_old` of an earlier round, before the log was started again.

    Exposure is what only the WAL has: `exposed_frames`, `exposed_pages`, `exposed_commits`, `exposed_rows`
    (acked), and `exposed_s`, the age in seconds of the oldest of these rows at the writer's end.
    `main_alone`: readable, no-schema, malformed, empty or missing.
    """

    sizes: dict[str, int]
    frames_committed: int
    frames_uncommitted: int
    commits: int
    chain_end: str
    frames_unread: int
    frames_old: int
    exposed_frames: int
    exposed_pages: int
    exposed_bytes: int
    exposed_commits: int
    exposed_rows: int
    exposed_s: float
    main_alone: str
    main_alone_rows: int


class Fate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one treatment of the same evidence gave back when the program opened it again.

    `lost`: acked rows that are not there, from `lost_first` to `lost_last`; `lost_gap` if an acked row
    behind a lost one is there. `unacked`: rows that were never committed, yet there. `damaged`: rows whose
    content fails its own checksum. `ended_mark`: the session's end, which only `close()` writes, is there.
    The checks are SQLite's own, empty when it says ok. `error`: the program could not open or read it.
    """

    name: str
    done: str
    fault: str
    fault_class: str
    acked: int
    found: int = 0
    lost: int = 0
    lost_first: int = 0
    lost_last: int = 0
    lost_gap: bool = False
    unacked: int = 0
    damaged: int = 0
    ended_mark: bool = False
    quick_check: tuple[str, ...] = ()
    integrity_check: tuple[str, ...] = ()
    error: str = ""

    @property
    def sound(self) -> bool:
        """It could be opened and SQLite's own checks have no complaint; rows may still be missing."""
        return not (self.error or self.quick_check or self.integrity_check)


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One terminal closed on one writer.

    PASS: the writer ran when the terminal closed and died of it, and everything was as SQLite promises.
    FAIL: it fired, and `problems` says what contradicts the promise. MISSED: it never fired, and nothing
    was judged. ERROR: the lab broke.
    """

    plan: Plan
    verdict: Verdict
    how: str
    acked: int = 0
    on_disk: OnDisk | None = None
    fates: tuple[Fate, ...] = ()
    problems: tuple[str, ...] = ()
    settings: dict[str, str] = {}

    @property
    def reproduced(self) -> bool:
        """The terminal was closed on a running writer, which died of it, and the story held."""
        return self.verdict is Verdict.PASS

    def fate(self, name: str) -> Fate:
        """Return the fate of that name; KeyError for a run that was not judged."""
        for fate in self.fates:
            if fate.name == name:
                return fate
        raise KeyError(name)


class Reproduction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All runs of one reproduction. `stopped`: why there are fewer than `wanted`, or empty.

    `tour`: what other mechanisms, played beside it, did to the file.
    """

    seed: int
    wanted: int
    runs: tuple[Run, ...]
    stopped: str
    environment: dict[str, str]
    tour: tuple[TourRow, ...] = ()
    exhibit: str = "s38"
    format_version: int = FORMAT_VERSION

    def count(self, verdict: Verdict) -> int:
        """How many runs ended so."""
        return sum(run.verdict is verdict for run in self.runs)

    @property
    def shown(self) -> Run:
        """The run worth reading: the first that failed, else the first that was judged, else the first."""
        for wanted in (Verdict.FAIL, Verdict.PASS):
            for run in self.runs:
                if run.verdict is wanted:
                    return run
        return self.runs[0]

    @property
    def exit_code(self) -> int:
        """0 when every wanted run reproduced it, 1 if one contradicts SQLite's promise, 3 if any has no answer.

        130 after a Ctrl-C.
        """
        if self.stopped.startswith(INTERRUPTED):
            return 130
        if self.count(Verdict.FAIL):
            return 1
        return 0 if self.count(Verdict.PASS) == self.wanted else 3

    def encode(self) -> bytes:
        """Return the JSON form."""
        return msgspec.json.encode(self)


def decode_reproduction(data: bytes) -> Reproduction:
    """Read the JSON form back.

    Raises:
        RecordError: not such a record, or of a newer format version.
    """
    try:
        found = msgspec.json.decode(data, type=Reproduction)
    except msgspec.MsgspecError as error:
        raise RecordError(f"not a record of 'crashlab repro s38' ({error})") from None
    if not 1 <= found.format_version <= FORMAT_VERSION:
        raise RecordError(
            f"a record of format version {found.format_version}, this crashlab reads up to {FORMAT_VERSION}; "
            "upgrade crashlab to read it"
        )
    return found
