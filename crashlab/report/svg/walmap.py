"""The map of a WAL as the fault left it: every frame, by generation and fate."""

from crashlab.model.story import WalMap
from crashlab.report.svg.canvas import CHAR, Canvas

__all__ = ["FATES", "wal_strip"]

WIDTH, STRIP, TOP = 920.0, 26.0, 20.0

FATES = {
    "main": ("committed, and in the main file", "quiet"),
    "wal": ("committed, only here", "c0"),
    "uncommitted": ("not committed: recovery drops it", "warn"),
    "torn": ("behind a break in the chain: LOST", "bad"),
    "old": ("of an earlier generation", "faint"),
}


def wal_strip(wal: WalMap) -> str:
    """Draw the frames from left to right; ticks are commits, and a mark says how far a checkpoint had copied."""
    if not wal.frames:
        return ""
    height = TOP + STRIP + (38 if wal.backfilled > 0 else 20)
    canvas = Canvas(WIDTH, height, "map of the write-ahead log")
    per_frame = (WIDTH - 2) / wal.frames

    def at(frame: float) -> float:
        return 1 + frame * per_frame

    for run in wal.runs:
        kind = FATES.get(run.fate, ("", "quiet"))[1]
        canvas.rect(at(run.first), TOP, run.frames * per_frame, STRIP, f"frames {kind}")
    if per_frame >= 6:
        for frame in range(1, wal.frames):
            canvas.line(at(frame), TOP, at(frame), TOP + STRIP, "gap")
    for commit in wal.commits if len(wal.commits) * 3 < WIDTH else ():
        canvas.line(at(commit), TOP - 5, at(commit), TOP, "axis")
    canvas.text(1, TOP - 8, "commits end at the ticks", "soft")
    bottom = TOP + STRIP
    canvas.text(1, bottom + 14, "frame 1", "soft")
    canvas.text(WIDTH - 1, bottom + 14, f"frame {wal.frames:,}", "soft", "end")
    if wal.backfilled > 0:
        x = at(min(wal.backfilled, wal.frames))
        said = f"checkpoint had copied {wal.backfilled:,}"
        canvas.line(x, TOP - 2, x, bottom + 18, "fault")
        anchor = "end" if x + len(said) * CHAR > WIDTH else "start"
        canvas.text(x, bottom + 31, said, "strong", anchor)
    return canvas.svg()
