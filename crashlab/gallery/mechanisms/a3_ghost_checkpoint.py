"""A3: a process whose -wal and -shm were deleted checkpoints its old generation, or only closes, over the newer one."""

from collections.abc import Callable

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._generations import ADVICE, LINKS, delete_sidecars, is_same, remember
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

SMALL = 20


def _begun(stage: Stage, pre: int, size: int) -> Actor:
    """A holder whose rows are all in the main file, and whose -wal and -shm are deleted then."""
    holder = stage.opener("W")
    stage.create(holder)
    stage.insert(holder, "pre", pre, size=size)
    holder.sql("PRAGMA wal_checkpoint(PASSIVE)")
    holder.call(remember, str(stage.main))
    stage.step("W commits rows and checkpoints: all are in the main file")
    delete_sidecars(stage)
    return holder


def _careful(stage: Stage, holder: Actor, harm: Callable[[], object], told: str) -> None:
    """The holder does the harm; in the control it looks first, and ends without a checkpoint."""
    if stage.control and not holder.call(is_same, str(stage.main)):
        holder.leave()
        stage.step("W looks at its files by stat first: they are others now, so it ends without close or checkpoint")
    else:
        harm()
        stage.step(told)
        if holder.alive:
            holder.leave()


def close(stage: Stage) -> None:
    """W has nothing to checkpoint; its close deletes the newcomer's WAL all the same, by its name."""
    holder = _begun(stage, 5 + stage.rng("pre").randrange(10), SMALL)
    newcomer = stage.opener("Y")
    stage.insert(newcomer, "Y", 10 + stage.rng("Y").randrange(30), size=SMALL)
    newcomer.close()
    stage.step("Y opens, commits rows, each acknowledged, and closes; W has it open, so Y leaves its WAL behind")
    _careful(stage, holder, holder.close, "W closes in good order, as the last one: it deletes the WAL of that name")


def rows(stage: Stage) -> None:
    """W checkpoints whole trees of an older state over a newer one."""
    holder = _begun(stage, 5 + stage.rng("pre").randrange(10), SMALL)
    row = stage.rows("tmp", 1, SMALL)[0]
    holder.sql("INSERT INTO t(who, v) VALUES(?, ?)", (row[0], row[1]))
    holder.sql("DELETE FROM t WHERE who = ?", (row[0],))
    stage.step("W inserts a row and deletes it again: its ghost WAL has a page of the table and one of its index")
    newcomer = stage.opener("Y")
    stage.insert(newcomer, "Y", 10 + stage.rng("Y").randrange(30), size=SMALL)
    newcomer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    stage.step("Y opens, commits rows, each acknowledged, and checkpoints them into the main file")
    _careful(
        stage,
        holder,
        lambda: holder.sql("PRAGMA wal_checkpoint(PASSIVE)"),
        "W checkpoints, as it does once in a while: its old pages are written over Y's",
    )
    newcomer.leave()


def malformed(stage: Stage) -> None:
    """Y has given W's pages to other trees since."""
    holder = _begun(stage, 60 + stage.rng("pre").randrange(40), 400)
    first = next(iter(stage.ledger.acked))
    holder.sql("UPDATE t SET who = 'tmp' WHERE id = 1")
    holder.sql("UPDATE t SET who = ? WHERE id = 1", (first,))
    stage.step("W changes its first row and changes it back: its ghost WAL has one page of the table")
    newcomer = stage.opener("Y")
    newcomer.sql("DROP INDEX tv")
    newcomer.sql("VACUUM")
    newcomer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    newcomer.close()
    stage.step("Y opens, drops an index, compacts the file by VACUUM, checkpoints and closes: pages change places")
    _careful(
        stage, holder, holder.close, "W closes in good order: its last checkpoint writes pages to their old places"
    )


_GHOST = {
    "live.unlinked": "shm+wal",
    "live.strayed": "shm+wal",
    "live.ghost_wal": "commits",
    "live.main_locks": "held",
    "live.shm_locks": "held",
    "main": "SQLite database",
}
_SILENT = {
    **_GHOST,
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "rows.lost": "suffix",
    "rows.unacked": "none",
    "rows.changed": "none",
    "main.pages": "whole",
}
_CLEAN = {**CLEAN, "live.unlinked": "shm+wal"}
_CARE = "the process compares (device, inode) of its files by stat first, and ends without close or checkpoint"
_ADVICE = (
    *ADVICE,
    "end such a process without closing (SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE), and keep its WAL: a kill does no harm",
)
_SHUTDOWN = "https://github.com/NousResearch/hermes-agent/issues/102198"

EXHIBITS = (
    Exhibit(
        id="a3-close",
        title="an idle process with a ghost WAL closes in good order, and deletes the newer WAL",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A process whose -wal and -shm were deleted has nothing left to write. At its close it finds no other "
            "opener, believes that the WAL of that name is its own, and deletes it. It is another process's, with "
            "commits that are nowhere else."
        ),
        control=_CARE,
        run=close,
        picture={**_SILENT, "wal": "missing"},
        clean={**_CLEAN, "wal": "commits"},
        symptom="when an idle process is stopped, rows that others committed are gone; both checks say ok",
        advice=_ADVICE,
        mistaken_for=("the shutdown", "wal_checkpoint(TRUNCATE)", "the process that wrote the rows"),
        links=(*LINKS, _SHUTDOWN),
    ),
    Exhibit(
        id="a3-rows",
        title="a ghost WAL is checkpointed over newer rows; nothing is inconsistent",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A process whose -wal and -shm were deleted still has frames that are not checkpointed. Its next "
            "checkpoint copies them into the main file, over pages that newcomers have written since."
        ),
        control=_CARE,
        run=rows,
        picture={**_SILENT, "wal": "empty"},
        clean=_CLEAN,
        symptom="rows that were committed and checkpointed vanish from the main file; both checks say ok",
        advice=_ADVICE,
        mistaken_for=("the checkpoint as such", "an application that deleted them"),
        links=LINKS,
    ),
    Exhibit(
        id="a3-malformed",
        title="a ghost WAL is checkpointed over pages that belong to other trees by now: malformed at shutdown",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a3-rows, but in the meantime a newcomer has dropped an index and compacted the file. The old pages are "
            "written to their old numbers, where pages of other trees are now."
        ),
        control=_CARE,
        run=malformed,
        picture={**_GHOST, "quick_check": "fails", "integrity_check": "fails", "wal": "missing"},
        clean=_CLEAN,
        symptom="'database disk image is malformed' each time that a service is stopped in good order",
        advice=_ADVICE,
        mistaken_for=("the shutdown", "SIGTERM", "the disk", "VACUUM"),
        links=(*LINKS, _SHUTDOWN, "https://github.com/NousResearch/hermes-agent/issues/101093"),
    ),
)
