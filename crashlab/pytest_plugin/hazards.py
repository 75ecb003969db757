"""`--crashlab-hazards`: a watch over all tests of a session. Loaded only when it is asked for.

Each process that runs tests (an xdist worker, or pytest itself) watches itself. What a test showed travels on its
report as text, so the terminal of the controller can tell it.
"""

import json
import warnings
from collections.abc import Generator
from typing import Any

import pytest

from crashlab.diagnosis.hazards import CrashlabHazardWarning, Hazard, Watch, count_of, grouped, headline
from crashlab.pytest_plugin.settings import Settings

PROPERTY = "crashlab-hazard"
LATE = "crashlab-hazards-late"


class HazardPlugin:
    """Watches the tests, and tells what was seen: by warnings and a summary, or by failing the tests.

    A hazard belongs to the test whose connection it is about. Where that is over already (a connection collected
    later, say), the summary names it, and with `error` the session fails.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._strict = settings.hazards == "error"
        self._watch = Watch(ignore=settings.hazards_ignore)
        self._late: list[Hazard] = []
        self._gaps: list[str] = []
        self._runs_tests = hasattr(config, "workerinput") or getattr(config.option, "dist", "no") == "no"

    def pytest_sessionstart(self) -> None:
        """Begin before the first test module is imported."""
        if self._runs_tests:
            self._watch.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Say whose hazards are seen from now on."""
        self._look(item.nodeid)
        try:
            return (yield)
        finally:
            self._look("")  # what was taken down with them

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what this phase has shown on its report; with `error` a phase that passed has failed then."""
        report = yield
        if call.when == "call":
            self._look(item.nodeid)  # while the fixtures' connections are open
        found = self._watch.taken()
        own = [hazard for hazard in found if hazard.context in ("", item.nodeid)]
        self._late += [hazard for hazard in found if hazard.context not in ("", item.nodeid)]
        if own:
            report.user_properties += [(PROPERTY, json.dumps(hazard.as_data())) for hazard in own]
            if self._strict and report.outcome == "passed":
                report.outcome = "failed"
                report.longrepr = f"crashlab: {count_of(own)}\n\n{grouped(own)}"
            elif not self._strict:
                self._warn(own, item.nodeid)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the watch; send what is left to the controller, if there is one; settle the session's exit code."""
        if self._runs_tests:
            gaps = self._watch.gaps
            self._watch.stop()
            self._late += self._watch.taken()
            self._gaps += gaps
            self._gaps += [f"an error of the watch itself, please report it: {each}" for each in self._watch.problems]
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[LATE] = json.dumps({"hazards": [each.as_data() for each in self._late], "gaps": self._gaps})
        elif self._strict and self._late and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended (called in the controller)."""
        output = getattr(node, "workeroutput", None) or {}
        if LATE in output:
            data = json.loads(output[LATE])
            self._late += [Hazard.from_data(each) for each in data["hazards"]]
            self._gaps += data["gaps"]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell all hazards of the session, with what is true of a kind said once; failed tests have told theirs."""
        reported = self._reported(terminalreporter)
        found = [*([] if self._strict else reported), *self._late]
        gaps = dict.fromkeys(self._gaps)
        if not found and not gaps:
            return
        terminalreporter.section("crashlab hazards")
        if found:
            terminalreporter.line(count_of(found))
            if self._strict:
                terminalreporter.line("seen when their test was over, so the session fails instead of the test")
            terminalreporter.line("")
            terminalreporter.line(grouped(found))
        for gap in gaps:
            terminalreporter.line(f"not seen here: {gap}")

    def _look(self, context: str) -> None:
        if self._runs_tests:
            self._watch.look(context)

    def _warn(self, found: list[Hazard], nodeid: str) -> None:
        for hazard in found:
            place = hazard.place
            file, line = (place.file, place.line) if place else (nodeid.partition("::")[0], 0)
            # Handed to pytest itself: a filter "error" of the project's is about its own warnings.
            message = warnings.WarningMessage(
                CrashlabHazardWarning(headline(hazard)), CrashlabHazardWarning, file, line
            )
            self._config.hook.pytest_warning_recorded.call_historic(
                kwargs={"warning_message": message, "nodeid": nodeid, "when": "runtest", "location": None}
            )

    @staticmethod
    def _reported(terminalreporter: Any) -> list[Hazard]:
        found: dict[Any, Hazard] = {}
        for reports in terminalreporter.stats.values():
            for report in reports:
                for name, value in getattr(report, "user_properties", ()):
                    if name == PROPERTY:
                        hazard = Hazard.from_data(json.loads(value))
                        found[hazard.key] = hazard
        return list(found.values())
