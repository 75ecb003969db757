"""What the ledger is meant to hold, as the row oracles see it: a run's progress, its outcome, its agent runs.

What a run has in them follows from its name, so that a row that comes back can be judged alone.
"""

import json
from typing import Any, Final
from zlib import crc32

from crashlab.model.step import Effect, Row, Table
from harness.workloads.run_ledger.plan import Job

PROGRESS, OUTCOME, AGENT_RUNS = "lab_progress", "lab_outcome", "agent_runs"


def result_of(job: Job) -> dict[str, Any]:
    """What the finalise of a run returns."""
    return {"of": job.run_id, "sum": crc32(f"result {job.run_id}".encode())}


def metadata_of(job: Job) -> dict[str, Any]:
    """What an agent run says of itself."""
    return {"of": job.run_id, "tools": ["search", crc32(job.run_id.encode())]}


def progress(job: Job, step: int, *, known: bool = True) -> Effect:
    """A run at a step; `known` says that its number of steps is."""
    total = job.total_steps if known else None
    return Effect(PROGRESS, (job.run_id,), (job.agent, job.protocol, step, total))


def outcome(run_id: str, status: str, result: str | None = None) -> Effect:
    """A run's status."""
    return Effect(OUTCOME, (run_id,), (status, result))


def completed(job: Job) -> Effect:
    """A run completed, with the result of its finalise."""
    return outcome(job.run_id, "completed", _json(result_of(job)))


def agent_run(job: Job) -> Effect:
    """The run's only agent run."""
    return Effect(AGENT_RUNS, (f"{job.run_id}-main",), (job.run_id, job.agent, _json(metadata_of(job))))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _progress_is_right(key: Row, value: Row) -> bool:
    job = Job(key[0], value[0])
    agent, protocol, step, total = value
    return bool(agent) and protocol == job.protocol and total in (None, job.total_steps) and 0 <= step <= (total or 0)


def _outcome_is_right(key: Row, value: Row) -> bool:
    status, result = value
    expected = _json(result_of(Job(key[0], ""))) if status == "completed" else None
    return status in ("loading", "running", "completed", "failed", "closed") and result == expected


def _agent_run_is_right(key: Row, value: Row) -> bool:
    return (key, value) == (agent_run(Job(value[0], value[1])).key, agent_run(Job(value[0], value[1])).value)


TABLES: Final = (
    Table(PROGRESS, ("run_id",), ("agent", "protocol", "step_index", "total_steps"), _progress_is_right),
    Table(OUTCOME, ("run_id",), ("status", "result"), _outcome_is_right),
    Table(AGENT_RUNS, ("agent_run_id",), ("run_id", "agent", "metadata"), _agent_run_is_right),
)
