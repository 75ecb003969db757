"""The gate's rows of schedules: may the lanes of the subject run in any order?"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from crashlab.decide.evidence import CONTROLS, Row, RowResult
from crashlab.decide.schedule_settings import SchedulesConfig
from crashlab.decide.statistics import zero_failure_bound
from crashlab.engine.schedules.campaign import Plan, Result, run_schedules
from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError, SubjectError, TapUnavailableError
from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.registry import LANE_CONTROLS
from crashlab.gallery.controls.run_schedules import run_lane_control
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Verdict
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.library import find_library

GROUP = "schedules"
ROW = "any order of its lanes"
CONTROL = "count-then-insert"
"""The control of several lanes that every engine shows, and the quickest."""

WAL_RESET = "wal-reset"
FAILURES_MAX = 3
_NOTHING_TO_INTERLEAVE = "nothing to interleave"


class ScheduleRows:
    """Explores a subject's lanes; afterwards `case_dirs` has the failing cases. `seconds` bounds the exploration."""

    def __init__(
        self,
        subject: Subject,
        config: SchedulesConfig,
        workspace: Workspace,
        *,
        seed: int,
        seconds: float,
        keep: Path | None,
    ) -> None:
        self._subject = subject
        self._config = config
        self._workspace = workspace
        self._seed = seed
        self._seconds = seconds
        self._keep = keep
        self.case_dirs: list[str] = []

    def rows(self) -> Iterator[Row]:
        """Explore, and yield the rows: the subject's, then the controls, without which it says nothing."""
        try:
            result = self._explored()
        except (SubjectError, TapUnavailableError) as error:
            yield _not_explored(error)
            return
        except CrashlabError as error:
            yield Row(GROUP, ROW, RowResult.INCONCLUSIVE, FaultClass.NONE, detail=str(error)[:400])
            return
        self.case_dirs = [found.case_dir for found in result.found if found.case_dir]
        yield self._row(result)
        yield self._lanes_control()
        if any(advisory.name == WAL_RESET for advisory in advisories_for(find_library())):
            yield self._wal_reset_control()

    def _explored(self) -> Result:
        config = self._config
        subject = msgspec.structs.replace(self._subject, params={**self._subject.params, **config.params})
        plan = Plan(
            subject,
            config.strategy,
            self._seed,
            Budget(self._seconds, failures_max=FAILURES_MAX),
            actors=config.actors,
            steps_max=config.steps,
        )
        return run_schedules(plan, self._workspace.make_run(), keep=self._keep)

    def _row(self, result: Result) -> Row:
        counted = result.counted
        failures = len(result.found)
        detail = (
            f"{counted.judged:,} schedules of {self._subject.name} by {result.strategy}, "
            f"{counted.points // max(1, counted.schedules)} places each where control could pass"
        )
        wrong = next(iter(counted.problems), "") or (result.stuck[0][1] if result.stuck else "")
        if failures:
            detail += f"; first: {result.found[0].findings[0].message}; as {result.found[0].program}"
        elif wrong:
            detail += f"; some came to no end: {wrong}"
        elif counted.judged:
            detail += f"; at 95 % fewer than {100 * zero_failure_bound(counted.judged):.2g} % fail"
        decided = {Verdict.PASS: RowResult.OK, Verdict.FAIL: RowResult.FAIL}
        invariants = {f"{each.identity.oracle}/{each.identity.invariant}" for f in result.found for each in f.findings}
        return Row(
            GROUP,
            ROW,
            decided.get(result.verdict, RowResult.INCONCLUSIVE),
            FaultClass.NONE,
            counted.judged,
            failures,
            errors=counted.schedules - counted.judged,
            detail=detail[:600],
            invariants=tuple(sorted(invariants)),
        )

    def _lanes_control(self) -> Row:
        control = next(control for control in LANE_CONTROLS if control.id == CONTROL)
        return lanes_control_row(control, self._workspace.make_run(), self._seed)

    def _wal_reset_control(self) -> Row:
        return wal_reset_row(self._workspace.make_run(), self._seed, self._config.control_seconds)


def lanes_control_row(control: Control, scratch: Path, seed: int) -> Row:
    """Run one control of several lanes, for a gate."""
    result = run_lane_control(control, scratch, seed)
    return Row(
        CONTROLS,
        f"schedules: {control.id}",
        RowResult.OK if result.sound else RowResult.MISSED,
        judged=result.trials + result.twin_trials,
        detail=f"caught: {', '.join(control.catches)} in schedule {result.trials}; twin 0/{result.twin_trials}"
        if result.sound
        else result.detail,
    )


def wal_reset_row(scratch: Path, seed: int, seconds: float) -> Row:
    """Let schedules find the WAL-reset bug, which this SQLite has: connections that insert, read and checkpoint."""
    version = find_library().version
    name = f"schedules: the WAL-reset bug of SQLite {version}"
    try:
        with Explorer(Greeting(GENERIC, "", str(scratch))) as explorer:
            explored = explorer.explore(str(DEFAULT_STRATEGY), seed, Budget(seconds))
    except CrashlabError as error:
        return Row(CONTROLS, name, RowResult.INCONCLUSIVE, detail=str(error)[:400])
    judged = explored.counted.judged
    if not explored.failures:
        why = f"not found in {judged:,} schedules of {seconds:g} s; gate.schedules.control_seconds gives it more"
        return Row(CONTROLS, name, RowResult.INCONCLUSIVE, judged=judged, detail=why)
    found = {f"{each.identity.oracle}/{each.identity.invariant}" for each in explored.failures[0].findings}
    detail = f"caught: {', '.join(sorted(found))} in schedule {explored.failures[0].number}"
    return Row(CONTROLS, name, RowResult.OK, judged=judged, detail=detail)


def _not_explored(error: CrashlabError) -> Row:
    """Why there is nothing to explore: no fault of the subject's, unless it does not even open."""
    nothing = _NOTHING_TO_INTERLEAVE in str(error) or isinstance(error, TapUnavailableError)
    result = RowResult.SKIPPED if nothing else RowResult.INCONCLUSIVE
    return Row(GROUP, ROW, result, FaultClass.NONE, detail=str(error)[:400])
