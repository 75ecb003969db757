"""Folding events into a summary, one by one: the listener of a live campaign and the reader of records are the same."""

from collections.abc import Iterable
from typing import Any

import msgspec

from crashlab.decide.evidence import GateReport, Row
from crashlab.engine.campaign import StopReason
from crashlab.engine.reach import Reach
from crashlab.engine.results.read import Records
from crashlab.errors import RecordError
from crashlab.model.event import Event, EventKind
from crashlab.report.numbers import whole
from crashlab.report.summary.answer import answer_of
from crashlab.report.summary.facts import CALLS, STATES, Covered, Run, Source, Summary
from crashlab.report.summary.findings import Findings
from crashlab.report.summary.trials import TrialFacts, Trials

__all__ = ["Fold", "summarise"]

RUNS_MAX = 50
ROWS_MAX = 2000
STUDY_MAX = 5000
ERRORS_MAX = 3
IDS_MAX = 1_000_000
NUMBERS_MAX = 1 << 26  # 8 MiB of bits
NAMES_MAX = 1000
STUDY = "study."


class _Outcome(msgspec.Struct):
    outcome: TrialFacts


class _Explored(msgspec.Struct):
    judged: int = 0
    failures: int = 0
    coverage: tuple[dict[str, Any], ...] = ()
    reach: tuple[Reach, ...] = ()
    identities: dict[str, int] = {}
    outcomes: tuple[TrialFacts, ...] = ()


class _ExploredData(msgspec.Struct):
    explored: _Explored
    row: str = ""
    fault_class: str = ""


class _SweptData(msgspec.Struct):
    row: str = ""
    identities: dict[str, int] = {}
    outcomes: tuple[TrialFacts, ...] = ()


class _Cell(msgspec.Struct):
    axes: dict[str, str] = {}


class _Study(msgspec.Struct):
    """What reports take for granted of any event of a study."""

    cell: _Cell | None = None
    remarks: tuple[str, ...] | None = None
    reasons: tuple[str, ...] | None = None
    limits: tuple[str, ...] | None = None
    seconds: float | None = None


class _Finished(msgspec.Struct):
    stop: str = ""
    seconds: float = 0.0


class _Report(msgspec.Struct):
    report: GateReport


class _Row(msgspec.Struct):
    row: Row


class Fold:
    """Takes events in order; `summary()` at any time. Memory does not grow with the number of trials."""

    def __init__(self) -> None:
        self.trials = Trials()
        self.findings = Findings()
        self._runs: list[Run] = []
        self._sources: list[Source] = []
        self._gates: list[GateReport] = []
        self._rows: list[Row] = []
        self._open_gate = False
        self._covered: list[Covered] = []
        self._study: list[dict[str, Any]] = []
        self._errors: list[str] = []
        self._settings: dict[str, str] = {}
        self._stop = ""
        self._seconds = 0.0
        self._left_out: dict[str, int] = {}
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {}
        self._seen: dict[str, bytearray] = {}
        self._ids: set[str] = set()
        self._outcome = msgspec.json.Decoder(_Outcome).decode
        self.repeated = 0

    def __call__(self, event: Event) -> None:
        """Listen to a live campaign."""
        self.feed(event.kind, event.trial_id, msgspec.json.encode(event.data))

    def feed(self, kind: str, trial_id: str, data: bytes | msgspec.Raw) -> None:
        """Count one event in.

        Raises:
            msgspec.MsgspecError: its data are not of the form of its kind.
        """
        if kind == EventKind.TRIAL_FINISHED:
            self._trial(trial_id, data)
        elif kind == EventKind.CAMPAIGN_FINISHED:
            finished = self._decode(_Finished, data)
            self._stop = finished.stop
            self._seconds += finished.seconds
        elif kind in (EventKind.RUN_STARTED, EventKind.GATE_STARTED):
            self._open_gate = kind == EventKind.GATE_STARTED
            self._rows.clear()
            self._keep(self._runs, self._decode(Run, data), RUNS_MAX, "runs")
        elif kind == EventKind.ROW_FINISHED:
            self._keep(self._rows, self._decode(_Row, data).row, ROWS_MAX, "rows")
        elif kind == EventKind.GATE_FINISHED:
            report = self._decode(_Report, data).report
            self._open_gate = False
            self._keep(self._gates, report, RUNS_MAX, "gates")
            self._settings = self._settings or report.settings
            self._seconds, self._stop = report.seconds, report.stop
        elif kind == EventKind.EXPLORED:
            self._explored(self._decode(_ExploredData, data))
        elif kind == EventKind.SWEPT:
            swept = self._decode(_SweptData, data)
            for outcome in swept.outcomes:
                self.findings.add(outcome, self._tail(), CALLS)
            self.findings.count(swept.identities, CALLS)
        elif kind.startswith(STUDY):
            self._decode(_Study, data)
            told = self._decode(dict, data)
            self._keep(self._study, {"kind": kind, **told}, STUDY_MAX, "events of a study")
            if kind == f"{STUDY}started":
                run = msgspec.structs.replace(self._decode(Run, data), command="cadence")
                self._keep(self._runs, run, RUNS_MAX, "runs")
            elif kind == f"{STUDY}finished":
                self._seconds, self._stop = float(told.get("seconds") or 0.0), str(told.get("stop", ""))

    def _trial(self, trial_id: str, data: bytes | msgspec.Raw) -> None:
        trial = self._outcome(data).outcome
        if self._told(trial_id):
            self.repeated += 1
            return
        self.trials.add(trial)
        if trial.findings and trial.verdict == "FAIL":
            self.findings.add(trial, self._tail())
        if trial.verdict == "ERROR" and len(self._errors) < ERRORS_MAX:
            self._errors.append(trial.error[:2000])
        if not self._settings and len(trial.settings) > 2:
            self._settings = msgspec.json.decode(trial.settings, type=dict[str, str])

    def _told(self, trial_id: str) -> bool:
        """Whether a trial was told before in this file: a resumed or distributed campaign may tell it twice.

        A bit for each number of an id such as `campaign-000123`; ids of another form are kept, up to a cap.
        """
        name, _, digits = trial_id.rpartition("-")
        bits = self._seen.get(name)
        if bits is None and len(self._seen) < NAMES_MAX:
            bits = self._seen[name] = bytearray(1024)
        if bits is not None and len(digits) < 10 and digits.isdecimal() and (number := int(digits)) < NUMBERS_MAX:
            place, bit = number >> 3, 1 << (number & 7)
            if place >= len(bits):
                bits.extend(bytes(max(place + 1 - len(bits), min(len(bits), 1 << 20))))
            if bits[place] & bit:
                return True
            bits[place] |= bit
            return False
        if trial_id in self._ids:
            return True
        if trial_id and len(self._ids) < IDS_MAX:
            self._ids.add(trial_id)
        return False

    def _explored(self, data: _ExploredData) -> None:
        explored = data.explored
        covered = Covered(
            data.row, data.fault_class, explored.judged, explored.failures, explored.coverage, explored.reach
        )
        self._keep(self._covered, covered, RUNS_MAX, "explorations")
        for outcome in explored.outcomes:
            self.findings.add(outcome, self._tail(), STATES)
        self.findings.count(explored.identities, STATES)

    def _tail(self) -> tuple[str, ...]:
        """What the commands of a witness end in: a configuration that is not the nearest, or the COMMAND again."""
        run = self._runs[-1] if self._runs else Run()
        if run.command == "kills":
            return ("--", "COMMAND")  # records hold no command lines
        return ("--config", run.config) if run.config else ()

    def _keep(self, kept: list[Any], new: Any, most: int, name: str) -> None:
        if len(kept) < most:
            kept.append(new)
        else:
            self._left_out[name] = self._left_out.get(name, 0) + 1

    def _decode(self, kind: type, data: bytes | msgspec.Raw) -> Any:
        if kind not in self._decoders:
            self._decoders[kind] = msgspec.json.Decoder(kind)
        return self._decoders[kind].decode(data)

    def read(self, records: Records) -> None:
        """Count a whole records file in.

        Raises:
            RecordError: a line is no event, or its data are not of its kind's form; it names file and line.
        """
        self._seen.clear()
        self._ids.clear()
        before, events = self.repeated, 0
        for events, record in enumerate(records, 1):
            try:
                self.feed(record.kind, record.trial_id, record.data)
            except msgspec.MsgspecError as error:
                raise RecordError(f"{records.path}, line {events}: {record.kind} of an unknown form: {error}") from None
        if self._open_gate:
            self._keep(self._gates, self._cut_off(), RUNS_MAX, "gates")
        self._open_gate = False
        self._sources.append(Source(str(records.path), events, records.torn, self.repeated - before))

    def _cut_off(self) -> GateReport:
        """A gate whose records end before its answer: what there is, never a GO."""
        run = self._runs[-1]
        why = "the gate did not finish: its records end before its answer"
        return GateReport(
            "INCONCLUSIVE",
            (why,),
            run.subject,
            run.seed,
            tuple(self._rows),
            dict(self.trials.phases),
            run.phase_hits_min,
            self.trials.counts().trials,
            0,
            self._seconds,
            self._stop or StopReason.INTERRUPTED.value,
            run.environment,
            self._settings,
            "",
        )

    def summary(self) -> Summary:
        """Return what there is so far."""
        trials, counts = self.trials, self.trials.counts()
        over = {"trials of further combinations": trials.over, "findings": self.findings.over}
        left_out = self._left_out | {name: count for name, count in over.items() if count}
        found = self.findings.found()
        states = trials.states + sum(whole(each.get("generated")) for one in self._covered for each in one.coverage)
        return Summary(
            answer_of(counts, found, tuple(self._gates), tuple(self._study), self._stop, self._runs),
            tuple(self._runs),
            tuple(self._sources),
            counts,
            self._seconds,
            self._stop,
            dict(sorted(trials.phases.items(), key=lambda item: -item[1])),
            trials.cells(),
            trials.maps(),
            trials.exposures(),
            dict(sorted(trials.main_alone.items())),
            trials.latencies(),
            trials.acks(),
            found,
            tuple(self._covered),
            tuple(self._gates),
            states,
            tuple(self._errors),
            self._settings,
            tuple(self._study),
            left_out,
        )


def summarise(paths: Iterable[str]) -> Summary:
    """Rebuild a summary from records files, or the directories of runs.

    Raises:
        RecordError: one of them is no record of a campaign, or has a bad line.
    """
    fold = Fold()
    for path in paths:
        fold.read(Records(path))
    return fold.summary()
