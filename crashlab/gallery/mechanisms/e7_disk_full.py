"""E7: the disk is full: SQLite loses nothing; what loses rows is the handler that then deletes the -wal."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._failing import arm, disarm, failing
from crashlab.gallery.mechanisms._power import NEEDS
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.tap import Failure

LINKS = (
    "https://github.com/screenpipe/screenpipe/issues/6790",
    "https://github.com/Jellyfin/jellyfin/issues/4430",
)
ADVICE = (
    "never delete a -wal, least of all to make room: it holds what was committed",
    "make room elsewhere and go on: the same connection, or the next opener, finds everything",
    "a refused commit is rolled back as a whole: look at in_transaction before anything is repeated",
)
_CLEAN = {**CLEAN, "rows.unacked": "none", "victim.error": "SQLITE_FULL"}


def _started(stage: Stage, selector: str) -> Actor:
    writer = failing(stage, "W", selector, Failure.ENOSPC)
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.step("W commits rows and checkpoints them")
    return writer


def _handle(stage: Stage, writer: Actor) -> None:
    """The process ends; in its place one starts whose handler makes room, or doesn't."""
    writer.call(disarm)
    writer.kill()
    if stage.control:
        stage.step("W ends; somebody makes room elsewhere")
    else:
        stage.main.with_name(f"{stage.main.name}-wal").unlink()
        stage.step("W ends; the handler deletes the -wal to make room")


def checkpoint(stage: Stage) -> None:
    """It is full when a checkpoint has copied the first pages."""
    writer = _started(stage, f"main.write#{3 + stage.rng('page').randrange(2)}")
    stage.insert(writer, "more", 60 + stage.rng("more").randrange(20), together=True)
    stage.step("W commits more rows, each acknowledged")
    writer.call(arm)
    error = stage.attempt(writer, "PRAGMA wal_checkpoint(PASSIVE)")
    stage.observe("victim.error", error)
    stage.step(f"the disk is full in the middle of a checkpoint: {error}")
    _handle(stage, writer)


def append(stage: Stage) -> None:
    """It is full when a commit is appended to the WAL."""
    writer = _started(stage, "wal.write")
    stage.insert(writer, "post", 5 + stage.rng("post").randrange(10))
    stage.step("W commits more rows, each acknowledged")
    writer.call(arm)
    problem = stage.insert(writer, "refused", 1)
    error = problem.name if problem else "none"
    stage.observe("victim.error", error)
    stage.step(f"the disk is full at a commit: {error}; the row is refused")
    _handle(stage, writer)


EXHIBITS = (
    Exhibit(
        id="e7",
        title="disk full at a commit; the handler deletes the -wal to make room",
        fault_class=FaultClass.IO_ERROR,
        happens=(
            "A commit that finds no room answers SQLITE_FULL and is rolled back; what was acknowledged before is "
            "safe. Then somebody takes the WAL for a log file, or for the biggest file that nobody needs."
        ),
        control="room is made elsewhere; nobody touches the -wal",
        run=append,
        picture={
            "rows.lost": "suffix",
            "rows.unacked": "none",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "wal": "missing",
            "victim.error": "SQLITE_FULL",
        },
        clean={**_CLEAN, "wal": "commits"},
        symptom="since the disk was full everything after the last checkpoint is missing; both checks say ok",
        advice=ADVICE,
        mistaken_for=("the full disk", "SQLITE_FULL", "the kill"),
        links=LINKS,
        needs=NEEDS,
    ),
    Exhibit(
        id="e7-checkpoint",
        title="disk full in a checkpoint; the handler deletes the -wal: the main file is torn",
        fault_class=FaultClass.IO_ERROR,
        happens=(
            "A checkpoint has copied some pages when the disk is full. Nothing is lost as long as the WAL is there: "
            "the next checkpoint begins again. Without it the main file is half old and half new."
        ),
        control="room is made elsewhere; nobody touches the -wal",
        run=checkpoint,
        picture={
            "rows.lost": "suffix|gap|all",
            "rows.unacked": "none",
            "quick_check": "fails",
            "integrity_check": "fails",
            "main": "SQLite database",
            "wal": "missing",
            "victim.error": "SQLITE_FULL",
        },
        clean={**_CLEAN, "wal": "commits"},
        symptom="'database disk image is malformed' after the disk was full, and no WAL beside it",
        advice=ADVICE,
        mistaken_for=("the full disk", "the checkpoint", "wal_checkpoint(TRUNCATE)"),
        links=LINKS,
        needs=NEEDS,
    ),
)
