"""The machine of the run ledger: two instances that start, advance, end, cancel, adopt and reap runs."""

from typing import Any, ClassVar

from hypothesis import strategies as st

from harness.machines.draws import Arguments, Draw, one_of, pick
from harness.machines.machine import StoreMachine
from harness.machines.runs import Runs
from harness.machines.runs_model import INSTANCES, RunsModel
from harness.machines.system import Operation
from store import RunLedger


class RunsMachine(StoreMachine):
    """Two `RunLedger`s against `RunsModel`."""

    store: ClassVar[type[RunLedger]] = RunLedger
    preparation = (
        ("start_run", {"who": "a", "run_id": "r1", "agent": "ann", "protocol": "p"}),
        ("mark_running", {"who": "a", "run_id": "r1", "total_steps": 3}),
        ("start_run", {"who": "b", "run_id": "r2", "agent": "ann", "protocol": "p", "total_steps": 3}),
    )
    second_openers = False  # the two are one another's
    blocks = False  # an operation of the ledger is a transaction of its own

    def system(self) -> Runs:
        """See `StoreMachine.system`."""
        return Runs(self.store)

    def draw_operation(self, draw: Draw, model: RunsModel) -> Operation:
        """See `StoreMachine.draw_operation`."""
        name = one_of(draw, NAMES) if model.entries else "start_run"
        arguments = {"who": one_of(draw, INSTANCES), **_ARGUMENTS[name](draw, model)}
        if name in OWNERS and arguments["run_id"] in model.entries and draw(st.integers(0, 3)):
            arguments["who"] = model.entries[arguments["run_id"]].owner
        return name, {key: value for key, value in arguments.items() if value is not None}


OWNERS = ("mark_running", "heartbeat", "advance", "complete_run", "fail_run")
"""What only the owner of a run can do."""


def _run(draw: Draw, model: RunsModel) -> str:
    active = [entry.run_id for entry in model.entries.values() if entry.active]
    known = list(model.entries) if not active or not draw(st.integers(0, 2)) else active
    return pick(draw, known, "r9") if not draw(st.integers(0, 5)) else one_of(draw, known)


def _metadata(draw: Draw) -> dict[str, Any]:
    return one_of(draw, ({}, {"score": 0.5}, {"notes": ["a", None, {"deep": True}]}))


_ARGUMENTS: Arguments = {
    "start_run": lambda draw, model: {
        "run_id": pick(draw, list(model.entries), f"r{len(model.entries) + 1}"),
        "agent": one_of(draw, ("ann", "ann", "bob")),
        "protocol": "p",
        "total_steps": one_of(draw, (None, 3)),
    },
    "adopt_run": lambda draw, model: {"run_id": _run(draw, model), "older_than_s": one_of(draw, (60.0, 300.0))},
    "mark_running": lambda draw, model: {"run_id": _run(draw, model), "total_steps": one_of(draw, (None, 3, 5))},
    "heartbeat": lambda draw, model: {"run_id": _run(draw, model)},
    "advance": lambda draw, model: {"run_id": _run(draw, model), "step_index": draw(st.integers(0, 4))},
    "complete_run": lambda draw, model: {
        "run_id": _run(draw, model),
        "result": one_of(draw, (None, {"score": 1})),
        "cancelled_by": one_of(draw, (None, None, *INSTANCES)),
    },
    "fail_run": lambda draw, model: {"run_id": _run(draw, model), "reason": "out of memory"},
    "cancel_run": lambda draw, model: {"run_id": _run(draw, model), "reason": "not needed"},
    "fail_stale_runs": lambda draw, model: {"older_than_s": one_of(draw, (300.0, 60.0))},
    "record_agent_run": lambda draw, model: {
        "agent_run_id": f"g{draw(st.integers(1, 3))}",
        "run_id": _run(draw, model),
        "agent": one_of(draw, ("ann", "bob")),
        "metadata": _metadata(draw),
    },
}

NAMES = (*_ARGUMENTS, "start_run", "start_run", "mark_running", "mark_running", "complete_run", "cancel_run")
