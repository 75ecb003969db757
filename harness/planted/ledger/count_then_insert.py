"""The cap is counted and the run inserted under a lock of this process: other processes count at the same time."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger import Run


class CountThenInsert(RunLedger):
    """Counts before its transaction."""

    def _admit(self, run_id: str, agent: str, protocol: str, total_steps: int | None) -> Run:
        with self._lock:
            if self._find(run_id) is None:
                self._check_cap(agent)
                with self._atomic():
                    self._insert(run_id, agent, protocol, total_steps)
        return super()._admit(run_id, agent, protocol, total_steps)


workload = RunLedgers(CountThenInsert)
twin = RunLedgers()

PLANTED = Planted(
    id="count-then-insert",
    title="count, then insert, under an in-process lock",
    broken="two processes count the agent's last free place and both take it",
    oracle="books",
    invariant="cap-holds",
    trials=20,
    module=__name__,
)
