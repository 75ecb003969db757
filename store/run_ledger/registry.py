"""What one ledger knows in memory: the runs it owns, and the latest that have ended.

Memory follows the file, never the other way round: a run enters the archive once its terminal row has been
committed and read back, and leaves the registry when the file says that it is no longer this owner's.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from store.errors import StoreError, StoreValidation
from store.opening import Opening
from store.run_ledger.records import RUN_COLUMNS, Run, run_of
from store.run_ledger.statuses import ACTIVE_STATUSES, STATUSES
from store.validation import MAX_INTEGER, did_you_mean, integer, name, number, shown


class Registry(Opening):
    """Reading runs, and changing one by compare-and-set."""

    ARCHIVE_MAX: ClassVar[int] = 256  # ended runs served from memory

    def __init__(self, *args: Any, instance: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._instance = name(instance, "instance")
        self._owned: dict[str, int] = {}  # run → fence; this and the next under the lock
        self._archived: OrderedDict[str, Run] = OrderedDict()

    @property
    def instance(self) -> str:
        """The name under which this ledger owns runs."""
        return self._instance

    @property
    def owned(self) -> frozenset[str]:
        """The runs that this ledger owns, as far as it knows."""
        with self._lock:
            return frozenset(self._owned)

    def get_run(self, run_id: str) -> Run | None:
        """The run, or None."""
        name(run_id, "run_id")
        with self._lock:
            self._require()
            archived = self._archived.get(run_id)
            return archived if archived is not None else self._find(run_id)

    def runs(self, *, status: str | None = None, agent: str | None = None, limit: int | None = None) -> list[Run]:
        """Runs, the newest first; `limit=None` means all. Raises StoreValidation for an unknown status."""
        if status is not None and status not in STATUSES:
            raise StoreValidation(f"status {shown(status)} is unknown; {did_you_mean(status, STATUSES)}")
        statuses = STATUSES if status is None else (status,)
        return self._select(statuses, agent, MAX_INTEGER if limit is None else integer(limit, "limit", 1))

    def active_runs(self, agent: str | None = None) -> list[Run]:
        """Runs that have not ended, of one agent or all, the newest first."""
        return self._select(ACTIVE_STATUSES, agent, MAX_INTEGER)

    def count_active(self, agent: str | None = None) -> int:
        """How many runs have not ended, of one agent or all; counting changes nothing, stale runs count."""
        where, values = _where(ACTIVE_STATUSES, agent)
        return int(self._read(f"SELECT count(*) FROM protocol_runs WHERE {where}", values)[0][0])

    def _select(self, statuses: Sequence[str], agent: str | None, limit: int) -> list[Run]:
        where, values = _where(statuses, agent)
        rows = self._read(
            f"SELECT {RUN_COLUMNS} FROM protocol_runs WHERE {where} ORDER BY created_at DESC, run_id LIMIT ?",
            (*values, limit),
        )
        return [run_of(row) for row in rows]

    def _find(self, run_id: str) -> Run | None:
        rows = self._read(f"SELECT {RUN_COLUMNS} FROM protocol_runs WHERE run_id = ?", (run_id,))
        return run_of(rows[0]) if rows else None

    def _existing(self, run_id: str) -> Run:
        run = self._find(run_id)
        if run is None:
            raise StoreValidation(f"there is no run {shown(run_id)}; start_run() makes one")
        return run

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        # Inside a caller's transaction an operation would be acknowledged before it is committed.
        with self._lock:
            if self._in_block:
                raise StoreError("an operation of the run ledger is a transaction of its own; leave the block first")
            with self.transaction():
                yield

    def _compare_and_set(
        self, run_id: str, sources: Sequence[str], assignments: str, values: Sequence[object], fence: int | None = None
    ) -> bool:
        """Change the run if its status is one of `sources` and, if given, its fence still that; says whether."""
        guard = "" if fence is None else " AND fence = ?"
        return (
            self._write(
                f"UPDATE protocol_runs SET {assignments} WHERE run_id = ? AND {_among(sources)}{guard}",
                (*values, run_id, *(() if fence is None else (fence,))),
            )[1]
            > 0
        )

    def _end(
        self,
        run_id: str,
        status: str,
        sources: Sequence[str],
        *,
        detail: str | None = None,
        result: str | None = None,
        fence: int | None = None,
    ) -> Run:
        """End the run if it is in one of `sources`; returns it as it is afterwards, archived if it has ended."""
        with self._lock:
            with self._atomic():
                self._compare_and_set(
                    run_id,
                    sources,
                    "status = ?, ended_at = max(created_at, ?), detail = ?, result = ?",
                    (status, self._now(), detail, result),
                    fence,
                )
                run = self._existing(run_id)
            self._settle(run)
        return run

    def _settle(self, run: Run) -> None:
        """Let memory follow what was just read back from the file, after the commit."""
        if run.is_terminal:
            self._archive(run)
        if run.is_terminal or self._owned.get(run.run_id) != run.fence:
            self._owned.pop(run.run_id, None)

    def _archive(self, run: Run) -> None:
        self._archived[run.run_id] = run
        self._archived.move_to_end(run.run_id)
        while len(self._archived) > self.ARCHIVE_MAX:
            self._archived.popitem(last=False)

    def _stale(self, older_than_s: object) -> tuple[str, tuple[object, ...]]:
        """The condition for "nobody has heartbeated for so long", on integers of nanoseconds.

        A heartbeat in the future (the clock went backwards) is not stale: its owner may be alive.
        """
        seconds = number(older_than_s, "older_than_s")
        if seconds <= 0:
            raise StoreValidation(f"older_than_s must be greater than zero, not {seconds!r}")
        age = round(min(seconds, MAX_INTEGER / 1e9) * 1e9)
        # heartbeat_at is never negative: 0 stands for "nothing is that old", and fits into 64 bits.
        return "heartbeat_at < ?", (max(self._now() - age, 0),)


def _where(statuses: Sequence[str], agent: str | None) -> tuple[str, tuple[object, ...]]:
    if agent is None:
        return _among(statuses), ()
    return f"{_among(statuses)} AND agent = ?", (name(agent, "agent"),)


def _among(statuses: Sequence[str]) -> str:
    # Literals, because a partial index is used only where the query repeats its condition.
    return f"status IN ({', '.join(repr(status) for status in statuses)})"
