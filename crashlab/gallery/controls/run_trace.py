"""Running the controls of the trace road: power loss that must be seen, and twins that must survive it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import msgspec

from crashlab.engine.explore import Explored
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.errors import CrashlabError
from crashlab.gallery.controls.control import TRACE_ROAD, Control
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.gallery.controls.run import ControlResult, ControlVerdict
from crashlab.model.case import Case
from crashlab.states.models import Model, Policy
from crashlab.writers.order import TapPlan

MODELS = (Model(Policy.SUBSET, states_max=4000, direct_max=150),)
SECONDS_MAX = 60.0

MakeTraceRoad: TypeAlias = Callable[[Subject, TapPlan | None], TraceRoad]


def run_trace_controls(
    make_road: MakeTraceRoad, seed: int, *, controls: tuple[Control, ...] = CONTROLS, slots: int = 2
) -> tuple[ControlResult, ...]:
    """Explore every trace-road control and its twin; results in the order of `controls`.

    `make_road(subject, plan)` makes a road that records under a tap plan; it is closed here. Never raises for
    what a control shows, or for a SQLite that cannot be tapped: that is a result, too.
    """
    mine = [control for control in controls if TRACE_ROAD in control.roads]
    with ThreadPoolExecutor(max(1, slots), thread_name_prefix="control") as waiters:
        return tuple(waiters.map(lambda control: _result(control, make_road, seed), mine))


def _result(control: Control, make_road: MakeTraceRoad, seed: int) -> ControlResult:
    blank = ControlResult(control.id, control.title, ControlVerdict.ERROR, control.catches)
    started = time.monotonic()
    plan = TapPlan() if control.plan is None else control.plan
    try:
        broken = _explore(control.id, control.broken, plan, make_road, seed)
        twin = _explore(f"{control.id}.twin", control.twin, TapPlan(), make_road, seed)
    except CrashlabError as error:
        return msgspec.structs.replace(blank, detail=str(error), seconds=time.monotonic() - started)
    found = _found(broken)
    missing = [name for name in control.catches if name not in found]
    trials = f"{broken.coverage[0].distinct} crash states of a power loss"
    if twin.failures:
        verdict = ControlVerdict.TWIN_NOT_CLEAN
        detail = f"the correct twin was found faulty by {', '.join(sorted(_found(twin)))}: the lab cries wolf"
    elif missing:
        verdict = ControlVerdict.OTHER_INVARIANT if found else ControlVerdict.MISSED
        detail = f"{', '.join(missing)} did not find it in {trials}: {control.why}"
    else:
        verdict = ControlVerdict.CAUGHT
        detail = f"{', '.join(control.catches)} in {trials}; the twin passed {twin.coverage[0].distinct}"
    return ControlResult(
        control.id,
        control.title,
        verdict,
        control.catches,
        broken.judged,
        twin.judged,
        found,
        _found(twin),
        detail,
        time.monotonic() - started,
    )


def _explore(name: str, workload: str, plan: TapPlan, make_road: MakeTraceRoad, seed: int) -> Explored:
    case = Case(name, seed, "none")
    whole = msgspec.structs.replace(plan, record=True, seed=case.subseed("sqlite"))
    road = make_road(Subject(name, workload), whole)
    try:
        return road.explore(case, MODELS, seconds=SECONDS_MAX, keep=False)
    finally:
        road.close()


def _found(explored: Explored) -> dict[str, int]:
    found: dict[str, int] = {}
    for identity, count in explored.identities.items():
        name = identity.partition(" · ")[0]
        found[name] = found.get(name, 0) + count
    return found
