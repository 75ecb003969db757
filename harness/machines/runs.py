"""Two `RunLedger`s on one file under the machine, as two processes would have it."""

from collections.abc import Callable
from typing import Any

from harness.machines.leg import Place
from harness.machines.runs_model import CAP, INSTANCES, RunsModel
from harness.machines.system import System
from store import RunLedger


class Runs(System):
    """The run ledger; `store` is the class."""

    name = "runs"
    names = INSTANCES
    model = RunsModel

    def __init__(self, store: type[RunLedger] = RunLedger) -> None:
        super().__init__(store)

    def make(self, name: str, place: Place, clock: Callable[[], int]) -> RunLedger:
        """See `System.make`."""
        made: RunLedger = self.store(
            place.database, connect=place.connect, clock=clock, instance=name, max_active_per_agent=CAP
        )
        return made

    def probe(self, store: RunLedger) -> object:
        """See `System.probe`."""
        return store.runs()

    def do_complete_run(
        self,
        store: RunLedger,
        run_id: str,
        result: dict[str, Any] | None = None,
        cancelled_by: str | None = None,
    ) -> bool:
        """With a finalise that returns `result`, and during which another instance may cancel the run."""

        def finalise() -> dict[str, Any] | None:
            if cancelled_by is not None:
                self.stores[cancelled_by].cancel_run(run_id, "during the finalise")
            return result

        return store.complete_run(run_id, finalise=finalise)

    def view(self) -> dict[str, Any]:
        """See `System.view`."""
        shown: dict[str, Any] = {}
        for who, store in self.stores.items():
            runs = store.runs()
            agents = sorted({run.agent for run in runs})
            shown |= {
                f"{who}.runs": runs,
                f"{who}.active_runs": [run.run_id for run in store.active_runs()],
                f"{who}.count_active": {agent: store.count_active(agent) for agent in agents},
                f"{who}.get_run": {run.run_id: store.get_run(run.run_id) for run in runs},
                f"{who}.owned": sorted(store.owned),
                f"{who}.agent_runs": {run.run_id: store.agent_runs(run.run_id) for run in runs},
            }
        return shown
