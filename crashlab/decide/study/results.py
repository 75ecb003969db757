"""What a study found, as plain data; docs/reference/records.md says what each field is."""

import msgspec

from crashlab.decide.study.axes import Cell
from crashlab.decide.study.distribution import Distribution

__all__ = ["CellResult", "Effect", "Killed", "Kind", "LatencyResult", "Recommendation", "StudyResult"]


class Kind:
    """The kinds of a study's events."""

    STARTED = "study.started"
    CELL = "study.cell"
    LATENCY = "study.latency"
    EFFECT = "study.effect"
    RECOMMENDATION = "study.recommendation"
    FINISHED = "study.finished"


class Killed(msgspec.Struct, frozen=True):
    """Of so many states of a process death, recovered by SQLite: how many miss an acked row, or are malformed."""

    states: int = 0
    lost: int = 0
    malformed: int = 0


class CellResult(msgspec.Struct, frozen=True):
    """One cell on the stepped clock."""

    cell: Cell
    designs: tuple[str, ...]
    clock: str
    seconds_seen: float
    steps: int
    rows_acked: int
    crash_points: int
    checkpoints: int
    completions: int
    completed_in: dict[str, int]
    bounded: str
    frames_per_hour: float
    frames: Distribution
    rows: Distribution
    seconds: Distribution
    power_rows: Distribution
    wal_bytes_max: int
    backfill_points: int
    alone_resting: dict[str, int]
    alone_backfill: dict[str, int]
    rows_lost: Distribution | None
    killed: Killed
    recovery_ms: Distribution | None
    recovery_frames: int
    timeline: tuple[tuple[float, int, int, float], ...]
    remarks: tuple[str, ...] = ()


class LatencyResult(msgspec.Struct, frozen=True):
    """One cell in real time."""

    cell: Cell
    designs: tuple[str, ...]
    clock: str
    rounds: int
    seconds: float
    steps: int
    checkpoint_ms: Distribution | None
    stall_ms: Distribution | None
    commit_ms: Distribution | None
    in_checkpoint: float
    wal_bytes_max: int
    remarks: tuple[str, ...] = ()


class Effect(msgspec.Struct, frozen=True):
    """A comparison of two cells that differ in one axis."""

    measure: str
    statistic: str
    a: Cell
    b: Cell
    differs: str
    relation: str
    value: float
    low: float | None
    high: float | None
    n_a: int
    n_b: int
    clock: str
    method: str
    text: str


class Recommendation(msgspec.Struct, frozen=True):
    """What the figures advise, why, and where that ends."""

    choice: Cell | None
    says: str
    reasons: tuple[str, ...]
    limits: tuple[str, ...]


class StudyResult(msgspec.Struct, frozen=True):
    """A whole study; `stop`: completed, budget or interrupted."""

    subject: str
    seed: int
    axes: dict[str, tuple[str, ...]]
    base: dict[str, str]
    environment: dict[str, str]
    disk: dict[str, str]
    cells: tuple[CellResult, ...]
    latencies: tuple[LatencyResult, ...]
    effects: tuple[Effect, ...]
    recommendation: Recommendation | None
    seconds: float
    stop: str
    left_out: tuple[str, ...] = ()
    designs: dict[str, str] = {}
