"""A1: a stray close() of the database file cancels the process's locks, and the next closer deletes the live WAL."""

from crashlab.gallery.exhibit import EVERY_VERSION, Exhibit, Need
from crashlab.gallery.mechanisms._stray_close import ADVICE, CLOSER_PROTECTS, LINKS, UNTOUCHED
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

SMALL = 20
"""Bytes of a row so small that all rows of a run fit on one page of the table, and their keys on one of the index."""


def _cancelled(stage: Stage, pre: int, *, shm: bool = False, size: int = 200) -> Actor:
    """Steps 1 to 3: a live writer, a stray close in its process, and another process that closes."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", pre, size=size)
    stage.step("W opens the database in WAL mode and commits rows")
    if not stage.control:
        writer.probe(str(stage.main))
        if shm:
            writer.probe(f"{stage.main}-shm")
        also = " and the -shm file" if shm else ""
        stage.step(f"something in W's process opens and closes the main file{also}: W's locks there are gone")
    other = stage.opener("X")
    other.close()
    stage.step("X, another process, opens, reads and closes")
    return writer


def _newcomer(stage: Stage) -> Actor:
    """A process that opens after it happened and looks."""
    reader = stage.opener("Y")
    seen = reader.sql("SELECT count(*) FROM t WHERE who LIKE 'post%'")[0][0]
    stage.observe("newcomer.sees_new_rows", "yes" if seen else "no")
    stage.step(f"Y opens and sees {seen} of W's later rows")
    return reader


def _count(stage: Stage, what: str, least: int, spread: int) -> int:
    return least + stage.rng(what).randrange(spread)


def kill(stage: Stage, *, shm: bool = False) -> None:
    """W commits on into an unlinked WAL, and is killed."""
    writer = _cancelled(stage, _count(stage, "pre", 5, 5), shm=shm)
    stage.insert(writer, "post", _count(stage, "post", 3, 5))
    stage.step("W commits more rows, each acknowledged")
    newcomer = _newcomer(stage)
    writer.kill()
    newcomer.close()
    stage.step("W is killed, then Y closes: what only W's WAL had went with its last descriptor")


def both(stage: Stage) -> None:
    """As `kill`, with the locks on -shm cancelled too."""
    kill(stage, shm=True)


def _two_generations(stage: Stage) -> tuple[Actor, Actor]:
    """W and Y have each a WAL of their own and commit into it; all rows fit on one page of each tree."""
    writer = _cancelled(stage, _count(stage, "pre", 5, 5), size=SMALL)
    stage.insert(writer, "post", _count(stage, "post", 3, 5), size=SMALL)
    stage.step("W commits more rows, each acknowledged")
    newcomer = _newcomer(stage)
    stage.insert(newcomer, "Y", _count(stage, "Y", 20, 20), size=SMALL)
    return writer, newcomer


def split(stage: Stage) -> None:
    """Y commits and closes; then W's stale pages are checkpointed over Y's."""
    writer, newcomer = _two_generations(stage)
    newcomer.close()
    stage.step("Y commits rows, each acknowledged, and closes")
    stage.insert(writer, "late", _count(stage, "late", 1, 4), size=SMALL)
    writer.close()
    stage.step("W commits more rows and closes, as the last one: it checkpoints its own WAL")


def race(stage: Stage) -> None:
    """Y is still there when W closes, so that W does not checkpoint: its rows go with its WAL."""
    writer, newcomer = _two_generations(stage)
    stage.insert(writer, "late", _count(stage, "late", 1, 4), size=SMALL)
    stage.step("Y commits rows, then W commits more, each acknowledged")
    writer.close()
    stage.step("W closes in good order; Y is still there, so W is not the last and checkpoints nothing")
    stage.insert(newcomer, "last", _count(stage, "last", 1, 4), size=SMALL)
    newcomer.close()
    stage.step("Y commits more rows and closes")


def corrupt(stage: Stage) -> None:
    """W's WAL holds one page of a table that Y has made larger since."""
    writer = _cancelled(stage, _count(stage, "pre", 50, 20), size=400)
    last = list(stage.ledger.acked)[-1]
    writer.sql("UPDATE t SET who = 'renamed' WHERE who = ?", (last,))  # no key of the index: one page, the table's
    stage.ledger.ack("renamed", stage.ledger.acked.pop(last))
    stage.step("W changes one row, and with it one page of the table")
    newcomer = stage.opener("Y")
    stage.insert(newcomer, "Y", _count(stage, "Y", 30, 20), size=400)
    newcomer.close()
    stage.step("Y opens, commits rows, each acknowledged, and closes: the file has grown")
    writer.close()
    stage.step("W closes, as the last one: it checkpoints its one page and cuts the file to the length it knew")


_SILENT = {
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "main.pages": "whole",
    "rows.unacked": "none",
    "rows.changed": "none",
}
_UNLINKED = {
    "live.unlinked": "shm+wal",
    "live.ghost_wal": "commits",
    "live.main_locks": "lost",
    "live.shm_locks": "held",
    "main": "SQLite database",
    "wal": "missing",
}
_BLIND = {**_UNLINKED, "newcomer.sees_new_rows": "no"}
_CLEAN = {**UNTOUCHED, "live.main_locks": "held", "live.shm_locks": "held"}
_NEEDS = (Need.FORK, Need.PROC, Need.POSIX_LOCKS)
_NOBODY = "nobody opens and closes the main file outside SQLite"

EXHIBITS = (
    Exhibit(
        id="a1-kill",
        title="locks cancelled by a stray close(); the live WAL is unlinked; the holder dies",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A process that has the database open closes any other descriptor of the main file, and the kernel drops "
            "all its locks on it. The next process to close believes itself the last, checkpoints, and deletes the "
            "WAL under the holder, whose commits then go into a file without a name."
        ),
        control=_NOBODY,
        run=kill,
        picture={**_BLIND, **_SILENT, "rows.lost": "suffix"},
        clean=_CLEAN,
        protected=UNTOUCHED,
        symptom="after a restart everything since some moment is missing; both checks say ok; the kill gets the blame",
        advice=ADVICE,
        affected=CLOSER_PROTECTS,
        mistaken_for=("the kill", "synchronous=NORMAL", "wal_checkpoint(TRUNCATE)", "the WAL-reset bug"),
        links=LINKS,
        needs=_NEEDS,
    ),
    Exhibit(
        id="a1-both",
        title="locks cancelled on main file and -shm: every SQLite version unlinks the live WAL",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a1-kill, but the process also opened and closed the -shm file, as a copy of all three files does. "
            "Then the newer versions' look at the -shm lock finds nothing either."
        ),
        control="nobody opens and closes the files outside SQLite",
        run=both,
        picture={**_BLIND, **_SILENT, "live.shm_locks": "lost", "rows.lost": "suffix"},
        clean=_CLEAN,
        symptom="as a1-kill, on a SQLite that is supposed to protect from it",
        advice=ADVICE,
        affected=EVERY_VERSION,
        mistaken_for=("the kill", "an old SQLite"),
        links=(*LINKS, "https://github.com/NousResearch/hermes-agent/issues/109509"),
        needs=_NEEDS,
    ),
    Exhibit(
        id="a1-split",
        title="locks cancelled; two WAL generations; the stale one is checkpointed over the newer rows",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a1-kill, but the holder lives on. A newcomer makes a second WAL and commits; when the holder closes, "
            "it copies its own older pages over those that the newcomer has written since. Where they make up whole "
            "trees, nothing is inconsistent afterwards."
        ),
        control=_NOBODY,
        run=split,
        picture={**_BLIND, **_SILENT, "rows.lost": "gap"},
        clean=_CLEAN,
        protected=UNTOUCHED,
        symptom="rows of one process vanish when another one ends in good order; both checks say ok",
        advice=ADVICE,
        affected=CLOSER_PROTECTS,
        mistaken_for=("the shutdown", "wal_checkpoint(TRUNCATE)"),
        links=LINKS,
        needs=_NEEDS,
    ),
    Exhibit(
        id="a1-race",
        title="locks cancelled; two WAL generations; the holder's orderly close saves nothing",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a1-split, but the newcomer is still there when the holder closes. The holder isn't the last, so it "
            "leaves the checkpoint to others; nobody else has its WAL, and its rows go with it."
        ),
        control=_NOBODY,
        run=race,
        picture={**_BLIND, **_SILENT, "rows.lost": "gap"},
        clean=_CLEAN,
        protected=UNTOUCHED,
        symptom="everything one process wrote since some moment is missing, although it ended in good order",
        advice=ADVICE,
        affected=CLOSER_PROTECTS,
        mistaken_for=("a commit that never happened", "the application"),
        links=LINKS,
        needs=_NEEDS,
    ),
    Exhibit(
        id="a1-corrupt",
        title="locks cancelled; two WAL generations; one stale page and a shortened file: malformed",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a1-split, but the holder's WAL has only one page of a table. Its checkpoint at close puts that page "
            "among the newcomer's, and cuts the file to the length that the holder knew."
        ),
        control=_NOBODY,
        run=corrupt,
        picture={
            **_UNLINKED,
            "open.error": "SQLITE_CORRUPT",
            "quick_check": "fails",
            "integrity_check": "fails",
            "main.pages": "short",
        },
        clean=_CLEAN,
        protected=UNTOUCHED,
        symptom="'database disk image is malformed' after a process was stopped in good order",
        advice=ADVICE,
        affected=CLOSER_PROTECTS,
        mistaken_for=("the shutdown", "the disk", "wal_checkpoint(TRUNCATE)"),
        links=(*LINKS, "https://github.com/NousResearch/hermes-agent/issues/102198"),
        needs=_NEEDS,
    ),
)
