"""What the run ledger keeps, and its JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from store.errors import StoreError, StoreValidation
from store.run_ledger.statuses import TERMINAL_STATUSES
from store.validation import number, shown, text

MAX_DEPTH: Final = 20  # of nested lists and objects in metadata

Metadata = Mapping[str, Any]


class RunCapReached(StoreError):  # noqa: N818
    """The agent has as many active runs as it may have; nothing was written."""


class Run(NamedTuple):
    """A protocol run; times in nanoseconds since 1970.

    `fence` rises whenever the run is taken from its owner: what an owner writes under an older one is
    refused. `total_steps` is None while unknown, `ended_at` while active; `result` is what the
    finalise of a completed run returned.
    """

    run_id: str
    agent: str
    protocol: str
    status: str
    owner_instance: str
    fence: int
    heartbeat_at: int
    step_index: int
    total_steps: int | None
    created_at: int
    ended_at: int | None
    detail: str | None
    result: Metadata | None

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended, for good."""
        return self.status in TERMINAL_STATUSES


class AgentRun(NamedTuple):
    """One agent's part in a protocol run."""

    agent_run_id: str
    run_id: str
    agent: str
    metadata: Metadata
    created_at: int


RUN_COLUMNS: Final = ", ".join(Run._fields)
AGENT_RUN_COLUMNS: Final = ", ".join(AgentRun._fields)


def run_of(row: tuple[Any, ...]) -> Run:
    """The record of a row of `RUN_COLUMNS`."""
    run = Run(*row)
    return run if run.result is None else run._replace(result=json.loads(row[-1]))


def agent_run_of(row: tuple[Any, ...]) -> AgentRun:
    """The record of a row of `AGENT_RUN_COLUMNS`."""
    agent_run = AgentRun(*row)
    return agent_run._replace(metadata=json.loads(row[3]))


def json_text(value: object, what: str) -> str:
    """The canonical JSON of a mapping; raises StoreValidation for what would not come back as it went in."""
    if not isinstance(value, Mapping):
        raise StoreValidation(f"{what} must be a mapping, not {type(value).__name__}: {shown(value)}")
    plain = json.dumps(_plain(value, what, 0), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text(plain, what)


def _plain(value: object, what: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise StoreValidation(f"{what} is nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value, what)
    if isinstance(value, int | float):
        return number(value, f"a number in {what}")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise StoreValidation(f"{what} has the key {shown(key)}; JSON's keys are strings")
        return {text(key, what): _plain(item, what, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, what, depth + 1) for item in value]
    raise StoreValidation(f"{what} holds a {type(value).__name__}, which JSON does not know: {shown(value)}")
