"""The bridge: that what the trace road computes from a log is what a real kill leaves on the disk.

The killed process is itself the recorded one. Killed by its tap at an exact call, whole or torn at a byte, its
log replayed must equal the files to the byte: main, `-wal`, `-journal`, the program's own, and the names (the
`-shm` is volatile and left out). Killed from outside, by a timer of the kernel's, the one unfinished operation
of each thread may be absent, whole or a prefix. Where one thread does all (and SQLite's randomness is seeded),
the files must also equal the crash state that another run's trace gives for that operation, WAL salts included.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from crashlab.engine.recording import RECORDING_BYTES_MAX, Recording, record
from crashlab.engine.road import make_order
from crashlab.engine.slots import Slot, Slots
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, RecordError, UsageError
from crashlab.faults.kill import SIGKILL
from crashlab.faults.none import NoFault
from crashlab.log.format import Kind
from crashlab.log.operations import Op, read_trace
from crashlab.log.reader import log_bases, read_log
from crashlab.log.trace import Role, TraceKind
from crashlab.model.case import Case
from crashlab.model.history import EndKind
from crashlab.model.seed import rng_for
from crashlab.states.materialise import Materialiser
from crashlab.states.replay import compare_with_disk
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace, load_trace
from crashlab.writers.order import Action, Moment, Order, TapPlan, Trigger
from crashlab.writers.record.names import is_labs_own

__all__ = ["BridgeDifference", "Bridged", "bridge"]

POINTS_MAX = 100_000
DIFFERENCES_KEPT = 20
DELAY_US_MAX = 2_000
_OPERATIONS = {TraceKind.WRITE: "write", TraceKind.TRUNCATE: "truncate", TraceKind.DELETE: "delete"}


class BridgeDifference(msgspec.Struct, frozen=True):
    """One kill after which the disk was not what the log says. `against`: "own log" or "other run"."""

    point: str
    against: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.point} against its {self.against}: {'; '.join(self.files)}"


class Bridged(msgspec.Struct, frozen=True):
    """What a bridge showed.

    `points`: kills by the tap that hit, `equal` of them as their own log says; `kinds`: these by operation and
    edge. `outside`, `outside_equal`: the same for kills by the kernel's timer; `unfinished`: of these the ones
    that left an operation begun and not done. `prefixes`, `prefixes_equal`: tap kills compared with the other
    run's prefix (none where several threads write: `threads`). `missed`: runs that ended before their kill.
    `differences`: how many comparisons differed, the first of them in `differing`. `errors`: runs that broke,
    or whose log can't be read.
    """

    points: int = 0
    equal: int = 0
    outside: int = 0
    outside_equal: int = 0
    unfinished: int = 0
    prefixes: int = 0
    prefixes_equal: int = 0
    missed: int = 0
    threads: int = 1
    operations: int = 0
    kinds: dict[str, int] = {}
    differences: int = 0
    differing: tuple[BridgeDifference, ...] = ()
    errors: tuple[str, ...] = ()

    def require_equal(self) -> None:
        """Raise LabError unless kills hit and every comparison was equal."""
        if self.differences or self.errors:
            first = str(self.differing[0]) if self.differing else self.errors[0]
            raise LabError(
                f"the trace road does not say here what a kill leaves ({self.differences} differences and "
                f"{len(self.errors)} errors in {self.points + self.outside} kills), first: {first}"
            )
        if not self.points:
            raise LabError(f"no kill hit ({self.missed} missed): the bridge shows nothing")

    def __str__(self) -> str:
        return (
            f"{self.points:,} kills by the tap, {self.equal:,} equal to their own log; {self.outside:,} from outside "
            f"({self.unfinished:,} inside an operation), {self.outside_equal:,} equal; {self.prefixes_equal:,} of "
            f"{self.prefixes:,} equal to another run's prefix; {self.missed:,} missed, {len(self.errors)} errors"
        )


class _Point(NamedTuple):
    """A call to die at: `selector` for the tap, and where that is in the other run's trace."""

    moment: int
    torn: int
    selector: str
    kind: str

    @property
    def state(self) -> CrashState:
        return CrashState(KILL, self.moment, max(0, self.torn))

    def __str__(self) -> str:
        return f"kill@{self.selector}" + (f" torn at byte {self.torn}" if self.torn >= 0 else "")


def bridge(slots: Slots, workspace: Workspace, case: Case, points: int, *, outside: int = 0) -> Bridged:
    """Kill a case's workload `points` times by the tap and `outside` times by the kernel's timer, and compare.

    The points are drawn with the case's seed from all writes, truncates and deletes of a recorded run, each taken
    before any a second time, and no point twice; a run of very few operations has fewer than were asked for.
    The workload does the same operations in each run, or points are missed.

    Raises:
        LabError: the workload cannot be recorded, or its recording is not whole (something writes past the tap).
        UsageError: fewer than one point.
    """
    if not 1 <= points <= POINTS_MAX or not 0 <= outside <= POINTS_MAX:
        raise UsageError(f"bridge: points={points}, outside={outside}: expected 1 to {POINTS_MAX}, and 0 or more")
    rng = rng_for(case.seed, "bridge")
    recording = record(slots, workspace, case)
    try:
        with slots.use() as slot:
            crossing = _Crossing(slots, slot, workspace, case, recording)
            crossing.by_tap(points, rng)
            crossing.from_outside(outside, rng)
            return crossing.result()
    finally:
        shutil.rmtree(recording.directory, ignore_errors=True)


class _Crossing:
    def __init__(self, slots: Slots, slot: Slot, workspace: Workspace, case: Case, recording: Recording) -> None:
        self._slots, self._slot, self._workspace, self._case = slots, slot, workspace, case
        self._trace = recording.trace()
        bases = log_bases(recording.directory)
        self._ops = [op for base in bases for op in read_trace(read_log(base))]
        self._threads = len({(op.process, op.thread) for op in self._ops})
        self._acks = sum(record.kind == Kind.ACK for base in bases for record in read_log(base))
        # `record` has run the case with this plan; a run under the same plan does the same.
        self._plan = recording.order.tap or TapPlan(record=True)
        self._kinds: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._differing: list[BridgeDifference] = []
        self._errors: list[str] = []

    def by_tap(self, many: int, rng: Random) -> None:
        """Die at exact calls, in the order of the recorded run."""
        chosen = sorted(_draw(_candidates(self._ops), many, rng))
        with Materialiser(self._trace, self._workspace.make_run() / "states") as states:
            for point in chosen:
                plan = msgspec.structs.replace(self._plan, selector=point.selector, torn_bytes=point.torn)
                with _cleared(self._order(plan)) as order:
                    killed = self._killed(order, str(point))
                    if killed is None:
                        continue
                    self._kinds[point.kind] += 1
                    self._counts["points"] += 1
                    self._counts["equal"] += self._as_its_log_says(order, killed, str(point))
                    if self._threads == 1:
                        self._counts["prefixes"] += 1
                        self._counts["prefixes_equal"] += self._as_the_other_run(order, states, point)

    def from_outside(self, many: int, rng: Random) -> None:
        """Die at any instruction, some microseconds after an ack or the start."""
        for _ in range(many):
            delay = rng.randrange(DELAY_US_MAX)
            if self._acks and rng.random() < 0.9:
                trigger = Trigger(Moment.ACK, Action.KILL, n=rng.randint(1, self._acks), delay_us=delay)
            else:
                trigger = Trigger(Moment.START, Action.KILL, delay_us=delay * 8)
            name = f"kill@{trigger.moment}#{trigger.n} delay={trigger.delay_us}us"
            with _cleared(msgspec.structs.replace(self._order(self._plan), trigger=trigger)) as order:
                killed = self._killed(order, name)
                if killed is not None:
                    self._counts["outside"] += 1
                    self._counts["unfinished"] += bool(killed.unfinished)
                    self._counts["outside_equal"] += self._as_its_log_says(order, killed, name)

    def _order(self, plan: TapPlan) -> Order:
        order = make_order(self._slots, self._slot, self._workspace, self._case, NoFault())
        return msgspec.structs.replace(order, tap=plan, probe=True, log_bytes_max=RECORDING_BYTES_MAX)

    def _killed(self, order: Order, name: str) -> Trace | None:
        """Run until the kill and return what the process had recorded; None if it was missed or broke."""
        ended = self._slot.launcher.launch(order)
        if ended.kind is EndKind.SIGNALLED and ended.code == SIGKILL:
            _forget_unborn_segments(Path(order.directory))
            try:
                return load_trace(log_bases(order.directory))
            except RecordError as error:
                self._errors.append(f"{name}: {error}")
        elif ended.kind is EndKind.EXITED and not ended.code:
            self._counts["missed"] += 1
        else:
            last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            self._errors.append(f"{name}: the run ended by {ended.kind} {ended.code}: {last}")
        return None

    def _as_its_log_says(self, order: Order, killed: Trace, name: str) -> bool:
        disk = Path(order.directory)
        scratch = disk / "replayed"
        scratch.mkdir()
        differences = compare_with_disk(killed, disk, scratch, labs_own=is_labs_own)
        shutil.rmtree(scratch)
        return self._agree(name, "own log", tuple(map(str, differences)))

    def _as_the_other_run(self, order: Order, states: Materialiser, point: _Point) -> bool:
        disk, shown = Path(order.directory), states.show(point.state)
        there, wanted = _names_on_disk(disk), _names_on_disk(shown)
        found = [f"{name}: on the disk, not in the prefix" for name in sorted(there - wanted)]
        found += [f"{name}: in the prefix, not on the disk" for name in sorted(wanted - there)]
        for name in sorted(there & wanted):
            mine, other = (disk / name).read_bytes(), (shown / name).read_bytes()
            if mine != other:
                at = next((at for at, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), -1)
                where = f"differs at byte {at}" if at >= 0 else f"{len(mine)} bytes, expected {len(other)}"
                found.append(f"{name}: {where}")
        return self._agree(str(point), "other run", tuple(found))

    def _agree(self, name: str, against: str, files: tuple[str, ...]) -> bool:
        if files:
            self._counts["differences"] += 1
            if len(self._differing) < DIFFERENCES_KEPT:
                self._differing.append(BridgeDifference(name, against, files[:10]))
        return not files

    def result(self) -> Bridged:
        return Bridged(
            **self._counts,
            threads=self._threads,
            operations=len(self._ops),
            kinds=dict(sorted(self._kinds.items())),
            differing=tuple(self._differing),
            errors=tuple(self._errors),
        )


class _cleared:  # noqa: N801 - reads as a context, `with _cleared(order) as order`
    """An order's directory, removed on leaving."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __enter__(self) -> Order:
        return self._order

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._order.directory, ignore_errors=True)


def _forget_unborn_segments(directory: Path) -> None:
    """Remove log segments of no bytes: killed between the segment's creation and its first size."""
    for path in directory.glob("log.*"):
        if not path.stat().st_size:
            path.unlink()


class _Candidate(NamedTuple):
    moment: int
    what: str
    n: int
    name: str
    length: int


def _candidates(ops: list[Op]) -> Iterator[_Candidate]:
    """Calls that change a file, numbered as the tap's selectors count them: by role, operation and name."""
    seen: Counter[tuple[str, str]] = Counter()
    for moment, op in enumerate(ops):
        operation = _OPERATIONS.get(op.kind)
        if operation is None or op.role is Role.PLAIN:  # the tap does not see the program's own files
            continue
        name = op.path.rpartition("/")[2]
        what = f"{op.role}.{operation}"
        seen[what, name] += 1
        if op.succeeded and not name.count(" "):
            yield _Candidate(moment, what, seen[what, name], name, len(op.data))


def _draw(candidates: Iterator[_Candidate], many: int, rng: Random) -> set[_Point]:
    """Draw points: before a call, after it, or inside a write at some byte."""
    pool = list(candidates)
    found: set[_Point] = set()
    for _ in range(20):
        rng.shuffle(pool)
        for candidate in pool:
            if len(found) >= many:
                return found
            found.add(_point(candidate, rng))
    return found


def _point(candidate: _Candidate, rng: Random) -> _Point:
    moment, what, n, name, length = candidate
    choice = rng.randrange(4)
    if length > 1 and choice >= 2:
        return _Point(moment, rng.randrange(1, length), f"{what}#{n} file={name}", f"{what} torn")
    if choice % 2:
        return _Point(moment + 1, -1, f"{what}.after#{n} file={name}", f"{what} after")
    return _Point(moment, -1, f"{what}#{n} file={name}", f"{what} before")


def _names_on_disk(directory: Path) -> set[str]:
    """Names of files in a run's directory, without the lab's own and the `-shm`."""
    names = (path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    return {name for name in names if not name.endswith("-shm") and not is_labs_own(name)}
