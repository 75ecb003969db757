"""A schedule as a story: who did which calls, and what was in the wal-index when control passed."""

from collections.abc import Sequence

from crashlab.engine.schedules.ran import Look, Passing, Ran
from crashlab.model.schedule import Script

__all__ = ["program_text", "tell"]

WIDTH = 78
CALLS_SHOWN = 6
_NOT_USED = 0xFFFFFFFF


def tell(script: Script, ran: Ran) -> str:
    """Return the story of a run that was made with `tell`: one block a segment, calls left, wal-index right."""
    lines = [f"{'who and what':{WIDTH}}  wal-index when control passes", f"{'-' * WIDTH}  {'-' * 30}"]
    for number, passing in enumerate(ran.course):
        following = next((later for later in ran.course[number + 1 :] if later.actor == passing.actor), None)
        first, *rest = _calls(passing, following)
        lines.append(f"{first:{WIDTH}}  {_look(passing.look)}".rstrip())
        lines += rest
    return "\n".join([*lines, "", *(f"found: {finding.message}" for finding in ran.findings)]) + "\n"


def program_text(script: Script) -> str:
    """Return what the actors do in one line: the generic workload's letters, else how many steps of each lane."""
    if "programs" in script.params:
        words = str(script.params["programs"]).split("|")
        done = ["".join(word[n] for n in actor.steps) or "-" for word, actor in zip(words, script.actors, strict=False)]
        done += [f"{actor.lane}: {_places(actor.steps)}" for actor in script.actors[len(words) :]]
        return f"{' | '.join(done)}  autocheckpoint {script.params.get('autocheckpoint')}"
    return " | ".join(f"{actor.lane}: {_places(actor.steps)}" for actor in script.actors)


def _places(steps: Sequence[int]) -> str:
    if not steps:
        return "no step"
    return "steps " + " ".join(str(place) for place in steps)


def _calls(passing: Passing, following: Passing | None) -> list[str]:
    """The segment's calls: those at its ends, and every step; where it is stopped, what it was about to do."""
    calls = list(_grouped(passing.calls))
    shown = calls
    if len(calls) > 2 * CALLS_SHOWN:
        middle = [call for call in calls[CALLS_SHOWN:-CALLS_SHOWN] if call.startswith("step ")]
        left_out = len(calls) - 2 * CALLS_SHOWN - len(middle)
        shown = [*calls[:CALLS_SHOWN], f"… {left_out} more …", *middle, *calls[-CALLS_SHOWN:]]
    lines = _wrapped(f"{chr(97 + passing.actor)}  ", shown or ["goes on to its next call"])
    if following is not None and following.calls:
        lines.append(f"   >> stopped before: {following.calls[0]}")
    return lines


def _grouped(calls: Sequence[str]) -> Sequence[str]:
    found: list[tuple[str, int]] = []
    for call in calls:
        if found and found[-1][0] == call:
            found[-1] = (call, found[-1][1] + 1)
        else:
            found.append((call, 1))
    return [call if count == 1 else f"{call} x{count}" for call, count in found]


def _wrapped(head: str, words: Sequence[str]) -> list[str]:
    lines = [head]
    for number, word in enumerate(words):
        text = word + ("" if number == len(words) - 1 else " · ")
        if len(lines[-1]) + len(text) > WIDTH and lines[-1].strip():
            lines.append(" " * len(head))
        lines[-1] += text
    return [line.rstrip() for line in lines]


def _look(look: Look | None) -> str:
    if look is None:
        return "none mapped"
    marks = " ".join("-" if mark == _NOT_USED else str(mark) for mark in look.read_marks)
    wrong = "  IMPOSSIBLE" if look.backfilled > look.max_frame else ""
    return f"mxFrame {look.max_frame}  nBackfill {look.backfilled}  marks {marks}{wrong}"
