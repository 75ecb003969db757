"""The model of `RunLedger`: runs in a dictionary, and what each of two instances believes to own."""

from dataclasses import dataclass, replace
from typing import Any

from harness.machines.model import Model, Refused

ACTIVE = ("loading", "running")
CAP = 2
INSTANCES = ("a", "b")


@dataclass(frozen=True)
class Entry:
    """A run, its fields in the order of the store's record."""

    run_id: str
    agent: str
    protocol: str
    status: str
    owner: str
    fence: int
    heartbeat_at: int
    step_index: int
    total_steps: int | None
    created_at: int
    ended_at: int | None = None
    detail: str | None = None
    result: Any = None

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ACTIVE

    def row(self) -> tuple[Any, ...]:
        """All fields."""
        return tuple(self.__dict__.values())


class RunsModel(Model):
    """What the public reads of the ledgers show; `owned` is in each one's memory only."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Entry] = {}
        self.agent_rows: dict[str, tuple[str, str, str, Any, int]] = {}
        self.owned: dict[str, dict[str, int]] = {who: {} for who in INSTANCES}

    def view(self) -> dict[str, Any]:
        """See `Model.view`."""
        newest = sorted(self.entries.values(), key=lambda entry: (-entry.created_at, entry.run_id))
        agents = sorted({entry.agent for entry in newest})
        shown: dict[str, Any] = {}
        for who in INSTANCES:
            shown |= {
                f"{who}.runs": [entry.row() for entry in newest],
                f"{who}.active_runs": [entry.run_id for entry in newest if entry.active],
                f"{who}.count_active": {a: sum(e.active for e in newest if e.agent == a) for a in agents},
                f"{who}.get_run": {entry.run_id: entry.row() for entry in newest},
                f"{who}.owned": sorted(self.owned[who]),
                f"{who}.agent_runs": {
                    entry.run_id: sorted(row for row in self.agent_rows.values() if row[1] == entry.run_id)
                    for entry in newest
                },
            }
        return shown

    def restarted(self, who: str = "") -> None:
        """See `Model.restarted`."""
        self.owned |= {name: {} for name in INSTANCES if who in ("", name)}

    def start_run(self, who: str, run_id: str, agent: str, protocol: str, total_steps: int | None = None) -> Any:
        """A run under the cap, or the one that is there."""
        known = self.entries.get(run_id)
        if known is None:
            if sum(entry.active for entry in self.entries.values() if entry.agent == agent) >= CAP:
                raise Refused("the cap")
            known = Entry(run_id, agent, protocol, "loading", who, 1, self.now, 0, total_steps, self.now)
        elif (known.agent, known.protocol) != (agent, protocol):
            raise Refused("another run")
        elif known.active and known.owner == who and self.owned[who].get(run_id) != known.fence:
            known = replace(known, fence=known.fence + 1, heartbeat_at=self.now)
        self.entries[run_id] = known
        if known.active and known.owner == who:
            self.owned[who][run_id] = known.fence
        self._settle(who, known)
        mine = {entry.run_id: entry.fence for entry in self.entries.values() if entry.active and entry.owner == who}
        self.owned[who] = {run: fence for run, fence in self.owned[who].items() if mine.get(run) == fence}
        return known.row()

    def adopt_run(self, who: str, run_id: str, older_than_s: float) -> bool:
        """Only one that nobody heartbeats."""
        entry = self._entry(run_id)
        if entry.active and self._stale(entry, older_than_s):
            entry = replace(entry, owner=who, fence=entry.fence + 1, heartbeat_at=self.now)
            self.entries[run_id] = entry
            self.owned[who][run_id] = entry.fence
        self._settle(who, entry)
        return run_id in self.owned[who]

    def mark_running(self, who: str, run_id: str, total_steps: int | None = None) -> bool:
        """Loading has finished."""
        fence, entry = self.owned[who].get(run_id), self._entry(run_id)
        if fence is not None and entry.status == "loading" and entry.fence == fence:
            steps = entry.total_steps if total_steps is None else total_steps
            entry = replace(entry, status="running", heartbeat_at=self.now, total_steps=steps)
            self.entries[run_id] = entry
        self._settle(who, entry)
        if entry.status != "running" or entry.fence != fence:
            return False
        if total_steps not in (None, entry.total_steps):
            self.commit()  # what was settled stays so
            raise Refused("another number of steps")
        return True

    def heartbeat(self, who: str, run_id: str) -> bool:
        """The owner lives."""
        fence, entry = self.owned[who].get(run_id), self._entry(run_id)
        if entry.active and entry.fence == fence:
            self.entries[run_id] = replace(entry, heartbeat_at=self.now)
            return True
        self._settle(who, entry)
        return False

    def advance(self, who: str, run_id: str, step_index: int) -> bool:
        """So many steps are done."""
        fence, entry = self.owned[who].get(run_id), self._entry(run_id)
        ours = entry.active and entry.fence == fence
        if ours:
            beyond = entry.total_steps is not None and step_index > entry.total_steps
            if entry.status == "loading" or step_index < entry.step_index or beyond:
                raise Refused("no such step")
            entry = replace(entry, step_index=step_index, heartbeat_at=self.now)
            self.entries[run_id] = entry
        self._settle(who, entry)
        return ours

    def complete_run(
        self, who: str, run_id: str, result: dict[str, Any] | None = None, cancelled_by: str | None = None
    ) -> bool:
        """Running → completed, unless somebody cancels it during the finalise."""
        fence, entry = self.owned[who].get(run_id), self._entry(run_id)
        if not entry.active or entry.fence != fence:
            self._settle(who, entry)
            return entry.status == "completed" and entry.owner == who
        if entry.status == "loading":
            raise Refused("still loading")
        if cancelled_by is not None:
            self.cancel_run(cancelled_by, run_id, "during the finalise")
            self.commit()
        entry = self._end(who, run_id, "completed", ("running",), fence=fence, result=result)
        return entry.status == "completed" and entry.owner == who

    def fail_run(self, who: str, run_id: str, reason: str) -> bool:
        """By its owner."""
        fence, entry = self.owned[who].get(run_id), self._entry(run_id)
        if fence is not None:
            entry = self._end(who, run_id, "failed", ACTIVE, fence=fence, detail=reason)
        return entry.status == "failed" and entry.owner == who

    def cancel_run(self, who: str, run_id: str, reason: str) -> bool:
        """By anybody, unless it has ended."""
        return self._end(who, run_id, "closed", ACTIVE, detail=reason).status == "closed"

    def fail_stale_runs(self, who: str, older_than_s: float) -> list[str]:
        """Those that nobody heartbeats."""
        stale = sorted(e.run_id for e in self.entries.values() if e.active and self._stale(e, older_than_s))
        for run_id in stale:
            self._end(who, run_id, "failed", ACTIVE, detail=f"no heartbeat for {older_than_s:g} s", fence_up=1)
        return stale

    def record_agent_run(self, who: str, agent_run_id: str, run_id: str, agent: str, metadata: Any) -> bool:
        """What an agent says, until the run has ended."""
        entry, known = self._entry(run_id), self.agent_rows.get(agent_run_id)
        if known is not None and known[1:3] != (run_id, agent):
            raise Refused("another's")
        if not entry.active:
            return known is not None and known[3] == metadata
        created_at = self.now if known is None else known[4]
        self.agent_rows[agent_run_id] = (agent_run_id, run_id, agent, metadata, created_at)
        return True

    def _entry(self, run_id: str) -> Entry:
        if run_id not in self.entries:
            raise Refused("no run")
        return self.entries[run_id]

    def _stale(self, entry: Entry, older_than_s: float) -> bool:
        return entry.heartbeat_at < self.now - round(older_than_s * 1e9)

    def _settle(self, who: str, entry: Entry) -> None:
        if not entry.active or self.owned[who].get(entry.run_id) != entry.fence:
            self.owned[who].pop(entry.run_id, None)

    def _end(
        self,
        who: str,
        run_id: str,
        status: str,
        sources: tuple[str, ...],
        *,
        fence: int | None = None,
        detail: str | None = None,
        result: Any = None,
        fence_up: int = 0,
    ) -> Entry:
        entry = self._entry(run_id)
        if entry.status in sources and fence in (None, entry.fence):
            entry = replace(
                entry,
                status=status,
                ended_at=max(entry.created_at, self.now),
                detail=detail,
                result=result,
                fence=entry.fence + fence_up,
            )
            self.entries[run_id] = entry
        self._settle(who, entry)
        return entry
