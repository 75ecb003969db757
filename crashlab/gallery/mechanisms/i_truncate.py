"""I: wal_checkpoint(TRUNCATE), and PASSIVE, every 50 writes, killed at a drawn moment, on a big FTS database.

Each run is a trial of both modes: readers and somebody who fills the disk run beside the writer, on a real
disk, and the kill comes inside SQLite, at a drawn call. What many runs bound is an upper limit of the rate,
for this machine; it never proves zero.
"""

import os
from pathlib import Path

from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.gallery.exhibit import CLEAN, Exhibit, Kind, Need
from crashlab.gallery.mechanisms._big_database import big_database, message, write
from crashlab.gallery.mechanisms.i_kill import LOST_WAL, lose_wal
from crashlab.gallery.stage.actor import Actor, Gone
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.cache import cache_directory
from crashlab.gallery.stage.driver import Problem
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.tap import Killer, Selector, Tap

EVERY = 50
_WRITES_MAX = 4 * EVERY
_READERS = 2
_CHECK_S = 60.0
_BUSY_S = 5.0
_CHECKPOINT_S = 0.5
_TRIES = 20
"""Of the first TRUNCATE, which must complete: a trial without one would say nothing."""

_PRESSURE_BLOCK = 4 << 20
_PRESSURE_BLOCKS = 8
_ROUNDS_MAX = 1_000_000
_QUERY = "SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'abc*' AND rowid > ?"
_MOMENTS = {
    "TRUNCATE": (("wal.truncate", 2), ("main.sync", 2), ("main.write", 150), ("wal.write", 1500)),
    "PASSIVE": (("main.write", 150), ("wal.write", 1500)),
}
"""Mode -> calls at which the kill may come, and the highest number that is drawn."""


def run(stage: Stage) -> None:
    """Both modes, one after the other, on one copy of the database."""
    stage.check_s = _CHECK_S
    with Workspace(str(cache_directory())) as disk:
        directory = disk.make_run()
        main = directory / stage.main.name
        big_database(stage, main)
        base = _started(stage, main)
        press = stage.actor("P")
        press.begin(fill, str(directory / "scratch"))
        for mode in _MOMENTS:
            _trial(stage, mode, main, base)
        press.kill()
        _last_rows(stage, main)
        lose_wal(stage, main)
        Triplet.of(main).copy_into(stage.directory)
        stage.step("the files as they lie are taken to where they are judged", main=main)
        stage.observe("app.last", _checked(stage, main, base))


def _started(stage: Stage, main: Path) -> int:
    """Turn WAL mode on; returns how many messages there are."""
    maker = stage.opener("M", path=main)
    base, pages = maker.sql("SELECT count(*) FROM messages")[0][0], maker.sql("PRAGMA page_count")[0][0]
    maker.close()
    maker.leave()
    stage.step(f"a database of {pages} pages with {base} messages in a full-text index", main=main)
    return int(base)


def _trial(stage: Stage, mode: str, main: Path, base: int) -> None:
    """One writer, its readers, and a kill at a drawn call behind the first checkpoint."""
    stop = main.with_name(f"stop-{mode}")
    readers = [stage.opener(f"R{number}-{mode}", path=main, busy_s=_BUSY_S) for number in range(_READERS)]
    for reader in readers:
        reader.begin(read_on, str(stop), base)
    rng = stage.rng(mode)
    call, highest = _MOMENTS[mode][rng.randrange(len(_MOMENTS[mode]))]
    selector = f"{call}#{1 + rng.randrange(highest)}"
    writer = stage.actor(f"W-{mode}")
    writer.call(die_later, selector)
    writer.open(str(main), "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", busy_s=_CHECKPOINT_S)
    completed, acked, reached = _write_until_killed(stage, writer, mode)
    stop.touch()
    saw = {reader.receive(_CHECK_S) for reader in readers}
    for reader in readers:
        reader.leave()
    stage.observe(f"app.{mode.lower()}_completed", "some" if completed else "none")
    stage.observe(f"app.{mode.lower()}_readers", "+".join(sorted(saw)))
    stage.observe(f"app.{mode.lower()}", _checked(stage, main, base))
    where = f"at {selector}" if reached else f"between two writes ({selector} was not reached)"
    stage.step(f"W commits {acked} rows with {mode} every {EVERY}, beside two readers; killed {where}", main=main)


def _write_until_killed(stage: Stage, writer: Actor, mode: str) -> tuple[int, int, bool]:
    """Write, and checkpoint every EVERY writes; (checkpoints completed, rows acked, killed at the drawn call)."""
    completed = number = 0
    rows = stage.rows(mode.lower(), _WRITES_MAX)
    try:
        for number, (key, value) in enumerate(rows):
            if number and number % EVERY == 0:
                completed += _checkpoint(writer, mode, tries=_TRIES if number == EVERY else 1)
                if number == EVERY:
                    writer.call(arm)
            writer.call(write, key, value, message(stage, key))
            stage.ledger.ack(key, value)
    except Gone as gone:
        if gone.signal != "SIGKILL":
            raise
        return completed, number, True
    writer.kill()
    return completed, len(rows), False


def _checkpoint(writer: Actor, mode: str, *, tries: int) -> bool:
    """Checkpoint; whether it completed. The readers can keep TRUNCATE waiting for longer than its busy timeout."""
    for _ in range(tries if mode == "TRUNCATE" else 1):
        busy, log, done = writer.sql(f"PRAGMA wal_checkpoint({mode})")[0]
        if not busy and log == done:
            return True
    return False


def _last_rows(stage: Stage, main: Path) -> None:
    """A completed checkpoint, some rows that only the WAL has, and a kill: the same on both sides."""
    writer = stage.opener("L", path=main, busy_s=_BUSY_S)
    busy = writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
    if busy:
        raise LabError("nobody else has the database open, and the last checkpoint was busy")
    for key, value in stage.rows("last", 5 + stage.rng("last").randrange(EVERY)):
        writer.call(write, key, value, message(stage, key))
        stage.ledger.ack(key, value)
    writer.kill()
    stage.step("a last writer checkpoints, commits rows, and is killed", main=main)


def _checked(stage: Stage, main: Path, base: int) -> str:
    """Let an opener compare everything; returns `ok`, or the first of rows, file, messages, index that is wrong."""
    opener = stage.opener("C", path=main, busy_s=_BUSY_S)
    found = opener.call(check, base, seconds=_CHECK_S)
    opener.leave()
    lost = any(found["rows"].get(key) != value for key, value in stage.ledger.acked.items())
    return "rows" if lost else str(found["wrong"])


def check(actor: Self, base: int) -> dict[str, object]:
    """The rows, and which of file, messages, index is wrong, or `ok`; runs in an opener's process."""
    try:
        rows = dict(actor.execute("SELECT who, v FROM t NOT INDEXED"))
    except Problem:
        return {"rows": {}, "wrong": "file"}
    if actor.execute("PRAGMA quick_check(1)")[0][0] != "ok":
        return {"rows": rows, "wrong": "file"}
    if actor.execute("SELECT count(*) FROM messages")[0][0] - base != len(rows):
        return {"rows": rows, "wrong": "messages"}  # each row has a message, in one transaction
    try:
        actor.execute("INSERT INTO messages_fts(messages_fts, rank) VALUES('integrity-check', 1)")
    except Problem:
        return {"rows": rows, "wrong": "index"}
    return {"rows": rows, "wrong": "ok"}


def read_on(actor: Self, stop: str, base: int) -> str:
    """Read until a file appears: `consistent`, `torn`, or an error. Runs in a reader's process."""
    try:
        for _ in range(_ROUNDS_MAX):
            actor.execute("BEGIN")
            rows = actor.execute("SELECT count(*) FROM t NOT INDEXED")[0][0]
            last = actor.execute("SELECT max(id) FROM messages")[0][0]
            actor.execute(_QUERY, (last - 100,))
            actor.execute("COMMIT")
            if rows != last - base:
                return "torn"
            if os.path.exists(stop):
                break
    except Problem as problem:
        return problem.name
    return "consistent"


def fill(_actor: Self, path: str) -> None:
    """Write and sync blocks for as long as the process lives; runs in a process of its own."""
    block = os.urandom(_PRESSURE_BLOCK)
    with open(path, "wb", buffering=0) as file:
        for number in range(_ROUNDS_MAX):
            file.seek(number % _PRESSURE_BLOCKS * _PRESSURE_BLOCK)
            file.write(block)
            os.fsync(file.fileno())


def die_later(actor: Self, selector: str) -> None:
    """Install a tap that kills at a call, not armed yet; runs in the writer's process."""
    killer = Killer(Selector.parse(selector))
    killer.trip.enabled = False
    actor.state["killer"] = killer
    actor.state["tap"] = Tap(killer)
    actor.state["tap"].install()


def arm(actor: Self) -> None:
    """From now on calls are counted; runs in the writer's process."""
    trip = actor.state["killer"].trip
    trip.seen = 0
    trip.enabled = True


EXHIBITS = (
    Exhibit(
        id="i-truncate",
        title="acquitted: wal_checkpoint(TRUNCATE) every 50 writes, killed, on a 65 000-page FTS database",
        kind=Kind.ACQUITTAL,
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "TRUNCATE copies all frames into the main file, syncs it, and only then cuts the WAL off; killed anywhere "
            "in between, the frames are still there. Each run is a trial of TRUNCATE and one of PASSIVE, with readers "
            "and I/O pressure, killed at a drawn call; many runs state an upper limit of the rate of damage."
        ),
        control="positive control: the same, and then the -wal is deleted",
        run=run,
        picture={**LOST_WAL, "app.last": "rows"},
        clean={
            **CLEAN,
            "rows.changed": "none",
            "app.truncate": "ok",
            "app.truncate_completed": "some",
            "app.truncate_readers": "consistent",
            "app.passive": "ok",
            "app.passive_readers": "consistent",
            "app.last": "ok",
        },
        symptom="the file is malformed after a restart, and TRUNCATE was the last thing in the log",
        advice=(
            "changing TRUNCATE to PASSIVE changes nothing: those who did were corrupted again",
            "look for a stray close() of the live files (crashlab repro a1): that is what was found in the end",
        ),
        links=(
            "https://github.com/NousResearch/hermes-agent/issues/44795",
            "https://github.com/NousResearch/hermes-agent/issues/45383",
            "https://github.com/NousResearch/hermes-agent/issues/84881",
        ),
        needs=(Need.FORK, Need.PROC, Need.TAP, Need.STDLIB, Need.FTS5),
        in_default_run=False,
        seconds_max=300.0,
    ),
)
