"""How others end a run: a cancel, and the reaper of runs whose owner is gone."""

from collections.abc import Sequence
from typing import Any, ClassVar

from store.run_ledger.registry import Registry
from store.run_ledger.starting import STALE_S
from store.run_ledger.statuses import ACTIVE_STATUSES, CLOSED, FAILED
from store.validation import name, text


class Ending(Registry):
    """Cancelling runs, and failing those that nobody heartbeats."""

    _CANCELLABLE: ClassVar[Sequence[str]] = ACTIVE_STATUSES

    def __init__(self, *args: Any, single_process: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self._single_process = single_process

    def cancel_run(self, run_id: str, reason: str = "cancelled") -> bool:
        """Close an active run, whoever owns it; True when it is closed now, False when it had ended otherwise.

        A compare-and-set: a run that has ended stays as it is. Waits only for other processes' short
        transactions, never for an owner's finalise. Raises StoreValidation for an unknown run.
        """
        name(run_id, "run_id")
        text(reason, "reason")
        return self._end(run_id, CLOSED, self._CANCELLABLE, detail=reason).status == CLOSED

    def fail_stale_runs(self, older_than_s: float = STALE_S) -> list[str]:
        """Fail the active runs that nobody has heartbeated for `older_than_s` seconds; returns which.

        Runs of other processes that heartbeat are left alone. The fence rises: an owner that was only
        paused finds its run gone.
        """
        with self._lock:
            condition, values = self._stale(older_than_s)
            return self._fail_where(condition, values, f"no heartbeat for {older_than_s:g} s")

    def _started(self) -> None:
        """What happens to the runs that are active when the ledger opens."""
        if self._single_process:
            self._fail_where("1", (), "left by an earlier process")

    def _fail_where(self, condition: str, values: Sequence[object], detail: str) -> list[str]:
        with self._atomic():
            stale = [
                row[0]
                for row in self._read(
                    f"SELECT run_id FROM protocol_runs WHERE status IN ('loading', 'running') AND {condition}"
                    " ORDER BY run_id",
                    values,
                )
            ]
            now = self._now()
            for run_id in stale:
                self._compare_and_set(
                    run_id,
                    ACTIVE_STATUSES,
                    "status = ?, ended_at = max(created_at, ?), detail = ?, fence = fence + 1",
                    (FAILED, now, detail),
                )
        for run_id in stale:
            if run_id in self._owned:
                self._settle(self._existing(run_id))
        return stale
