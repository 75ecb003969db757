"""A1: a stray close() in the middle of a transaction lets a second writer in, and one acked commit is overwritten."""

from crashlab.gallery.exhibit import EVERY_VERSION, Exhibit, Need
from crashlab.gallery.mechanisms._stray_close import ADVICE, LINKS, UNTOUCHED
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.driver import Problem
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

SMALL = 20
ROLLBACK = ("journal_mode=DELETE", "synchronous=FULL")
INSERT = "INSERT INTO t(who, v) VALUES(?, ?)"


def _begun(stage: Stage, *pragmas: str) -> tuple[Actor, Actor, list[str]]:
    """Two openers, and a transaction of W that has inserted a row and has not committed."""
    writer = stage.opener("W", *pragmas)
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(10), size=SMALL)
    intruder = stage.opener("Y", *pragmas)
    row = stage.rows("late", 1, SMALL)[0]
    writer.sql("BEGIN IMMEDIATE")
    writer.sql(INSERT, (row[0], row[1]))
    stage.step("W and Y have the database open; W begins a transaction and inserts a row")
    return writer, intruder, row


def _intrude(stage: Stage, intruder: Actor) -> None:
    """Y writes, which W's lock should prevent."""
    problem = stage.insert(intruder, "Y", 2 + stage.rng("Y").randrange(4), size=SMALL)
    stage.observe("intruder.answer", problem.name if problem else "acked")
    stage.step("Y is told that the database is locked" if problem else "Y commits rows, each acknowledged")


def _commit(stage: Stage, writer: Actor, row: list[str]) -> None:
    try:
        writer.sql("COMMIT")
    except Problem as problem:
        stage.observe("writer.answer", problem.name)
        stage.step(f"W commits, and is answered {problem.name}")
    else:
        stage.ledger.ack(*row)
        stage.observe("writer.answer", "acked")
        stage.step("W commits, acknowledged")


def shm(stage: Stage) -> None:
    """W's lock on the right to write is cancelled; W's commit is written over Y's frames."""
    writer, intruder, row = _begun(stage)
    if not stage.control:
        writer.probe(f"{stage.main}-shm")
        stage.step("something in W's process opens and closes the -shm file: W's lock to write is gone")
    _intrude(stage, intruder)
    _commit(stage, writer, row)
    writer.kill()
    intruder.kill()
    stage.step("both are killed, so that the WAL lies as they left it")


def rollback(stage: Stage) -> None:
    """W's locks on the main file are cancelled; Y takes W's journal for one of a dead process."""
    writer, intruder, row = _begun(stage, *ROLLBACK)
    if not stage.control:
        writer.probe(str(stage.main))
        stage.step("something in W's process opens and closes the main file: W's locks are gone")
    _intrude(stage, intruder)
    _commit(stage, writer, row)
    writer.close()
    intruder.close()
    stage.step("both close")


_NEEDS = (Need.FORK, Need.PROC, Need.POSIX_LOCKS)
_LOST = {
    "intruder.answer": "acked",
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "rows.unacked": "none",
    "rows.changed": "none",
    "live.unlinked": "none",
    "main": "SQLite database",
}
_KEPT_OUT = {**UNTOUCHED, "intruder.answer": "SQLITE_BUSY", "writer.answer": "acked"}

EXHIBITS = (
    Exhibit(
        id="a1-shm",
        title="write lock cancelled by a stray close() of -shm: two writers commit, one's rows are overwritten",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "In WAL mode the right to write is a lock on the -shm file. A process in a transaction closes any other "
            "descriptor of that file, the lock is gone, and a second writer commits. Then the first one commits at the "
            "place in the WAL that was the end when it began: over the second one's frames."
        ),
        control="nobody opens and closes the -shm file outside SQLite",
        run=shm,
        picture={**_LOST, "writer.answer": "acked", "rows.lost": "gap", "wal": "broken", "live.shm_locks": "lost"},
        clean={**_KEPT_OUT, "wal": "commits", "live.shm_locks": "held"},
        symptom="a few acknowledged rows are missing in the middle; both checks say ok; nobody saw an error",
        advice=ADVICE,
        affected=EVERY_VERSION,
        mistaken_for=("the WAL-reset bug", "an application that dropped a write"),
        links=LINKS,
        needs=_NEEDS,
    ),
    Exhibit(
        id="a1-rollback",
        title="rollback journal: locks cancelled by a stray close(); a second writer gets in, its rows are lost",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Without a WAL it is the locks on the main file that keep writers apart. When a stray close has cancelled "
            "them, a second writer takes the first one's journal for a dead process's, deletes it, and commits. The "
            "first one then writes its own pages over the second one's, and only its COMMIT fails: its journal is gone."
        ),
        control="nobody opens and closes the main file outside SQLite",
        run=rollback,
        picture={
            **_LOST,
            "writer.answer": "SQLITE_IOERR_DELETE_NOENT",
            "rows.lost": "suffix",
            "rows.unacked": "some",
            "live.unlinked": "journal",
            "journal": "missing",
            "wal": "missing",
        },
        clean={**_KEPT_OUT, "rows.unacked": "none", "journal": "missing"},
        symptom=(
            "'disk I/O error' at a COMMIT whose rows are there after all, while another process's acknowledged rows "
            "are gone; both checks say ok"
        ),
        advice=ADVICE,
        affected=EVERY_VERSION,
        mistaken_for=("the disk", "the process that got the error"),
        links=(*LINKS, "https://github.com/NousResearch/hermes-agent/issues/53819"),
        needs=_NEEDS,
    ),
)
