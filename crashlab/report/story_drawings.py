"""The story of a witness in drawings: its timeline, and the map of its WAL."""

from collections.abc import Iterator

from crashlab.model.story import Story, WalMap
from crashlab.report.figures import Figure
from crashlab.report.numbers import duration
from crashlab.report.svg.timeline import BACKS, timeline
from crashlab.report.svg.walmap import FATES, wal_strip
from crashlab.report.tables import Table

__all__ = ["story_figures"]


def story_figures(story: Story, fault: str) -> Iterator[Figure]:
    """Yield the timeline up to a fault, given by its text, and the map of the WAL if there was one."""
    rows = [
        (
            step.lane,
            str(step.seq),
            duration(step.begin_us / 1e6),
            duration(step.end_us / 1e6) if step.end_us >= 0 else "-",
            step.state,
            BACKS.get(step.back if step.state == "acked" else "open", ("",))[0],
        )
        for step in story.steps
    ]
    rows += [
        (
            phase.name,
            "",
            duration(phase.enter_us / 1e6),
            duration(phase.leave_us / 1e6) if phase.leave_us >= 0 else "-",
            "phase" if phase.leave_us >= 0 else "phase, cut off by the fault",
            phase.detail,
        )
        for phase in story.phases
    ]
    rows += [(each.what, "", duration(each.at_us / 1e6), "", "operation", "") for each in story.operations]
    head = ("what", "step", "begin", "end", "state", "what came back")
    left_out = ", ".join(f"{count:,} earlier {name}" for name, count in story.left_out.items())
    table = Table(
        "Steps, phases and operations", head, tuple(rows), (1, 2, 3), f"Not kept: {left_out}." if left_out else ""
    )
    used = {step.back if step.state == "acked" else "open" for step in story.steps}
    legend = tuple((kind, shape, words) for name, (words, kind, shape) in BACKS.items() if name in used)
    if story.phases:
        legend += (("phase", "bar", "in a phase"),)
    if story.operations:
        legend += (("sync", "tick", "sync"), ("sync other", "tick", "truncate, delete"))
    end_of_it = "end" if fault.startswith("io-error") else "fault"
    note = "In the order of what happened, not to scale; times since the writer's first mark."
    yield Figure("Timeline of the witness", timeline(story, end_of_it), legend, table, note)
    if story.wal is not None:
        yield _wal(story.wal)


def _wal(wal: WalMap) -> Figure:
    frames = tuple(
        (
            f"{run.first + 1:,} to {run.first + run.frames:,}",
            f"{run.frames:,}",
            "this" if not run.generation else f"{run.generation} before",
            FATES.get(run.fate, (run.fate, ""))[0],
        )
        for run in wal.runs
    )
    said = f"{wal.frames:,} frames of {wal.page_size:,} bytes, {wal.committed:,} committed; the chain ends: {wal.end}"
    if wal.backfilled >= 0:
        said += f"; the wal-index says that {wal.backfilled:,} were copied to the main file"
    table = Table("Frames", ("frames", "count", "generation", "fate"), frames, (1,), f"{said}.")
    fates = {run.fate for run in wal.runs}
    legend = tuple((kind, "bar", words) for name, (words, kind) in FATES.items() if name in fates)
    return Figure("The WAL as the fault left it", wal_strip(wal), legend, table)
