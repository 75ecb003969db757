"""The pytest plugin: the gate as test items, and a fixture that runs trials.

    pytest --crashlab-gate          the same gate as `crashlab gate`, one item per row, after the tests
    pytest --crashlab-hazards=warn  what the tests' programs do that will hurt their databases later
    def test_x(crashlab): ...       crashlab.run("myapp.lab:workload", fault="kill@ack#17").assert_passed()
                                    crashlab.explore(writer, checks=...)
    @pytest.mark.crashlab_writer    the test function is the writer

Every pytest session loads this module, so it imports pytest and the standard library only; the rest of crashlab
is loaded when it is used. Nothing here imports the user's program: its processes are started clean, each in a
session of its own, and never share a process group with pytest or an xdist worker.
"""

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from crashlab.pytest_plugin import explore_items as _explore
from crashlab.pytest_plugin import settings as _settings
from crashlab.pytest_plugin.settings import MARKER, SETTINGS, WORKERINPUT

if TYPE_CHECKING:
    from crashlab.pytest_plugin.fixture import TrialRunner

CURRENT = pytest.StashKey[pytest.Item]()
"""In the config's stash: the item that runs now, for the session-scoped fixture."""
TIMEOUT = pytest.StashKey[float]()
"""In an item's stash: when pytest-timeout will end it, in `time.monotonic()`'s seconds."""
SECTIONS = pytest.StashKey[list[str]]()
"""In an item's stash: what its failing trials have to tell."""
SHARED = pytest.StashKey[str]()
"""In the xdist controller's stash: the directory in which its workers share one gate."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and their ini keys."""
    _settings.add_options(parser)
    _explore.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; check every value given; load the configuration if the gate is asked for."""
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", _explore.MARKER)
    settings = config.stash[SETTINGS] = _settings.resolve(config)
    if settings.gate:
        from crashlab.pytest_plugin.gate_items import check_gate

        check_gate(settings)
    if settings.hazards:
        from crashlab.pytest_plugin.hazards import HazardPlugin

        config.pluginmanager.register(HazardPlugin(config, settings), "crashlab-hazards")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the xdist workers shared."""
    shared = config.stash.get(SHARED, None)
    if shared is not None:
        shutil.rmtree(shared, ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is in force, if anything is."""
    settings = config.stash[SETTINGS]
    if not settings.active:
        return None
    parts = [f"{name} {value} ({source})" for name, value, source in settings.given]
    if settings.gate:
        from crashlab.pytest_plugin.gate_items import describe_gate

        parts.insert(0, describe_gate(settings))
    return f"crashlab: {', '.join(parts)}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker what is in force here (called in the controller)."""
    config = node.config
    settings = config.stash[SETTINGS]
    shared = config.stash.get(SHARED, "")
    if settings.gate and not shared:
        shared = config.stash[SHARED] = tempfile.mkdtemp(prefix="crashlab-xdist-")
    node.workerinput[WORKERINPUT] = _settings.to_worker(settings, shared)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Append the gate's rows, before `-k` and `-m` choose among all items."""
    settings = config.stash[SETTINGS]
    if settings.gate:
        from crashlab.pytest_plugin.gate_items import collect_gate

        items += collect_gate(session, settings)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that is a writer its database's path, its directory and `ack`, whatever fixtures have these names."""
    if _explore.is_marked(metafunc.definition):
        _explore.give_places(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Explore a test that is a writer, instead of calling it here."""
    __tracebackhide__ = True
    if not _explore.is_marked(pyfuncitem):
        return None
    _explore.run_marked(pyfuncitem)
    return True


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Note when pytest-timeout will end this item; it sets its timer itself."""
    item.stash[TIMEOUT] = time.monotonic() + settings.timeout


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note which item runs; refuse a marker that makes no sense."""
    item.config.stash[CURRENT] = item
    try:
        _settings.marker_values(item)
    except pytest.UsageError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the trials have to tell to the report of the item that ran them."""
    report = yield
    if report.when == "call":
        report.sections += [("crashlab", text) for text in item.stash.get(SECTIONS, ())]
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the gate's table where a decision was made; a failing item shows its own."""
    if not config.stash[SETTINGS].gate:
        return
    from crashlab.pytest_plugin.gate_items import summary_of

    passed = summary_of(terminalreporter.stats.get("passed", ()))
    if passed:
        terminalreporter.section("crashlab gate")
        terminalreporter.line(passed)


@pytest.fixture(scope="session")
def crashlab(request: pytest.FixtureRequest) -> "Iterator[TrialRunner]":
    """Explore the crashes of a writer, `crashlab.explore(writer)`, or run real trials, `crashlab.run("module:attr")`.

    `explore` reports findings as subtests. `run` returns what the trials showed; `.assert_passed()` fails the test.
    Both name invariant, fault, files and the command that replays it. Each xdist worker has a directory and
    processes of its own.
    """
    from crashlab.pytest_plugin.fixture import TrialRunner

    runner = TrialRunner(request.config)
    try:
        yield runner
    finally:
        runner.close()
