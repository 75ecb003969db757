"""The timeline of a failing trial: what it did, in order, up to the fault, and what of it came back."""

from crashlab.model.story import Story, StoryStep
from crashlab.report.svg.canvas import CHAR, Canvas, shorter

__all__ = ["BACKS", "timeline"]

WIDTH, LABEL, RIGHT = 920.0, 132.0, 26.0
ROW, TOP, BOTTOM = 30.0, 22.0, 30.0
LANES_MAX = 6
EVENTS_MAX = 90
"""So many of the last moments are drawn; the table has all that was kept."""

BACKS = {
    "there": ("acked, came back", "good", "dot"),
    "gone": ("acked, GONE", "bad", "cross"),
    "part": ("acked, only partly there", "bad", "square"),
    "over": ("acked, written over later", "quiet", "dot"),
    "": ("acked", "quiet", "dot"),
    "open": ("never acked", "quiet", "ring"),
}


def timeline(story: Story, end_of_it: str = "fault") -> str:
    """Draw a story, with `end_of_it` the name of its last moment.

    The axis is the order of what happened, not to scale: a start-up would squeeze all the rest.
    """
    moments = sorted(
        {step.end_us if step.end_us >= 0 else step.begin_us for step in story.steps}
        | {phase.enter_us for phase in story.phases}
        | {phase.leave_us for phase in story.phases if phase.leave_us >= 0}
        | {operation.at_us for operation in story.operations}
    )
    moments = [moment for moment in moments if moment <= story.fault_us][-EVENTS_MAX:]
    if not moments:
        return ""
    first, step_x = moments[0], (WIDTH - LABEL - RIGHT - 24) / max(1, len(moments))
    places = {moment: LABEL + 8 + step_x * (number + 0.5) for number, moment in enumerate(moments)}
    fault_x = LABEL + 8 + step_x * len(moments) + 6
    lanes = list(dict.fromkeys(step.lane for step in story.steps))[:LANES_MAX]
    phases = list(dict.fromkeys(phase.name for phase in story.phases if phase.leave_us < 0 or phase.leave_us >= first))
    rows = [*(f"steps: {lane}" for lane in lanes), *phases, *(["syncs, truncates"] if story.operations else [])]
    height = TOP + ROW * len(rows) + BOTTOM
    canvas = Canvas(WIDTH, height, "timeline of the failing trial")
    for number, name in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        canvas.text(0, y + 4, shorter(name, LABEL - 10))
        canvas.line(LABEL, y, fault_x, y, "grid")
    for step in story.steps:
        x = places.get(step.end_us if step.end_us >= 0 else step.begin_us)
        if x is not None and step.lane in lanes:
            _, kind, shape = BACKS[_became(step)]
            canvas.mark(x, TOP + ROW * lanes.index(step.lane) + ROW / 2, kind, shape)
    for phase in story.phases:
        if phase.name not in phases:
            continue
        start = places.get(phase.enter_us, LABEL)
        end = fault_x if phase.leave_us < 0 or phase.leave_us > story.fault_us else places.get(phase.leave_us, start)
        y = TOP + ROW * (len(lanes) + phases.index(phase.name)) + ROW / 2
        canvas.rect(start, y - 6, max(3.0, end - start), 12, "phase cut" if phase.leave_us < 0 else "phase")
    for operation in story.operations:
        x = places.get(operation.at_us)
        if x is not None:
            y = TOP + ROW * (len(rows) - 1) + ROW / 2
            canvas.line(x, y - 7, x, y + 7, "sync" if "sync" in operation.what else "sync other")
    canvas.line(fault_x, TOP - 4, fault_x, height - BOTTOM + 4, "fault")
    canvas.text(min(fault_x, WIDTH - 2), TOP - 9, end_of_it, "bad strong", "end")
    _times(canvas, moments, places, fault_x, story.fault_us, height)
    return canvas.svg()


def _became(step: StoryStep) -> str:
    return "open" if step.state != "acked" else step.back if step.back in BACKS else ""


def _time(us: int) -> str:
    """Exact enough to tell neighbours apart."""
    return f"{us / 1e6:,.4f} s" if us >= 10_000_000 else f"{us / 1e3:,.2f} ms"


def _times(
    canvas: Canvas, moments: list[int], places: dict[int, float], fault_x: float, fault_us: int, height: float
) -> None:
    """Name some moments by their time, none over another."""
    shown = _time(fault_us)
    canvas.text(fault_x, height - 8, shown, "soft", "end")
    end, limit = 0.0, fault_x - len(shown) * CHAR - 10
    for moment in moments:
        text = _time(moment)
        half = len(text) * CHAR / 2
        x = places[moment]
        if x - half > end + 14 and x + half < limit:
            canvas.line(x, height - BOTTOM + 2, x, height - BOTTOM + 7, "axis")
            canvas.text(x, height - 8, text, "soft", "middle")
            end = x + half
