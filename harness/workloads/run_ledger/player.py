"""A role at play: its moves as steps on its ledger, with what each is meant to do to the database.

What a step is told decides its effects: an operation that answers False has changed nothing. What only the
process itself can see (an answer that differs when the call is repeated, memory that disagrees with the file)
is complained of in the log, where the invariants find it.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from crashlab.model.step import Effect
from harness.workloads.run_ledger import model
from harness.workloads.run_ledger.journal import ended_by, last_change
from harness.workloads.run_ledger.plan import Act, How, Job, Move
from harness.workloads.run_ledger.reaping import reap
from harness.workloads.run_ledger.role import (
    COUNTING_IS_PASSIVE,
    MEMORY_FOLLOWS_FILE,
    REGISTRY_BOUNDED,
    RETRY_IS_HARMLESS,
    Deed,
    Role,
)
from harness.workloads.run_ledger.scenes import PATIENCE_S
from store import RunCapReached
from store.run_ledger import TERMINAL_STATUSES

Answer = TypeVar("Answer")
Effects = tuple[Effect, ...]
_FAILED, _CANCELLED = "it did not work", "not needed any more"


class Player:
    """Plays a role's moves and remembers what it was told.

    `interrupt(job)` is what happens inside a finalise that a cancel is to interrupt; it returns the effects of
    what this process itself did in it, and `interrupts(job)` those that it may have.
    """

    def __init__(self, role: Role, interrupt: Callable[[Job], Effects], interrupts: Callable[[Job], Effects]) -> None:
        self._role = role
        self._interrupt = interrupt
        self._interrupts = interrupts
        self._started: set[str] = set()
        self._completed: set[str] = set()

    def deeds(self, move: Move) -> Iterator[Deed]:
        """The steps of one move; none if the role knows that there is nothing to do."""
        role, job, run_id = self._role, move.job, move.job.run_id
        match move.act:
            case Act.START:
                yield self._start(move)
            case Act.RUN:
                effects: Effects = (model.outcome(run_id, "running"), model.progress(job, 0))
                yield self._told(move, effects, lambda: role.ledger.mark_running(run_id, total_steps=job.total_steps))
            case Act.ADVANCE:
                effects = (model.progress(job, move.step),)
                yield self._told(move, effects, lambda: role.ledger.advance(run_id, move.step))
            case Act.HEARTBEAT:
                yield self._told(move, (), lambda: role.ledger.heartbeat(run_id))
            case Act.COMPLETE if not (move.how is How.IF_NOT_YET and run_id in self._completed):
                yield self._complete(move)
            case Act.FAIL if run_id in self._started:
                effects = (model.outcome(run_id, "failed"),)
                yield self._told(move, effects, lambda: role.ledger.fail_run(run_id, _FAILED))
            case Act.CANCEL:
                effects = (model.outcome(run_id, "closed"),)
                yield self._told(move, effects, lambda: role.ledger.cancel_run(run_id, _CANCELLED))
            case Act.RECORD:
                yield self._told(move, (model.agent_run(job),), lambda: self._record(job))
            case Act.ADOPT:
                yield self._told(move, (), lambda: role.ledger.adopt_run(run_id, older_than_s=PATIENCE_S))
            case Act.RESUME:
                yield self._told(move, (), lambda: self._start_run(job))
            case Act.REAP:
                yield from reap(role)
            case Act.COUNT:
                yield Deed((), lambda: self._count(job))
            case Act.LOOK:
                yield Deed((), self._look)
            case Act.RESTART:
                yield Deed((), self._restart)
            case Act.JUMP:
                yield Deed((), lambda: self._jump(move.seconds))

    def _told(self, move: Move, effects: Effects, call: Callable[[], object]) -> Deed:
        """A call that answers whether the run is as asked."""
        return Deed(effects, lambda: effects if self._ask(move, call) else ())

    def _ask(self, move: Move, call: Callable[[], Answer]) -> Answer:
        answer = call()
        if move.how is How.TWICE:
            again = call()
            if again != answer:
                what = f"{move.act} of {move.job.run_id}"
                self._role.complain(RETRY_IS_HARMLESS, f"{what} answered {answer!r}, and {again!r} when repeated")
        return answer

    def _start_run(self, job: Job) -> object:
        total = job.total_steps if job.known_at_start else None
        return self._role.ledger.start_run(job.run_id, agent=job.agent, protocol=job.protocol, total_steps=total)

    def _start(self, move: Move) -> Deed:
        job = move.job
        effects = model.progress(job, 0, known=job.known_at_start), model.outcome(job.run_id, "loading")

        def do() -> Effects:
            before = last_change(self._role.connection)
            try:
                self._ask(move, lambda: self._start_run(job))
            except RunCapReached:
                return ()
            self._started.add(job.run_id)
            self._check_registry(before)
            return effects

        return Deed(effects, do)

    def _check_registry(self, before: int) -> None:
        """A start forgets the runs that had ended when it began."""
        left = self._role.ledger.owned & ended_by(self._role.connection, before, TERMINAL_STATUSES)
        if left:
            self._role.complain(REGISTRY_BOUNDED, f"{len(left)} ended runs are still there, first {min(left)}")

    def _complete(self, move: Move) -> Deed:
        job = move.job
        effects: Effects = (model.completed(job),)
        inside = move.how is How.INSIDE

        def do() -> Effects:
            interrupted: Effects = ()

            def finalise() -> dict[str, Any]:
                nonlocal interrupted
                if inside:
                    interrupted = self._interrupt(job)
                return model.result_of(job)

            def complete() -> bool:
                return self._role.ledger.complete_run(job.run_id, finalise=finalise)

            if move.how is How.BLOCKED:
                with self._role.wires.blocked():
                    done = complete()
            else:
                done = self._ask(move, complete)
            if done:
                self._completed.add(job.run_id)
            return effects if done else interrupted

        return Deed((self._interrupts(job) if inside else ()) or effects, do)

    def _record(self, job: Job) -> bool:
        return self._role.ledger.record_agent_run(
            f"{job.run_id}-main", run_id=job.run_id, agent=job.agent, metadata=model.metadata_of(job)
        )

    def _count(self, job: Job) -> Effects:
        before = self._role.connection.total_changes
        count = self._role.ledger.count_active(job.agent)
        changed = self._role.connection.total_changes - before
        if changed:
            self._role.complain(COUNTING_IS_PASSIVE, f"counting the {count} runs of {job.agent} changed {changed} rows")
        return ()

    def _look(self) -> Effects:
        """What memory says has ended must have ended so in the file; read in this order, no race is unfair."""
        for run_id in sorted(self._started):
            run = self._role.ledger.get_run(run_id)
            if run is None or not run.is_terminal:
                continue
            found = self._role.connection.execute(
                "SELECT status, step_index FROM protocol_runs WHERE run_id = ?", (run_id,)
            ).fetchone()
            if found != (run.status, run.step_index):
                self._role.complain(MEMORY_FOLLOWS_FILE, f"{run_id} is {run.status} in memory, in the file {found}")
        return ()

    def _restart(self) -> Effects:
        self._role.restart()
        return ()

    def _jump(self, seconds: float) -> Effects:
        self._role.jump(seconds)
        return ()
