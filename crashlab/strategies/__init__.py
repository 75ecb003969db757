"""Hypothesis strategies over the trace road: plans, crash states, faults and cases as plain data.

    with InProcess() as road:

        @settings(deadline=None)
        @given(crashes(road))
        def test_what_was_acked_comes_back(case):
            check(observe(road.run(case)))

        test_what_was_acked_comes_back()

`find_witness` does the same without a test around it, and keeps the shrunk case as a directory that
`crashlab replay` takes.

Set `deadline=None` for everything that touches a disk (`register_profiles` does). Real kills are never drawn
here: Hypothesis needs the same input to give the same outcome, and only computed states do. The names are
loaded when first used; `crashlab.strategies.workload`, which replays a plan, needs no Hypothesis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Change": "plan",
    "Checkpoint": "plan",
    "FindingsError": "witness",
    "InProcess": "inprocess",
    "Plan": "plan",
    "Put": "plan",
    "Remove": "plan",
    "Vacuum": "plan",
    "Witness": "witness",
    "cases": "case_strategy",
    "check": "witness",
    "crash_states": "state_strategy",
    "crashes": "case_strategy",
    "fault_texts": "fault_strategy",
    "find_witness": "witness",
    "observe": "witness",
    "parse_plan": "plan",
    "plan_cases": "case_strategy",
    "plans": "plan_strategy",
    "register_profiles": "profiles",
}

__all__ = [
    "Change",
    "Checkpoint",
    "FindingsError",
    "InProcess",
    "Plan",
    "Put",
    "Remove",
    "Vacuum",
    "Witness",
    "cases",
    "check",
    "crash_states",
    "crashes",
    "fault_texts",
    "find_witness",
    "observe",
    "parse_plan",
    "plan_cases",
    "plans",
    "register_profiles",
]

if TYPE_CHECKING:
    from crashlab.strategies.case_strategy import cases, crashes, plan_cases
    from crashlab.strategies.fault_strategy import fault_texts
    from crashlab.strategies.inprocess import InProcess
    from crashlab.strategies.plan import Change, Checkpoint, Plan, Put, Remove, Vacuum, parse_plan
    from crashlab.strategies.plan_strategy import plans
    from crashlab.strategies.profiles import register_profiles
    from crashlab.strategies.state_strategy import crash_states
    from crashlab.strategies.witness import FindingsError, Witness, check, find_witness, observe


def __getattr__(name: str) -> Any:
    """Load a name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'crashlab.strategies' has no attribute {name!r}")
    value = getattr(import_module(f"crashlab.strategies.{_HOME[name]}"), name)
    globals()[name] = value
    return value
