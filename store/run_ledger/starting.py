"""How a run comes to its owner: started under the agent's cap, or adopted from one that is gone."""

from typing import Any, Final

from store.errors import StoreValidation
from store.run_ledger.records import Run, RunCapReached
from store.run_ledger.registry import Registry
from store.run_ledger.statuses import ACTIVE_STATUSES, LOADING
from store.validation import integer, name, shown

DEFAULT_CAP: Final = 4
STALE_S: Final = 300.0


class Starting(Registry):
    """Starting and adopting runs."""

    def __init__(self, *args: Any, max_active_per_agent: int = DEFAULT_CAP, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cap = integer(max_active_per_agent, "max_active_per_agent", 1)

    def start_run(self, run_id: str, *, agent: str, protocol: str, total_steps: int | None = None) -> Run:
        """Start a run in status loading, owned by this ledger, if the agent's cap allows.

        The cap holds across all processes on the file. A repeated call returns the run that is there: if
        it is active under this ledger's instance name, it is this ledger's, whatever became of an
        earlier process of that name; another instance's stays that one's (see `owned`). Raises RunCapReached,
        and StoreValidation when the run belongs to another agent or protocol.
        """
        name(run_id, "run_id")
        name(agent, "agent")
        name(protocol, "protocol")
        if total_steps is not None:
            integer(total_steps, "total_steps", 1)
        with self._lock:
            run = self._admit(run_id, agent, protocol, total_steps)
            if not run.is_terminal and run.owner_instance == self._instance:
                self._owned[run_id] = run.fence
            self._settle(run)
            self._forget_ended()
        return run

    def adopt_run(self, run_id: str, *, older_than_s: float = STALE_S) -> bool:
        """Take over an active run that nobody has heartbeated for so long; True when it is this ledger's now.

        The fence rises, so that an owner who was only paused finds its run gone. Status and steps stay.
        Raises StoreValidation for an unknown run.
        """
        name(run_id, "run_id")
        with self._lock:
            with self._atomic():
                condition, values = self._stale(older_than_s)
                before = self._existing(run_id)
                if self._read(f"SELECT 1 FROM protocol_runs WHERE run_id = ? AND {condition}", (run_id, *values)):
                    self._claim(before)
                run = self._existing(run_id)
            if run.fence != before.fence:
                self._owned[run_id] = run.fence
            self._settle(run)
            return run_id in self._owned

    def _admit(self, run_id: str, agent: str, protocol: str, total_steps: int | None) -> Run:
        """Find the run, or count and insert, all in one transaction that holds the write lock from its start."""
        with self._atomic():
            known = self._find(run_id)
            if known is None:
                self._check_cap(agent)
                self._insert(run_id, agent, protocol, total_steps)
            elif (known.agent, known.protocol) != (agent, protocol):
                raise StoreValidation(
                    f"run {shown(run_id)} is there already, of agent {shown(known.agent)} and protocol "
                    f"{shown(known.protocol)}; choose another run_id"
                )
            elif known.owner_instance == self._instance and self._owned.get(run_id) != known.fence:
                self._claim(known)
            return self._existing(run_id)

    def _check_cap(self, agent: str) -> None:
        active = self.count_active(agent)
        if active >= self._cap:
            raise RunCapReached(
                f"agent {shown(agent)} has {active} active runs and may have {self._cap}; "
                "wait for one to end or cancel one"
            )

    def _insert(self, run_id: str, agent: str, protocol: str, total_steps: int | None) -> None:
        now = self._now()
        self._write(
            "INSERT INTO protocol_runs (run_id, agent, protocol, status, owner_instance, fence, heartbeat_at,"
            " step_index, total_steps, created_at) VALUES (?, ?, ?, ?, ?, 1, ?, 0, ?, ?)",
            (run_id, agent, protocol, LOADING, self._instance, now, total_steps, now),
        )

    def _claim(self, run: Run) -> None:
        """Make an active run this ledger's under a new fence."""
        self._compare_and_set(
            run.run_id,
            ACTIVE_STATUSES,
            "owner_instance = ?, fence = fence + 1, heartbeat_at = ?",
            (self._instance, self._now()),
            run.fence,
        )

    def _forget_ended(self) -> None:
        # Runs that others have ended or taken, and that this owner has not asked about since.
        rows = self._read(
            "SELECT run_id, fence FROM protocol_runs WHERE status IN ('loading', 'running') AND owner_instance = ?",
            (self._instance,),
        )
        active = dict(rows)
        self._owned = {run_id: fence for run_id, fence in self._owned.items() if active.get(run_id) == fence}
