"""A power loss in an exhibit: one run is recorded, and one disk state that is legal after it is computed.

What was synced is there; of the rest, any part may be. Which part it is here, the exhibit chooses
(`crashlab.states.state` says what a choice may be); the same choice is offered to the control, whose syncs
leave it nothing to lose.
"""

from collections.abc import Callable, Mapping

from crashlab.gallery.exhibit import Need
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Failer, Failure, Listener, Recorder, Seed, Selector, Tap
from crashlab.states.materialise import Materialiser
from crashlab.states.pending import DATA_KINDS, ENTRY_KINDS, epochs
from crashlab.states.replay import require_same
from crashlab.states.state import POWER_LOSS, CrashState
from crashlab.states.trace import Trace, load_trace

__all__ = ["NEEDS", "Choose", "is_write_to", "lose_power", "nothing", "recorded"]

NEEDS = (Need.FORK, Need.PROC, Need.TAP, Need.STDLIB)
"""What an exhibit needs whose actors are tapped."""

_LOG_BYTES_MAX = 64 << 20

Choose = Callable[[Trace, list[int]], Mapping[int, int | None]]
"""(trace, operations that are not durable) -> those that the disk has: None for the whole, or a mask of sectors."""


def recorded(stage: Stage, name: str, *pragmas: str, lies_about: str = "", directory_syncs: bool = True) -> Actor:
    """Start an actor that opens the database with everything it does to the disk recorded.

    `lies_about`: a selector such as ``main.sync`` of syncs that the disk confirms and doesn't do.
    `directory_syncs` false: a system whose directories are never synced.
    """
    actor = stage.actor(name)
    base = str(stage.directory.parent / "log")
    seed = stage.rng("sqlite").randrange(1 << 32)
    actor.call(start_recording, base, str(stage.directory), seed, lies_about, directory_syncs)
    actor.open(str(stage.main), *(pragmas or WAL))
    return actor


def start_recording(actor: Self, base: str, directory: str, seed: int, lies_about: str, directory_syncs: bool) -> None:
    """Install a tap in an actor's process that seeds SQLite's randomness and records; see `recorded`."""
    listeners: list[Listener] = [Seed(seed)]
    if lies_about:
        listeners.append(Failer(Selector.parse(lies_about), Failure.DROPPED, persistent=True))
    log = actor.state["log"] = LogWriter(base, bytes_max=_LOG_BYTES_MAX)
    recorder = Recorder(log, directory, directory_syncs=directory_syncs)
    actor.state["tap"] = Tap(*listeners, recorder=recorder)
    actor.state["tap"].install()


def lose_power(stage: Stage, actor: Actor, choose: Choose) -> CrashState:
    """End the actor, compute what `choose` leaves on the disk, and give that to the next opener.

    Raises:
        LabError: the recording is not whole, so it proves nothing.
    """

    actor.kill()
    outside = stage.directory.parent
    trace = load_trace([str(outside / "log")])
    (outside / "replayed").mkdir()
    require_same(trace, stage.directory, outside / "replayed")
    *_, last = epochs(trace)
    state = _state(trace, last.pending, choose(trace, last.pending))
    disk = outside / "disk"
    disk.mkdir()
    with Materialiser(trace, outside / "states") as states:
        states.export(state, disk)
    stage.judged = disk / stage.main.name
    return state


def nothing(_trace: Trace, _pending: list[int]) -> Mapping[int, None]:
    """Of what was not synced, nothing is there."""
    return {}


def is_write_to(trace: Trace, op: int, suffix: str) -> bool:
    """Whether an operation writes to (or cuts off) the file whose name ends so: `.db`, `-wal`."""

    return trace.kinds[op] in DATA_KINDS and trace.files[trace.inodes[op]].path.endswith(suffix)


def _state(trace: Trace, pending: list[int], kept: Mapping[int, int | None]) -> CrashState:

    data = [op for op in pending if trace.kinds[op] not in ENTRY_KINDS]
    entries = [op for op in pending if trace.kinds[op] in ENTRY_KINDS]
    keep = sum(1 << place for place, op in enumerate(data) if op in kept and kept[op] is None)
    torn = tuple((place, mask) for place, op in enumerate(data) if (mask := kept.get(op)) is not None)
    return CrashState(
        POWER_LOSS,
        len(trace),
        keep=keep,
        torn=torn,
        entries=sum(1 << place for place, op in enumerate(entries) if op in kept),
    )
