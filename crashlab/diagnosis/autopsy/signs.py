"""The signs: which features of the files are never there in health, what each means, and what follows from it."""

from crashlab.diagnosis.autopsy.report import Verdict
from crashlab.diagnosis.live.features import NORMAL

__all__ = ["abnormal", "in_words", "is_proof", "verdict_of", "with_checks"]

HEALTHY = {
    "main": "SQLite database|not begun",
    "main.size": "none|exact",
    "damage": "sound|none",
    "damage.where": "none",
    "one.bit": "no",
    "wal.fit": "none|ok|repairs",
    "wal.base": "none|fits",
    "wal.tail": "none|uncommitted",
    "wal.seam": "none",
    "wal.gone": "no",
    "mode.clash": "no",
    "shm": "missing|index|not built|opening",
    "shm.frames": "none|equal|behind|restarted",
    "shm.starved": "none|no",
    "integrity_check": "ok|not asked",
    "rows.lost": "none",
    "rows.changed": "none",
    "backup.lost": "none",
    **NORMAL,
}
"""Feature -> the values that a closed, a live or a merely crashed database shows. One that is not here says nothing.

A WAL that is `broken` is not here: a killed transaction that had spilled leaves that on a sound database. Nor is an
index that is `behind`: a kill between the commit's frames and the index leaves that. Nor is a WAL that has a new header
and only frames of an earlier generation: a kill between the header and the first frame leaves that. Nor is a -shm of
0 or 3 bytes: a kill at the first opener's open leaves that.
"""

_WORDS = {
    ("main", "zero length"): "the main file has zero length",
    ("main", "missing"): "there is no main file",
    ("main", "not a database"): "the main file does not begin as a SQLite database",
    ("main", "truncated"): "the main file ends within its first page",
    ("main", "encrypted-looking"): "the main file is random-looking bytes: an encrypted database?",
    ("main.start", "text"): "text stands where the database header was",
    ("main.start", "b-tree page"): "a b-tree page stands where page 1 was",
    ("main.size", "short"): "the main file is shorter than its header says",
    ("main.size", "long"): "the main file is longer than its header says, and no WAL explains it",
    ("damage", "structural"): "rows or the schema are in doubt",
    ("damage", "index only"): "the damage is in an index: its table has the rows",
    ("damage", "FTS only"): "the damage is in the index of a full-text table: its content is there",
    ("damage", "space only"): "the damage is in the book-keeping of pages: every row can be read",
    ("damage.where", "trees"): "b-trees or the book-keeping of pages are malformed",
    ("damage.where", "keys"): "all b-trees are well formed, and an index disagrees with its table",
    ("one.bit", "yes"): "a single bit turned over makes everything sound again",
    ("wal.fit", "breaks"): "the main file alone is sound; with its WAL it is malformed",
    ("wal.fit", "neither"): "the main file is malformed, alone and with its WAL",
    ("wal.base", "older"): "the WAL was begun on an older main file than this one",
    ("wal.base", "newer"): "the WAL was begun on a newer main file than this one",
    ("wal.tail", "commits"): "the WAL holds whole commits that no opener will ever reach",
    ("wal.tail", "unread"): "the WAL's header is invalid, so that no opener reads any of it",
    ("wal.seam", "one bit"): "the chain of the WAL breaks at one flipped bit",
    (
        "wal.seam",
        "clean",
    ): "behind its last commit the WAL goes on, in one piece, with whole frames that do not follow from it",
    ("wal.seam", "gaps"): "behind the end of the chain whole frames of this WAL stand between torn or old ones",
    ("wal.gone", "yes"): "the wal-index counts committed frames, and the WAL they were in is gone or emptied",
    ("mode.clash", "yes"): "a WAL with commits lies beside a main file in rollback mode",
    ("shm", "impossible"): "the wal-index counts more frames as checkpointed than there are: the WAL-reset defect",
    ("shm", "unusable"): "the wal-index was cut short",
    ("shm.frames", "ahead"): "the wal-index knows of commits that the WAL does not give",
    ("shm.frames", "other"): "the wal-index is of another generation than the WAL",
    ("shm.frames", "behind"): "the WAL holds a commit that the wal-index does not know of",
    ("shm.starved", "yes"): "a reader held the checkpoint back: it ended at the reader's mark, far from the WAL's end",
    ("wal.takes", "rows"): "some table has fewer rows with the WAL than without it",
    ("backup.lost", "suffix"): "rows of the backup are gone, lost or deleted since, and no later ones are there",
    ("backup.lost", "gap"): "rows of the backup are gone, lost or deleted since, and later ones are there",
    ("backup.lost", "all"): "a table has none of the rows that the backup has, lost or deleted since",
    ("integrity_check", "fails"): "SQLite's own integrity_check fails on a private copy",
    ("rows.lost", "suffix"): "the last rows of the ledger are missing, without a gap",
    ("rows.lost", "gap"): "rows of the ledger are missing, and later ones are there",
    ("rows.lost", "all"): "all rows of the ledger are missing",
    ("rows.changed", "some"): "rows of the ledger have other content",
    ("live.ghost_wal", "commits"): "while it was in use: a process held a WAL without a name, with commits",
    ("live.main_locks", "lost"): "while it was in use: a process had no lock on the main file",
    ("live.shm_locks", "lost"): "while it was in use: a process had no lock on the -shm",
    ("live.links", "several"): "while it was in use: the main file had several names",
    ("live.backfill", "impossible"): "while it was in use: more frames counted as checkpointed than there were",
}
_PROOFS = {("shm", "impossible"), ("wal.seam", "one bit"), ("main", "zero length"), ("shm", "unusable")}
_LOSSY = {
    "wal.tail": "commits",
    "shm.frames": "ahead|other",
    "wal.gone": "yes",
    "shm": "impossible",
    "wal.base": "older|newer",
    "mode.clash": "yes",
    "rows.lost": "suffix|gap|all",
    "rows.changed": "some",
    "live.ghost_wal": "commits",
    "live.backfill": "impossible",
}


def abnormal(features: dict[str, str]) -> dict[str, str]:
    """The features that are never there in health."""
    return {name: features[name] for name in HEALTHY if name in features and not _is_healthy(name, features[name])}


def _is_healthy(name: str, value: str) -> bool:
    return value in HEALTHY[name].split("|")


def with_checks(features: dict[str, str], checks: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Add what SQLite's own checks of a private copy said: ok, fails or not asked."""
    said = {name: "fails" if lines else "ok" for name, lines in checks.items()}
    return {"quick_check": "not asked", "integrity_check": "not asked", **features, **said}


def in_words(name: str, value: str) -> str:
    """A feature as a sentence."""
    if name in ("live.unlinked", "live.strayed") and (name, value) not in _WORDS:
        how = "had lost its name" if name == "live.unlinked" else "had a name that led to another file, or to none"
        return f"while it was in use: what a process held as {value.replace('+', ', ')} {how}"
    return _WORDS.get((name, value), f"{name}: {value}")


def is_proof(signs: dict[str, str]) -> bool:
    """Whether one of the signs has a single explanation."""
    return any(item in _PROOFS for item in signs.items())


def verdict_of(features: dict[str, str], *, unchanged: bool) -> Verdict:
    """Healthy only where no sign speaks against it; damaged before lossy; else it cannot be told.

    A file longer than its header, or a wal-index that is cut or far behind, is no loss by itself, and rows that are
    gone since a backup may have been deleted. A file that is no database at all and has
    no WAL could be anything.
    """
    signs = abnormal(features)
    if not unchanged:
        return Verdict.CANNOT_TELL
    if "damage" in signs:
        return Verdict.DAMAGED
    if "integrity_check" in signs or features["main"] == "truncated":
        return Verdict.DAMAGED
    if "main" in signs and features.get("wal.commits") == "some":
        return Verdict.LOSSY if features["main"] in ("zero length", "missing") else Verdict.DAMAGED
    if any(signs.get(name, "-") in values.split("|") for name, values in _LOSSY.items()):
        return Verdict.LOSSY
    return Verdict.CANNOT_TELL if set(signs) - {"shm", "shm.starved"} else Verdict.HEALTHY
