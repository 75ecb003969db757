"""D3: somebody deletes the -wal (or the hot -journal) of a killed process, to unlock the database or to tidy up."""

from pathlib import Path

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass


def wal(stage: Stage) -> None:
    """Everything since the last checkpoint is in the file that is deleted."""
    writer = stage.opener("W", *WAL, "wal_autocheckpoint=0")
    stage.create(writer)
    stage.insert(writer, "pre", 50 + stage.rng("pre").randrange(50), together=True)
    writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    stage.insert(writer, "late", 50 + stage.rng("late").randrange(50))
    stage.step("W commits rows, checkpoints, and commits more, each acknowledged")
    writer.kill()
    stage.step("W is killed: -wal and -shm stay, as they should")
    if not stage.control:
        Path(f"{stage.main}-wal").unlink()
        stage.step("somebody deletes the -wal")


def journal(stage: Stage) -> None:
    """A rollback journal holds the pages as they were before a transaction that did not end."""
    writer = stage.opener("W", "journal_mode=DELETE", "synchronous=FULL", "cache_size=10")
    stage.create(writer)
    stage.insert(writer, "pre", 300 + stage.rng("pre").randrange(50), together=True)
    stage.step("W commits rows, in rollback mode")
    writer.sql("BEGIN IMMEDIATE")
    writer.sql("UPDATE t SET v = 'y' || v")
    stage.step("W changes all rows in a transaction; its cache is small, so changed pages are in the main file already")
    writer.kill()
    stage.step("W is killed before it commits: the -journal stays, as it should")
    if not stage.control:
        Path(f"{stage.main}-journal").unlink()
        stage.step("somebody deletes the -journal")


ADVICE = (
    "never delete -wal or -journal: open and close the database with SQLite, which brings them home",
    "find who holds the lock instead (crashlab hazards, lsof); a file left by a kill locks nobody out",
)

EXHIBITS = (
    Exhibit(
        id="d3",
        title="-wal deleted after a kill: everything since the last checkpoint is gone",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A killed process leaves -wal and -shm. They are no debris: -wal holds every commit since the last "
            "checkpoint. Somebody deletes it, and the main file alone is a valid, older database."
        ),
        control="nobody deletes it",
        run=wal,
        picture={
            "rows.lost": "suffix",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "main.mode": "wal",
            "wal": "missing",
            "shm": "index",
        },
        clean={**CLEAN, "wal": "commits"},
        symptom="rows since the last checkpoint are missing; both checks say ok; no error anywhere",
        advice=ADVICE,
        mistaken_for=("the kill", "synchronous=NORMAL", "the checkpoint"),
        links=("https://sqlite.org/howtocorrupt.html", "https://sqlite.org/wal.html"),
    ),
    Exhibit(
        id="d3-journal",
        title="hot -journal deleted after a kill: half of a transaction stays, the file is malformed",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "In rollback mode the -journal of a killed process holds the pages as they were. The next opener would put "
            "them back. Somebody deletes it, and the pages that the transaction had changed so far stay."
        ),
        control="nobody deletes it",
        run=journal,
        picture={
            "rows.changed": "some",
            "quick_check": "fails",
            "integrity_check": "fails",
            "main.mode": "rollback",
            "journal": "missing",
        },
        clean={**CLEAN, "rows.changed": "none", "journal": "present"},
        symptom="'database disk image is malformed', rows changed by a transaction that never committed",
        advice=ADVICE,
        mistaken_for=("the kill", "the disk"),
        links=("https://sqlite.org/howtocorrupt.html",),
    ),
)
