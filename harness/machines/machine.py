"""The state machine that all systems share: public operations, crashes, I/O errors, restarts, other openers.

Each rule draws steps for a `Driver`, which does the work and judges. What a failure prints last is the replay
of its steps, for `harness.machines.replay`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError
from harness.machines.draws import AT_CLOSE, AT_COMMIT, Draw, crashes, failures
from harness.machines.driver import CHECKPOINT_MODES, Driver
from harness.machines.leg import SYNCHRONOUS
from harness.machines.replay import snippet
from harness.machines.system import Operation, System
from store import StoreError

WAITS_S = (1.0, 120.0, 301.0, 604_801.0)


class StoreMachine(RuleBasedStateMachine):
    """Base of the machines; a subclass says of which system, and draws its operations."""

    second_openers: ClassVar[bool] = True
    """Whether a second store may be opened beside the first for one operation."""

    blocks: ClassVar[bool] = True
    """Whether several operations may be one transaction."""

    outside_blocks: ClassVar[frozenset[str]] = frozenset()
    """Operations that are not possible inside one."""

    preparation: ClassVar[Sequence[Operation]] = ()
    """Operations that make the others worth while."""

    def __init__(self) -> None:
        super().__init__()
        self._space = Workspace()
        self._driver: Driver | None = None

    @property
    def driver(self) -> Driver:
        """The run's driver."""
        assert self._driver is not None, "begin is the first rule"
        return self._driver

    def system(self) -> System:
        """Make the system."""
        raise NotImplementedError

    def draw_operation(self, draw: Draw, model: Any) -> Operation:
        """Draw one public operation, given what the model has."""
        raise NotImplementedError

    @initialize(synchronous=st.sampled_from(SYNCHRONOUS), prepared=st.sampled_from((0, 9, 9, 9)))
    def begin(self, synchronous: str, prepared: int) -> None:
        """The program's first start, and so many of the operations that make the others worth while."""
        with self._explained(synchronous):
            self._driver = Driver(self.system(), self._space, synchronous=synchronous)
            for name, arguments in self.preparation[:prepared]:
                self.driver.do(name, arguments)

    def _work(self, data: st.DataObject, count: int) -> None:
        """Some public operations, one after the other."""
        with self._explained():
            for _ in range(count):
                self.driver.do(*self._operation(data))

    # Hypothesis draws every rule as often as every other; this one matters most.
    work = rule(data=st.data(), count=st.integers(1, 4))(_work)
    more_work = rule(data=st.data(), count=st.integers(2, 6))(_work)
    much_work = rule(data=st.data(), count=st.integers(4, 8))(_work)
    still_more_work = rule(data=st.data(), count=st.integers(1, 3))(_work)

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def block(self, data: st.DataObject) -> None:
        """Some public operations in one transaction, or in one that is rolled back."""
        with self._explained():
            steps = []
            for _ in range(data.draw(st.integers(1, 3), label="operations in the block")):
                name, arguments = self._operation(data)
                if name not in self.driver.system.ends and name not in self.outside_blocks:
                    steps.append((name, arguments))
            self.driver.do("block", {"steps": steps, "fail": data.draw(st.booleans(), label="left by an exception")})

    def _crash(self, data: st.DataObject) -> None:
        """The process dies, or the power goes; then the store's own restart path."""
        with self._explained():
            self.driver.crash(data.draw(crashes(self.driver), label="crash state"))

    crash = rule(data=st.data())(_crash)
    another_crash = rule(data=st.data())(_crash)
    one_more_crash = rule(data=st.data())(_crash)

    @rule(data=st.data(), failure=failures(AT_COMMIT), then_crash=st.booleans())
    def io_error(self, data: st.DataObject, failure: tuple[str, str, bool], then_crash: bool) -> None:
        """An operation on a failing disk; then a crash, or a close and a new start on a sound one."""
        with self._explained():
            name, arguments = self._operation(data)
            if name in self.driver.system.ends:
                return
            fired = self.driver.io_error(name, arguments, *failure)
            if fired and then_crash:
                self.driver.crash(data.draw(crashes(self.driver), label="crash state"))
            elif fired:
                self.driver.reopen()
            else:
                self.driver.leg.faults.disarm()

    @rule(failure=failures(AT_CLOSE))
    def failing_close(self, failure: tuple[str, str, bool]) -> None:
        """A close on a failing disk, and a new start on a sound one: nothing acked is lost."""
        with self._explained():
            self.driver.failing_close(*failure)

    @rule(twice=st.booleans(), data=st.data())
    def restart(self, twice: bool, data: st.DataObject) -> None:
        """An orderly close, of all stores or of one, and a new start."""
        with self._explained():
            names = self.driver.system.names
            who = data.draw(st.sampled_from(["", *names]), label="who") if len(names) > 1 else ""
            self.driver.restart(twice=twice, who=who)

    @precondition(lambda self: self.second_openers)
    @rule(data=st.data())
    def second_opener(self, data: st.DataObject) -> None:
        """A second store on the same file, for one operation."""
        with self._explained():
            name, arguments = self._operation(data)
            if name not in self.driver.system.ends:
                self.driver.second_opener(name, arguments)

    @rule(mode=st.sampled_from(CHECKPOINT_MODES))
    def checkpoint(self, mode: str) -> None:
        """A checkpoint by somebody else."""
        with self._explained():
            self.driver.checkpoint(mode)

    @rule()
    def reader(self) -> None:
        """A reader comes and holds a snapshot, or goes."""
        with self._explained():
            self.driver.unpin() if self.driver.pinned else self.driver.pin()

    @rule()
    def backup(self) -> None:
        """A backup."""
        with self._explained():
            self.driver.backup()

    @precondition(lambda self: self.driver.has_backup)
    @rule()
    def restore(self) -> None:
        """The last backup takes the place of the database."""
        with self._explained():
            self.driver.restore()

    @rule(seconds=st.sampled_from(WAITS_S))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        with self._explained():
            self.driver.wait(seconds)

    def teardown(self) -> None:
        """Close and remove everything."""
        try:
            if self._driver is not None:
                self._driver.close()
        finally:
            self._space.close()

    def _operation(self, data: st.DataObject) -> Operation:
        operation = self.draw_operation(data.draw, self.driver.model)
        note(f"operation: {operation[0]} {operation[1]}")
        return operation

    @contextmanager
    def _explained(self, synchronous: str = "") -> Iterator[None]:
        """Add the replay to what is raised."""
        try:
            yield
        except (AssertionError, StoreError, sqlite3.Error, CrashlabError) as error:
            driver = self._driver
            if driver is not None:
                error.add_note(snippet(driver))
            elif synchronous:
                error.add_note("at the first start, before any step")
            raise
