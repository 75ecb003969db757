"""D1: a copy of a live database: of the main file alone, or of main file and WAL at two moments."""

import shutil

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass

PRAGMAS = (*WAL, "wal_autocheckpoint=0")
CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)"


def _writer(stage: Stage) -> Actor:
    writer = stage.opener("W", *PRAGMAS)
    stage.create(writer)
    stage.insert(writer, "pre", 60 + stage.rng("pre").randrange(20), together=True)
    writer.sql(CHECKPOINT)
    stage.step("W commits rows and checkpoints: they are in the main file")
    return writer


def alone(stage: Stage) -> None:
    """The main file is copied while the newer commits are in the WAL."""
    writer = _writer(stage)
    stage.insert(writer, "late", 10 + stage.rng("late").randrange(10))
    stage.step("W commits more rows, each acknowledged: they are in the WAL")
    stage.judged = stage.directory / "backup.db"
    if stage.control:
        writer.sql("VACUUM INTO ?", (str(stage.judged),))
        stage.step("a backup is made with VACUUM INTO")
    else:
        shutil.copyfile(stage.main, stage.judged)  # the director has nothing open
        stage.step("somebody copies the main file")


def pair(stage: Stage) -> None:
    """Main file and WAL are copied one after the other, and a checkpoint falls between."""
    writer = _writer(stage)
    stage.judged = stage.directory / "backup.db"
    for happens in ("copy", "work") if not stage.control else ("work", "copy"):
        if happens == "copy":
            shutil.copyfile(stage.main, stage.judged)
            stage.step("somebody copies the main file")
        else:
            stage.insert(writer, "W", 80 + stage.rng("W").randrange(20))
            writer.sql(CHECKPOINT)
            stage.insert(writer, "late", 30 + stage.rng("late").randrange(10))
            stage.step("W commits rows, checkpoints, and commits more: the WAL has started anew")
    shutil.copyfile(f"{stage.main}-wal", f"{stage.judged}-wal")
    stage.step("somebody copies the WAL")


ADVICE = (
    "back up with Connection.backup or VACUUM INTO; a copied file is no backup while anybody has it open",
    "compare rows of the copy with the original: integrity_check cannot see commits that are missing",
)

EXHIBITS = (
    Exhibit(
        id="d1",
        title="copy of the main file without its WAL: the newest commits are missing",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "In WAL mode commits go to the -wal file and reach the main file only by a checkpoint. A copy of the main "
            "file alone is the database as of the last checkpoint."
        ),
        control="the copy is made with VACUUM INTO",
        run=alone,
        picture={
            "rows.lost": "suffix",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "main.mode": "wal",
            "wal": "missing",
            "shm": "missing",
        },
        clean=CLEAN,
        symptom="the backup passes every check and lacks everything after some moment, or all of it",
        advice=ADVICE,
        mistaken_for=("a crash", "synchronous=NORMAL"),
        links=(
            "https://sqlite.org/howtocorrupt.html",
            "https://github.com/gem/oq-engine/issues/11752",
            "https://github.com/marin-community/marin/issues/4185",
        ),
    ),
    Exhibit(
        id="d1-pair",
        title="main file and WAL copied at two moments: the copy is malformed",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Between the copy of the main file and that of the WAL the writer checkpoints and starts the WAL anew. The "
            "pair then lacks the pages that only the checkpoint wrote, while the WAL's pages refer to them."
        ),
        control="the two copies are made with nothing between them",
        run=pair,
        picture={
            "open.error": "SQLITE_CORRUPT",
            "quick_check": "fails",
            "integrity_check": "fails",
            "main.mode": "wal",
            "wal": "commits",
            "shm": "missing",
        },
        clean={**CLEAN, "wal": "commits"},
        symptom="the backup says 'database disk image is malformed'; the original is well",
        advice=ADVICE,
        mistaken_for=("the disk of the backup", "a crash of the original"),
        links=(
            "https://sqlite.org/howtocorrupt.html",
            "https://github.com/markmhendrickson/neotoma/issues/2075",
        ),
    ),
)
