"""D4: a main file of zero length beside a valid -wal. SQLite takes it for a new database and deletes the WAL."""

import os

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.files import Triplet


def run(stage: Stage) -> None:
    """All rows are in the WAL until somebody opens."""
    writer = stage.opener("W", *WAL, "wal_autocheckpoint=0")
    stage.create(writer)
    stage.insert(writer, "W", 50 + stage.rng("W").randrange(50))
    stage.step("W commits rows, each acknowledged: they are in the WAL")
    writer.kill()
    if not stage.control:
        os.truncate(stage.main, 0)
    stage.step("W is killed" + ("" if stage.control else "; something empties the main file, as '> state.db' does"))
    directory = stage.directory / "copy"
    directory.mkdir()
    copy = Triplet.of(stage.main).copy_into(directory)
    stage.opener("Y", "synchronous=FULL", path=copy.main)
    stage.observe("opened.wal", "there" if copy.wal.exists() else "deleted")
    stage.step("Y opens a copy of all three files, and reads", main=copy.main)


EXHIBITS = (
    Exhibit(
        id="d4",
        title="main file of zero length beside a valid -wal: opening deletes the WAL",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Something empties the main file while all commits are still in the WAL: a shell redirection, open(path, "
            "'w'), a copy on a full disk, a placeholder of a sync client. SQLite takes a file of zero length for a new "
            "database and deletes the WAL as left over."
        ),
        control="nobody empties the main file",
        run=run,
        picture={
            "main": "zero length",
            "wal": "commits",
            "opened.wal": "deleted",
            "rows.lost": "all",
            "open.error": "SQLITE_ERROR",
            "quick_check": "ok",
            "integrity_check": "ok",
        },
        clean={**CLEAN, "wal": "commits", "opened.wal": "there"},
        symptom="'no such table', an empty database that passes both checks, and no -wal any more",
        advice=(
            "before anything opens the file: if the main file has 0 bytes and -wal more than 32, copy all and stop",
            "the commits are in the copied -wal: its frames are whole pages",
            "refuse to start on a missing or empty database where there was one before; never create it silently",
        ),
        mistaken_for=("a fresh installation", "a wrong path"),
        links=("https://github.com/tursodatabase/turso/issues/8103",),
    ),
)
