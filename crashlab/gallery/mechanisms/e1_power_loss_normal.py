"""E1: with synchronous=NORMAL a power loss takes the last commits: by design, and without any damage."""

from collections.abc import Mapping

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._power import NEEDS, Choose, is_write_to, lose_power, nothing, recorded
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.states.trace import Trace

LINKS = (
    "https://sqlite.org/pragma.html#pragma_synchronous",
    "https://sqlite.org/wal.html",
    "https://github.com/NousResearch/hermes-agent/issues/30636",
    "https://github.com/NousResearch/hermes-agent/issues/96439",
)
ADVICE = (
    "PRAGMA synchronous=FULL for rows that were promised to somebody; NORMAL where losing the last moments is fine",
    "read the pragma back: the default depends on how the library was built",
    "do not blame a kill on it: a kill loses nothing at any synchronous (crashlab repro i-normal)",
)
_PICTURE = {
    "rows.lost": "suffix",
    "rows.unacked": "none",
    "rows.changed": "none",
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "main": "SQLite database",
    "journal": "missing",
}


def _power_loss(stage: Stage, choose: Choose) -> None:
    level = "FULL" if stage.control else "NORMAL"
    writer = recorded(stage, "W", "journal_mode=WAL", f"synchronous={level}")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.step(f"W opens with synchronous={level}, commits rows and checkpoints them")
    stage.insert(writer, "post", 10 + stage.rng("post").randrange(10))
    stage.step("W commits more rows, each acknowledged")
    state = lose_power(stage, writer, choose)
    stage.step(f"the power goes; computed from the recorded writes and syncs: {state}", main=stage.judged)


def drawn(stage: Stage) -> None:
    """Of the frames that were not synced, the disk has the first ones, not the next, and some later ones."""
    rng = stage.rng("disk")

    def choose(trace: Trace, pending: list[int]) -> Mapping[int, None]:
        frames = [op for op in pending if is_write_to(trace, op, "-wal")]
        if not frames:
            return {}
        hole = rng.randrange(8, len(frames) - 12)
        later = [op for op in frames[hole + 8 : -2] if rng.randrange(2)]
        return dict.fromkeys([*frames[:hole], *later, *frames[-2:]])

    _power_loss(stage, choose)


def synced_only(stage: Stage) -> None:
    """Of what was not synced, the disk has nothing."""
    _power_loss(stage, nothing)


_TITLE = "power loss with synchronous=NORMAL: the last acknowledged commits are gone"
_HAPPENS = (
    "With NORMAL a commit in WAL mode is not synced: it waits in the operating system's cache for the next "
    "checkpoint. A power loss takes what the disk has not got, and recovery ends at the first frame that is "
    "missing, so a suffix of the commits goes, never one in the middle."
)
_SYMPTOM = "after a power cut the last seconds or minutes are missing; both checks say ok"
_MISTAKEN = ("corruption", "the checkpoint", "a bug in the application")

EXHIBITS = (
    Exhibit(
        id="e1",
        title=_TITLE,
        fault_class=FaultClass.POWER_LOSS,
        happens=_HAPPENS,
        control="the same run with synchronous=FULL",
        run=drawn,
        picture={**_PICTURE, "wal": "broken"},
        clean={**CLEAN, "wal": "commits"},
        symptom=_SYMPTOM,
        advice=ADVICE,
        mistaken_for=_MISTAKEN,
        links=LINKS,
        needs=NEEDS,
    ),
    Exhibit(
        id="e1-synced",
        title="power loss with synchronous=NORMAL: everything since the last checkpoint is gone",
        fault_class=FaultClass.POWER_LOSS,
        happens=_HAPPENS + " Here the disk has none of the frames, only what the last checkpoint synced.",
        control="the same run with synchronous=FULL",
        run=synced_only,
        picture={**_PICTURE, "wal": "no-commit"},
        clean={**CLEAN, "wal": "commits"},
        symptom=_SYMPTOM,
        advice=ADVICE,
        mistaken_for=_MISTAKEN,
        links=LINKS,
        needs=NEEDS,
    ),
)
