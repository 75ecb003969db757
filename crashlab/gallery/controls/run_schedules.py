"""Running the controls of several lanes: a schedule must catch the broken one, and as many must pass its twin."""

import itertools
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from crashlab.engine.schedules.client import Explored, Explorer
from crashlab.engine.schedules.explore import Budget
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY
from crashlab.errors import CrashlabError
from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.run import ControlResult, ControlVerdict

__all__ = ["run_lane_control"]

_IDENTITIES = (1, 2, 4, 8)
"""An exploration ends at so many kinds of findings; the one that is looked for need not be the first."""

TWIN_SCHEDULES_MIN = 20


def run_lane_control(
    control: Control,
    scratch: Path,
    seed: int,
    *,
    seconds: float = 30.0,
    strategy: str = str(DEFAULT_STRATEGY),
    road: str = "threads",
    twin_schedules: int = 0,
) -> ControlResult:
    """Explore the broken subject until it is caught, then its twin for as many schedules or `twin_schedules`.

    `trials` and `twin_trials` count schedules that were judged, `found` kinds of findings. `seconds` bounds the search;
    the twin gets three times that. Never raises for what a control shows.
    """
    started = time.monotonic()
    blank = ControlResult(control.id, control.title, ControlVerdict.ERROR, control.catches)
    try:
        greeting = Greeting(control.id, control.broken, str(scratch), params=dict(control.params), road=road)
        with Explorer(greeting) as explorer:
            for identities in _IDENTITIES:
                left = seconds - (time.monotonic() - started)
                broken = explorer.explore(strategy, seed, Budget(max(left, 0.1), failures_max=identities))
                if not _missing(control, broken) or left <= 0:
                    break
        wanted = max(TWIN_SCHEDULES_MIN, broken.counted.judged, twin_schedules)
        twin_greeting = msgspec.structs.replace(greeting, subject=f"{control.id}.twin", workload=control.twin)
        with Explorer(twin_greeting) as explorer:
            twin = explorer.explore(strategy, seed, Budget(3 * seconds, wanted))
    except CrashlabError as error:
        return msgspec.structs.replace(blank, detail=str(error), seconds=time.monotonic() - started)
    verdict, detail = _judged(control, broken, twin)
    return msgspec.structs.replace(
        blank,
        verdict=verdict,
        trials=broken.counted.judged,
        twin_trials=twin.counted.judged,
        found=_found(broken),
        twin_found=_found(twin),
        detail=detail,
        seconds=time.monotonic() - started,
    )


def _found(explored: Explored) -> dict[str, int]:
    found: dict[str, int] = {}
    for finding in itertools.chain.from_iterable(failure.findings for failure in explored.failures):
        name = f"{finding.identity.oracle}/{finding.identity.invariant}"
        found[name] = found.get(name, 0) + 1
    return found


def _missing(control: Control, broken: Explored) -> list[str]:
    found = _found(broken)
    return [name for name in control.catches if name not in found]


def _judged(control: Control, broken: Explored, twin: Explored) -> tuple[ControlVerdict, str]:
    count = f"{broken.counted.judged:,} schedules"
    for explored in (broken, twin):
        if explored.stuck:
            return ControlVerdict.ERROR, f"schedule {explored.stuck[0][0]}: {explored.stuck[0][1]}"
    if twin.failures:
        names = _names(_found(twin))
        return ControlVerdict.TWIN_NOT_CLEAN, f"the correct twin was found faulty by {names}: the lab cries wolf"
    missing = _missing(control, broken)
    if not missing:
        caught = ", ".join(control.catches)
        return ControlVerdict.CAUGHT, f"{caught} within {count}; the twin passed {twin.counted.judged:,}"
    others = _names(_found(broken))
    if others:
        return ControlVerdict.OTHER_INVARIANT, f"{_names(missing)} did not find it, only {others} did, in {count}"
    return ControlVerdict.MISSED, f"{_names(missing)} did not find it in {count}: {control.why}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
