"""E3: the bytes were synced and the name was not: after a power loss the WAL, or a replaced file, is not there."""

import os
from collections.abc import Mapping

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._power import NEEDS, lose_power, nothing, recorded
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.states.trace import Trace
from crashlab.writers.record.plain import PlainFiles

LINKS = (
    "https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai",
    "https://sqlite.org/howtocorrupt.html#_failure_to_sync",
)


def wal_name(stage: Stage) -> None:
    """The WAL's frames are durable, its entry in the directory is not."""
    writer = recorded(stage, "W", directory_syncs=stage.control)
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.step("W opens with synchronous=FULL, commits rows and checkpoints them")
    stage.insert(writer, "post", 5 + stage.rng("post").randrange(10))
    stage.step("W commits more rows, each acknowledged and synced")

    def choose(trace: Trace, pending: list[int]) -> Mapping[int, None]:
        return dict.fromkeys(op for op in pending if not trace.paths[trace.names[op]].endswith("-wal"))

    state = lose_power(stage, writer, choose)
    stage.step(f"the power goes; computed from the recorded writes and syncs: {state}", main=stage.judged)


def replaced(stage: Stage) -> None:
    """The program put a new file in the place of the old one and said that it was done."""
    pragmas = ("journal_mode=DELETE", "synchronous=EXTRA")
    writer = recorded(stage, "W", *pragmas)
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    stage.step("W commits rows, in rollback mode with synchronous=EXTRA")
    new = stage.directory / "new.db"
    writer.sql("VACUUM INTO ?", (str(new),))
    writer.close()
    writer.open(str(new), *pragmas)
    stage.insert(writer, "imported", 5 + stage.rng("post").randrange(10))
    writer.close()
    writer.call(replace, str(new), str(stage.main), str(stage.directory), stage.control)
    also = " and syncs the directory" if stage.control else ""
    stage.step(f"W copies all into a new file, imports rows there, renames it over the old one{also}, and says 'done'")
    state = lose_power(stage, writer, nothing)
    stage.step(f"the power goes; computed from the recorded writes and syncs: {state}", main=stage.judged)
    stage.observe("app.new_file", "left" if (stage.judged.parent / "new.db").exists() else "none")


def replace(actor: Self, new: str, old: str, directory: str, sync_directory: bool) -> None:
    """Rename a file over another; runs in an actor's process, recorded."""
    with PlainFiles(actor.state["log"], directory):
        os.replace(new, old)  # noqa: PTH105 - as programs do it
        if sync_directory:
            descriptor = os.open(directory, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


EXHIBITS = (
    Exhibit(
        id="e3",
        title="power loss: the WAL was synced, its name in the directory was not",
        fault_class=FaultClass.POWER_LOSS,
        happens=(
            "A file's bytes and its name are made durable by two different syncs. SQLite syncs the directory of a "
            "new WAL; where that does nothing (a build with SQLITE_DISABLE_DIRSYNC, some file systems), a power loss "
            "leaves synced frames under no name, which is as if somebody had deleted the WAL."
        ),
        control="the directory is synced",
        run=wal_name,
        picture={
            "rows.lost": "suffix",
            "rows.unacked": "none",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "main": "SQLite database",
            "wal": "missing",
        },
        clean={**CLEAN, "wal": "commits"},
        symptom="after a power cut the -wal and everything since the last checkpoint are missing; both checks say ok",
        advice=(
            "look for SQLITE_DISABLE_DIRSYNC in PRAGMA compile_options",
            "use a file system that keeps names in order with syncs (ext4, XFS, APFS, NTFS on a local disk)",
        ),
        mistaken_for=("somebody deleted the WAL", "synchronous=NORMAL"),
        links=LINKS,
        needs=NEEDS,
    ),
    Exhibit(
        id="e3-replace",
        title="power loss after os.replace() without a sync of the directory: the old database is back",
        fault_class=FaultClass.POWER_LOSS,
        happens=(
            "A program makes a new database file, renames it over the old one and says that it is done. The rename "
            "is in the directory, which nobody synced; after a power loss the old file has the name, and the new one, "
            "synced to its last byte, still its temporary name."
        ),
        control="the program syncs the directory after the rename",
        run=replaced,
        picture={
            "rows.lost": "suffix",
            "rows.unacked": "none",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "main": "SQLite database",
            "wal": "missing",
            "journal": "missing",
            "app.new_file": "left",
        },
        clean={**CLEAN, "app.new_file": "none"},
        symptom="after a power cut the database is as it was before the last import, restore or compaction",
        advice=(
            "after os.replace(): open the directory, os.fsync() it, close it, and only then go on",
            "better: VACUUM, or the backup API into the live database, instead of a rename",
        ),
        mistaken_for=("a restored backup", "the kill"),
        links=LINKS,
        needs=NEEDS,
    ),
)
