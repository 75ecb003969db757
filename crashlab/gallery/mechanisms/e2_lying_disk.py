"""E2: nothing is synced, by synchronous=OFF or by a disk that lies: a power loss then tears the main file."""

from collections.abc import Mapping

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._power import NEEDS, Choose, is_write_to, lose_power, recorded
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.states.trace import Trace

LINKS = (
    "https://sqlite.org/howtocorrupt.html#_failure_to_sync",
    "https://sqlite.org/pragma.html#pragma_synchronous",
    "https://github.com/tursodatabase/turso/issues/7781",
    "https://github.com/tursodatabase/turso/issues/8101",
)
_TORN = {
    "quick_check": "fails",
    "integrity_check": "fails",
    "main": "SQLite database",
    "rows.lost": "suffix|gap|all",
    "journal": "missing",
}


def _grown(stage: Stage, writer: Actor) -> None:
    """Two checkpoints: the first of a small table, the second of one whose root page is no longer a leaf."""
    stage.create(writer)
    stage.insert(writer, "pre", 4 + stage.rng("pre").randrange(4))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.insert(writer, "more", 60 + stage.rng("more").randrange(20), together=True)
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.step("W commits rows and checkpoints them, twice")
    stage.insert(writer, "last", 3 + stage.rng("last").randrange(3), size=3000)  # new pages: page 1 changes too
    stage.step("W commits a few more: the WAL is written again from its start, over what the main file should have")


def _second_checkpoint(trace: Trace, pending: list[int]) -> list[int]:
    """The writes to the main file that are not durable, from the last one of page 1 on: of the last checkpoint."""
    writes = [op for op in pending if is_write_to(trace, op, ".db")]
    first = max((op for op in writes if trace.offsets[op] == 0), default=0)
    return [op for op in writes if op >= first]


def off(stage: Stage) -> None:
    """The second checkpoint's root pages have reached the disk, most of its leaves have not."""
    level = "FULL" if stage.control else "OFF"
    writer = recorded(stage, "W", "journal_mode=WAL", f"synchronous={level}")
    _grown(stage, writer)
    rng = stage.rng("disk")

    def choose(trace: Trace, pending: list[int]) -> Mapping[int, None]:
        leaves = _second_checkpoint(trace, pending)[3:]  # behind page 1 and the roots of table and index
        lost = {op for op in leaves if rng.randrange(4)} | set(leaves[:1])
        return dict.fromkeys(op for op in pending if op not in lost)

    _lose(stage, writer, choose)


def lying(stage: Stage) -> None:
    """The disk said that the second checkpoint was synced, and has nothing of it."""
    writer = recorded(stage, "W", lies_about="" if stage.control else "main.sync")
    _grown(stage, writer)

    def choose(trace: Trace, pending: list[int]) -> Mapping[int, None]:
        lost = set(_second_checkpoint(trace, pending))
        return dict.fromkeys(op for op in pending if op not in lost)

    _lose(stage, writer, choose)


def _lose(stage: Stage, writer: Actor, choose: Choose) -> None:
    state = lose_power(stage, writer, choose)
    stage.step(f"the power goes; computed from the recorded writes and syncs: {state}", main=stage.judged)


EXHIBITS = (
    Exhibit(
        id="e2-off",
        title="power loss with synchronous=OFF: a checkpoint reached the disk in part; the file is malformed",
        fault_class=FaultClass.POWER_LOSS,
        happens=(
            "With OFF nothing is ever synced and nothing keeps an order: a checkpoint's pages reach the disk in any "
            "order, and the WAL that could repair them is written over before they are there."
        ),
        control="the same run with synchronous=FULL",
        run=off,
        picture=_TORN,
        clean={**CLEAN, "wal": "commits"},
        symptom="after a power cut: 'database disk image is malformed', and no WAL that would repair it",
        advice=(
            "never synchronous=OFF for anything that cannot be made again",
            "a kill never shows it: test it with computed power losses (crashlab gate, the trace rows)",
            "restore from a backup; what is readable comes out with crashlab salvage or .recover, on a copy",
        ),
        mistaken_for=("the kill", "the checkpoint", "bit rot"),
        links=LINKS,
        needs=NEEDS,
    ),
    Exhibit(
        id="e2-lying",
        title="a disk that confirms a sync it has not done: the checkpoint is gone, its WAL written over",
        fault_class=FaultClass.POWER_LOSS,
        happens=(
            "SQLite syncs the main file before it writes the WAL from its start again. A disk, a virtual machine's "
            "cache, or fsync() on macOS says 'done' too early; the power goes, and the main file lacks pages whose "
            "frames no longer exist. synchronous=FULL does not help against a disk that lies."
        ),
        control="the disk does what it confirms",
        run=lying,
        picture=_TORN,
        clean={**CLEAN, "wal": "commits"},
        symptom="after a power cut, or a crash of the host of a virtual machine: malformed, although FULL was set",
        advice=(
            "turn off the disk's volatile write cache, or the virtual machine's 'unsafe' cache mode",
            "on macOS: PRAGMA fullfsync=1 and checkpoint_fullfsync=1",
            "keep a backup on another disk, taken with the backup API",
        ),
        mistaken_for=("SQLite", "the checkpoint", "synchronous=NORMAL"),
        links=LINKS,
        needs=NEEDS,
    ),
)
