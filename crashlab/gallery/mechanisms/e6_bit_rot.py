"""E6: a bad byte in the main file: SQLite has no page checksums, so it depends on the byte what is noticed."""

from crashlab.gallery.exhibit import CLEAN, Exhibit, Features
from crashlab.gallery.mechanisms._bytes import find, flip
from crashlab.gallery.stage.stage import SCHEMA, Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.header import read_header

LINKS = ("https://sqlite.org/fileformat2.html",)
ADVICE = (
    "let rows that matter carry a checksum of themselves, and check it when they are read",
    "use a file system that checks its blocks (ZFS, Btrfs), or SQLite's checksum VFS (cksumvfs)",
    "restore the row or the file from a backup; 'it passes integrity_check' says nothing about contents",
)
_CLEAN = {**CLEAN, "rows.changed": "none"}
_TYPE_BITS = (0, 1, 2, 4, 5, 6, 7)
"""Bits of a b-tree page's first byte; bit 3 would make a leaf's an interior page's."""


def _closed(stage: Stage, *, index: bool) -> list[list[str]]:
    """Rows in a main file alone, closed in good order; returns them."""
    writer = stage.opener("W")
    writer.sql("PRAGMA secure_delete=ON")  # so that a value stands in one place only, not in freed bytes too
    for statement in SCHEMA if index else SCHEMA[:1]:
        writer.sql(statement)
    count = 10 + stage.rng("pre").randrange(30)
    stage.insert(writer, "pre", count)
    writer.close()
    stage.step("W commits rows and closes: all is in the main file")
    return stage.rows("pre", count)


def _flip_in_a_value(stage: Stage, *, index: bool) -> None:
    rows = _closed(stage, index=index)
    rng = stage.rng("bit")
    key, value = rows[rng.randrange(len(rows))]
    at = find(stage.main, (key + value).encode()) + len(key) + rng.randrange(len(value))
    bit = rng.randrange(4)  # another printable character, so that the text stays a text
    if not stage.control:
        flip(stage.main, at, bit)
        stage.step(f"bit {bit} of byte {at} of the main file flips, in the value of row {key}")


def content(stage: Stage) -> None:
    """In a value that no index has."""
    _flip_in_a_value(stage, index=False)


def indexed(stage: Stage) -> None:
    """In a value that an index has too."""
    _flip_in_a_value(stage, index=True)


def page(stage: Stage) -> None:
    """In the first byte of the table's root page."""
    _closed(stage, index=True)
    rng = stage.rng("bit")
    header = read_header(stage.main.read_bytes()[:512]).header
    size = header.page_size if header else 0
    bit = _TYPE_BITS[rng.randrange(len(_TYPE_BITS))]
    if not stage.control:
        flip(stage.main, size, bit)
        stage.step(f"bit {bit} of the first byte of page 2, the table's root, flips")


def _picture(lost: str, changed: str, error: str, quick: str, integrity: str) -> Features:
    return {
        "rows.lost": lost,
        "rows.unacked": "none",
        "rows.changed": changed,
        "open.error": error,
        "quick_check": quick,
        "integrity_check": integrity,
        "main": "SQLite database",
        "main.pages": "whole",
        "wal": "missing",
        "journal": "missing",
    }


EXHIBITS = (
    Exhibit(
        id="e6",
        title="bit rot in a value: another content is read, and both checks say ok",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A bit flips on the disk, in memory before the write, or in a copy. SQLite's pages have no checksums; "
            "unless the byte belongs to a structure, nothing can notice it."
        ),
        control="the bit stays as it is",
        run=content,
        picture=_picture("none", "some", "none", "ok", "ok"),
        clean=_CLEAN,
        symptom="one value is slightly wrong: a letter, a digit, a price; nothing else is",
        advice=ADVICE,
        mistaken_for=("a bug in the application", "a manual change"),
        links=LINKS,
    ),
    Exhibit(
        id="e6-index",
        title="bit rot in an indexed value: integrity_check fails, quick_check says ok",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As e6, in a column that has an index. Table and index now disagree; quick_check does not compare them, "
            "integrity_check does. Which of the two is right, neither can say."
        ),
        control="the bit stays as it is",
        run=indexed,
        picture=_picture("none", "some", "none", "ok", "fails"),
        clean=_CLEAN,
        symptom="'row N missing from index'; a lookup by index does not find a row that a scan shows",
        advice=("before REINDEX look which of the two is right: it takes the table's word", *ADVICE),
        mistaken_for=("the WAL-reset bug", "a missing index"),
        links=LINKS,
    ),
    Exhibit(
        id="e6-page",
        title="bit rot in a page's header: the table is malformed",
        fault_class=FaultClass.INTERFERENCE,
        happens="As e6, in a byte that says what kind of page it is: every reader of the table fails.",
        control="the bit stays as it is",
        run=page,
        picture=_picture("all", "none", "SQLITE_CORRUPT", "fails", "fails"),
        clean=_CLEAN,
        symptom="'database disk image is malformed' for one table, while others can be read",
        advice=("copy the file before anything else; salvage what the index and other pages still have", *ADVICE),
        mistaken_for=("the kill", "a stale WAL"),
        links=LINKS,
    ),
)
