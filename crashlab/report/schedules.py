"""A campaign of schedules as text."""

from collections.abc import Iterator

from crashlab.decide.statistics import format_rate
from crashlab.engine.schedules.campaign import Found, Result
from crashlab.engine.schedules.story import program_text
from crashlab.report.plain import one_line, printable

__all__ = ["schedules_text", "summary_lines"]

SHOWN_MAX = 5


def schedules_text(result: Result) -> str:
    """Return the whole report; its last line is the verdict."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    yield (
        f"subject {result.subject} · SQLite {result.engine.partition(' ')[0]} · actors are {result.actors} · "
        f"strategy {result.strategy} · seed {result.seed}"
    )
    for found in result.found:
        yield from _found(found)
    yield from summary_lines(result)


def summary_lines(result: Result) -> Iterator[str]:
    """Yield what was run and what could not be judged; last the verdict with its bound."""
    counted = result.counted
    for number, why in result.stuck:
        yield f"schedule {number} came to no end: {one_line(why)}"
    for problem, count in list(counted.problems.items())[:SHOWN_MAX]:
        yield f"{count} of {counted.schedules} schedules could not be judged: {one_line(problem)}"
    if counted.refusals:
        yield f"refused steps: {counted.refused} of {counted.acked + counted.refused}, which is the program's business:"
        for text, count in list(counted.refusals.items())[:SHOWN_MAX]:
            yield f"  in {count} schedules: {one_line(text)[:150]}"
    rate = counted.schedules / counted.seconds if counted.seconds else 0.0
    per = max(1, counted.schedules)
    yield (
        f"{counted.schedules} schedules in {counted.seconds:.1f} s ({rate:.0f}/s), {counted.points / per:.0f} points "
        f"and {counted.switches / per:.1f} changes of actor each" + (", which is all there are" if counted.done else "")
    )
    if result.found:
        bound = f"{len(result.found)} different finding{'s' if len(result.found) != 1 else ''}"
    elif counted.done and not result.stuck:
        bound = "every schedule within the bound was run"
    else:
        bound = f"failing schedules {format_rate(0, counted.judged)}"
    yield f"{result.verdict}: {bound}; {result.faults}"


def _found(found: Found) -> Iterator[str]:
    yield ""
    for finding in found.findings:
        yield f"FAIL {finding.identity.oracle}/{finding.identity.invariant}: {one_line(finding.message)}"
    before, after = found.as_found, found.small
    yield f"  found in schedule {found.number} after {found.cpu_s:.1f} s of CPU: {program_text(before.script)}"
    if found.shrink_runs:
        yield (
            f"  made smaller in {found.shrink_runs} runs: {found.program}  "
            f"({after.script.size} steps, {len(after.segments)} segments; it had {before.script.size} and "
            f"{len(before.segments)})"
        )
    if found.replays:
        yield (
            f"  replayed: reproduced {found.reproduced}/{found.replays}, "
            f"call for call {found.identical}/{found.replays}"
        )
    if found.note:
        yield f"  not done: {one_line(found.note)}"
    yield ""
    yield from (f"  {printable(line)}".rstrip() for line in found.story.splitlines())
    if found.case_dir:
        yield f"  case    {found.case_dir}"
