"""The gate as test items: one a row, with names known before anything runs.

    crashlab-gate::environment            all rows about SQLite, modes and file system
    crashlab-gate::control[two-transactions]
    crashlab-gate::kill[reader=pinned]    one for each cell, or group of cells, of the grid
    crashlab-gate::hangup[print]
    crashlab-gate::phases                 was each phase hit often enough?
    crashlab-gate::decision               GO passes; NO-GO and INCONCLUSIVE fail

The collector's setup runs the gate, so `--durations` shows it as the first item's setup.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from crashlab.decide.config import Config, load_config
from crashlab.decide.evidence import CONTROLS as CONTROLS_GROUP
from crashlab.decide.evidence import GateReport, RowResult, planted_name
from crashlab.decide.evidence import Row as GateRow
from crashlab.decide.gate import planned_rows
from crashlab.decide.interference import GROUP as INTERFERENCE_GROUP
from crashlab.decide.planted import controls_of
from crashlab.decide.policy import Decision
from crashlab.decide.requirements import GROUP as REQUIREMENTS_GROUP
from crashlab.decide.surroundings import GROUP as ENVIRONMENT_GROUP
from crashlab.decide.surroundings import PREFLIGHT
from crashlab.decide.trace_rows import GROUP as TRACE_GROUP
from crashlab.errors import CrashlabError, UsageError
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.model.contract import FaultClass
from crashlab.pytest_plugin import SECTIONS
from crashlab.pytest_plugin.gate_once import MARGIN_S, GateResult, budget_s, run_or_wait
from crashlab.pytest_plugin.settings import SEED_DEFAULT, Settings
from crashlab.writers.launcher import can_hang_up

NAME = "crashlab-gate"
DECISION = "decision"
_WIDTH = 140
_SHOWN = "crashlab_gate"


class RowFailedError(Exception):
    """A row of the gate is not as it must be; the text is all there is to show."""


class GateCollector(pytest.Collector):
    """The gate; its setup runs it, once."""

    def __init__(self, *, settings: Settings, config_file: Config, subject: str, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.settings = settings
        self.config_file = config_file
        self.subject = subject
        self.result = GateResult(error="the gate has not run")

    def collect(self) -> Iterator["GateItem"]:
        """Yield the items, in the order of the gate's table."""
        if self.settings.database:
            yield self._item("preflight", GroupItem, group=PREFLIGHT)
        yield self._item("environment", GroupItem, group=ENVIRONMENT_GROUP)
        for control in CONTROLS:
            yield self._item(f"control[{control.id}]", RowItem, group=CONTROLS_GROUP, row=control.title)
        for planted in controls_of(self.config_file, self.subject):
            yield self._item(f"planted[{planted.id}]", RowItem, group=CONTROLS_GROUP, row=planted_name(planted.title))
        yield self._item("interference", GroupItem, group=INTERFERENCE_GROUP)
        gate = self.config_file.gate_for(self.subject)
        if gate.trace.enabled:
            yield self._item("trace-road", GroupItem, group=TRACE_GROUP)
        for row in planned_rows(gate, hangup=can_hang_up()):
            yield self._item(_item_name(row), RowItem, group=FaultClass.PROCESS_DEATH, row=row)
        yield self._item("requirements", GroupItem, group=REQUIREMENTS_GROUP)
        yield self._item("phases", PhasesItem)
        yield self._item(DECISION, DecisionItem)

    def _item(self, name: str, kind: "type[GateItem]", **kwargs: str) -> "GateItem":
        item = kind.from_parent(self, name=name, **kwargs)
        if self.config.pluginmanager.hasplugin("timeout"):
            # A limit for one test is not meant for a gate, which has its own; this one only catches a hang.
            item.add_marker(pytest.mark.timeout(budget_s(self.settings, self.config_file, self.subject) + 2 * MARGIN_S))
        return item

    def setup(self) -> None:
        """Run the gate, or wait for the xdist worker that does."""
        self.result = run_or_wait(self.settings, self.config_file, self.subject, _results(self.settings, self.config))


class GateItem(pytest.Item):
    """One row, or group of rows."""

    def runtest(self) -> None:
        """Pass, skip or fail as the row says."""
        result = self._gate.result
        if result.report is None:
            if result.trace and self.name == DECISION:
                self.say(result.trace)
            raise RowFailedError(f"the gate gave no answer: {result.error}")
        report = result.report
        self.user_properties += [("crashlab_subject", report.subject), ("crashlab_seed", str(report.seed))]
        self.judge(report)

    def judge(self, report: GateReport) -> None:
        """Raise RowFailedError, or skip, or return."""
        raise NotImplementedError

    @property
    def _gate(self) -> GateCollector:
        if not isinstance(self.parent, GateCollector):
            raise TypeError("an item of the gate has no gate")
        return self.parent

    def say(self, text: str) -> None:
        """Show a text with the report of this item."""
        self.stash.setdefault(SECTIONS, []).append(text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The row's own words instead of a traceback."""
        if isinstance(excinfo.value, RowFailedError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it comes from: the configuration."""
        return self.path, None, f"{NAME}::{self.name}"


class GroupItem(GateItem):
    """All rows of a group together, for groups whose rows depend on the machine."""

    def __init__(self, *, group: str, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.group = group

    def judge(self, report: GateReport) -> None:
        """Fail if one of the rows does not stand."""
        rows = [row for row in report.rows if row.group == self.group]
        if not rows:
            pytest.skip(f"the gate had no such rows: {report.stop}")
        for row in rows:
            self.user_properties.append((row.name, row.result.value))
            if row.result is not RowResult.OK:
                self.say(_describe(row))
        bad = [row for row in rows if row.result not in (RowResult.OK, RowResult.WARN)]
        if bad:
            raise RowFailedError("\n".join(_describe(row) for row in bad))


class RowItem(GateItem):
    """One row of the table."""

    def __init__(self, *, group: str, row: str, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.group = group
        self.row = row

    def judge(self, report: GateReport) -> None:
        """Pass, skip or fail as the row says."""
        row = next((row for row in report.rows if (row.group, row.name) == (self.group, self.row)), None)
        if row is None:
            pytest.skip(f"no trial of this row was run; the gate stopped because: {report.stop}")
        self.user_properties += [("crashlab_result", row.result.value), ("crashlab_judged", str(row.judged))]
        if row.result in (RowResult.NOT_JUDGED, RowResult.SKIPPED):
            pytest.skip(f"{row.result.value}: {row.detail}")
        if row.result not in (RowResult.OK, RowResult.WARN):
            commands = "".join(f"\n{command}" for command in report.commands) if row.failures else ""
            raise RowFailedError(f"{_describe(row)}\nrecords: {report.records}  seed: {report.seed}{commands}")


class PhasesItem(GateItem):
    """Was each phase hit often enough?"""

    def judge(self, report: GateReport) -> None:
        """Fail if the kills were too few somewhere, unless the answer was clear before."""
        self.user_properties += [(f"phase {phase}", str(hits)) for phase, hits in report.phase_hits.items()]
        thin = {phase: hits for phase, hits in report.phase_hits.items() if hits < report.phase_hits_min}
        if not thin:
            return
        text = ", ".join(f"{phase} {hits}" for phase, hits in thin.items())
        if report.decision == Decision.NO_GO:
            pytest.skip(f"the decision was clear before all phases were hit: {text}")
        raise RowFailedError(f"hit too rarely, the policy wants {report.phase_hits_min} each: {text}")


class DecisionItem(GateItem):
    """The answer."""

    def judge(self, report: GateReport) -> None:
        """GO passes."""
        self.user_properties += [("crashlab_decision", report.decision), ("crashlab_records", report.records)]
        text = _table(report)
        if report.decision == Decision.GO:
            self.user_properties.append((_SHOWN, DECISION))
            self.say(text)
            return
        raise RowFailedError(text)


def check_gate(settings: Settings) -> None:
    """Check all that can be known before the gate runs.

    Raises:
        pytest.UsageError: the configuration is bad, or names no such subject.
    """
    try:
        config = load_config(Path(settings.config))
        config.subject(_pick(settings, config))
    except CrashlabError as error:
        raise pytest.UsageError(str(error)) from None


def describe_gate(settings: Settings) -> str:
    """Say in a few words which gate will run."""
    config = load_config(Path(settings.config))
    seed = SEED_DEFAULT if settings.seed is None else settings.seed
    subject = _pick(settings, config)
    return (
        f"gate of subject {subject}, {config.gate_for(subject).trials} trials in at most "
        f"{budget_s(settings, config, subject):g} s, seed {seed}"
    )


def collect_gate(session: pytest.Session, settings: Settings) -> list[pytest.Item]:
    """Return the gate's items."""
    config = load_config(Path(settings.config))
    collector = GateCollector.from_parent(
        session,
        name=NAME,
        nodeid=NAME,
        path=Path(settings.config),
        settings=settings,
        config_file=config,
        subject=_pick(settings, config),
    )
    return list(session.genitems(collector))  # with pytest's own hooks, so that they are counted


def summary_of(reports: Iterable[pytest.TestReport]) -> str:
    """Return the text that the decision's item said, if it passed."""
    for report in reports:
        if (_SHOWN, DECISION) in map(tuple, report.user_properties):
            return "\n".join(text for title, text in report.sections if title == "crashlab")
    return ""


def _pick(settings: Settings, config: Config) -> str:
    if settings.subject:
        return settings.subject
    if config.gate.subject or config.gate.subjects:
        return config.gate.subject or config.gate.subjects[0]
    if len(config.subjects) == 1:
        return next(iter(config.subjects))
    known = ", ".join(sorted(config.subjects)) or f"none in {settings.config}"
    raise UsageError(f"which subject? name one with --crashlab-subject; there are: {known}")


def _results(settings: Settings, config: pytest.Config) -> Path:
    from crashlab.pytest_plugin.fixture import results_directory

    return results_directory(config)


def _item_name(row: str) -> str:
    """A row's name as a test's: `kill  a=1  b=2` → `kill[a=1,b=2]`."""
    kind, *cell = row.split("  ")
    if kind == "kill":
        return f"kill[{','.join(cell)}]" if cell else kind
    if row.startswith("terminal hang-up"):
        return f"hangup[{row.rpartition(' ')[2]}]"
    return "no-fault"


def _describe(row: GateRow) -> str:
    parts = [f"{row.name}: {row.result.value}"]
    if row.judged:
        parts.append(f"{row.failures} of {row.judged} judged trials failed")
    if row.missed:
        parts.append(f"{row.missed} missed")
    if row.errors:
        parts.append(f"{row.errors} errors of the lab")
    parts += [part for part in (", ".join(row.invariants), row.detail) if part]
    return "; ".join(parts)


def _table(report: GateReport) -> str:
    from rich.console import Console

    from crashlab.report.text import render_gate

    file = io.StringIO()
    Console(file=file, width=_WIDTH, color_system=None).print(render_gate(report), highlight=False)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
