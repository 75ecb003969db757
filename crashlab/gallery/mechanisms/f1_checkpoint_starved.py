"""F1: a long reader pins the WAL. Meanwhile a PASSIVE checkpoint reports no error, and does not finish."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass

ROUNDS = 3


def run(stage: Stage) -> None:
    """Checkpoints after each batch of commits, while a reader keeps its snapshot."""
    writer = stage.opener("W", *WAL, "wal_autocheckpoint=0")
    stage.create(writer)
    stage.insert(writer, "pre", 10)
    reader = stage.opener("R")
    reader.sql("BEGIN")
    reader.sql("SELECT count(*) FROM t")
    stage.step("W commits rows; R begins a read transaction and reads")
    if stage.control:
        reader.sql("COMMIT")
        stage.step("R ends its transaction")
    busy, complete = 0, True
    rounds_of_wal = set()
    for number in range(ROUNDS):
        stage.insert(writer, f"W{number}-", 20 + stage.rng("W", number).randrange(20))
        row = writer.sql("PRAGMA wal_checkpoint(PASSIVE)")[0]
        busy, complete = max(busy, row[0]), complete and row[1] == row[2]
        sight = stage.step(f"W commits rows and checkpoints PASSIVE: busy, log, checkpointed = {tuple(row)}")
        if sight.wal is not None and sight.wal.header is not None:
            rounds_of_wal.add(sight.wal.header.salts)
    stage.observe("passive.busy", busy)
    stage.observe("passive.complete", "yes" if complete else "no")
    row = writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    stage.observe("truncate.busy", row[0])
    stage.observe("wal.restarts", "yes" if len(rounds_of_wal) > 1 else "no")
    stage.step(f"W checkpoints TRUNCATE: busy, log, checkpointed = {tuple(row)}")


EXHIBITS = (
    Exhibit(
        id="f1",
        title="checkpoint starved by a long reader: PASSIVE reports busy=0 and does not finish",
        fault_class=FaultClass.NONE,
        happens=(
            "A read transaction pins the end of the WAL that it saw. PASSIVE copies up to there, reports busy=0, and "
            "leaves the rest; nobody may start the WAL anew, and it grows. TRUNCATE says busy=1. In Python the reader "
            "is often a cursor that was not read to its end, or an implicit transaction."
        ),
        control="the reader ends its transaction before the checkpoints",
        run=run,
        picture={
            "passive.busy": "0",
            "passive.complete": "no",
            "truncate.busy": "1",
            "wal.restarts": "no",
            "wal": "commits",
            "rows.lost": "none",
        },
        clean={
            **CLEAN,
            "passive.busy": "0",
            "passive.complete": "yes",
            "truncate.busy": "0",
            "wal.restarts": "yes",
            "wal": "empty",
        },
        symptom="the -wal grows without end while each checkpoint is logged as done; slow reads, long shutdown",
        advice=(
            "compare the last two numbers of the answer: only checkpointed == log means done; busy == 0 does not",
            "count rounds without completion and report them; look for the reader, not for a larger checkpoint",
            "end read transactions: read cursors to their end, close them, no transaction across waits",
            "never delete the large -wal: that is d3",
        ),
        mistaken_for=("a checkpoint that is too rare", "a leak", "the disk"),
        links=(
            "https://sqlite.org/wal.html#avoiding_excessively_large_wal_files",
            "https://github.com/diegosouzapw/OmniRoute/issues/12998",
            "https://github.com/DeusData/codebase-memory-mcp/issues/1137",
        ),
    ),
)
