"""I: issuing PRAGMA journal_mode=WAL again, by processes beside a live writer, unlinks nothing."""

import os

from crashlab.gallery.exhibit import CLEAN, Exhibit, Kind
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

_TIMES = 20
_PICTURE = {
    "live.unlinked": "shm+wal",
    "app.wal_inode": "changed",
    "rows.lost": "suffix",
    "rows.changed": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
}


def run(stage: Stage) -> None:
    """Twenty siblings open, set WAL mode again, and close, while W commits."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    stage.step("W opens in WAL mode and commits rows")
    if stage.control:
        writer.probe(str(stage.main))
        writer.probe(f"{stage.main}-shm")
        stage.step("something in W's process opens and closes the main file and -shm: W's locks are gone")
    wal = f"{stage.main}-wal"
    inode = os.stat(wal).st_ino
    busy = set(stage.rng("busy").sample(range(_TIMES), 5 + stage.rng("commits").randrange(10)))
    for number in range(_TIMES):
        sibling = stage.opener(f"X{number}")
        sibling.close()
        sibling.leave()
        if number in busy:
            stage.insert(writer, f"during{number}-", 1)
    same = os.path.exists(wal) and os.stat(wal).st_ino == inode
    stage.observe("app.wal_inode", "unchanged" if same else "changed")
    stage.step(f"{_TIMES} processes, one after the other, open, PRAGMA journal_mode=WAL, close; W commits between them")
    stage.insert(writer, "post", 3 + stage.rng("post").randrange(5))
    writer.kill()
    stage.step("W commits more rows and is killed")


EXHIBITS = (
    Exhibit(
        id="i-wal-again",
        title="acquitted: PRAGMA journal_mode=WAL issued again by other processes",
        kind=Kind.ACQUITTAL,
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "In a database that is in WAL mode the pragma answers 'wal' and does nothing. What unlinks a live WAL is "
            "a process that closes and finds no lock of anybody else; it takes cancelled locks to get there, and "
            "then any open and close does it."
        ),
        control="positive control: the writer's locks have been cancelled before (mechanism A1)",
        run=run,
        picture=_PICTURE,
        clean={
            **CLEAN,
            "rows.unacked": "none",
            "rows.changed": "none",
            "live.unlinked": "none",
            "live.main_locks": "held",
            "app.wal_inode": "unchanged",
        },
        symptom="the -wal of a running process is '(deleted)' and the pragma was the last thing somebody did",
        advice=(
            "leave the pragma where it is; look for what opens and closes the files (crashlab repro a1)",
            "look at /proc/locks: a connection in WAL mode without a row there has lost its locks",
        ),
        links=(
            "https://github.com/NousResearch/hermes-agent/issues/32857",
            "https://github.com/NousResearch/hermes-agent/issues/104596",
        ),
    ),
)
