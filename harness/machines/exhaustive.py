"""All short sequences of operations, and every point at which a kill could come in them.

Most crash bugs need no more than three operations. A sequence's run is recorded once; a crash in its i-th
operation is the same crash in every sequence that begins alike (runs are deterministic to the byte), so each is
judged once. Each crash state goes through SQLite's recovery; each different content that comes out goes
through the store's own restart path and is compared with the models that are allowed there.
"""

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model as FaultModel
from crashlab.states.models import Policy, crash_states
from crashlab.states.recover import Logical, Probe, can_read_only, recover
from crashlab.states.state import KILL, CrashState
from harness.machines.driver import Driver
from harness.machines.judgement import Clock, DisagreementError, difference
from harness.machines.leg import DATABASE, Place, copy_files
from harness.machines.system import Operation, System, check_file
from store import StoreError

CLOSE = "close"
FINDINGS_MAX = 5
SEQUENCES_MAX = 100_000
LOSSES = (Policy.SYNCED_ONLY, Policy.PREFIX, Policy.SUBSET, Policy.TORN)


class Alphabet(NamedTuple):
    """A system, what is done before the sequences begin, and the operations they are made of.

    `prelude`: what each sequence's process does first, when it has opened the store.
    """

    system: Callable[[], System]
    setup: Sequence[Operation]
    letters: Mapping[str, Operation]
    prelude: Sequence[Operation] = ()


class Report(NamedTuple):
    """What was looked at.

    `sequences`: of all lengths up to the longest. `kills`: crash points between two operations of the disk.
    `torn`, `losses`: sampled torn writes and power losses. `contents`: different recovered databases, each of
    which went through the restart path. `findings`: texts, each with its replay.
    """

    sequences: int
    kills: int
    torn: int
    losses: int
    contents: int
    findings: tuple[str, ...]

    def __str__(self) -> str:
        """One line, and the findings."""
        counts = ", ".join(f"{value} {name}" for name, value in zip(self._fields[:-1], self[:-1], strict=True))
        return "\n\n".join([f"{counts}, {len(self.findings)} findings", *self.findings])


def exhaust(
    alphabet: Alphabet,
    *,
    length: int = 2,
    sample: int | None = None,
    losses: int = 4,
    torn: int = 2,
    synchronous: str = "FULL",
    seed: int = 0,
    findings_max: int = FINDINGS_MAX,
) -> Report:
    """Run the sequences of up to `length` letters and judge their crash states.

    `sample`: only so many of the longest sequences, drawn with `seed`. `losses`, `torn`: so many power losses
    an operation and policy, and torn writes an operation, drawn with `seed`. Stops at `findings_max` findings.

    Raises:
        UsageError: more than `SEQUENCES_MAX` sequences, or none.
    """
    many = len(alphabet.letters) ** length
    if length < 1 or not 0 < many <= SEQUENCES_MAX:
        raise UsageError(f"{len(alphabet.letters)} letters, length {length}: expected 1 to {SEQUENCES_MAX} sequences")
    rng = Random(seed)
    words = list(itertools.product(alphabet.letters, repeat=length))
    if sample is not None and sample < many:
        words = sorted(rng.sample(words, sample))
    with Workspace() as space:
        run = _Run(alphabet, space, synchronous, losses, torn, rng)
        for word in words:
            run.word(word)
            if len(run.findings) >= findings_max:
                break
        return run.report()


def replay_word(alphabet: Alphabet, word: Sequence[str], state: str = "", *, synchronous: str = "FULL") -> None:
    """Run one sequence, and crash it into a state if one is given, as a finding printed them.

    Raises:
        DisagreementError: the store is in a state that its model does not allow.
    """
    with Workspace() as space:
        driver = _Start(alphabet, space, synchronous).driver()
        try:
            for letter in word:
                driver.do(*alphabet.letters[letter])
            if state:
                driver.crash(state)
        finally:
            driver.close()


class _Start:
    """The files that every sequence begins with, and their model."""

    def __init__(self, alphabet: Alphabet, space: Workspace, synchronous: str) -> None:
        self._alphabet, self._space, self._synchronous = alphabet, space, synchronous
        driver = Driver(alphabet.system(), space, synchronous=synchronous)
        try:
            for name, arguments in alphabet.setup:
                driver.do(name, arguments)
            driver.end_leg()
            self.files = space.make_run()
            copy_files(driver.leg.directory, self.files)
            self._frozen, self._clock_ns = driver.model.freeze(), driver.clock.now
        finally:
            driver.close()

    def driver(self) -> Driver:
        """Return a driver that begins with them."""
        driver = Driver(
            self._alphabet.system(),
            self._space,
            synchronous=self._synchronous,
            files=self.files,
            frozen=self._frozen,
            clock_ns=self._clock_ns,
        )
        for name, arguments in self._alphabet.prelude:
            driver.do(name, arguments)
        return driver


class _Run:
    def __init__(
        self, alphabet: Alphabet, space: Workspace, synchronous: str, losses: int, torn: int, rng: Random
    ) -> None:
        self.alphabet = alphabet
        self.space = space
        self.synchronous = synchronous
        self.losses_each, self.torn_each, self.rng = losses, torn, rng
        self.seen: set[tuple[str, ...]] = set()
        self.views: dict[bytes, dict[str, Any] | str] = {}
        """Logical content → what the reads say after the restart path, or why there is nothing to read."""
        self.kills = self.torn = self.losses = 0
        self.findings: list[str] = []
        self.start = _Start(alphabet, space, synchronous)
        with closing(sqlite3.connect(self.start.files / DATABASE)) as connection:
            tables = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY 1"
                )
            ]
        self.probe = Probe(DATABASE, tuple(f'SELECT * FROM "{table}" ORDER BY 1, 2' for table in tables))

    def word(self, word: tuple[str, ...]) -> None:
        """Run a sequence; judge the crashes in those of its operations that no earlier sequence had."""
        driver = self.start.driver()
        try:
            marks = [driver.leg.mark()]
            for letter in word:
                driver.do(*self.alphabet.letters[letter])
                marks.append(driver.leg.mark())
            driver.end_leg()
            with driver.leg.materialiser() as states:
                for number in range(len(word)):
                    if word[: number + 1] not in self.seen:
                        self.seen.add(word[: number + 1])
                        self._judge(driver, states, word[: number + 1], marks[number], marks[number + 1])
                self._judge(driver, states, (*word, CLOSE), marks[-1], 1 << 62)
        except (DisagreementError, StoreError, sqlite3.Error) as error:
            self._found(word, "", str(error))
        finally:
            driver.close()

    def _judge(self, driver: Driver, states: Materialiser, word: tuple[str, ...], begin: int, end: int) -> None:
        moments = driver.leg.moments(begin, end)
        for state in self._states(driver, moments[0], moments[-1]):
            view = self._after(driver, states, state)
            why = view if isinstance(view, str) else self._disagreement(driver, state, view)
            if why:
                self._found(word, str(state), why)
                return

    def _disagreement(self, driver: Driver, state: CrashState, view: dict[str, Any]) -> str:
        expected: dict[str, Any] = {}
        for frozen in reversed(list(dict.fromkeys(driver.allowed(state)))):
            model = driver.model.thaw(frozen)
            model.restarted()
            expected = model.view()
            if view == expected:
                return ""
        return f"none of the allowed models is there; beside one of them, {difference(view, expected)}"

    def _states(self, driver: Driver, first: int, last: int) -> Iterator[CrashState]:
        """Every kill between two operations; some torn writes; some power losses of each kind."""
        trace = driver.end_leg()
        for moment in range(first, last + 1):
            self.kills += 1
            yield CrashState(KILL, moment)
        writes = [op for op in range(first, last) if trace.kinds[op] == TraceKind.WRITE and trace.lengths[op] > 1]
        for op in sorted(self.rng.sample(writes, min(self.torn_each, len(writes)))):
            self.torn += 1
            yield CrashState(KILL, op, self.rng.randrange(1, trace.lengths[op]))
        for policy in LOSSES if self.losses_each else ():
            model = FaultModel(policy, states_max=self.losses_each, first=first, last=last)
            for state in crash_states(trace, model, self.rng):
                self.losses += 1
                yield state

    def _after(self, driver: Driver, states: Materialiser, state: CrashState) -> dict[str, Any] | str:
        """What the reads say once the store has started on this state; from memory for a known content."""
        directory = states.show(state)
        read_only = can_read_only(states.sizes(), DATABASE)
        logical = recover(directory, self.probe, read_only=read_only)
        if read_only:
            (directory / f"{DATABASE}-shm").unlink(missing_ok=True)
        else:
            states.clear()
        if logical.digest not in self.views:
            target = self.space.make_run()
            states.export(state, target)
            self.views[logical.digest] = self._restart(driver, target, logical)
            shutil.rmtree(target)
        return self.views[logical.digest]

    def _restart(self, driver: Driver, directory: Path, logical: Logical) -> dict[str, Any] | str:
        if not logical.sound:
            return f"{logical.error or logical.problems}"
        place, system, clock = Place(directory, self.synchronous), self.alphabet.system(), Clock()
        clock.now = driver.clock.now
        try:
            system.start(place, clock)
            with closing(place.second_connection()) as connection:
                problems = check_file(connection) + system.audit(connection)
            return "; ".join(problems) if problems else system.view()
        except (StoreError, sqlite3.Error) as error:
            return f"the store does not start: {error!r}"
        finally:
            system.stop()

    def _found(self, word: tuple[str, ...], state: str, why: str) -> None:
        letters = tuple(letter for letter in word if letter != CLOSE)
        self.findings.append(
            f"{' → '.join(word)}, {state or 'no crash'}: {why[:1000]}\n\n"
            "from harness.machines.alphabets import ALPHABETS\n"
            "from harness.machines.exhaustive import replay_word\n\n"
            f"replay_word(ALPHABETS[{self.alphabet.system().name!r}], {letters}, {state!r}, "
            f"synchronous={self.synchronous!r})"
        )

    def report(self) -> Report:
        return Report(len(self.seen), self.kills, self.torn, self.losses, len(self.views), tuple(self.findings))
