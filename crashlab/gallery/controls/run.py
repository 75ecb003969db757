"""Running the controls: is each broken subject caught by its invariant, and its twin left in peace?"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from enum import StrEnum
from typing import TypeAlias

import msgspec

from crashlab.engine.campaign import Limits, Tally, run_campaign
from crashlab.engine.events import Emitter
from crashlab.engine.road import Road
from crashlab.engine.subject import Subject
from crashlab.errors import CrashlabError
from crashlab.gallery.controls.control import REAL_ROAD, Control
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.seed import subseed

TRIALS_MAX = 8
"""So many trials a broken subject has to be caught in. The faults are exact: normally each is needed once."""

SECONDS_MAX = 60.0

MakeRoad: TypeAlias = Callable[[Subject], Road]


class ControlVerdict(StrEnum):
    """What became of one control. All but CAUGHT and NOT_JUDGED say that the lab cannot be trusted."""

    CAUGHT = "caught"
    MISSED = "missed"
    OTHER_INVARIANT = "caught by another invariant only"
    TWIN_NOT_CLEAN = "its correct twin was found faulty"
    ERROR = "could not be run"
    NOT_JUDGED = "not judged on this road"


class ControlResult(msgspec.Struct, frozen=True):
    """One control's outcome.

    `trials` and `twin_trials` count those in which the fault fired. `found` and `twin_found` map
    `oracle/invariant` to the number of trials that found it. `detail` is one line in words.
    """

    control: str
    title: str
    verdict: ControlVerdict
    catches: tuple[str, ...]
    trials: int = 0
    twin_trials: int = 0
    found: dict[str, int] = {}
    twin_found: dict[str, int] = {}
    detail: str = ""
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """True unless this result takes the lab's word away: caught, or not for this road to judge."""
        return self.verdict in (ControlVerdict.CAUGHT, ControlVerdict.NOT_JUDGED)


def run_controls(
    make_road: MakeRoad,
    executor: Executor,
    seed: int,
    emitter: Emitter,
    *,
    road: str = REAL_ROAD,
    controls: tuple[Control, ...] = CONTROLS,
    slots: int = 2,
) -> tuple[ControlResult, ...]:
    """Run every control and return the results in the order of `controls`.

    `make_road(subject)` makes the road that trials of a subject run on; it is closed here. `road` names the
    kind, for controls that only another kind can judge. `slots` controls run at once. Never raises for what
    a control shows; KeyboardInterrupt ends every road first.
    """
    runs = [_Run(control, make_road, executor, seed, emitter, road) for control in controls]
    with ThreadPoolExecutor(max(1, slots), thread_name_prefix="control") as waiters:
        futures = [waiters.submit(run.result) for run in runs]
        try:
            return tuple(future.result() for future in futures)
        except BaseException:
            for future in futures:
                future.cancel()
            for run in runs:
                run.stop()
            raise


class _Run:
    """One control being run."""

    def __init__(
        self, control: Control, make_road: MakeRoad, executor: Executor, seed: int, emitter: Emitter, road: str
    ) -> None:
        self._control = control
        self._make_road = make_road
        self._executor = executor
        self._seed = seed
        self._emitter = emitter
        self._road = road
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Start no more trials."""
        self._stopped.set()

    def result(self) -> ControlResult:
        """Run the broken subject, then the twin for as many trials, and say what that shows."""
        control = self._control
        blank = ControlResult(control.id, control.title, ControlVerdict.NOT_JUDGED, control.catches)
        if self._road not in control.roads:
            where = " and ".join(control.roads)
            return msgspec.structs.replace(blank, detail=f"only the {where} road can show it: {control.why}")
        started = time.monotonic()
        try:
            broken = self._campaign(control.id, control.broken, TRIALS_MAX, until_caught=True)
            twin = self._campaign(f"{control.id}.twin", control.twin, len(broken.outcomes), until_caught=False)
        except CrashlabError as error:
            return msgspec.structs.replace(
                blank, verdict=ControlVerdict.ERROR, detail=str(error), seconds=time.monotonic() - started
            )
        verdict, detail = judge_control(control, broken, twin)
        return ControlResult(
            control.id,
            control.title,
            verdict,
            control.catches,
            _judged(broken),
            _judged(twin),
            found_in(broken),
            found_in(twin),
            detail,
            time.monotonic() - started,
        )

    def _campaign(self, name: str, workload: str, trials: int, *, until_caught: bool) -> Tally:
        tally = Tally()
        road = self._make_road(Subject(name, workload, params=self._control.params))
        try:
            return run_campaign(
                road,
                self._cases(name, tally, until_caught=until_caught),
                self._executor,
                Limits(trials_max=trials, seconds=SECONDS_MAX, slots=1),
                self._emitter,
                name=f"control {name}",
                tally=tally,
            )
        finally:
            road.close()

    def _cases(self, name: str, tally: Tally, *, until_caught: bool) -> Iterator[Case]:
        """Each fault once, then in turn until the subject is caught; `Limits` ends it."""
        faults = self._control.faults
        number = 0
        while not self._stopped.is_set():
            if until_caught and number >= len(faults) and not _missing(self._control, tally):
                return
            yield Case(name, subseed(self._seed, "control", name, number), faults[number % len(faults)])
            number += 1


def judge_control(control: Control, broken: Tally, twin: Tally) -> tuple[ControlVerdict, str]:
    """Return what two tallies show of a control, and a line that says it."""
    missing = _missing(control, broken)
    others = sorted(found_in(broken))
    trials = f"{_judged(broken)} judged of {len(broken.outcomes)} trials"
    if twin.identities:
        return (
            ControlVerdict.TWIN_NOT_CLEAN,
            f"the correct twin was found faulty by {', '.join(sorted(found_in(twin)))}: the lab cries wolf",
        )
    if missing and others:
        return (
            ControlVerdict.OTHER_INVARIANT,
            f"{', '.join(missing)} did not find it, only {', '.join(others)} did, in {trials}",
        )
    if missing and not _judged(broken):
        return ControlVerdict.ERROR, f"{trials}: {_why_not(broken)}"
    if missing:
        return ControlVerdict.MISSED, f"{', '.join(missing)} did not find it in {trials}: {control.why}"
    if not _judged(twin):
        return ControlVerdict.ERROR, f"the twin was never judged in {len(twin.outcomes)} trials: {_why_not(twin)}"
    return ControlVerdict.CAUGHT, f"{', '.join(control.catches)} in {trials}; the twin passed {_judged(twin)}"


def found_in(tally: Tally) -> dict[str, int]:
    """Return `oracle/invariant` → number of trials that found it."""
    found: dict[str, int] = {}
    for identity, count in tally.identities.items():
        name = f"{identity.oracle}/{identity.invariant}"
        found[name] = found.get(name, 0) + count
    return found


def _missing(control: Control, tally: Tally) -> list[str]:
    found = found_in(tally)
    return [name for name in control.catches if name not in found]


def _judged(tally: Tally) -> int:
    return tally.count(Verdict.PASS) + tally.count(Verdict.FAIL)


def _why_not(tally: Tally) -> str:
    lines = [outcome.error or outcome.fired for outcome in tally.outcomes if outcome.error or outcome.fired]
    return lines[-1].strip().splitlines()[-1] if lines else tally.stop.value
