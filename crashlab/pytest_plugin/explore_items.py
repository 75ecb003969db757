"""`crashlab.explore` in a test: findings as subtests, the marker form, and the two options that look at a kept case.

Standard library and pytest only at load: the plugin is in every session.
"""

import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from crashlab.api.explored import ExploreResult

MARKER = (
    "crashlab_writer(*, checks=(), faults=('kill', 'power'), budget=5000, seed=None, arguments=None, start=None, "
    "timeout=60): the test function is itself a writer: it runs once in a process and a directory of its own (`db` or "
    "`path`: where its database goes; `directory`; `ack`), then every crash of it is judged."
)
_NAME = "crashlab_writer"
_KEYWORDS = ("checks", "faults", "budget", "seed", "arguments", "start", "timeout")


def add_options(parser: pytest.Parser) -> None:
    """Register the two options; a failing test prints them filled in."""
    group = parser.getgroup("crashlab")
    for name, what in (
        ("replay", "Judge this kept case in the test that made it, instead of running its writer"),
        ("reduce", "Make this kept case smaller, in a new directory beside it"),
    ):
        group.addoption(f"--crashlab-{name}", metavar="CASE", help=what)


def is_marked(function: Any) -> bool:
    """Whether a test is a writer itself."""
    return function.get_closest_marker(_NAME) is not None


def give_places(metafunc: pytest.Metafunc) -> None:
    """Let the names that a writer may ask for stand for themselves; they are filled in where it runs."""
    from crashlab.writers.function.places import NAMES

    own = inspect.signature(metafunc.function).parameters
    for name in NAMES:
        if name in own:
            metafunc.parametrize(name, [None], ids=[pytest.HIDDEN_PARAM])


def run_marked(item: pytest.Function) -> None:
    """Explore a test function that is a writer.

    Raises:
        pytest.UsageError: the marker has an unknown keyword.
    """
    __tracebackhide__ = True
    from crashlab.writers.function.places import NAMES

    mark = item.get_closest_marker(_NAME)
    assert mark is not None
    for name in mark.kwargs:
        if name not in _KEYWORDS:
            from crashlab.errors import did_you_mean

            raise pytest.UsageError(
                f"@pytest.mark.{_NAME}: no keyword {name!r}, there are: {', '.join(_KEYWORDS)}"
                f"{did_you_mean(name, _KEYWORDS)}"
            )
    if mark.args:
        raise pytest.UsageError(
            f"@pytest.mark.{_NAME}: takes keywords only ({', '.join(_KEYWORDS)}), got {mark.args!r}"
        )
    own = inspect.signature(item.obj).parameters
    values = {name: value for name, value in item.funcargs.items() if name in own and name not in NAMES}
    runner = request_of(item).getfixturevalue("crashlab")
    arguments = {**values, **(mark.kwargs.get("arguments") or {})}
    runner.explore(item.obj, **{**mark.kwargs, "arguments": arguments})


def request_of(item: pytest.Item) -> Any:
    """Return the item's fixture request."""
    return item._request  # type: ignore[attr-defined]


def kept_case(config: pytest.Config, subject: str) -> Mapping[str, Path]:
    """Return `replay` or `reduce` with the case that was asked for, if it is one of this writer."""
    for name in ("replay", "reduce"):
        given = config.getoption(f"crashlab_{name}")
        if given:
            case = Path(config.invocation_params.dir, given)
            if _subject_of(case) == subject:
                return {name: case}
    return {}


def _subject_of(case: Path) -> str:
    from crashlab.engine.program.case import load_program_case
    from crashlab.engine.schedules.case import SCHEDULE_CASE, load_schedule_case

    if (case / SCHEDULE_CASE).is_file():
        return load_schedule_case(case).script.subject
    return load_program_case(case).subject


def commands_of(item: pytest.Item, case: Path) -> Mapping[str, str]:
    """Return the commands that look at a kept case again, for a shell where this pytest was started."""
    from crashlab.api.explored import shell

    here = item.config.invocation_params.dir
    inside = item.nodeid.partition("::")[2]
    test = f"{_relative(item.path, here)}::{inside}"
    kept = _relative(case, here)
    return {name: shell("pytest", test, f"--crashlab-{name}", kept) for name in ("replay", "reduce")}


def report(item: pytest.Item, result: "ExploreResult") -> None:
    """Report each finding as a subtest; fail if nothing could be judged.

    Raises:
        ExploreFailedError: MISSED; a finding too under Hypothesis, which has to see it, and without subtests.
    """
    if result.missed or not result.findings:
        result.assert_passed()
        return
    hypothesis = sys.modules.get("hypothesis")
    under_hypothesis = hypothesis is not None and hypothesis.currently_in_test_context()
    if under_hypothesis or not hasattr(item, "_request"):
        result.assert_passed()
    subtests = request_of(item).getfixturevalue("subtests")
    for finding in result.findings:
        with subtests.test(finding.invariant, fault=finding.fault_class):
            pytest.fail(f"{result.subject}\n{finding}", pytrace=False)


def _relative(path: Path, here: Path) -> str:
    try:
        return os.path.relpath(path, here)
    except ValueError:  # another drive
        return str(path)
