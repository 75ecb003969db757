"""What a gate has to decide on: rows of checks with their numbers, as plain data."""

from array import array
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from crashlab.decide.planted import PlantedResult, Told
from crashlab.engine.campaign import Tally
from crashlab.gallery.controls.run import ControlResult, ControlVerdict
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome


class RowResult(StrEnum):
    """What a row of the gate says."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    MISSED = "MISSED"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not judged on this road"
    SKIPPED = "skipped"


CONTROLS = "controls"
"""The group of the lab's own positive controls."""


class ExposureSummary(msgspec.Struct, frozen=True):
    """Exposure over a row's trials: 95th percentiles and maxima of what lived only in the WAL."""

    frames_p95: int = 0
    frames_max: int = 0
    rows_p95: int = 0
    rows_max: int = 0
    seconds_p95: float = 0.0
    main_alone_malformed: int = 0
    trials: int = 0


class Row(msgspec.Struct, frozen=True):
    """One check of a gate: what, N, result, and what stands behind it.

    `judged` are the trials in which the fault fired; `failures` of them failed, `missed` did not fire and
    `errors` are the lab's own. `fault_class` names the claim.
    """

    group: str
    name: str
    result: RowResult
    fault_class: str = ""
    judged: int = 0
    failures: int = 0
    missed: int = 0
    errors: int = 0
    detail: str = ""
    exposure: ExposureSummary | None = None
    invariants: tuple[str, ...] = ()


class GateReport(msgspec.Struct, frozen=True):
    """Everything that a gate found, for every format."""

    decision: str
    reasons: tuple[str, ...]
    subject: str
    seed: int
    rows: tuple[Row, ...]
    phase_hits: dict[str, int]
    phase_hits_min: int
    trials: int
    kills: int
    seconds: float
    stop: str
    environment: dict[str, str]
    settings: dict[str, str]
    records: str
    commands: tuple[str, ...] = ()
    states: int = 0
    format_version: int = 1


class _Exposures:
    """Exposure of the trials in which a fault hit a running writer, in three numbers each."""

    def __init__(self) -> None:
        self._frames, self._rows, self._seconds = array("q"), array("q"), array("d")
        self._malformed = 0

    def add(self, outcome: Outcome) -> None:
        exposure = outcome.exposure
        if outcome.verdict in (Verdict.PASS, Verdict.FAIL) and exposure.main_alone:
            self._frames.append(exposure.frames)
            self._rows.append(exposure.rows)
            self._seconds.append(exposure.seconds)
            self._malformed += exposure.main_alone == "malformed"

    def summary(self) -> ExposureSummary | None:
        if not self._frames:
            return None
        count = len(self._frames)
        at = max(0, -(-count * 95 // 100) - 1)  # nearest rank
        frames, rows, seconds = sorted(self._frames), sorted(self._rows), sorted(self._seconds)
        return ExposureSummary(frames[at], frames[-1], rows[at], rows[-1], seconds[at], self._malformed, count)


def summarise_exposure(outcomes: Iterable[Outcome]) -> ExposureSummary | None:
    """Summarise the exposure of the trials in which a fault hit a running writer."""
    exposures = _Exposures()
    for outcome in outcomes:
        exposures.add(outcome)
    return exposures.summary()


def last_words(error: str) -> str:
    """Return what an error says in the end, on one line: of a traceback, the exception with its whole message."""
    lines = error.strip().splitlines() or ["it said nothing"]
    frames = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return " ".join(line.strip() for line in lines[frames[-1] + 1 if frames else 0 :]) or lines[-1].strip()


def campaign_row(group: str, name: str, fault_class: str, outcomes: Iterable[Outcome]) -> Row:
    """Make one row of the outcomes of a group of trials, which may be a long stream."""
    tally, exposures, error = Tally(keep=False), _Exposures(), ""
    for outcome in outcomes:
        tally.add(outcome)
        exposures.add(outcome)
        error = error or outcome.error
    failures, missed, errors = (tally.count(v) for v in (Verdict.FAIL, Verdict.MISSED, Verdict.ERROR))
    judged = tally.count(Verdict.PASS) + failures
    result = RowResult.OK
    detail = ""
    if failures:
        result = RowResult.FAIL
    elif errors:
        result = RowResult.INCONCLUSIVE
        detail = last_words(error)[:160]
    elif not judged:
        result = RowResult.MISSED
        detail = "no fault of this row ever fired"
    if tally.states.generated:
        detail = f"{tally.states}; {detail}" if detail else str(tally.states)
    invariants = tuple(sorted({f"{i.oracle}/{i.invariant}" for i in tally.identities}))
    return Row(
        group,
        name,
        result,
        fault_class,
        judged,
        failures,
        missed,
        errors,
        detail,
        exposures.summary(),
        invariants,
    )


def planted_row(result: PlantedResult) -> Row:
    """Make the row of one planted bug that is a control of this subject."""
    caught = result.told is Told.CAUGHT
    return Row(
        CONTROLS,
        planted_name(result.title),
        RowResult.OK if caught else RowResult.MISSED,
        judged=result.trials + result.twin_trials,
        detail=f"caught: {result.check} in trial {result.trials}; twin 0/{result.twin_trials}"
        if caught
        else f"{result.told}: {result.detail or result.check}",
    )


def planted_name(title: str) -> str:
    """What the row of a planted bug is called."""
    return f"planted: {title}"


def control_row(result: ControlResult) -> Row:
    """Make the row of one control: OK means that the broken subject was caught and its twin was not."""
    if result.verdict is ControlVerdict.NOT_JUDGED:
        return Row(CONTROLS, result.title, RowResult.NOT_JUDGED, detail=result.detail)
    caught = ", ".join(f"{name} {count}/{result.trials}" for name, count in sorted(result.found.items()))
    return Row(
        CONTROLS,
        result.title,
        RowResult.OK if result.sound else RowResult.MISSED,
        judged=result.trials + result.twin_trials,
        detail=f"caught: {caught}; twin 0/{result.twin_trials}" if result.sound else result.detail,
    )
