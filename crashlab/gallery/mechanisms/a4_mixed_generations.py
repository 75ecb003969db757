"""A4: one process opens a second handle after -wal and -shm were deleted: an old index over a new WAL."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._generations import ADVICE, LINKS, delete_sidecars
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.driver import Problem
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def _begun(stage: Stage) -> Actor:
    """A process with one handle, whose index says that page 1 is in the WAL, and whose -wal and -shm are deleted."""
    holder = stage.opener("W")
    stage.create(holder)
    stage.insert(holder, "pre", 5 + stage.rng("pre").randrange(10))
    holder.sql("PRAGMA wal_checkpoint(PASSIVE)")
    holder.sql(f"PRAGMA user_version = {1 + stage.rng('version').randrange(1000)}")
    stage.step("W commits rows, checkpoints, and sets user_version: a new page 1, which only its WAL has")
    delete_sidecars(stage)
    return holder


def _second(stage: Stage, holder: Actor) -> None:
    """A second handle, in the same process; in the control in another one."""
    actor = stage.actor("V") if stage.control else holder
    try:
        actor.open(str(stage.main), on="second")
        actor.sql("SELECT count(*) FROM t", on="second")
        answer = "none"
    except Problem as problem:
        answer = problem.name
    stage.observe("second.error", answer)
    where = "V, another process," if stage.control else "W"
    stage.step(f"{where} opens a second handle and reads: {'all is well' if answer == 'none' else answer}")
    stage.observe("first.error", stage.attempt(holder, "SELECT count(*) FROM t"))
    fresh = stage.opener("F", "query_only=ON")
    lines = fresh.sql("PRAGMA quick_check")
    stage.observe("fresh.quick_check", "ok" if lines == [["ok"]] else "fails")
    fresh.close()
    stage.step(f"F, a fresh process, runs quick_check: {lines[0][0]}")
    holder.kill()
    stage.step("W is killed")


def short_read(stage: Stage) -> None:
    """Nobody has written into the new WAL: the frame that the old index names is past its end."""
    _second(stage, _begun(stage))


def notadb(stage: Stage) -> None:
    """A newcomer has written into the new WAL: the frame that the old index names is another page."""
    holder = _begun(stage)
    newcomer = stage.opener("Y")
    stage.insert(newcomer, "Y", 1 + stage.rng("Y").randrange(8))
    newcomer.close()
    stage.step("Y opens, makes a new WAL, commits rows into it and closes")
    _second(stage, holder)


_PICTURE = {
    **CLEAN,
    "live.unlinked": "shm+wal",
    "live.ghost_wal": "commits",
    "live.main_locks": "held",
    "first.error": "none",
    "fresh.quick_check": "ok",
    "main": "SQLite database",
    "main.pages": "whole",
}
_CLEAN = {**CLEAN, "live.unlinked": "shm+wal", "second.error": "none", "first.error": "none"}
_CONTROL = "the second handle is opened in another process"
_ADVICE = (
    "an I/O error (522) or 'not a database' (26) on an open handle, while a fresh process's quick_check is ok, is a "
    "fault of identity, not of the disk",
    "end the process without a checkpoint and start it again; do not repair, rebuild or restore the file",
    *ADVICE,
)
_FIELD = "https://github.com/screenpipe/screenpipe/issues/6149"

EXHIBITS = (
    Exhibit(
        id="a4-short-read",
        title="one process, two handles, two WAL generations: SQLITE_IOERR_SHORT_READ (522)",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "-wal and -shm are deleted under a process, which then opens a second handle, as a pool does. Handles of "
            "one process share the index of the old -shm, but each opens -wal by its name. The second handle looks "
            "up a page in the old index, and reads past the end of the new, empty WAL."
        ),
        control=_CONTROL,
        run=short_read,
        picture={**_PICTURE, "second.error": "SQLITE_IOERR_SHORT_READ", "wal": "empty"},
        clean=_CLEAN,
        symptom="'disk I/O error' from every statement on some handles of one process; a fresh process finds no fault",
        advice=_ADVICE,
        mistaken_for=("the disk", "a damaged file", "the automatic checkpoint"),
        links=(*LINKS, _FIELD, "https://github.com/screenpipe/screenpipe/issues/4946"),
    ),
    Exhibit(
        id="a4-notadb",
        title="one process, two handles, two WAL generations: SQLITE_NOTADB (26)",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a4-short-read, but a newcomer has written into the new WAL. The frame that the old index names for "
            "page 1 holds another page there, and the second handle takes it for the header."
        ),
        control=_CONTROL,
        run=notadb,
        picture={**_PICTURE, "second.error": "SQLITE_NOTADB", "wal": "commits"},
        clean=_CLEAN,
        symptom="'file is not a database' on some handles of one process; a fresh process finds no fault",
        advice=_ADVICE,
        mistaken_for=("the disk", "a damaged header", "encryption"),
        links=(*LINKS, _FIELD, "https://github.com/NousResearch/hermes-agent/issues/100313"),
    ),
)
