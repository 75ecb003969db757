"""What the fixture `crashlab` hands out."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from crashlab.api import Lab, Param, Trials
from crashlab.api.explore import STATES_DEFAULT, explore
from crashlab.api.explore_lanes import Lanes, name_of_lanes
from crashlab.api.explored import ExploreResult
from crashlab.decide.config import load_config
from crashlab.engine.writer.record import Writer, name_of
from crashlab.errors import CrashlabError, UsageError, did_you_mean
from crashlab.pytest_plugin import CURRENT, SECTIONS, TIMEOUT
from crashlab.pytest_plugin.explore_items import commands_of, kept_case, report
from crashlab.pytest_plugin.settings import (
    BUDGET_DEFAULT_S,
    CONFIG_FILE,
    RESULTS,
    SEED_DEFAULT,
    SETTINGS,
    TRIALS_DEFAULT,
    check_duration,
    marker_values,
)

_MARGIN_S_MAX = 10.0


class TrialRunner:
    """Runs trials for the tests of one process, with one `Lab` whose processes stay warm between tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._settings = settings = config.stash[SETTINGS]
        self._toml = load_config(Path(settings.config) if settings.config else None)
        worker = getattr(config, "workerinput", None)
        name, workers = (f"pytest-{worker['workerid']}", worker["workercount"]) if worker else ("pytest", 1)
        # Workers share the machine, so they share its slots.
        slots = max(1, ((os.cpu_count() or 2) + workers) // workers)
        self._lab = Lab(results_directory(config), name=name, slots=slots)

    def run(
        self,
        workload: str,
        *,
        fault: str | Sequence[str] = "kill@ack#10",
        trials: int | None = None,
        params: Mapping[str, Param] | None = None,
        seed: int | None = None,
        budget: str | float | None = None,
        path: Sequence[str | os.PathLike[str]] = (),
    ) -> Trials:
        """Run trials of a workload (`module:attr`) or of a subject of `crashlab.toml` (its name).

        What is not given comes from the marker, then from the options (seed, budget), then the defaults: 20
        trials, seed 1, 60 s. Several faults are taken in turn. The workload's module is looked for in `path`, in
        the directory of the test, and in the `path` of `crashlab.toml` or rootdir. The trials end
        before pytest-timeout would end the test.

        Raises:
            UsageError: a bad value.
            SubjectError: the workload does not import.
        """
        __tracebackhide__ = True
        item = self._config.stash[CURRENT]
        marked = marker_values(item)
        name, target, given = self._target(workload)
        seconds = (
            check_duration(budget, "budget")
            if budget is not None
            else marked.get("budget", self._settings.budget_s or BUDGET_DEFAULT_S)
        )
        seconds, give_up_s = _within_timeout(item, seconds)
        chosen = next(s for s in (seed, marked.get("seed"), self._settings.seed, SEED_DEFAULT) if s is not None)
        trials_run = self._lab.run(
            target,
            fault=fault,
            trials=trials if trials is not None else marked.get("trials", TRIALS_DEFAULT),
            params={**given, **(params or {})},
            seed=chosen,
            seconds=seconds,
            path=[*path, item.path.parent, *self._import_path()],
            name=name,
            give_up_s=give_up_s,
        )
        self._note(item, trials_run)
        return trials_run

    def explore(
        self,
        writer: "Writer | Lanes",
        *,
        checks: Callable[..., Any] | Iterable[Callable[..., Any]] = (),
        faults: str | Sequence[str] = ("kill", "power"),
        budget: int | str | None = None,
        seed: int | None = None,
        arguments: Mapping[str, Any] | None = None,
        start: str | os.PathLike[str] | None = None,
        ack_on: str = "",
        timeout: float = 60.0,
        check: bool = True,
        schedules: bool = False,
        setup: Callable[..., Any] | None = None,
        strategy: str = "bpr",
    ) -> ExploreResult:
        """Run a writer once and judge every crash of it: `crashlab.explore`, for a test.

        With `schedules=True` the writer is several functions, beside each other in many orders.

        Each finding is reported as a subtest, and nothing to judge fails the test; `check=False` only returns the
        result. Under Hypothesis findings are raised instead. Seed and budget come from the marker, then from the
        options, then the defaults. Failing cases are kept; with `--crashlab-replay` one is judged again instead.

        Raises:
            ExploreFailedError: nothing could be judged.
            SubjectError: the writer itself failed, or a check fails without any fault.
            UsageError: a bad value.
        """
        __tracebackhide__ = True
        item = self._config.stash[CURRENT]
        marked = marker_values(item)
        if budget is None:
            in_force = marked.get("budget", self._settings.budget_s)
            budget = f"{in_force:g}s" if in_force else STATES_DEFAULT
        chosen = next(s for s in (seed, marked.get("seed"), self._settings.seed, SEED_DEFAULT) if s is not None)
        name = name_of_lanes(cast("Lanes", writer)) if schedules else name_of(cast("Writer", writer))
        kept = kept_case(self._config, name)
        try:
            result = explore(
                writer,
                checks=checks,
                faults=faults,
                budget=budget,
                seed=chosen,
                arguments=arguments,
                start=None if start is None else Path(start),
                ack_on=ack_on,
                timeout=timeout,
                results=results_directory(self._config),
                commands=lambda case, _invariant: commands_of(item, case),
                replay=kept.get("replay"),
                reduce=kept.get("reduce"),
                schedules=schedules,
                setup=setup,
                strategy=strategy,
            )
        except CrashlabError as error:  # the message says it all, the lab's own frames nothing
            raise error.with_traceback(None) from None
        item.user_properties.append(("crashlab", result.summary))
        if not result.passed:
            item.stash.setdefault(SECTIONS, []).append(result.summary)
        if check:
            report(item, result)
        return result

    def _target(self, workload: str) -> tuple[str, str, Mapping[str, Param]]:
        """Return name, `module:attr` and parameters of what was asked for."""
        __tracebackhide__ = True
        if ":" in workload:
            return "", workload, {}
        subjects = self._toml.subjects
        if workload not in subjects:
            known = ", ".join(sorted(subjects)) or "none"
            file = self._settings.config or CONFIG_FILE
            raise UsageError(
                f"workload {workload!r}: neither 'module:attr' nor a subject of {file} (it has: {known})"
                f"{did_you_mean(workload, subjects)}"
            )
        return workload, subjects[workload].workload, subjects[workload].params

    def _import_path(self) -> Sequence[str | os.PathLike[str]]:
        return self._toml.import_path if self._settings.config else (self._config.rootpath,)

    def _note(self, item: pytest.Item, trials: Trials) -> None:
        """Put what was found in the test's report, and in the JUnit file if there is one."""
        item.user_properties.append(("crashlab", f"{trials.subject}: {trials.summary}"))
        if trials.failures or trials.errors:
            for name, count in trials.invariants.items():
                item.user_properties.append(("crashlab_invariant", f"{name} in {count}"))
            item.stash.setdefault(SECTIONS, []).append(trials.explain())

    def close(self) -> None:
        """End every process."""
        self._lab.close()


def results_directory(config: pytest.Config) -> Path:
    """Where this session's records go."""
    settings = config.stash[SETTINGS]
    if settings.directory:
        return Path(settings.directory)
    if settings.config:
        return load_config(Path(settings.config)).results_directory
    return config.rootpath / RESULTS


def _within_timeout(item: pytest.Item, seconds: float) -> tuple[float, float | None]:
    """Return seconds for starting trials, and after how many to end those in flight.

    pytest-timeout's thread method ends the whole process without a word, so ours comes first.
    """
    ends = item.stash.get(TIMEOUT, None)
    if ends is None:
        return seconds, None
    left = ends - time.monotonic()
    margin = min(_MARGIN_S_MAX, max(1.0, left / 10))
    give_up = left - margin
    if give_up < margin:
        raise UsageError(
            f"pytest-timeout leaves this test {left:.1f} s, too little to run trials and end them; raise its timeout"
        )
    return min(seconds, give_up - margin / 2), give_up
