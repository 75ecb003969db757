"""Agent runs: what each agent of a protocol run says about itself, as JSON."""

from store.errors import StoreValidation
from store.run_ledger.records import AGENT_RUN_COLUMNS, AgentRun, Metadata, agent_run_of, json_text
from store.run_ledger.registry import Registry
from store.validation import name, shown


class Agents(Registry):
    """Recording and reading the table `agent_runs`."""

    def record_agent_run(self, agent_run_id: str, *, run_id: str, agent: str, metadata: Metadata) -> bool:
        """Record an agent's part in a run, or replace its metadata; True when the ledger now says so.

        False when the protocol run has ended and the ledger says otherwise: nothing is written to it any more.
        Raises StoreValidation for an unknown run, an identifier of another run or agent, and metadata that
        JSON would not return unchanged.
        """
        name(agent_run_id, "agent_run_id")
        name(run_id, "run_id")
        name(agent, "agent")
        encoded = json_text(metadata, "metadata")
        with self._atomic():
            run = self._existing(run_id)
            known = self.get_agent_run(agent_run_id)
            if known is not None and (known.run_id, known.agent) != (run_id, agent):
                raise StoreValidation(
                    f"agent run {shown(agent_run_id)} is there already, of run {shown(known.run_id)} and agent "
                    f"{shown(known.agent)}; choose another agent_run_id"
                )
            if run.is_terminal:
                return known is not None and json_text(known.metadata, "metadata") == encoded
            self._write(
                "INSERT INTO agent_runs (agent_run_id, run_id, agent, metadata, created_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (agent_run_id) DO UPDATE SET metadata = excluded.metadata",
                (agent_run_id, run_id, agent, encoded, self._now()),
            )
            return True

    def get_agent_run(self, agent_run_id: str) -> AgentRun | None:
        """The agent run, or None."""
        rows = self._read(
            f"SELECT {AGENT_RUN_COLUMNS} FROM agent_runs WHERE agent_run_id = ?", (name(agent_run_id, "agent_run_id"),)
        )
        return agent_run_of(rows[0]) if rows else None

    def agent_runs(self, run_id: str) -> list[AgentRun]:
        """The agent runs of a protocol run, in the order of their identifiers."""
        rows = self._read(
            f"SELECT {AGENT_RUN_COLUMNS} FROM agent_runs WHERE run_id = ? ORDER BY agent_run_id",
            (name(run_id, "run_id"),),
        )
        return [agent_run_of(row) for row in rows]
