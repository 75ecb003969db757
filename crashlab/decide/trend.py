"""Findings and rates over several runs: what changed from one commit to the next, with an interval."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from crashlab.decide.effects import difference_of_shares
from crashlab.engine.results.read import RECORDS, Records, records_file
from crashlab.errors import UsageError
from crashlab.model.event import EventKind
from crashlab.model.finding import Identity, Verdict

RUNS_MAX = 10_000
ENVIRONMENT = {"sqlite": "SQLite", "python": "Python", "file_system": "file system", "machine": "machine"}


class Point(msgspec.Struct):
    """One run. `findings`: finding → trials that showed it. `decision` is a gate's. `torn`: bytes of a torn last line.

    `commit`, `committed` (its date) and `dirty` are of the subject's repository, empty where there was none.
    """

    run: str
    command: str = ""
    subject: str = ""
    seed: int = 0
    faults: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    commit: str = ""
    committed: str = ""
    dirty: bool = False
    environment: dict[str, str] = {}
    judged: int = 0
    failures: int = 0
    missed: int = 0
    errors: int = 0
    states: int = 0
    findings: dict[str, int] = {}
    decision: str = ""
    torn: int = 0

    @property
    def label(self) -> str:
        """The commit, short, with a + for changes on top; the run's name where there is none."""
        return self.commit[:8] + "+" * self.dirty if self.commit else Path(self.run).name


class Change(msgspec.Struct, frozen=True):
    """What one finding (or, with an empty name, any failure) did from one run to the next.

    `value`, `low`, `high`: difference of the shares of judged trials, with its 95 % interval; `clear` if that leaves
    no difference out. `a` and `b`: (trials that showed it, judged trials).
    """

    finding: str
    before: str
    after: str
    a: tuple[int, int]
    b: tuple[int, int]
    value: float
    low: float
    high: float
    clear: bool


class Series(msgspec.Struct, frozen=True):
    """Runs that may be compared: of one subject, under the same faults and parameters, in order.

    `environments`: what differs between neighbours other than the commit, as text.
    """

    command: str
    subject: str
    faults: tuple[str, ...]
    params: dict[str, Any]
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    environments: tuple[str, ...]


class _Outcome(msgspec.Struct):
    verdict: Verdict
    findings: tuple["_Finding", ...] = ()
    states: "_States | None" = None


class _Finding(msgspec.Struct):
    identity: Identity


class _States(msgspec.Struct):
    generated: int = 0


class _Trial(msgspec.Struct):
    outcome: _Outcome


class _Started(msgspec.Struct):
    command: str = "gate"
    subject: str = ""
    seed: int = 0
    faults: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    commit: str = ""
    committed: str = ""
    dirty: bool = False
    environment: dict[str, str] = {}


class _Decided(msgspec.Struct):
    decision: str = ""


class _Report(msgspec.Struct):
    report: _Decided


def trend(paths: Iterable[str]) -> tuple[Series, ...]:
    """Read runs and put those together that may be compared, each series in the order of `paths`.

    A path is a run's records, its directory, or a directory of runs, which are taken by their numbers.

    Raises:
        RecordError: damaged records, or none.
        UsageError: too many runs, or one of them twice.
    """
    groups: dict[bytes, list[Point]] = {}
    seen: set[Path] = set()
    for path in (run for given in paths for run in _runs(Path(given))):
        file = records_file(path).resolve()
        if file in seen:
            raise UsageError(f"{path}: given twice; a run compared with itself says nothing")
        seen.add(file)
        if len(seen) > RUNS_MAX:
            raise UsageError(f"more than {RUNS_MAX} runs; name fewer")
        point = read_point(path)
        key = msgspec.json.encode((point.command, point.subject, point.faults, point.params), order="sorted")
        groups.setdefault(key, []).append(point)
    return tuple(_series(points) for points in groups.values())


def _runs(path: Path) -> Iterator[Path]:
    """The run, or the runs in a directory of runs (or in one that has `runs/`)."""
    if path.is_dir() and not (path / RECORDS).exists():
        root = path / "runs" if (path / "runs").is_dir() else path
        found = [entry for entry in root.iterdir() if (entry / RECORDS).is_file()]
        if found:
            yield from sorted(found, key=_place)
            return
    records_file(path)
    yield path


def _place(path: Path) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)-?(\d*)", path.name)
    return (match[1], int(match[2] or 0)) if match else (path.name, 0)


def read_point(path: Path) -> Point:
    """Read one run, each trial once.

    Raises:
        RecordError: damaged records, or none.
    """
    records = Records(path)
    point = Point(str(path), findings={})
    told: set[str] = set()
    for record in records:
        if record.kind in (EventKind.RUN_STARTED, EventKind.GATE_STARTED):
            started = records.data(record, _Started)
            for name in started.__struct_fields__:
                setattr(point, name, getattr(started, name))
        elif record.kind == EventKind.TRIAL_FINISHED and record.trial_id not in told:
            told.add(record.trial_id)
            _count(point, records.data(record, _Trial).outcome)
        elif record.kind == EventKind.GATE_FINISHED:
            point.decision = records.data(record, _Report).report.decision
    point.torn = records.torn
    return point


def _count(point: Point, outcome: _Outcome) -> None:
    if outcome.verdict is Verdict.MISSED:
        point.missed += 1
    elif outcome.verdict in (Verdict.PASS, Verdict.FAIL):
        point.judged += 1
        point.failures += outcome.verdict is Verdict.FAIL
    else:
        point.errors += 1
    point.states += outcome.states.generated if outcome.states is not None else 0
    for identity in {finding.identity for finding in outcome.findings}:
        point.findings[str(identity)] = point.findings.get(str(identity), 0) + 1


def _series(points: list[Point]) -> Series:
    first = points[0]
    pairs = list(pairwise(points))
    changes = tuple(change for a, b in pairs for change in _changes(a, b))
    environments = tuple(
        f"{a.label} → {b.label}: {name} {a.environment[key]} → {b.environment[key]}"
        for a, b in pairs
        for key, name in ENVIRONMENT.items()
        if a.environment.get(key) and b.environment.get(key) and a.environment[key] != b.environment[key]
    )
    return Series(first.command, first.subject, first.faults, first.params, tuple(points), changes, environments)


def _changes(a: Point, b: Point) -> Iterator[Change]:
    """Every failure together, then each finding that either run has."""
    yield _change("", a, b, a.failures, b.failures)
    for finding in sorted({*a.findings, *b.findings}):
        yield _change(finding, a, b, a.findings.get(finding, 0), b.findings.get(finding, 0))


def _change(finding: str, a: Point, b: Point, in_a: int, in_b: int) -> Change:
    effect = difference_of_shares((in_a, a.judged), (in_b, b.judged))
    return Change(
        finding,
        a.label,
        b.label,
        (in_a, a.judged),
        (in_b, b.judged),
        effect.value,
        effect.low,
        effect.high,
        effect.clear,
    )
