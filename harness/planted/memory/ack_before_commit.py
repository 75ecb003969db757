"""Appends are gathered and committed four at a time: each is acked when it is gathered."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog

GATHERED = 4


class AckBeforeCommit(MessageLog):
    """Saves three commits of four."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._gathered: list[tuple[Any, ...]] = []

    def append(self, session_id: int, role: str, content: str, *, key: str | None = None, ts: int | None = None) -> int:
        """Gather it."""
        if self._in_block:
            return super().append(session_id, role, content, key=key, ts=ts)
        self._gathered.append((session_id, role, content, key, self._now() if ts is None else ts))
        if len(self._gathered) == GATHERED:
            self._write_gathered()
        return 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write what was gathered, then the block."""
        if not self._in_block:
            self._write_gathered()
        with super().transaction():
            yield

    def close(self) -> None:
        """Write what was gathered, then close."""
        if self.is_open:
            self._write_gathered()
        super().close()

    def _write_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            with super().transaction():
                for session_id, role, content, key, ts in gathered:
                    super().append(session_id, role, content, key=key, ts=ts)


workload = AgentMemory(AckBeforeCommit)
twin = AgentMemory()

PLANTED = Planted(
    id="ack-before-commit",
    title="a message acked before it is committed",
    broken="appends are gathered in memory and written four at a time",
    oracle="durability",
    invariant="acked-row-lost",
    fault="kill@ack#30",
    trials=30,
    module=__name__,
)
