"""Counting trials: by fault and parameters, with histograms of what they measured. Bounded, and fit for 10^6."""

import re
from array import array
from typing import Annotated, Any

import msgspec
import numpy as np

from crashlab.report.summary.facts import Cell, Counts, Distribution, Exposures, HeatMap
from crashlab.report.summary.histogram import Histogram, Sparse

__all__ = ["TrialFacts", "Trials", "fault_label"]

CELLS_MAX = 1000
"""Combinations of fault and parameters that are counted apart; trials of further ones count in the totals alone."""

VALUES_MAX = 24
"""A parameter with more values than this is drawn in no map."""

MAPS_MAX = 8
WORDS_MAX = 200
FAULTS_MAX = 40
TIMES = ("writer", "evidence", "exposure", "restart", "oracles")
VERDICTS = ("PASS", "FAIL", "MISSED", "ERROR", "INCONCLUSIVE")
_BUFFERED = 32_768
_COLUMNS = 2 + 4 + len(TIMES)  # cell, verdict, acked, frames, rows, microseconds, times
_REST = CELLS_MAX
_ALL = "all"


class _Case(msgspec.Struct, frozen=True):
    subject: str = ""
    seed: int = 0
    fault: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")


# What a foreign record may hold and no array takes is refused with its line.
_Count = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)]


class _Exposure(msgspec.Struct, frozen=True):
    frames: _Count = 0
    rows: _Count = 0
    seconds: Annotated[float, msgspec.Meta(ge=0, lt=1e12)] = 0.0
    main_alone: str = ""


class _Times(msgspec.Struct, frozen=True):
    writer: _Count = -1
    evidence: _Count = -1
    exposure: _Count = -1
    restart: _Count = -1
    oracles: _Count = -1


class _Identity(msgspec.Struct, frozen=True):
    oracle: str = ""
    invariant: str = ""
    subject: str = ""
    fault_class: str = ""

    def __str__(self) -> str:
        return f"{self.oracle}/{self.invariant} · {self.subject} · {self.fault_class}"


class _Finding(msgspec.Struct, frozen=True):
    identity: _Identity
    message: str = ""


class _States(msgspec.Struct, frozen=True):
    generated: _Count = 0


class TrialFacts(msgspec.Struct, frozen=True):
    """What a report needs of an outcome; the rest of the record is not decoded."""

    trial_id: str
    case: _Case
    verdict: str
    fired: str = ""
    phase: str = ""
    findings: tuple[_Finding, ...] = ()
    acked: _Count = 0
    exposure: _Exposure = _Exposure()
    error: str = ""
    case_dir: str = ""
    timings_us: _Times = _Times()
    settings: msgspec.Raw = msgspec.Raw(b"{}")
    states: _States | None = None
    story: msgspec.Raw = msgspec.Raw(b"null")


def fault_label(text: str) -> str:
    """Return the kind of a fault: its text without numbers, delays and bytes.

    >>> fault_label("kill@phase=commit#3 delay=40us"), fault_label("hangup@ack#5 grace=5s on=handle")
    ('kill@phase=commit', 'hangup@ack on=handle')
    >>> fault_label("power-loss@op=831 keep=0x1f")
    'power-loss@op'
    """
    head, *words = text.split(" ")
    head = re.sub(r"(@op)=.*|[#+].*|(@after)=.*", r"\1\2", head)
    return " ".join([head, *(word for word in words if word.startswith(("on=", "error=", "mode=")))])


class Trials:
    """Takes trials one by one; `cells()`, `maps()` and the rest tell what they sum up to."""

    def __init__(self) -> None:
        self.main_alone: dict[str, int] = {}
        self.states = 0
        self.over = 0
        self._phases: dict[str, int] = {}
        self._labels: dict[str, str] = {}
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._cells: list[tuple[str, dict[str, Any]]] = []
        self._verdicts = np.zeros((CELLS_MAX + 1, len(VERDICTS)), dtype=np.int64)
        self._buffer = array("q")
        self._measured = {name: Sparse() for name in ("acked", "frames", "rows", "seconds", *TIMES)}
        self._places = {verdict: place for place, verdict in enumerate(VERDICTS)}

    def add(self, trial: TrialFacts) -> None:
        """Count one trial in."""
        case, exposure, times = trial.case, trial.exposure, trial.timings_us
        verdict = self._places.get(trial.verdict, 4)
        measured = verdict < 2 and exposure.main_alone != ""
        if verdict < 2:
            if trial.phase in self._phases or len(self._phases) < WORDS_MAX:
                self._phases[trial.phase] = self._phases.get(trial.phase, 0) + 1
            if measured and (exposure.main_alone in self.main_alone or len(self.main_alone) < WORDS_MAX):
                self.main_alone[exposure.main_alone] = self.main_alone.get(exposure.main_alone, 0) + 1
        if trial.states is not None:
            self.states += trial.states.generated
        self._buffer.extend(
            (
                self._cell(case.fault, bytes(case.params)),
                verdict,
                trial.acked if verdict < 2 else -1,
                exposure.frames if measured else -1,
                exposure.rows if measured else -1,
                int(exposure.seconds * 1e6) if measured else -1,
                times.writer,
                times.evidence,
                times.exposure,
                times.restart,
                times.oracles,
            )
        )
        if len(self._buffer) >= _BUFFERED * _COLUMNS:
            self._flush()

    def _cell(self, fault: str, params: bytes) -> int:
        label = self._labels.get(fault)
        if label is None:
            if len(self._labels) >= 100_000:
                self._labels.clear()
            label = self._labels[fault] = fault_label(fault)
        number = self._numbers.get((label, params))
        if number is None:
            if len(self._cells) >= CELLS_MAX:
                self.over += 1
                return _REST
            number = self._numbers[(label, params)] = len(self._cells)
            self._cells.append((label, msgspec.json.decode(params, type=dict[str, Any])))
        return number

    def _flush(self) -> None:
        if not self._buffer:
            return
        table = np.frombuffer(self._buffer, dtype=np.int64).reshape(-1, _COLUMNS)
        cells = table[:, 0]
        flat = np.bincount(cells * len(VERDICTS) + table[:, 1], minlength=self._verdicts.size)
        self._verdicts += flat.reshape(self._verdicts.shape)
        for column, sparse in enumerate(self._measured.values(), 2):
            there = table[:, column] >= 0
            sparse.add(cells[there], table[there, column])
        del table, cells
        self._buffer = array("q")

    @property
    def phases(self) -> dict[str, int]:
        """In which phases the judged trials ended; a trial may be in two at once."""
        found: dict[str, int] = {}
        for phases, count in self._phases.items():
            for phase in filter(None, phases.split(",")):
                found[phase] = found.get(phase, 0) + count
        return found

    def counts(self) -> Counts:
        """Return all trials by verdict."""
        self._flush()
        return _counts(self._verdicts.sum(axis=0).tolist())

    def cells(self) -> tuple[Cell, ...]:
        """Return the combinations of fault and parameters, in the order of their names."""
        self._flush()
        found = [
            Cell(label, params, _counts(row))
            for (label, params), row in zip(self._cells, self._verdicts[: len(self._cells)].tolist(), strict=True)
        ]
        return tuple(sorted(found, key=lambda cell: (cell.fault, [(n, _order(v)) for n, v in cell.params.items()])))

    def exposures(self) -> tuple[Exposures, ...]:
        """Return the exposure of all trials, then for each value of each parameter that has several."""
        self._flush()
        groups: list[tuple[str, str, dict[int, str]]] = [("", _ALL, dict.fromkeys(range(CELLS_MAX + 1), _ALL))]
        for param, values in self._varied().items():
            names = self._named(param)
            groups += [
                (param, value, {number: _ALL for number, name in names.items() if name == value}) for value in values
            ]
        found = []
        for param, value, cells in groups:
            frames, rows, seconds = (
                self._measured[name].histograms(cells).get(_ALL, Histogram()) for name in ("frames", "rows", "seconds")
            )
            if frames.counts:
                each = (frames.distribution("frames"), rows.distribution("rows"), seconds.distribution("s", 1e-6))
                found.append(Exposures(param, value, *each))
        return tuple(found)

    def latencies(self) -> dict[str, Distribution]:
        """Return the times of a trial's parts, in milliseconds."""
        self._flush()
        every = dict.fromkeys(range(CELLS_MAX + 1), _ALL)
        found = {name: self._measured[name].histograms(every) for name in TIMES}
        return {name: each[_ALL].distribution("ms", 1e-3) for name, each in found.items() if each}

    def acks(self) -> Distribution:
        """Return how many steps had been acked at the fault."""
        self._flush()
        every = dict.fromkeys(range(CELLS_MAX + 1), _ALL)
        return self._measured["acked"].histograms(every).get(_ALL, Histogram()).distribution("acks")

    def maps(self) -> tuple[HeatMap, ...]:
        """Return a map of the faults by each parameter that has several values; one without values where none has."""
        self._flush()
        faults = tuple(sorted({label for label, _ in self._cells}))[:FAULTS_MAX]
        varied = self._varied() or {"": ("",)}
        maps = []
        for param, values in list(varied.items())[:MAPS_MAX]:
            names = self._named(param)
            cells = {number: (self._cells[number][0], value) for number, value in names.items()}
            exposed = self._measured["rows"].histograms(cells)
            table = {(fault, value): Counts() for fault in faults for value in values}
            for number, place in cells.items():
                if place in table:
                    table[place].add(_counts(self._verdicts[number].tolist()))
            worst = {place: found.distribution("rows").p95.value for place, found in exposed.items()}
            maps.append(
                HeatMap(
                    param,
                    faults,
                    values,
                    tuple(tuple(table[fault, value] for value in values) for fault in faults),
                    tuple(tuple(worst.get((fault, value), -1.0) for value in values) for fault in faults),
                )
            )
        return tuple(maps)

    def _varied(self) -> dict[str, tuple[str, ...]]:
        """Parameters with two values or more, with the values in order; those of checkpoints first."""
        values: dict[str, dict[str, Any]] = {}
        for _, params in self._cells:
            for name, value in params.items():
                values.setdefault(name, {})[str(value)] = value
        return {
            name: tuple(sorted(each, key=lambda shown, each=each: _order(each[shown])))  # type: ignore[misc]
            for name, each in sorted(values.items(), key=lambda item: (_rank(item[0]), item[0]))
            if 1 < len(each) <= VALUES_MAX
        }

    def _named(self, param: str) -> dict[int, str]:
        """The value of a parameter in each cell that has it, as text; '' everywhere for no parameter."""
        if not param:
            return dict.fromkeys(range(len(self._cells)), "")
        return {number: str(params[param]) for number, (_, params) in enumerate(self._cells) if param in params}


def _counts(row: list[int]) -> Counts:
    passed, failed, missed, errors, inconclusive = row
    return Counts(passed + failed, failed, missed, errors, inconclusive)


def _order(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _rank(name: str) -> int:
    words = ("cadence", "interval", "checkpoint", "every", "mode", "synchronous", "reader")
    return next((place for place, word in enumerate(words) if word in name), len(words))
