"""What changed between two campaigns: environment first, then effects with their intervals, then findings."""

from collections.abc import Iterator
from math import hypot

import msgspec

from crashlab.decide.effects import Effect, difference_of_shares
from crashlab.decide.statistics import format_bound, format_rate
from crashlab.report.numbers import percentile_text, quantity
from crashlab.report.summary.facts import TRIALS, Answer, Counts, Distribution, Exposures, Found, Quantile, Summary
from crashlab.report.tables import LATENCIES, METRICS, Table, often, totals, where_line

__all__ = ["Change", "Comparison", "compare", "comparison_tables"]

SAME = "unclear"
ROWS_MAX = 400
_STAMP = ("os", "machine", "cores", "python", "sqlite", "sqlite_source_id", "file_system")


class Change(msgspec.Struct, frozen=True):
    """One figure in A and in B. `low`, `high`: the 95 % interval of the effect, None where there is too little."""

    what: str
    a: str
    b: str
    effect: str
    low: float | None = None
    high: float | None = None
    clear: bool = False


class Comparison(msgspec.Struct, frozen=True):
    """Everything that `crashlab report --compare A B` says."""

    names: tuple[str, str]
    answers: tuple[Answer, Answer]
    totals: tuple[str, str]
    where: tuple[str, str]
    differs: tuple[tuple[str, str, str], ...]
    failures: tuple[Change, ...]
    measures: tuple[Change, ...]
    findings: tuple[tuple[str, str, str, str], ...]
    exposures: tuple[tuple[str, Distribution, Distribution], ...] = ()
    format_version: int = 1


def compare(a: Summary, b: Summary, names: tuple[str, str]) -> Comparison:
    """Compare two summaries; `names` are what A and B are called."""
    return Comparison(
        names,
        (a.answer, b.answer),
        (totals(a.counts), totals(b.counts)),
        (where_line(a), where_line(b)),
        tuple(_differs(a, b)),
        tuple(_failures(a, b)),
        tuple(_measures(a, b)),
        tuple(_findings(a, b)),
        tuple(_exposures(a, b)),
    )


def comparison_tables(found: Comparison) -> tuple[Table, ...]:
    """Return the tables of a comparison, the environment first."""
    head = ("what", "A", "B")
    tables = [
        Table("Where and how they differ", head, found.differs or (("nothing that is recorded", "", ""),)),
        Table("Findings", ("finding", "A", "B", "change"), found.findings),
        Table(
            "Failures",
            (*head, "B - A, 95 %"),
            tuple((each.what, each.a, each.b, each.effect) for each in found.failures),
            note="Shares in percentage points; interval by Newcombe's method.",
        ),
        Table(
            "What was measured",
            (*head, "B - A, 95 %"),
            tuple((each.what, each.a, each.b, each.effect) for each in found.measures),
            note="Percentiles with their 95 % interval; that of the difference is made of both (MOVER). The runs were "
            "not side by side: another load of the machine is a difference of times, too.",
        ),
    ]
    return tuple(table.first(ROWS_MAX) for table in tables if table.rows)


def _differs(a: Summary, b: Summary) -> Iterator[tuple[str, str, str]]:
    """Environment, then how the runs were asked for, then the settings in force."""
    yield from _different(a.environment, b.environment, _STAMP)
    asked_a, asked_b = _asked(a), _asked(b)
    yield from _different(asked_a, asked_b, tuple(dict.fromkeys([*asked_a, *asked_b])))
    yield from _different(a.settings, b.settings, tuple(sorted({*a.settings, *b.settings})))


def _different(a: dict[str, str], b: dict[str, str], names: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for name in names:
        here, there = a.get(name, "not said"), b.get(name, "not said")
        if here != there:
            yield name.replace("_", " "), here, there


def _asked(summary: Summary) -> dict[str, str]:
    asked = {
        "subject": summary.subject,
        "command": ", ".join(dict.fromkeys(run.command or "gate" for run in summary.runs)),
        "seed": ", ".join(dict.fromkeys(str(run.seed) for run in summary.runs)),
        "faults": ", ".join(dict.fromkeys(fault for run in summary.runs for fault in run.faults)),
        "commit": ", ".join(dict.fromkeys(run.commit for run in summary.runs if run.commit)) or "not said",
    }
    for run in summary.runs:
        asked |= {f"parameter {name}": str(value) for name, value in run.params.items()}
    return asked


def _failures(a: Summary, b: Summary) -> Iterator[Change]:
    yield _share("all trials", a.counts, b.counts)
    by_fault = [_by_fault(summary) for summary in (a, b)]
    for fault in sorted({*by_fault[0], *by_fault[1]}):
        yield _share(fault, by_fault[0].get(fault, Counts()), by_fault[1].get(fault, Counts()))
    rows = [{(r.group, r.name): r for gate in summary.gates for r in gate.rows} for summary in (a, b)]
    for key in rows[0]:
        if key in rows[1] and rows[0][key].judged and rows[0][key].group != "controls":
            here, there = (Counts(each.judged, each.failures) for each in (rows[0][key], rows[1][key]))
            yield _share(f"{key[0]}: {key[1]}", here, there)


def _by_fault(summary: Summary) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for cell in summary.cells:
        found.setdefault(cell.fault, Counts()).add(cell.counts)
    return found if len(found) > 1 else {}


def _share(what: str, a: Counts, b: Counts) -> Change:
    here, there = (f"{each.failures:,}/{each.judged:,}  {format_bound(each.failures, each.judged)}" for each in (a, b))
    if not a.judged or not b.judged:
        return Change(what, here, there, "nothing to compare: one of them judged nothing")
    effect = difference_of_shares((a.failures, a.judged), (b.failures, b.judged))
    text = f"{_signed(100 * effect.value)} ({_signed(100 * effect.low)} to {_signed(100 * effect.high)})"
    text = text if effect.clear else f"{SAME}: {text}"
    return Change(what, here, there, text, effect.low, effect.high, effect.clear)


def _measures(a: Summary, b: Summary) -> Iterator[Change]:
    said = {"frames": "frames only in the WAL", "rows": "acked rows only in the WAL"}
    said["seconds"] = "age of the oldest of them"
    here, there = _overall(a), _overall(b)
    for metric in METRICS if here and there else ():
        yield from _percentiles(said[metric], getattr(here, metric), getattr(there, metric))
    for name, words in list(LATENCIES.items())[:2]:  # the program's own; the rest is the lab's
        if name in a.latencies and name in b.latencies:
            yield from _percentiles(words, a.latencies[name], b.latencies[name])


def _overall(summary: Summary) -> Exposures | None:
    return next((each for each in summary.exposures if not each.param), None)


def _percentiles(what: str, a: Distribution, b: Distribution) -> Iterator[Change]:
    for name, here, there in (("p50", a.p50, b.p50), ("p95", a.p95, b.p95)):
        shown = (percentile_text(here, a.unit), percentile_text(there, b.unit))
        effect = _difference(here, there)
        value = _with_sign(there.value - here.value, a.unit)
        if effect is None:
            yield Change(f"{what}, {name}", *shown, f"{value} (no interval)")
            continue
        text = f"{value} ({_with_sign(effect.low, a.unit)} to {_with_sign(effect.high, a.unit)})"
        text = text if effect.clear else f"{SAME}: {text}"
        yield Change(f"{what}, {name}", *shown, text, effect.low, effect.high, effect.clear)


def _difference(a: Quantile, b: Quantile) -> Effect | None:
    """The difference's interval from both intervals (MOVER: Zou & Donner, Statistics in Medicine 27, 2008)."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    difference = b.value - a.value
    low = difference - hypot(b.value - b.low, a.high - a.value)
    return Effect(difference, low, difference + hypot(b.high - b.value, a.value - a.low))


def _findings(a: Summary, b: Summary) -> Iterator[tuple[str, str, str, str]]:
    here = {found.identity: found for found in a.findings}
    there = {found.identity: found for found in b.findings}
    nothing = Found("", {}, "")
    for identity in sorted({*here, *there}, key=lambda name: (name in here, name)):
        one, other = here.get(identity, nothing), there.get(identity, nothing)
        shown = [_often(found, summary) for found, summary in ((one, a), (other, b))]
        change = "same" if one.counts and other.counts else "APPEARED" if other.counts else "gone"
        counts = [(found.trials, max(found.trials, s.counts.judged)) for found, s in ((one, a), (other, b))]
        only_trials = not (one.counts | other.counts).keys() - {TRIALS}
        if change != "same" and only_trials and not difference_of_shares(counts[0], counts[1]).clear:
            change += ", but too little was tried to tell"
        yield identity, shown[0], shown[1], change


def _often(found: Found, summary: Summary) -> str:
    return often(found, summary) if found.counts else format_rate(0, summary.counts.judged)


def _exposures(a: Summary, b: Summary) -> Iterator[tuple[str, Distribution, Distribution]]:
    here, there = _overall(a), _overall(b)
    for metric in METRICS if here and there else ():
        yield metric, getattr(here, metric), getattr(there, metric)


def _signed(percent: float) -> str:
    return f"{percent:+.2g}" if abs(percent) < 99.5 else f"{percent:+.0f}"


def _with_sign(value: float, unit: str) -> str:
    return f"{'-' if value < 0 else '+'}{quantity(abs(value), unit)}"
