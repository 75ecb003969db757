"""A2: files of a live database are deleted or replaced, and the process that has them open goes on into the void."""

import os

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._generations import ADVICE, LINKS, delete_sidecars, is_same, remember
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def _newcomer(stage: Stage) -> None:
    newcomer = stage.opener("Y")
    seen = newcomer.sql("SELECT count(*) FROM t WHERE who LIKE 'post%'")[0][0]
    stage.observe("newcomer.sees_new_rows", "yes" if seen else "no")
    stage.insert(newcomer, "Y", 3 + stage.rng("Y").randrange(8))
    newcomer.close()
    stage.step(f"Y opens, sees {seen} of W's later rows, commits rows of its own, each acknowledged, and closes")


def sidecars(stage: Stage) -> None:
    """-wal and -shm are deleted under W, and with them what was not yet checkpointed."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(10))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.insert(writer, "mid", 1 + stage.rng("mid").randrange(5))
    stage.step("W commits rows, checkpoints, and commits a few more")
    if not stage.control:
        delete_sidecars(stage)
    stage.insert(writer, "post", 3 + stage.rng("post").randrange(5))
    stage.step("W commits more rows, each acknowledged")
    _newcomer(stage)
    writer.kill()
    stage.step("W is killed")


def replace(stage: Stage) -> None:
    """The main file is replaced by a compacted copy; in the control W looks before it writes."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(10))
    writer.call(remember, str(stage.main))
    stage.step("W commits rows")
    copy = stage.directory / "compact.db"
    maintainer = stage.opener("M")
    maintainer.sql("VACUUM INTO ?", (str(copy),))
    maintainer.close()
    copy.replace(stage.main)
    for suffix in ("-wal", "-shm"):
        os.unlink(f"{stage.main}{suffix}")
    stage.step("a maintenance job makes a compacted copy, renames it over the file, and deletes -wal and -shm")
    if stage.control and not writer.call(is_same, str(stage.main)):
        stage.observe("holder.answer", "refused")
        stage.note("W looks at its files by stat before it writes: they are others now, so it commits nothing")
    else:
        problem = stage.insert(writer, "post", 3 + stage.rng("post").randrange(5))
        stage.observe("holder.answer", problem.name if problem else "acked")
        stage.step("W commits more rows, each acknowledged")
    _newcomer(stage)
    writer.kill()
    stage.step("W is killed")


_SILENT = {
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "rows.lost": "gap",
    "rows.unacked": "none",
    "rows.changed": "none",
    "main": "SQLite database",
    "main.pages": "whole",
    "newcomer.sees_new_rows": "no",
}

EXHIBITS = (
    Exhibit(
        id="a2-sidecars",
        title="-wal and -shm deleted under a live process: two WAL generations, the older one a ghost",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Somebody deletes -wal and -shm while a process has the database open, to get rid of a lock. The process "
            "commits on into files without a name; newcomers make new ones and see neither its later commits nor "
            "those that had not been checkpointed."
        ),
        control="nobody deletes the two files",
        run=sidecars,
        picture={
            **_SILENT,
            "live.unlinked": "shm+wal",
            "live.strayed": "shm+wal",
            "live.ghost_wal": "commits",
            "live.main_locks": "held",
            "live.shm_locks": "held",
            "wal": "commits",
        },
        clean={**CLEAN, "live.unlinked": "none", "live.ghost_wal": "none", "newcomer.sees_new_rows": "yes"},
        symptom="a process sees more rows than all others; after its end the rows are gone; both checks say ok",
        advice=(*ADVICE, "while the process still runs, its ghost WAL can be copied from /proc/PID/fd"),
        mistaken_for=("the kill", "the WAL-reset bug", "full-text maintenance"),
        links=(*LINKS, "https://github.com/NousResearch/hermes-agent/issues/90950"),
    ),
    Exhibit(
        id="a2-replace",
        title="the main file replaced under a live process, which goes on committing into the old one",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A restore, a compaction or a sync client renames another file over the database and deletes -wal and "
            "-shm, while a process has it open. All three files of that process have no name any more; whatever it "
            "commits from then on, nobody else will ever see."
        ),
        control="the process compares (device, inode) of its files by stat before it writes, and refuses",
        run=replace,
        picture={
            **_SILENT,
            "live.unlinked": "main+shm+wal",
            "live.strayed": "main+shm+wal",
            "live.ghost_wal": "commits",
            "live.main_locks": "held",
            "holder.answer": "acked",
            "wal": "missing",
        },
        clean={**CLEAN, "live.unlinked": "main+shm+wal", "holder.answer": "refused"},
        symptom="the database goes back in time: all that one process wrote since some moment is missing",
        advice=ADVICE,
        mistaken_for=("the kill", "an application that dropped writes"),
        links=(*LINKS, "https://github.com/get-bb/bb/issues/2190"),
    ),
)
