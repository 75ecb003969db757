"""What a summary holds, as plain data: JSON writes it, every other format is drawn from it."""

from typing import Any

import msgspec

from crashlab.decide.evidence import GateReport
from crashlab.engine.reach import Reach
from crashlab.model.story import Story

FORMAT_VERSION = 1

TRIALS, STATES, CALLS = "trials", "judged crash states", "failed calls"
"""What findings are counted in."""


class Quantile(msgspec.Struct, frozen=True):
    """A percentile with its 95 % interval; None where there are too few values for an end of it."""

    value: float = 0.0
    low: float | None = None
    high: float | None = None


class Distribution(msgspec.Struct, frozen=True):
    """N values. `curve`: pairs (percent, value) for drawing: so many percent of the values are no larger."""

    unit: str
    n: int
    mean: float = 0.0
    p50: Quantile = Quantile()
    p95: Quantile = Quantile()
    p99: Quantile = Quantile()
    max: float = 0.0
    curve: tuple[tuple[float, float], ...] = ()


class Counts(msgspec.Struct):
    """Trials by verdict. `judged`: the fault fired and the oracles gave an answer; `failures` of these failed."""

    judged: int = 0
    failures: int = 0
    missed: int = 0
    errors: int = 0
    inconclusive: int = 0

    @property
    def trials(self) -> int:
        """All of them."""
        return self.judged + self.missed + self.errors + self.inconclusive

    def add(self, other: "Counts") -> None:
        """Count another one's in."""
        self.judged += other.judged
        self.failures += other.failures
        self.missed += other.missed
        self.errors += other.errors
        self.inconclusive += other.inconclusive


class Run(msgspec.Struct, frozen=True):
    """How a run was asked for, as its first event says it."""

    command: str = ""
    subject: str = ""
    seed: int = 0
    faults: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    trials: int = 0
    environment: dict[str, str] = {}
    config: str = ""
    commit: str = ""
    phase_hits_min: int = 0


class Source(msgspec.Struct, frozen=True):
    """One records file. `torn`: bytes of a last line that was cut off; `repeated`: trials told twice, counted once."""

    path: str
    events: int
    torn: int = 0
    repeated: int = 0


class Cell(msgspec.Struct, frozen=True):
    """Trials of one kind of fault under one set of parameters."""

    fault: str
    params: dict[str, Any]
    counts: Counts


class HeatMap(msgspec.Struct, frozen=True):
    """Faults by the values of one parameter. `cells[row][column]`; `rows_p95`: acked rows outside main, -1: none."""

    param: str
    faults: tuple[str, ...]
    values: tuple[str, ...]
    cells: tuple[tuple[Counts, ...], ...]
    rows_p95: tuple[tuple[float, ...], ...]


class Exposures(msgspec.Struct, frozen=True):
    """Exposure of the trials of one group: all, or those with one value of a parameter."""

    param: str
    value: str
    frames: Distribution
    rows: Distribution
    seconds: Distribution


class Witness(msgspec.Struct, frozen=True):
    """One trial that shows a finding, with the commands that show it again."""

    trial_id: str
    fault: str
    seed: int
    params: dict[str, Any] = {}
    fired: str = ""
    message: str = ""
    case_dir: str = ""
    replay: str = ""
    reduce: str = ""
    story: Story | None = None


class Found(msgspec.Struct, frozen=True):
    """A finding, told once. `counts`: how many trials, judged crash states and failed calls show it."""

    identity: str
    counts: dict[str, int]
    message: str
    fault_class: str = ""
    witnesses: tuple[Witness, ...] = ()

    @property
    def trials(self) -> int:
        """Trials of real processes that show it."""
        return self.counts.get(TRIALS, 0)

    @property
    def often(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count:,} {what}" for what, count in self.counts.items())


class Covered(msgspec.Struct, frozen=True):
    """One exploration of a recorded run: `coverage` and `reach` as the events have them."""

    row: str
    fault_class: str
    judged: int
    failures: int
    coverage: tuple[dict[str, Any], ...]
    reach: tuple[Reach, ...]


class Answer(msgspec.Struct, frozen=True):
    """The decision first: `word` GO, NO-GO, INCONCLUSIVE, or PASS, FAIL for a run that is no gate."""

    word: str
    claim: str
    reasons: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True):
    """Everything that a report says. `left_out`: what was over a cap, by name; `repeated` is in the sources."""

    answer: Answer
    runs: tuple[Run, ...]
    sources: tuple[Source, ...]
    counts: Counts
    seconds: float
    stop: str
    phases: dict[str, int]
    cells: tuple[Cell, ...]
    heat: tuple[HeatMap, ...]
    exposures: tuple[Exposures, ...]
    main_alone: dict[str, int]
    latencies: dict[str, Distribution]
    acks: Distribution
    findings: tuple[Found, ...]
    covered: tuple[Covered, ...]
    gates: tuple[GateReport, ...] = ()
    states: int = 0
    errors: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    study: tuple[dict[str, Any], ...] = ()
    left_out: dict[str, int] = {}
    format_version: int = FORMAT_VERSION

    @property
    def environment(self) -> dict[str, str]:
        """Where the first run ran; {} if its records do not say."""
        return next((run.environment for run in self.runs if run.environment), {})

    @property
    def subject(self) -> str:
        """The subjects' names."""
        return ", ".join(dict.fromkeys(run.subject for run in self.runs if run.subject))
