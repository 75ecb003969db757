"""A1: a stray close() of the database file cancels the process's locks, and the next closer deletes the live WAL."""

from crashlab.gallery.exhibit import CLEAN, EVERY_VERSION, Affected, Exhibit, Need
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

CLOSER_PROTECTS = Affected("closers before 3.51.0, which later look at the -shm lock too", (3, 7, 0), (3, 51, 0))
"""Measured with 3.50.4, 3.51.0, 3.51.1 and 3.54.1: it is the closing process's SQLite that decides."""

LINKS = (
    "https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_",
    "https://github.com/NousResearch/hermes-agent/issues/100368",
    "https://github.com/NousResearch/hermes-agent/issues/109509",
)
ADVICE = (
    "never open the files outside SQLite in a process that has the database open: no sniffing, hashing, copying",
    "read the header through SQLite (PRAGMA application_id), change modes by path, copy with the backup API",
    "look for it while it runs: crashlab hazards, or 'pytest --crashlab-hazards=error'",
)
_UNLINKED = {"live.unlinked": "shm+wal", "live.main_locks": "lost"}
_CLEAN = {**CLEAN, "live.unlinked": "none", "live.main_locks": "held"}


def _cancelled(stage: Stage, *, shm: bool = False, pre: int = 5) -> Actor:
    """Steps 1 to 3: a live writer, a stray close in its process, and another process that closes."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", pre + stage.rng("pre").randrange(5))
    stage.step("W opens the database in WAL mode and commits rows")
    if not stage.control:
        writer.probe(str(stage.main))
        if shm:
            writer.probe(f"{stage.main}-shm")
        also = " and the -shm file" if shm else ""
        stage.step(f"something in W's process opens and closes the main file{also}: W's locks there are gone")
    other = stage.opener("X")
    other.close()
    stage.step("X, another process, opens, reads and closes" + ("" if stage.control else ": it thinks it is the last"))
    return writer


def _reader(stage: Stage) -> Actor:
    """A process that opens after it happened and looks."""
    reader = stage.opener("Y")
    seen = reader.sql("SELECT count(*) FROM t WHERE who LIKE 'post%'")[0][0]
    stage.observe("reader.sees_new_rows", "yes" if seen else "no")
    stage.step(f"Y opens and sees {seen} of W's later rows")
    return reader


def kill(stage: Stage, *, shm: bool = False) -> None:
    """W commits on into an unlinked WAL, and is killed."""
    writer = _cancelled(stage, shm=shm)
    stage.insert(writer, "post", 3 + stage.rng("post").randrange(5))
    stage.step("W commits more rows, each acknowledged")
    reader = _reader(stage)
    writer.kill()
    reader.close()
    stage.step("W is killed; whatever only its WAL had goes with its last descriptor")


def kill_both(stage: Stage) -> None:
    """As `kill`, with the locks on -shm cancelled too: no version of SQLite is protected."""
    kill(stage, shm=True)


def split(stage: Stage) -> None:
    """Y commits and closes; then W's stale WAL is checkpointed over Y's pages."""
    writer = _cancelled(stage)
    stage.insert(writer, "post", 5)
    stage.step("W commits more rows, each acknowledged")
    reader = _reader(stage)
    stage.insert(reader, "Y", 30 + stage.rng("Y").randrange(20))
    reader.close()
    stage.step("Y commits rows, each acknowledged, and closes: they are in the main file")
    stage.insert(writer, "late", 3)
    writer.close()
    stage.step("W commits and closes: its last close checkpoints its own WAL over Y's pages")


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
        control="nobody opens and closes the main file outside SQLite",
        run=kill,
        picture={**_UNLINKED, "rows.lost": "suffix", "quick_check": "ok", "integrity_check": "ok"},
        clean=_CLEAN,
        symptom="after a restart everything since some moment is missing; both checks say ok; the kill gets the blame",
        advice=ADVICE,
        affected=CLOSER_PROTECTS,
        mistaken_for=("the kill", "synchronous=NORMAL", "wal_checkpoint(TRUNCATE)", "the WAL-reset bug"),
        links=LINKS,
        needs=(Need.FORK, Need.PROC),
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
        run=kill_both,
        picture={
            **_UNLINKED,
            "rows.lost": "suffix",
            "quick_check": "ok",
            "integrity_check": "ok",
            "live.shm_locks": "lost",
        },
        clean=_CLEAN,
        symptom="as a1-kill, on a SQLite that is supposed to protect from it",
        advice=ADVICE,
        affected=EVERY_VERSION,
        mistaken_for=("the kill", "an old SQLite"),
        links=LINKS,
    ),
    Exhibit(
        id="a1-split",
        title="locks cancelled; two WAL generations; the stale one is checkpointed over the newer rows",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a1-kill, but the holder lives on. A newcomer makes a second WAL and commits; when the holder closes, "
            "it copies its own old frames over the pages that the newcomer has written since."
        ),
        control="nobody opens and closes the main file outside SQLite",
        run=split,
        picture={**_UNLINKED, "rows.lost": "gap", "quick_check": "ok", "integrity_check": "ok"},
        clean=_CLEAN,
        symptom="rows of one process vanish when another one ends in an orderly way; both checks say ok",
        advice=ADVICE,
        affected=CLOSER_PROTECTS,
        mistaken_for=("the shutdown", "wal_checkpoint(TRUNCATE)"),
        links=LINKS,
    ),
)
