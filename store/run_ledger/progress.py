"""What the owner of a run reports: it runs, it lives, it advances, it ends.

Each returns whether the run is now as asked. False means that the run is no longer this ledger's to change:
cancelled, failed by a reaper, or adopted by another. The owner stops working then. Repeating a call that
had succeeded returns True again, so a caller who does not know the outcome of a commit simply repeats it.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from store.errors import StoreValidation
from store.run_ledger.records import Metadata, Run, json_text
from store.run_ledger.registry import Registry
from store.run_ledger.statuses import ACTIVE_STATUSES, COMPLETED, FAILED, LOADING, RUNNING
from store.validation import integer, name, shown, text

Finalise = Callable[[], Metadata | None]


class Progress(Registry):
    """The owner's operations; each raises StoreValidation for an unknown run."""

    _LOADABLE: ClassVar[Sequence[str]] = (LOADING,)  # what a loader that finishes may turn into running

    def mark_running(self, run_id: str, *, total_steps: int | None = None) -> bool:
        """Loading has finished: loading → running, with the number of steps if it is known now.

        A run that was cancelled meanwhile stays cancelled.
        """
        if total_steps is not None:
            integer(total_steps, "total_steps", 1)
        fence = self._fence(run_id)
        with self._lock:
            with self._atomic():
                if fence is not None:
                    self._compare_and_set(
                        run_id,
                        self._LOADABLE,
                        "status = ?, heartbeat_at = ?, total_steps = coalesce(?, total_steps)",
                        (RUNNING, self._now(), total_steps),
                        fence,
                    )
                run = self._existing(run_id)
            self._settle(run)
        if run.status != RUNNING or run.fence != fence:
            return False
        if total_steps not in (None, run.total_steps):
            raise StoreValidation(f"run {shown(run_id)} has {run.total_steps} steps already, not {total_steps}")
        return True

    def heartbeat(self, run_id: str) -> bool:
        """Say that the owner lives: `heartbeat_at` becomes the clock's time, also if that went backwards."""
        fence = self._fence(run_id)
        with self._lock:
            if fence is not None:
                with self._atomic():
                    if self._compare_and_set(run_id, ACTIVE_STATUSES, "heartbeat_at = ?", (self._now(),), fence):
                        return True
            self._settle(self._existing(run_id))
            return False

    def advance(self, run_id: str, step_index: int) -> bool:
        """Record that `step_index` steps are done; a heartbeat too.

        Raises StoreValidation for a step before the recorded one or beyond the last, and while the run is
        loading.
        """
        integer(step_index, "step_index")
        fence = self._fence(run_id)
        with self._lock:
            with self._atomic():
                run = self._existing(run_id)
                ours = fence is not None and run.fence == fence and not run.is_terminal
                if ours:
                    _check_step(run, step_index)
                    self._compare_and_set(
                        run_id, (RUNNING,), "step_index = ?, heartbeat_at = ?", (step_index, self._now()), fence
                    )
            self._settle(run)
        return ours

    def complete_run(self, run_id: str, *, finalise: Finalise | None = None) -> bool:
        """Running → completed, after `finalise()`, whose mapping becomes the run's `result`.

        The finalise runs without any lock or transaction: it may take long, and a cancel during it wins at
        once, its result is then dropped. One that takes longer than the reaper's patience should call
        `heartbeat`. What it raises is passed on, and the run goes on running.
        """
        fence = self._fence(run_id)
        run = self.get_run(run_id) or self._existing(run_id)
        if fence is None or run.fence != fence or run.is_terminal:
            with self._lock:
                self._settle(run)
            return self._ended_here(run, COMPLETED)
        _check_running(run)
        result = self._finalise(run_id, finalise)
        encoded = None if result is None else json_text(result, "the result of finalise")
        return self._ended_here(self._end(run_id, COMPLETED, (RUNNING,), result=encoded, fence=fence), COMPLETED)

    def fail_run(self, run_id: str, reason: str) -> bool:
        """Loading or running → failed, with the reason as `detail`."""
        text(reason, "reason")
        fence = self._fence(run_id)
        if fence is None:
            return self._ended_here(self.get_run(run_id) or self._existing(run_id), FAILED)
        return self._ended_here(self._end(run_id, FAILED, ACTIVE_STATUSES, detail=reason, fence=fence), FAILED)

    def _finalise(self, run_id: str, finalise: Finalise | None) -> Metadata | None:
        """Run the caller's finalise, holding nothing."""
        return None if finalise is None else finalise()

    def _ended_here(self, run: Run, status: str) -> bool:
        return run.status == status and run.owner_instance == self._instance

    def _fence(self, run_id: str) -> int | None:
        """The fence under which this ledger owns the run; None when it does not."""
        name(run_id, "run_id")
        with self._lock:
            self._require()
            return self._owned.get(run_id)


def _check_running(run: Run) -> None:
    if run.status == LOADING:
        raise StoreValidation(f"run {shown(run.run_id)} is still loading; call mark_running() first")


def _check_step(run: Run, step_index: int) -> None:
    _check_running(run)
    if step_index < run.step_index:
        raise StoreValidation(f"run {shown(run.run_id)} is at step {run.step_index}; it cannot go back to {step_index}")
    if run.total_steps is not None and step_index > run.total_steps:
        raise StoreValidation(f"run {shown(run.run_id)} has {run.total_steps} steps; there is no step {step_index}")
