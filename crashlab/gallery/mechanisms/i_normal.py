"""I: synchronous=NORMAL loses nothing when a process dies; it takes a power loss."""

from crashlab.gallery.exhibit import CLEAN, Exhibit, Kind
from crashlab.gallery.mechanisms._power import NEEDS, lose_power, nothing, recorded
from crashlab.gallery.mechanisms.e1_power_loss_normal import LINKS
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def run(stage: Stage) -> None:
    """The same recorded run, ended by a kill, or by a power loss."""
    writer = recorded(stage, "W", "journal_mode=WAL", "synchronous=NORMAL")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.insert(writer, "post", 10 + stage.rng("post").randrange(30))
    stage.step("W commits rows with synchronous=NORMAL; the last ones have not been synced")
    if stage.control:
        state = lose_power(stage, writer, nothing)
        stage.step(f"the power goes; computed from the recorded writes and syncs: {state}", main=stage.judged)
    else:
        writer.kill()
        stage.step("W is killed")


EXHIBITS = (
    Exhibit(
        id="i-normal",
        title="acquitted: synchronous=NORMAL when the process dies",
        kind=Kind.ACQUITTAL,
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "With NORMAL the last commits are in the operating system's cache and not on the disk. The next opener "
            "reads through the same cache, so the death of a process takes none of them; only the machine's can."
        ),
        control="positive control: the same run ends by a power loss (computed) instead of a kill",
        run=run,
        picture={
            "rows.lost": "suffix",
            "rows.unacked": "none",
            "rows.changed": "none",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "wal": "no-commit",
        },
        clean={**CLEAN, "rows.unacked": "none", "rows.changed": "none", "wal": "commits"},
        symptom="rows are missing after a kill and NORMAL gets the blame: something else happened as well",
        advice=(
            "FULL against power loss, if the last moments matter; it changes nothing for a kill",
            "look for cancelled locks (crashlab repro a1) and deleted files (d3) instead",
        ),
        links=LINKS,
        needs=NEEDS,
    ),
)
