"""The story of one failing trial, small enough for its record: what was done, what came back, what the WAL held.

Times are microseconds since the first thing that the writer logged, so that a page can be drawn from the record alone.
"""

import msgspec

STEPS_MAX = 120
PHASES_MAX = 80
OPERATIONS_MAX = 120
RUNS_MAX = 200
"""The last so many of each are kept; runs of frames: the first."""


class StoryStep(msgspec.Struct, frozen=True):
    """One step. `back`: there, gone, part (some of its rows), over (a later step wrote its rows), '' (not known).

    `end_us` is -1 for a step that was never acked or refused.
    """

    lane: str
    seq: int
    state: str
    begin_us: int
    end_us: int = -1
    back: str = ""
    process: int = 0


class StoryPhase(msgspec.Struct, frozen=True):
    """One phase; `leave_us` is -1 for one that the writer died in."""

    name: str
    enter_us: int
    leave_us: int = -1
    detail: str = ""
    process: int = 0


class StoryOperation(msgspec.Struct, frozen=True):
    """A sync, truncate, delete or rename of a recorded run."""

    at_us: int
    what: str


class FrameRun(msgspec.Struct, frozen=True):
    """Consecutive frames of the WAL with one fate, as the fault left the file; numbers count from 0.

    `fate`: main (committed, and the main file has this image of the page or a later one), wal (committed, and only
    here), uncommitted, torn (this generation's, behind the end of the chain), old (an earlier generation's).
    """

    first: int
    frames: int
    fate: str
    generation: int = 0


class WalMap(msgspec.Struct, frozen=True):
    """The WAL at the fault. `commits`: frames up to and with each of the last commits. `end`: why the chain ended.

    `backfilled` is what the wal-index says has been copied to the main file, -1 where there was none to ask; after a
    power loss it says nothing.
    """

    frames: int
    page_size: int
    committed: int
    runs: tuple[FrameRun, ...]
    end: str = ""
    commits: tuple[int, ...] = ()
    backfilled: int = -1
    generations: int = 1


class Story(msgspec.Struct, frozen=True):
    """What happened up to the fault, and what was there afterwards. `left_out`: what was too much to keep, by kind."""

    fault_us: int
    steps: tuple[StoryStep, ...] = ()
    phases: tuple[StoryPhase, ...] = ()
    operations: tuple[StoryOperation, ...] = ()
    wal: WalMap | None = None
    left_out: dict[str, int] = {}
