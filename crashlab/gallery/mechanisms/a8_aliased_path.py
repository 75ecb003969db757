"""A8: one database under two names has two WALs, and neither name's opener sees the other's."""

import os
import shutil

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.ending import next_opener
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def _alias(stage: Stage) -> str:
    """Another name of the main file: a hard link, in the control a symbolic link, which SQLite resolves."""
    alias = stage.directory / "alias.db"
    if stage.control:
        alias.symlink_to(stage.main.name)
    else:
        os.link(stage.main, alias)
    kind = "symbolic" if stage.control else "hard"
    stage.step(f"somebody gives the file a second name, alias.db, by a {kind} link")
    return str(alias)


def _seen(stage: Stage, actor: Actor, path: str) -> None:
    """Open by a path, and see how many of the rows that the WAL has are there."""
    actor.open(path, "synchronous=FULL")
    there = {who for (who,) in actor.sql("SELECT who FROM t")}
    missing = len(stage.ledger.acked.keys() - there)
    stage.observe("alias.rows", "missing" if missing else "all")
    stage.step(f"A opens the file as alias.db: {missing} of {len(stage.ledger.acked)} acked rows are missing")


NO_ROWS = False


def missing(stage: Stage) -> None:
    """A killed writer's rows are in state.db-wal; by the other name they are not there."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(10))
    writer.close()
    alias = _alias(stage)
    writer.open(str(stage.main), "journal_mode=WAL")
    stage.insert(writer, "W", 5 + stage.rng("W").randrange(20))
    writer.kill()
    stage.step("W commits rows, each acknowledged, and is killed: they are in state.db-wal")
    reader = stage.actor("A")
    _seen(stage, reader, alias)
    reader.leave()
    stage.step("A ends")


def malformed(stage: Stage) -> None:
    """The other name's opener writes; then the first one's old WAL is replayed over it."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 50 + stage.rng("pre").randrange(20), size=400)
    writer.close()
    alias = _alias(stage)
    writer.open(str(stage.main), "journal_mode=WAL")
    last = list(stage.ledger.acked)[-1]
    writer.sql("UPDATE t SET who = 'renamed' WHERE who = ?", (last,))
    stage.ledger.ack("renamed", stage.ledger.acked.pop(last))
    writer.kill()
    stage.step("W changes a row and is killed: the page is in state.db-wal")
    other = stage.actor("A")
    _seen(stage, other, alias)
    stage.insert(other, "A", 30 + stage.rng("A").randrange(20), size=400)
    other.close()
    stage.step("A commits rows, each acknowledged, and closes: they are in the main file")
    alone = stage.directory / "alone.db"
    shutil.copyfile(stage.main, alone)  # the director has nothing open
    report = stage.actor("Z").call(next_opener, str(alone), NO_ROWS)
    stage.observe("alone.quick_check", "ok" if report["quick_check"] == ["ok"] else "fails")
    stage.note(f"Z runs quick_check on a copy of the main file alone: {report['quick_check'][0]}")


_PICTURE = {
    "live.links": "several",
    "live.unlinked": "none",
    "live.main_locks": "held",
    "alias.rows": "missing",
    "wal": "commits",
}
_CLEAN = {**CLEAN, "live.links": "one", "alias.rows": "all"}
_CONTROL = "the second name is a symbolic link, which SQLite resolves (since 3.10.0)"
_ADVICE = (
    "one database, one name: no hard links to a database file",
    "containers: mount the directory, not the single file, so that -wal and -shm lie beside it",
    "find out: stat says more than one link; two -wal files belong to one inode",
)
_LINKS = ("https://sqlite.org/howtocorrupt.html#_multiple_links_to_the_same_file",)

EXHIBITS = (
    Exhibit(
        id="a8-missing",
        title="opened by a hard link's name: the WAL of the other name is not found, and its commits are not there",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "The names of -wal and -shm come from the name that the database was opened by. Who opens a hard link, or "
            "a single file mounted into a container, looks for a WAL of another name and finds none."
        ),
        control=_CONTROL,
        run=missing,
        picture={**CLEAN, **_PICTURE},
        clean=_CLEAN,
        symptom="by one path the rows are there, by another they are missing; both checks say ok",
        advice=_ADVICE,
        mistaken_for=("the kill", "a container that lost its data"),
        links=(*_LINKS, "https://github.com/openclaw/openclaw/issues/144585"),
    ),
    Exhibit(
        id="a8-malformed",
        title="written by a hard link's name; then the other name's old WAL is replayed over it: malformed",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "As a8-missing, but the opener by the second name also writes. The WAL of the first name knows nothing of "
            "it, and is replayed over it as soon as somebody opens that name."
        ),
        control=_CONTROL,
        run=malformed,
        picture={
            **_PICTURE,
            "open.error": "SQLITE_CORRUPT",
            "quick_check": "fails",
            "integrity_check": "fails",
            "alone.quick_check": "ok",
        },
        clean=_CLEAN,
        symptom="'database disk image is malformed' at a start, although the main file alone is sound",
        advice=_ADVICE,
        mistaken_for=("the kill", "the disk"),
        links=_LINKS,
    ),
)
