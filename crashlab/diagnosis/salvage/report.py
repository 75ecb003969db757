"""What a salvage made, from what, and what is missing, as plain data: the ledger beside the new database is this."""

import msgspec

from crashlab.diagnosis.evidence import Evidence

FORMAT_VERSION = 1

__all__ = ["Choice", "Evidence", "Gap", "Image", "Listing", "Mended", "Report", "Table"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts."""


class Mended(Struct, frozen=True):
    """A broken frame or header of a WAL's copy, made right. `proven`: by its checksum, and only one way fits."""

    wal: str
    frame: int
    what: str
    proven: bool


class Choice(Struct, frozen=True):
    """One database that the files can give.

    `id`: GENERATION:COMMIT, or `main`. `kind`: main file, rolled back, chain, behind a break, earlier generation.
    `commits`: of its generation up to and with this one. `frames`: the last frame used, from 1. `pages`: the
    database's size. `scope`: sound, or the worst of its damage; empty where nobody looked. `rows`: by table,
    where they were counted. `marks`: what speaks against it.
    """

    id: str
    kind: str
    wal: str = ""
    commits: int = 0
    frames: int = 0
    pages: int = 0
    page_size: int = 0
    scope: str = ""
    problems: int = 0
    rows: dict[str, int] = {}
    marks: tuple[str, ...] = ()


class Listing(Struct, frozen=True):
    """All that can be chosen; `chosen` is the default, by `rule`. `hidden` counts the commits that are not listed."""

    path: str
    evidence: tuple[Evidence, ...]
    unchanged: bool
    choices: tuple[Choice, ...]
    hidden: int
    chosen: str
    rule: str
    mended: tuple[Mended, ...]
    format_version: int = FORMAT_VERSION

    @property
    def exit_code(self) -> int:
        """0; 3 where nothing can be chosen, or the originals changed."""
        return 0 if self.chosen and self.unchanged else 3


class Gap(Struct, frozen=True):
    """Where rows are missing or cut: the page, why, and the rowids above `after` and not above `upto`."""

    page: int
    why: str
    after: int | None = None
    upto: int | None = None


class Table(Struct, frozen=True):
    """One table of the new database, or one that could not be made.

    `rows`: in it now. `merged`, `orphans`, `renumbered`: how many of those came so. `aside`: rows that could not be
    put into it and stand in `aside_table`. `gaps`: the first of `gaps_total`. `problem`: why it is not there.
    """

    name: str
    rows: int = 0
    merged: int = 0
    orphans: int = 0
    renumbered: int = 0
    aside: int = 0
    aside_table: str = ""
    gaps: tuple[Gap, ...] = ()
    gaps_total: int = 0
    problem: str = ""


class Image(Struct, frozen=True, array_like=True):
    """Where one page of the source came from, when not from the main file: frames count from 1."""

    page: int
    frame: int
    proven: bool = True


class Report(Struct, frozen=True):
    """The ledger. `method`: pages (its page images as they are) or rows (lifted tree by tree, put in by SQLite).

    `complete`: all that the source holds is there, and all checks passed. `missing`: what is not, one line each.
    `images`: pages that came from the WAL. `merged`: generations whose rows were added. `checks`: of the new file.
    """

    path: str
    new: str
    sha256: str
    bytes: int
    evidence: tuple[Evidence, ...]
    unchanged: bool
    source: Choice
    rule: str
    alternatives: tuple[Choice, ...]
    method: str
    why_method: str
    mended: tuple[Mended, ...]
    images: tuple[Image, ...]
    tables: tuple[Table, ...]
    merged: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    checks: dict[str, tuple[str, ...]]
    format_version: int = FORMAT_VERSION

    @property
    def complete(self) -> bool:
        """Whether nothing of the source is missing, set aside or in doubt, and every check passed."""
        aside = any(table.aside or table.gaps_total or table.problem or table.orphans for table in self.tables)
        doubt = self.source.marks or not all(mended.proven for mended in self.mended)
        return not (aside or doubt or self.missing or any(self.checks.values()))

    @property
    def exit_code(self) -> int:
        """0 complete, 1 with something missing, set aside or in doubt."""
        return 0 if self.complete and self.unchanged else 1
