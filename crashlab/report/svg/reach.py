"""Coverage of crash points: for each stretch of a recorded run, the states looked at, and what the run did."""

from crashlab.engine.reach import BINS_MAX, Reach
from crashlab.report.numbers import figure
from crashlab.report.svg.canvas import Canvas, nice_ticks

__all__ = ["reach_bars"]

WIDTH, LEFT, TOP, BARS, STRIP = 920.0, 62.0, 12.0, 110.0, 10.0
STRIPS = (
    ("writes_main", "main", "c1"),
    ("writes_wal", "WAL", "c0"),
    ("syncs", "syncs", "c2"),
    ("others", "other", "quiet"),
)


def reach_bars(reach: Reach) -> str:
    """Draw the states of each bin as bars, what the run did there as strips beneath, and where something failed."""
    states = [max(0, each) for each in reach.states[: BINS_MAX + 1]]
    if not any(states):
        return ""
    ticks = nice_ticks(float(max(states)), 3)
    height = TOP + BARS + 20 + len(STRIPS) * (STRIP + 5) + 24
    canvas = Canvas(WIDTH, height, "crash states over the recorded run")
    per_bin = (WIDTH - LEFT - 2) / len(states)
    for tick in ticks:
        y = TOP + BARS - tick / ticks[-1] * BARS
        canvas.line(LEFT, y, WIDTH, y, "grid")
        canvas.text(LEFT - 6, y + 4, figure(tick), "soft", "end")
    failing = reach.failing
    for number, count in enumerate(states):
        tall = count / ticks[-1] * BARS
        bad = number < len(failing) and failing[number] > 0
        canvas.rect(LEFT + number * per_bin, TOP + BARS - tall, per_bin * 0.85, tall, "bar failing" if bad else "bar")
        if bad:
            canvas.mark(LEFT + (number + 0.42) * per_bin, TOP + BARS + 8, "bad", "cross")
    y = TOP + BARS + 18
    for key, name, kind in STRIPS:
        counts = getattr(reach, key)[: len(states)]
        most = max(counts, default=0)
        canvas.text(LEFT - 6, y + STRIP - 1, name, "soft", "end")
        canvas.line(LEFT, y + STRIP, WIDTH, y + STRIP, "grid")
        for number, count in enumerate(counts if most else ()):
            if count:
                tall = max(2.0, count / most * STRIP)
                canvas.rect(LEFT + number * per_bin, y + STRIP - tall, per_bin * 0.85, tall, f"frames {kind}")
        y += STRIP + 5
    canvas.text(LEFT, height - 6, "operation 1", "soft")
    canvas.text(WIDTH - 1, height - 6, f"operation {reach.operations:,}", "soft", "end")
    return canvas.svg()
