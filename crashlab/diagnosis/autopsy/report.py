"""What an autopsy found, as plain data: the JSON report is exactly this."""

from enum import StrEnum

import msgspec

from crashlab.diagnosis.evidence import Evidence

FORMAT_VERSION = 1

__all__ = [
    "BackupFacts", "CommitFacts", "Damage", "Evidence", "Facts", "HeaderFacts", "JournalFacts", "LedgerFacts", "Named",
    "Remains", "Report", "ShmFacts", "Verdict", "WalFacts",
]  # fmt: skip


class Verdict(StrEnum):
    """HEALTHY: the files show no damage and no loss, perhaps a crash. What they cannot show is not ruled out."""

    HEALTHY = "healthy"
    DAMAGED = "damaged"
    LOSSY = "lossy"
    CANNOT_TELL = "cannot tell"


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts."""


class HeaderFacts(Struct, frozen=True):
    """The main file. `pages` counts what the file holds, `header_pages` what its header says (0: not to be trusted)."""

    kind: str
    detail: str
    starts_with: str
    bytes: int = 0
    pages: int = 0
    header_pages: int = 0
    page_size: int = 0
    mode: str = "none"
    change_counter: int = 0
    schema_cookie: int = 0
    freelist_pages: int = 0
    auto_vacuum: str = "none"
    encoding: str = ""
    user_version: int = 0
    written_by: str = ""


class Remains(Struct, frozen=True):
    """Frames behind the end of the chain with the same salts. `commits`: those whose whole frame is proven."""

    salts: tuple[int, int]
    current: bool
    frames: int
    commits: int


class WalFacts(Struct, frozen=True):
    """The WAL. Frames count from 1. `chain`: valid frames; `committed`: up to the last commit; `end`: why it ended.

    `repair`: the one bit that would make the frame (or the header) that ends it right, in words; else empty.
    `first_counter`: change counter of the first image of page 1, -1 without one. `holes`: pages that the last commit
    counts and neither the WAL nor the main file has.
    """

    bytes: int
    problem: str
    salts: tuple[int, int]
    page_size: int
    chain: int
    commits: int
    committed: int
    database_pages: int
    end: str
    repair: str
    remains: tuple[Remains, ...]
    first_counter: int
    holes: int


class CommitFacts(Struct, frozen=True):
    """A commit that is still visible. `in_main`: its pages that main has byte for byte; `trees`: what it wrote."""

    number: int
    frames: int
    pages: int
    database_pages: int
    in_main: int
    trees: tuple[str, ...]


class ShmFacts(Struct, frozen=True):
    """The wal-index: evidence of the moment of death, never of what is durable."""

    bytes: int
    problem: str
    max_frame: int
    backfilled: int
    attempted: int
    read_marks: tuple[int, ...]
    salts: tuple[int, int]


class JournalFacts(Struct, frozen=True):
    """The rollback journal. `state` as in :class:`crashlab.sqlite.journal.JournalState`."""

    bytes: int
    state: str
    pages: int
    original_pages: int
    super_journal: str
    problem: str


class Damage(Struct, frozen=True):
    """One view of the database. `scope`: sound, or the worst of its damage. `trees`: name -> number of problems.

    `where`: keys where every tree is well formed and only an index disagrees with its table; else trees. `repair`:
    the one bit that would make everything sound, in words; else empty.
    """

    scope: str
    where: str = ""
    total: int = 0
    lines: tuple[str, ...] = ()
    trees: dict[str, int] = {}
    repair: str = ""


class LedgerFacts(Struct, frozen=True):
    """What became of the rows in the ledger. `order`: none, all, suffix or gap."""

    acked: int
    lost: int
    changed: int
    order: str
    examples: tuple[str, ...]
    problem: str = ""


class BackupFacts(Struct, frozen=True):
    """Rows of a backup, by table: gone from the database, or with other content now. `problem`: why not compared.

    `one_bit`: leaf pages whose content differs in a single bit: a flip, or an update of one value. `ahead`: the
    backup's change counter or schema cookie is higher: this file is older, or another copy with counts of its own.
    """

    missing: dict[str, int] = {}
    problem: str = ""
    changed: dict[str, int] = {}
    one_bit: tuple[int, ...] = ()
    ahead: bool = False


class Facts(Struct, frozen=True):
    """All that the bytes say. `whole`: the database as the next opener gets it; `alone`: the main file by itself."""

    header: HeaderFacts
    wal: WalFacts | None
    shm: ShmFacts | None
    journal: JournalFacts | None
    alone: Damage
    whole: Damage
    commits: tuple[CommitFacts, ...]
    features: dict[str, str]


class Named(Struct, frozen=True):
    """A mechanism, by the id of its exhibit. `supports` and `against` list signs in words."""

    id: str
    title: str
    supports: tuple[str, ...]
    against: tuple[str, ...]
    links: tuple[str, ...] = ()


class Report(Struct, frozen=True):
    """The whole answer. `first`: the mechanisms that fit best; the files cannot tell between them.

    `confidence`: shown, likely, possible or none. `others`: fit less well. `ruled_out`: id -> the sign that speaks
    against it. `unexplained`: signs that no mechanism of `first` explains.
    """

    path: str
    evidence: tuple[Evidence, ...]
    unchanged: bool
    verdict: Verdict
    why: tuple[str, ...]
    facts: Facts
    checks: dict[str, tuple[str, ...]]
    ledger: LedgerFacts | None
    backup: BackupFacts | None
    signs: dict[str, str]
    confidence: str
    first: tuple[Named, ...]
    others: tuple[Named, ...]
    ruled_out: dict[str, str]
    unexplained: tuple[str, ...]
    ask_next: tuple[str, ...]
    do_not: tuple[str, ...]
    notes: tuple[str, ...]
    format_version: int = FORMAT_VERSION

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 damaged or lossy, 3 cannot tell."""
        return {Verdict.HEALTHY: 0, Verdict.CANNOT_TELL: 3}.get(self.verdict, 1)
