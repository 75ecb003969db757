"""I: a kill alone, at every `synchronous`, loses no acknowledged commit and damages nothing."""

from pathlib import Path

from crashlab.errors import LabError
from crashlab.gallery.exhibit import CLEAN, Exhibit, Kind
from crashlab.gallery.mechanisms._power import NEEDS
from crashlab.gallery.stage.actor import Actor, Gone
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.tap import Killer, Selector, Tap

LEVELS = ("OFF", "NORMAL", "FULL", "EXTRA")
LINKS = (
    "https://sqlite.org/pragma.html#pragma_synchronous",
    "https://sqlite.org/atomiccommit.html",
    "https://github.com/NousResearch/hermes-agent/issues/31618",
    "https://github.com/NousResearch/hermes-agent/issues/41795",
)
ADVICE = (
    "look for the second thing that happened: locks cancelled, a file deleted or copied, a network file system",
    "do not look for safety in graceful shutdowns: make the start-up path good instead",
    "what only close() or finally would have written is lost, of course (crashlab repro h3)",
)
LOST_WAL = {
    "rows.lost": "suffix",
    "rows.changed": "none",
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "wal": "missing",
}
"""What a deleted WAL leaves: the positive control of several acquittals."""

_SPILL = (
    "INSERT INTO t(who, v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
    " SELECT 'uncommitted' || i, hex(randomblob(100)) FROM n"
)
_HAPPENS = (
    "What was handed to write() is the operating system's and outlives the process; recovery takes every frame up to "
    "the last commit. synchronous only matters when the machine itself goes down. Here four writers die by SIGKILL, "
    "one at each level, and each is recovered by the next. "
)
_SYMPTOM = "after a kill rows are missing, or the file is malformed: something else happened as well"


def _made(stage: Stage) -> None:
    writer = stage.opener("M")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.close()
    stage.step("rows are committed and closed: they are in the main file")


def lose_wal(stage: Stage, main: Path | None = None) -> None:
    """The real damage of a positive control: the -wal is deleted before anybody opens."""
    if stage.control:
        Path(f"{main or stage.main}-wal").unlink()
        stage.step("somebody deletes the -wal before the next start", main=main)


def between(stage: Stage) -> None:
    """Killed with a transaction open whose pages have already spilled into the WAL."""
    _made(stage)
    for level in LEVELS:
        writer = stage.opener(level, "journal_mode=WAL", f"synchronous={level}", "cache_size=5")
        stage.insert(writer, level.lower(), 5 + stage.rng(level).randrange(20))
        writer.sql("BEGIN IMMEDIATE")
        writer.sql(_SPILL)
        writer.kill()
        stage.step(f"synchronous={level}: a writer commits rows, begins another transaction, and is killed in it")
    lose_wal(stage)


def inside(stage: Stage) -> None:
    """Killed inside a write of a commit, or inside a checkpoint."""
    _made(stage)
    for level in LEVELS:
        rng = stage.rng(level)
        in_checkpoint = level != LEVELS[-1] and rng.randrange(2) == 1
        selector = f"main.write#{1 + rng.randrange(2)}" if in_checkpoint else f"wal.write#{20 + rng.randrange(40)}"
        torn = rng.randrange(24)
        writer = stage.actor(level)
        writer.call(die_at, selector, torn)
        writer.open(str(stage.main), "journal_mode=WAL", f"synchronous={level}", "wal_autocheckpoint=0")
        if level == LEVELS[-1]:
            last = stage.opener("K")  # so that what comes after lies in the WAL alone
            last.sql("PRAGMA wal_checkpoint(TRUNCATE)")
            last.close()
        acked = _until_killed(stage, writer, level.lower(), checkpoint=in_checkpoint)
        where = "in a checkpoint" if in_checkpoint else "in a commit"
        stage.step(f"synchronous={level}: {acked} rows are committed; a kill {where}, {torn} bytes into {selector}")
    lose_wal(stage)


def die_at(actor: Self, selector: str, torn: int) -> None:
    """Install a tap that kills at a write; runs in the writer's process."""
    actor.state["tap"] = Tap(Killer(Selector.parse(selector), torn_bytes=torn))
    actor.state["tap"].install()


_ROWS_MAX = 60


def _until_killed(stage: Stage, writer: Actor, who: str, *, checkpoint: bool) -> int:
    """Insert row by row until the writer dies; returns how many were acknowledged."""
    rows = stage.rows(who, _ROWS_MAX)
    try:
        for number, (key, value) in enumerate(rows):
            if checkpoint and number == 10:
                writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
            writer.sql("INSERT INTO t(who, v) VALUES(?, ?)", (key, value))
            stage.ledger.ack(key, value)
    except Gone as gone:
        if gone.signal == "SIGKILL":
            return number
        raise
    raise LabError(f"the kill of {who} did not fire in {_ROWS_MAX} rows")


EXHIBITS = (
    Exhibit(
        id="i-kill",
        title="acquitted: a kill alone, at synchronous OFF, NORMAL, FULL and EXTRA",
        kind=Kind.ACQUITTAL,
        fault_class=FaultClass.PROCESS_DEATH,
        happens=_HAPPENS + "Each dies with a transaction open whose pages are already in the WAL.",
        control="positive control: the same kills, and then the -wal is deleted",
        run=between,
        picture=LOST_WAL,
        # broken: what an earlier writer had not committed lies behind the shorter rest of the last one
        clean={**CLEAN, "rows.unacked": "none", "rows.changed": "none", "wal": "commits|broken"},
        symptom=_SYMPTOM,
        advice=ADVICE,
        links=LINKS,
    ),
    Exhibit(
        id="i-kill-inside",
        title="acquitted: a kill inside a write of a commit or of a checkpoint, at every synchronous",
        kind=Kind.ACQUITTAL,
        fault_class=FaultClass.PROCESS_DEATH,
        happens=_HAPPENS + "Each dies inside one write to the WAL or to the main file, some bytes of it done.",
        control="positive control: the same kills, and then the -wal is deleted",
        run=inside,
        picture=LOST_WAL,
        clean={**CLEAN, "rows.changed": "none"},
        symptom=_SYMPTOM,
        advice=ADVICE,
        links=LINKS,
        needs=NEEDS,
    ),
)
