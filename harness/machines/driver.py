"""Runs steps on a store and on its model at once, and compares them after each; crashes between them.

A step is one line of text, `KIND {JSON}`, the name and the arguments of a method of `Driver`; so the lines of
a failed run are its replay (`harness.machines.replay`).

What may be there after a crash: the model after all acked operations, or with the one in flight done up to
one of its transactions. After a power loss under NORMAL: the model after any transaction since the last
checkpoint that said it was complete. An operation that met an I/O error may have happened or not.
"""

import contextlib
import gc
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.states.state import KILL, CrashState, parse_state
from crashlab.states.trace import Trace
from harness.machines.judgement import EPOCH_NS, Clock, DisagreementError, Done, difference, dump
from harness.machines.leg import DATABASE, Faults, Leg
from harness.machines.model import Model, Refused
from harness.machines.system import AbortError, System, check_file
from store import StoreError

TICK_NS = 1_000_000
CHECKPOINT_MODES = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")


class Driver:
    """One run: legs one after the other. Close it.

    `files`: the first leg's files, whose content `frozen`, a state of the model, describes. `steps`: what
    was done, as text.
    """

    def __init__(
        self,
        system: System,
        space: Workspace,
        *,
        synchronous: str = "FULL",
        files: Path | None = None,
        frozen: bytes | None = None,
        clock_ns: int = EPOCH_NS,
    ) -> None:
        self.system = system
        self.space = space
        self.synchronous = synchronous
        self.clock = Clock()
        self.clock.now = clock_ns
        self.model: Model = system.model()
        if frozen is not None:
            self.model = self.model.thaw(frozen)
            self.model.restarted()
        self.done: list[Done] = []
        self.steps: list[str] = []
        self.faults_fired = 0
        self.faults_missed = 0
        self._legs = 0
        self._backup: tuple[Path, bytes] | None = None
        self._pinned: tuple[sqlite3.Connection, bytes] | None = None
        self.trace: Trace | None = None
        self.leg = self._new_leg(files)
        try:
            self._start("open")
        except BaseException:
            self._abandon()
            raise

    @property
    def pinned(self) -> bool:
        """Whether a reader holds a snapshot."""
        return self._pinned is not None

    @property
    def has_backup(self) -> bool:
        """Whether there is something to restore."""
        return self._backup is not None

    # -- steps --------------------------------------------------------------------------------------------

    def run(self, line: str) -> None:
        """Run one step from its text.

        Raises:
            UsageError: it is none.
        """
        kind, _, rest = line.strip().partition(" ")
        if kind not in STEPS:
            raise UsageError(f"step {kind!r}, expected one of {', '.join(STEPS)}")
        getattr(self, kind)(**json.loads(rest or "{}"))

    def do(self, name: str, arguments: dict[str, Any]) -> Any:
        """One public operation of the store."""
        self._note("do", name=name, arguments=arguments)
        return self._do(name, arguments, lambda: self.system.perform(name, arguments))

    def second_opener(self, name: str, arguments: dict[str, Any]) -> Any:
        """One public operation through a store that is opened for it beside the other, and closed."""
        self._note("second_opener", name=name, arguments=arguments)

        def perform() -> Any:
            store = self.system.make_hasty(self.system.names[0], self.leg, self.clock)
            store.initialize_database()
            try:
                return self.system.call(store, name, arguments)
            finally:
                store.close()

        return self._do(name, arguments, perform)

    def io_error(self, name: str, arguments: dict[str, Any], selector: str, failure: str, persistent: bool) -> bool:
        """One public operation on a disk that fails; whether it did. If so, `reopen` or `crash` must come next."""
        self._note(
            "io_error", name=name, arguments=arguments, selector=selector, failure=failure, persistent=persistent
        )
        if name in self.system.ends:
            raise UsageError(f"{name} closes the store by itself: no I/O error is armed for it")
        self.leg.faults.arm(selector, failure, persistent=persistent)
        self._do(name, arguments, lambda: self.system.perform(name, arguments))
        if not persistent or not self.leg.faults.fired:
            self.leg.faults.disarm()
        if self.done[-1].uncertain:
            self._choose(self._candidates(1 << 62), self.system.view(), "an I/O error")
        return self._count_fault(self.leg.faults)

    def reopen(self) -> None:
        """End the leg by a close; the next one begins with the files as they are then, on a sound disk."""
        self._note("reopen")
        self._reopen()

    def failing_close(self, selector: str, failure: str, persistent: bool) -> None:
        """A close on a disk that fails, and the next start on a sound one."""
        self._note("failing_close", selector=selector, failure=failure, persistent=persistent)
        faults = self.leg.faults
        faults.arm(selector, failure, persistent=persistent)
        self._reopen()
        self._count_fault(faults)

    def _reopen(self) -> None:
        uncertain = bool(self.done) and self.done[-1].uncertain
        candidates = self._candidates(1 << 62) if uncertain else [self.model.freeze()]
        self.end_leg()
        self._resume(self.leg.directory, candidates, "the close")

    def restart(self, twice: bool = False, who: str = "") -> None:
        """Close the store, or of several the one called `who`, and open it again.

        `twice`: it is closed twice, and used when closed.
        """
        self._note("restart", twice=twice, who=who)
        self._stop(twice=twice, who=who)
        self.model.restarted(who)
        self._start("open", who)

    def checkpoint(self, mode: str) -> None:
        """One checkpoint of a mode by a second connection."""
        self._note("checkpoint", mode=mode)
        if mode not in CHECKPOINT_MODES:
            raise UsageError(f"checkpoint {mode!r}, expected one of {', '.join(CHECKPOINT_MODES)}")
        begin, frozen = self.leg.mark(), self.model.freeze()
        with closing(self.leg.second_connection()) as connection:
            busy, frames, copied = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        complete = busy == 0 and frames == copied
        self.done.append(Done("checkpoint", begin, self.leg.mark(), frozen, (frozen,), durable=complete))
        self._agree(f"after a checkpoint ({mode})")

    def pin(self) -> None:
        """A reader begins to hold a snapshot; it keeps seeing that until `unpin` or the leg's end."""
        self._note("pin")
        self._unpin()
        connection = self.leg.second_connection(read_only=True)
        connection.execute("BEGIN")
        self._pinned = (connection, dump(connection))

    def unpin(self) -> None:
        """The reader sees what it saw, and goes."""
        self._note("unpin")
        self._unpin()

    def backup(self) -> None:
        """Copy the database by the store's own means."""
        self._note("backup")
        begin, frozen = self.leg.mark(), self.model.freeze()
        target = self.space.make_run()
        path = self.system.backup(self.leg, target)
        self._backup = (path, frozen)
        self.done.append(Done("backup", begin, self.leg.mark(), frozen, (frozen,)))
        self._agree("after a backup")

    def restore(self) -> None:
        """Go on with the last backup, if there is one, in a new directory: the model is that of its time."""
        self._note("restore")
        if self._backup is None:
            return
        path, frozen = self._backup
        self.end_leg()
        target = self.space.make_run()
        shutil.copyfile(path, target / DATABASE)
        self._resume(target, [frozen], "the restore of a backup")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._note("wait", seconds=seconds)
        self.clock.now += round(seconds * 1e9)

    def crash(self, state: str) -> None:
        """End the leg; the next one begins with the files of that crash state, by the store's restart path."""
        self._note("crash", state=state)
        self.crash_to(parse_state(state))

    # -- ending a leg, and what may be there afterwards ------------------------------------------------------

    def end_leg(self) -> Trace:
        """Close the store and end the recording. Only `crash_to`, `reopen` and `restore` come after it."""
        if self.trace is None:
            self._stop()
            self.trace = self.leg.finish()
        return self.trace

    def crash_to(self, state: CrashState) -> None:
        """See `crash`."""
        self.end_leg()
        self._resume(self.leg.export(state), self.allowed(state), str(state))

    def allowed(self, state: CrashState) -> list[bytes]:
        """Return the models that may be there after a crash, the latest last."""
        place = self.leg.place(state.op)
        if state.kind == KILL or self.synchronous == "FULL":
            return self._candidates(place)
        begun = [done for done in self.done if done.begin < place]
        floor = max((n for n, done in enumerate(begun) if done.durable and done.end < place), default=0)
        return [frozen for done in begun[floor:] for frozen in (done.before, *done.after)]

    def _candidates(self, place: int) -> list[bytes]:
        acked = [done for done in self.done if done.end < place]
        flying = [done for done in self.done if done.begin < place <= done.end]
        found = [acked[-1].after[-1]] if acked else []
        # Nothing but the close comes after an operation that met an I/O error.
        for done in acked[-3:]:
            if done.uncertain:
                found += [done.before, *done.after]
        for done in flying:
            found += [done.before, *done.after]
        return found

    # -- inside -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close everything, whatever state it is in."""
        try:
            self._drop_pinned()
            self.leg.faults.disarm()
            self.system.stop()
        finally:
            self.leg.close()

    def _abandon(self) -> None:
        """Close everything; an error is on its way that matters more."""
        with contextlib.suppress(Exception):
            self.close()

    def _do(self, name: str, arguments: dict[str, Any], perform: Callable[[], Any]) -> Any:
        self.clock.now += TICK_NS
        before = self.model.freeze()
        begin = self.leg.mark()
        expected, after = self._expect(name, arguments, before)
        fault: Exception | None = None
        outcome: Any = "refused"
        try:
            outcome = perform()
        except (StoreError, AbortError, sqlite3.Error) as error:
            fault = error
        end = self.leg.mark()
        uncertain = fault is not None and self.leg.faults.fired > 0
        self.done.append(Done(name, begin, end, before, after, uncertain))
        if uncertain:
            return None
        if isinstance(fault, sqlite3.Error):
            raise fault
        if outcome != expected:
            said = f"raises {fault!r}" if fault is not None else f"returns {outcome!r}"
            raise DisagreementError(f"{name} {said}, the model says {expected!r}")
        if name in self.system.ends:
            self._stop()
            self.model.restarted()
            self._start("open")
        else:
            self._agree(f"after {name}")
        return outcome

    def _expect(self, name: str, arguments: dict[str, Any], before: bytes) -> tuple[Any, tuple[bytes, ...]]:
        """Let the model do it: its answer, and its state after each transaction."""
        self.model.now, self.model.passed = self.clock.now, []
        try:
            expected = getattr(self.model, name)(**arguments)
            last = self.model.freeze()
        except Refused:
            expected = "refused"
            last = self.model.passed[-1] if self.model.passed else before
        after = (*self.model.passed, last)
        self.model = self.model.thaw(last)
        return expected, after

    def _new_leg(self, files: Path | None) -> Leg:
        self._legs += 1
        return Leg(self.space, files, seed=self._legs, synchronous=self.synchronous)

    def _start(self, name: str, who: str = "") -> None:
        self.clock.now += TICK_NS
        frozen, begin = self.model.freeze(), self.leg.mark()
        self.system.start(self.leg, self.clock, who)
        self.done.append(Done(name, begin, self.leg.mark(), frozen, (frozen,)))
        self._agree(f"after {name}")

    def _stop(self, *, twice: bool = False, who: str = "") -> None:
        self._unpin()
        frozen, begin = self.model.freeze(), self.leg.mark()
        try:
            self.system.stop(twice=twice, who=who)
        except (sqlite3.Error, StoreError):
            if not self.leg.faults.fired:
                raise
        if self.leg.faults.fired:
            # An error's traceback may hold a cursor in a cycle. Its connection is then closed by the collector,
            # at a moment of its own choosing, and the recording would not be the same twice.
            gc.collect()
        self.done.append(Done("close", begin, self.leg.mark(), frozen, (frozen,)))

    def _resume(self, files: Path, allowed: list[bytes], what: str) -> None:
        old, self.leg, self.trace, self.done = self.leg, self._new_leg(files), None, []
        old.close()
        self.clock.now += TICK_NS
        begin = self.leg.mark()
        try:
            self.system.start(self.leg, self.clock)
            view = self.system.view()
            with closing(self.leg.second_connection()) as connection:
                problems = check_file(connection) + self.system.audit(connection)
        except (StoreError, sqlite3.Error) as error:
            raise DisagreementError(f"the store does not start or cannot be read after {what}: {error!r}") from error
        if problems:
            raise DisagreementError(f"after {what}: " + "; ".join(problems))
        self.model = self._choose(allowed, view, what, restarted=True)
        frozen = self.model.freeze()
        self.done.append(Done("open", begin, self.leg.mark(), frozen, (frozen,)))

    def _choose(self, allowed: list[bytes], view: dict[str, Any], what: str, *, restarted: bool = False) -> Model:
        """Return the latest of the allowed models that a view is of."""
        candidates = [self.model.thaw(frozen) for frozen in reversed(list(dict.fromkeys(allowed)))]
        for model in candidates:
            if restarted:
                model.restarted()
            if model.view() == view:
                return model
        raise DisagreementError(
            f"after {what} none of the {len(candidates)} allowed models is there; beside the latest, "
            + difference(view, candidates[0].view())
        )

    def _count_fault(self, faults: Faults) -> bool:
        fired = faults.fired > 0
        self.faults_fired += fired
        self.faults_missed += not fired
        return fired

    def _agree(self, when: str) -> None:
        view, expected = self.system.view(), self.model.view()
        if view != expected:
            raise DisagreementError(f"{when}: {difference(view, expected)}")

    def _unpin(self) -> None:
        if self._pinned is None:
            return
        connection, seen = self._pinned
        now = dump(connection)
        self._drop_pinned()
        if now != seen:
            raise DisagreementError("a reader's snapshot changed while it was held")

    def _drop_pinned(self) -> None:
        if self._pinned is not None:
            self._pinned[0].close()
            self._pinned = None

    def _note(self, kind: str, **arguments: Any) -> None:
        self.steps.append(f"{kind} {json.dumps(arguments)}" if arguments else kind)


STEPS = (
    *("do", "second_opener", "io_error", "failing_close", "reopen", "restart", "checkpoint"),
    *("pin", "unpin", "backup", "restore", "wait", "crash"),
)
