"""What one process of a schedule does: it opens the workload, plays the lanes that are its own, and closes."""

import contextlib
import gc
from pathlib import Path
from typing import Any

import msgspec

from crashlab.engine.schedules.harm import Harm
from crashlab.engine.schedules.processes.libraries import Libraries
from crashlab.engine.schedules.processes.tale import Teller
from crashlab.engine.schedules.ran import Passing
from crashlab.engine.schedules.telling import call_text
from crashlab.engine.schedules.walindex import impossible, look_at
from crashlab.model.schedule import Script
from crashlab.model.step import Effect, Lane, Step
from crashlab.sqlite.tap import Recorder, Tap
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.order import Order
from crashlab.writers.schedule.context import WaitingContext
from crashlab.writers.schedule.decide import CALL_NAMES, Mark
from crashlab.writers.schedule.gate import PointGate
from crashlab.writers.schedule.processes.turns import ProcessTurns

__all__ = ["NOBODY", "PartOrder", "WorkloadPart"]

COLLECT_EVERY = 200
NOBODY = "nobody is left who could signal "
PATIENCE = 40
"""How often time passes for all before a wait for a signal is given up."""


class PartOrder(msgspec.Struct, frozen=True):
    """One process's order. `process`: the workload's number for it. `record`: what reaches the files is told.

    `tell`: calls are told by name.
    """

    order: Order
    process: int
    script: Script
    record: bool = False
    tell: bool = False


class ProcessContext(WaitingContext):
    """As `RunContext`; who waits for a signal, or on the stepped clock, lets the others run.

    `scheduled`: a program that stops its processes itself can leave that to the schedule.
    """

    scheduled = True

    def __init__(
        self, order: Order, process: int, connect: Any, turns: ProcessTurns, teller: Teller, libraries: Libraries
    ) -> None:
        super().__init__(order, process, connect, turns)
        self._turns = turns
        self._teller = teller
        self._libraries = libraries

    def other_library(self, directory: str) -> Any:
        """Return the apsw of a directory, whose SQLite is scheduled as well; raises UsageError if there is none."""
        return self._libraries.load(directory)

    def note(self, text: str) -> None:
        """Put a remark in the history."""
        self._teller.note(text)

    def signal(self, name: str) -> None:
        """Tell the other processes that `name` has happened."""
        super().signal(name)
        if self._turns.mine:
            self._turns.step_ends()

    def await_signal(self, name: str, seconds: float = 5.0) -> None:
        """Wait until another process signalled `name`; time passes when nobody else can run.

        Raises:
            TimeoutError: it did not.
        """
        if not self._turns.mine:
            super().await_signal(name, seconds)
            return
        flag = self._flag(name)
        for _ in range(PATIENCE):  # whenever time passes, those who sleep for less have their turn
            if flag.exists() or self._turns.wait(Mark.SLEEP, flag.exists):
                return
        raise TimeoutError(f"{NOBODY}{name!r}")


class WorkloadPart:
    """Plays the lanes of one process, schedule after schedule. `connections`: makes and keeps what is connected."""

    def __init__(self, workload: Any, turns: ProcessTurns, connections: Any, tap: Tap, module: Any) -> None:
        self._workload = workload
        self._turns = turns
        self._connections = connections
        self._libraries = Libraries(tap, module)
        self._teller = Teller(turns.shared)
        self._harm = None if turns.handles is None else Harm(turns.handles)
        self._instance: Any = None
        self._opened = 0
        self._listening = (False, False)

    def open(self, actors: tuple[int, ...], order: bytes) -> None:
        """Open the workload as its process of that number."""
        self._order = part = msgspec.msgpack.decode(order, type=PartOrder)
        self._opened += 1
        if self._opened % COLLECT_EVERY == 1:
            gc.collect()
            gc.disable()
        self._teller.process = part.process
        self._index_told = False
        if self._harm is not None:
            self._harm.forget()
        self._listen(part)
        self._libraries.own.bindings.restart_randomness()
        self._context = ProcessContext(
            part.order, part.process, self._connections.connect, self._turns, self._teller, self._libraries
        )
        lanes = {lane.name: lane for lane in self._workload.lanes(self._context)}
        self._lanes = {actor: lanes[part.script.actors[actor].lane] for actor in actors}
        self._instance = self._workload.open(self._context)

    def play(self, actor: int) -> None:
        """Play a lane's chosen steps."""
        wanted = self._order.script.actors[actor].steps
        if not wanted:
            return
        turns, lane, last = self._turns, self._lanes[actor], max(wanted)
        for place, step in enumerate(self._workload.steps(lane, self._instance, self._context)):
            if place in wanted:
                if turns.marked is not None:
                    turns.marked(Mark.STEP, f"step {place}")
                turns.step_begins()
                self._do(lane, step)
                turns.step_ends()
                self._context.stepped.tick()
                self._look()
            if place >= last:
                return

    def close(self) -> None:
        """Close the workload as it does, then what it left open."""
        instance, self._instance = self._instance, None
        self._teller.closing(done=False)
        try:
            instance.close()
            self._teller.closing(done=True)
        finally:
            for connection in self._connections.opened:
                with contextlib.suppress(Exception):
                    connection.close()
            self._connections.opened.clear()

    def _do(self, lane: Lane, step: Step) -> None:
        teller = self._teller
        teller.begin(lane.name, step.seq, step.effects)
        happened: tuple[Effect, ...] | None = None
        try:
            effects = step.do()
            if effects is not None:
                happened = tuple(effects)
        except Exception as error:
            teller.refused(lane.name, step.seq, f"{type(error).__name__}: {error}"[:500])
            return
        teller.ack(lane.name, step.seq, None if step.reads else happened)
        if step.reads and happened is not None:
            teller.read(lane.name, step.seq, step.reads, happened)

    def _look(self) -> None:
        if not self._index_told:
            wrong = impossible(self._turns.mapped)
            if wrong:
                self._index_told = True
                self._teller.wal_index(wrong)
        for invariant, wrong in self._harm.look() if self._harm is not None else ():
            self._teller.harm(invariant, wrong)

    def _listen(self, order: PartOrder) -> None:
        """Have what the order wants at the tap: nothing but the gate, as long as nobody asks for more."""
        wanted = (order.record, order.tell)
        turns = self._turns
        if wanted == self._listening:
            return
        self._listening = wanted
        listeners = [_Namer(turns, self._teller)] if order.tell else []
        runs = Path(order.order.directory).parent  # one recorder for all of them
        gate: Any = PointGate(turns)  # type: ignore[arg-type]

        def tap(module: Any) -> Tap:
            recorder = Recorder(self._teller, runs) if order.record else None  # type: ignore[arg-type]
            return Tap(*listeners, gate=gate, recorder=recorder, module=module)

        self._libraries.tap_again(tap)
        if not order.tell:
            turns.passed_on = turns.marked = None


class _Namer(Listener):
    """Tells the calls of each turn by name, and the wal-index at its end."""

    operations = frozenset(Operation) - {Operation.SLEEP, Operation.RANDOMNESS}

    def __init__(self, turns: ProcessTurns, teller: Teller) -> None:
        self._turns, self._teller = turns, teller
        self._calls: list[str] = []
        turns.passed_on, turns.marked = self._passed_on, self._marked

    def before(self, call: Call) -> None:
        """Write the call down."""
        if self._turns.on:
            self._calls.append(call_text(call))

    def _marked(self, mark: Mark, text: str = "") -> None:
        self._calls.append(text or CALL_NAMES[mark])

    def _passed_on(self, actor: int) -> None:
        self._teller.passing(Passing(actor, tuple(self._calls), look_at(self._turns.mapped)))
        self._calls.clear()
