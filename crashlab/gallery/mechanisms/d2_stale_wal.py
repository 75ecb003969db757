"""D2: a restored main file meets the -wal that a killed process left, and the next opener replays it."""

import shutil
from pathlib import Path

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass

PRAGMAS = (*WAL, "wal_autocheckpoint=0")


def _writer(stage: Stage) -> Actor:
    writer = stage.opener("W", *PRAGMAS)
    stage.create(writer)
    stage.insert(writer, "pre", 100 + stage.rng("pre").randrange(40))
    writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return writer


def _restore(stage: Stage, backup: Path) -> None:
    """Nobody has the database open any more."""
    shutil.copyfile(backup, stage.main)
    if stage.control:
        for suffix in ("-wal", "-shm"):
            Path(f"{stage.main}{suffix}").unlink()
    also = ", and removes -wal and -shm" if stage.control else ""
    stage.step(f"the operator copies the backup over the main file{also}")


def malformed(stage: Stage) -> None:
    """The backup's pages lie elsewhere than those of the original."""
    writer = _writer(stage)
    backup = stage.directory / "backup.db"
    writer.sql("VACUUM INTO ?", (str(backup),))
    stage.step("W commits rows; a backup is made with VACUUM INTO")
    for key, value in stage.rows("late", 60 + stage.rng("late").randrange(40)):
        writer.sql("INSERT INTO t(who, v) VALUES(?, ?)", (key, value))
    stage.step("W commits more rows, which a restore of the backup gives up")
    writer.kill()
    stage.step("W is killed: the WAL stays")
    _restore(stage, backup)


def revert(stage: Stage) -> None:
    """The backup's pages lie where they were: the WAL fits, and undoes the restore."""
    writer = _writer(stage)
    backup = stage.directory / "backup.db"
    shutil.copyfile(stage.main, backup)  # right after a checkpoint, and nobody writes
    stage.step("W commits rows and checkpoints; the whole database is in the main file, which is copied as a backup")
    writer.sql("DELETE FROM t WHERE id % 3 = ?", (stage.rng("delete").randrange(3),))
    stage.step("somebody deletes rows by mistake")
    writer.kill()
    stage.step("W is killed: the WAL stays")
    _restore(stage, backup)


ADVICE = (
    "in a restore stop every opener, and move -wal, -shm and -journal away together with the main file",
    "or restore through SQLite: Connection.backup from the backup into the live database",
    "after a restore look whether what it was made for is there",
)
LINKS = (
    "https://sqlite.org/howtocorrupt.html",
    "https://github.com/vavallee/bindery/issues/2337",
    "https://github.com/WingedGuardian/GENesis-AGI/issues/2175",
)
CONTROL = "the restore removes -wal and -shm too"

EXHIBITS = (
    Exhibit(
        id="d2",
        title="stale -wal beside a restored main file: the next opener makes it malformed",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A killed process leaves its -wal, which is right. The operator then copies a backup over the main file "
            "alone. Frames are checked against the WAL's own salts, not against the main file, so the next opener "
            "replays pages of the old file into the restored one."
        ),
        control=CONTROL,
        run=malformed,
        picture={
            "open.error": "SQLITE_CORRUPT",
            "quick_check": "fails",
            "integrity_check": "fails",
            "main.mode": "rollback",  # VACUUM INTO makes it so: beside a -wal it betrays the restore
            "wal": "commits",
        },
        clean={**CLEAN, "wal": "missing", "rows.unacked": "none"},
        symptom="'database disk image is malformed' right after a restore from a backup that is well",
        advice=ADVICE,
        mistaken_for=("the backup", "the kill", "the disk"),
        links=LINKS,
    ),
    Exhibit(
        id="d2-revert",
        title="stale -wal beside a restored main file: the restore is silently undone",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As d2, but the backup is a copy of the same file, so that the WAL's pages fit. The next opener replays "
            "them, and what the restore was to undo is back."
        ),
        control=CONTROL,
        run=revert,
        picture={"rows.lost": "gap", "wal": "commits", "quick_check": "ok", "integrity_check": "ok"},
        clean={**CLEAN, "wal": "missing"},
        symptom="a restore that reported no error changed nothing; both checks say ok",
        advice=ADVICE,
        mistaken_for=("a wrong backup", "the tool that restored"),
        links=LINKS,
    ),
)
