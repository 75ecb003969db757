"""C2: the live database lies in a folder that a sync client keeps equal on several machines, file by file."""

import shutil
from pathlib import Path

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.ending import next_opener
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass

PRAGMAS = (*WAL, "wal_autocheckpoint=0")
CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)"
WITH_ROWS = True


def _here(stage: Stage) -> Actor:
    """This machine: W makes the database."""
    writer = stage.opener("W", *PRAGMAS)
    stage.create(writer)
    stage.insert(writer, "pre", 60 + stage.rng("pre").randrange(20), together=True)
    writer.sql(CHECKPOINT)
    stage.step("W commits rows and checkpoints")
    return writer


def _there(stage: Stage) -> Path:
    """The other machine: the sync client brings the main file, O works on it and closes."""
    elsewhere = stage.directory / "other" / "state.db"
    elsewhere.parent.mkdir()
    shutil.copyfile(stage.main, elsewhere)  # right after a checkpoint: a good copy
    other = stage.opener("O", path=elsewhere)
    # Large rows: other kinds of pages than W's, so that W's do not fit among them.
    stage.insert(other, "O", 30 + stage.rng("O").randrange(20), size=3000)
    other.close()
    stage.step("the sync client copies the main file to another machine; O commits rows there, and closes")
    return elsewhere


def _back(stage: Stage, elsewhere: Path) -> None:
    """The sync client brings O's file and renames it into place."""
    stage.main.rename(_conflicted(stage))
    arriving = stage.directory / ".sync.tmp"
    shutil.copyfile(elsewhere, arriving)
    arriving.replace(stage.main)
    stage.step("the sync client sets the main file here aside as a conflicted copy, and renames O's into its place")


def _conflicted(stage: Stage) -> Path:
    return stage.directory / "state.db.Conflict"


def _work(stage: Stage, writer: Actor) -> None:
    stage.insert(writer, "W", 40 + stage.rng("W").randrange(20))
    stage.step("W commits rows here, each acknowledged")


def _replaced_while_open(stage: Stage) -> Actor | None:
    """Both work at once, and the file of one is replaced while it is open; in the control they take turns."""
    writer = _here(stage)
    if stage.control:
        _work(stage, writer)
        writer.close()
        stage.step("W closes")
        _back(stage, _there(stage))
        return None
    elsewhere = _there(stage)
    _work(stage, writer)
    _back(stage, elsewhere)
    writer.sql(CHECKPOINT)
    stage.step("W checkpoints: into the file that it holds, whatever its name is now")
    return writer


def lost(stage: Stage) -> None:
    """W's commits end in the conflicted copy."""
    writer = _replaced_while_open(stage)
    if writer is not None:
        writer.close()
        stage.step("W closes")
    rows = stage.actor("Y").call(next_opener, str(_conflicted(stage)), WITH_ROWS)["rows"]
    has = any(key.startswith("W") for key in rows)
    stage.observe("conflicted.rows", "W's" if has else "not W's")
    among = ", W's among them" if has else ""
    stage.step(f"Y opens the conflicted copy: it has {len(rows)} rows{among}")


def malformed(stage: Stage) -> None:
    """W commits on: its WAL stays beside O's main file, and the next opener replays it."""
    writer = _replaced_while_open(stage)
    if writer is not None:
        stage.insert(writer, "late", 30 + stage.rng("late").randrange(20))
        stage.step("W commits on, each commit acknowledged")
        writer.kill()
        stage.step("W is killed: its -wal stays, beside a main file that it does not belong to")


HAPPENS = (
    "A sync client knows files, not transactions: it takes main file and -wal at different moments and puts a newer "
    "main file in place by a rename, while the program here has the old one open. "
)
CONTROL = "the machines take turns: the file is replaced while nobody has it open"
ADVICE = (
    "keep the live database outside of synced folders; sync a backup (Connection.backup, VACUUM INTO)",
    "compare inode and link count of the open file with those of its name before you write or checkpoint",
    "the missing rows may be in the conflicted copy: keep it, and both -wal files",
)
LINKS = (
    "https://github.com/yicheng47/quill/issues/114",
    "https://github.com/TriliumNext/Trilium/issues/2534",
    "https://github.com/jimmejardine/qiqqa-open-source/issues/415",
)
_STRAYED = {"live.strayed": "main", "live.unlinked": "none"}
_CLEAN = {**CLEAN, "live.strayed": "none", "live.unlinked": "none", "rows.unacked": "none"}

EXHIBITS = (
    Exhibit(
        id="c2",
        title="sync folder replaces the open main file: this machine's commits end in the conflicted copy",
        fault_class=FaultClass.INTERFERENCE,
        happens=HAPPENS + "Its commits, all acknowledged, are checkpointed into the file that was set aside.",
        control=CONTROL,
        run=lost,
        picture={
            **_STRAYED,
            "conflicted.rows": "W's",
            "rows.lost": "suffix",
            "quick_check": "ok",
            "integrity_check": "ok",
        },
        clean={**_CLEAN, "conflicted.rows": "W's"},
        symptom="rows of one machine are gone, those of the other are there; a 'conflicted copy' lies beside the file",
        advice=ADVICE,
        mistaken_for=("the program's shutdown", "the checkpoint"),
        links=LINKS,
    ),
    Exhibit(
        id="c2-malformed",
        title="sync folder replaces the open main file: the WAL of one machine is replayed into the file of another",
        fault_class=FaultClass.INTERFERENCE,
        happens=HAPPENS + "Its -wal stays under the old name, and the next opener replays it into the new main file.",
        control=CONTROL,
        run=malformed,
        picture={**_STRAYED, "wal": "commits", "quick_check": "fails", "integrity_check": "fails"},
        clean=_CLEAN,
        symptom="'database disk image is malformed' after a crash or restart, with a 'conflicted copy' beside the file",
        advice=ADVICE,
        mistaken_for=("the kill", "the disk"),
        links=LINKS,
    ),
)
