"""Steps are counted in memory, which is quick, and served from there: until the restart."""

from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger import Run


class StepsInMemory(RunLedger):
    """Writes a heartbeat where a step was asked for."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._steps: dict[str, int] = {}

    def advance(self, run_id: str, step_index: int) -> bool:
        """Remember the step, tell the others that the owner lives."""
        alive = self.heartbeat(run_id)
        if alive:
            self._steps[run_id] = step_index
        return alive

    def get_run(self, run_id: str) -> Run | None:
        """The run, at the step that is remembered."""
        run = super().get_run(run_id)
        return run if run is None else run._replace(step_index=self._steps.get(run_id, run.step_index))


workload = RunLedgers(StepsInMemory)
twin = RunLedgers()

PLANTED = Planted(
    id="steps-in-memory",
    title="step counts that a restart forgets",
    broken="the steps of a run live in its owner's memory; after the restart it ended at step 0",
    oracle="books",
    invariant="ended-runs-served",
    module=__name__,
)
