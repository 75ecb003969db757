"""C1: WAL over a network file system. Two openers share the files and the locks, but not the memory of -shm."""

import ctypes
import shutil
import signal
from collections.abc import Callable

from crashlab.gallery.exhibit import CLEAN, Exhibit, Features, Need
from crashlab.gallery.mechanisms._file_methods import connect, replace
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.ending import next_opener
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.tap.operation import OK, Operation

NO_ROWS = False
PRAGMAS = (*WAL, "wal_autocheckpoint=0")


def open_over_a_mount(actor: Self, path: str) -> None:
    """Open with a wal-index of one's own, as another machine has: what was in -shm when it was first mapped."""
    regions: dict[int, ctypes.Array[ctypes.c_char]] = {}
    actor.state["regions"] = regions  # SQLite works in this memory until the connection is closed

    def make(real: Callable[..., int]) -> Callable[..., int]:
        def shm_map(file: int, region: int, size: int, extend: int, out: int) -> int:
            rc = real(file, region, size, extend, out)
            cell = ctypes.c_void_p.from_address(out)
            if rc == OK and cell.value:
                if region not in regions:
                    regions[region] = ctypes.create_string_buffer(ctypes.string_at(cell.value, size), size)
                cell.value = ctypes.addressof(regions[region])
            return rc

        return shm_map

    replace(connect(actor, path, "main"), Operation.SHM_MAP, make)
    for pragma in PRAGMAS:
        actor.execute(f"PRAGMA {pragma}")


def _two_openers(stage: Stage) -> tuple[Actor, Actor]:
    """W works locally; X opens the same file, over the mount unless this is the control."""
    writer = stage.opener("W", *PRAGMAS)
    stage.create(writer)
    writer.sql("CREATE TABLE heart(beat INTEGER)")
    writer.sql("INSERT INTO heart VALUES(0)")
    stage.insert(writer, "pre", 30 + stage.rng("pre").randrange(20))
    stage.step("W opens the database in WAL mode and commits rows")
    other = stage.actor("X")
    if stage.control:
        other.open(str(stage.main), *PRAGMAS)
    else:
        other.main_path = str(stage.main)
        other.call(open_over_a_mount, str(stage.main))
    other.sql("SELECT count(*) FROM t")
    stage.step("X opens it too" + ("" if stage.control else ", over the mount: the locks reach it, W's -shm does not"))
    return writer, other


def _commit(stage: Stage, actor: Actor, who: str, count: int, *, together: bool = False, size: int = 200) -> None:
    problem = stage.insert(actor, who, count, together=together, size=size)
    if problem is not None:
        stage.observe("victim.error", problem.name)


def _overwritten(stage: Stage, *, together: bool) -> tuple[Actor, Actor]:
    """W commits, X does not see it, and writes its own frames over W's."""
    stage.observe("victim.error", "none")
    writer, other = _two_openers(stage)
    _commit(stage, writer, "W", 20 + stage.rng("W").randrange(20), together=together)
    seen = other.sql("SELECT count(*) FROM t WHERE who LIKE 'W%'")[0][0]
    stage.observe("reader.sees_new_rows", "yes" if seen else "no")
    stage.step(f"W commits rows, acknowledged; X sees {seen} of them")
    other.sql("UPDATE heart SET beat = beat + 1")  # one frame, over the one in which W has page 1
    _commit(stage, other, "X", 3 + stage.rng("X").randrange(5))
    stage.step("X commits rows, each acknowledged" + ("" if stage.control else ": over W's frames in the WAL"))
    return writer, other


def lost(stage: Stage) -> None:
    """X writes its frames over W's and, as the last to close, copies its own view to the main file."""
    writer, other = _overwritten(stage, together=True)
    alone = stage.directory / "alone.db"
    shutil.copyfile(stage.main, alone)  # the director has nothing open
    for feature, name, path in (("live.quick_check", "Y", stage.main), ("alone.quick_check", "Z", alone)):
        report = stage.actor(name).call(next_opener, str(path), NO_ROWS)
        stage.observe(feature, "ok" if report["quick_check"] == ["ok"] else "fails")
    stage.step("Y opens locally and runs quick_check; so does Z, on a copy of the main file alone")
    writer.close()
    other.close()
    stage.step("W closes, then X: as the last one it checkpoints")


def killed(stage: Stage) -> None:
    """Both die: recovery reads X's frames and stops at the first one that is left of W's."""
    writer, other = _overwritten(stage, together=False)
    writer.kill()
    other.kill()
    stage.step("both are killed")


def s38(stage: Stage) -> None:
    """W's console is closed while X works: the file is malformed, and not because of the close."""
    stage.observe("victim.error", "none")
    writer, other = _two_openers(stage)
    _commit(stage, writer, "W", 2 + stage.rng("W").randrange(3), size=20)
    stage.step("W commits rows, each acknowledged")
    _commit(stage, other, "X", 16 + stage.rng("X").randrange(10), size=20)
    stage.step("X commits rows, each acknowledged")
    # Large rows: other kinds of pages than X's, so that no frame fits where it is put.
    _commit(stage, writer, "late", 20 + stage.rng("late").randrange(10), size=3000)
    stage.step("W commits more rows, each acknowledged")
    writer.kill(signal.SIGHUP)
    stage.step("the console of W is closed: W dies of SIGHUP")
    other.close()
    stage.step("X closes: as the last one it checkpoints")


HAPPENS = (
    "Each machine that opens the database over a network or virtual machine file system has its own memory of -shm, so "
    "each has its own idea of where the WAL ends. With the locks in order they take turns, and write their frames over "
    "each other's. "
)
CONTROL = "both openers share the memory of -shm, as on one machine"
ADVICE = (
    "keep the live file on a local disk; let other machines ask a program that runs there, or read a backup",
    "if it must be shared: journal_mode=DELETE, and only where byte-range locks work across the machines",
    "look at the file system before you open: crashlab hazards, or the type in /proc/self/mountinfo",
    "after damage: stop all openers first, or it comes back minutes after the rebuild",
)
LINKS = (
    "https://sqlite.org/wal.html",
    "https://sqlite.org/useovernet.html",
    "https://github.com/NousResearch/hermes-agent/issues/110848",
    "https://github.com/seakee/CPA-Manager-Plus/issues/523",
    "https://github.com/vaaraio/vaara/issues/573",
)
_HEALTHY = {"live.main_locks": "held", "live.shm_locks": "held", "live.unlinked": "none", "victim.error": "none"}
_BLIND = {**_HEALTHY, "reader.sees_new_rows": "no"}
_CLEAN = {**CLEAN, **_HEALTHY}
_SEEN = {**_CLEAN, "reader.sees_new_rows": "yes"}


def _exhibit(
    name: str,
    title: str,
    happens: str,
    run: Callable[[Stage], None],
    picture: Features,
    clean: Features,
    symptom: str,
    mistaken_for: tuple[str, ...],
) -> Exhibit:
    return Exhibit(
        id=name,
        title=title,
        fault_class=FaultClass.INTERFERENCE,
        happens=HAPPENS + happens,
        control=CONTROL,
        run=run,
        picture=picture,
        clean=clean,
        symptom=symptom,
        advice=ADVICE,
        mistaken_for=mistaken_for,
        links=LINKS,
        needs=(Need.FORK, Need.PROC, Need.TAP),
    )


EXHIBITS = (
    _exhibit(
        "c1",
        "WAL over a network file system: the last to close copies its own view, the other's commits vanish",
        "Local openers see a malformed database for a while; the last to close copies what it believes, and what the "
        "other committed is gone.",
        lost,
        {
            **_BLIND,
            "live.quick_check": "fails",
            "alone.quick_check": "ok",
            "rows.lost": "gap",
            "quick_check": "ok",
            "integrity_check": "ok",
        },
        {**_SEEN, "live.quick_check": "ok", "alone.quick_check": "ok"},
        "malformed while it runs, but a copy of the main file alone passes; later rows of one machine are missing",
        ("the disk", "a kill", "the backup tool"),
    ),
    _exhibit(
        "c1-killed",
        "WAL over a network file system: the WAL holds frames of two writers, recovery stops at the seam",
        "When both die, recovery follows the checksums of one writer, and stops where frames of the other begin.",
        killed,
        {
            **_BLIND,
            "wal": "broken",
            "shm.frames": "ahead",
            "rows.lost": "gap",
            "quick_check": "ok",
            "integrity_check": "ok",
        },
        {**_SEEN, "wal": "commits"},
        "after a crash the commits of one machine are missing; whole frames of the same salts lie behind the chain",
        ("the kill", "a torn write", "synchronous=NORMAL"),
    ),
    _exhibit(
        "c1-s38",
        "a console is closed while a second program works over a network mount: the file is malformed",
        "W's console is closed, which kills W and harms nothing. X, over the mount, closes later and checkpoints: its "
        "wal-index says what its own frames held, but W has written over them. Nothing would be different had W lived.",
        s38,
        {**_HEALTHY, "wal": "missing", "shm": "missing", "quick_check": "fails", "integrity_check": "fails"},
        _CLEAN,
        "'database disk image is malformed' (or 'file is not a database') at the next start after a console was closed",
        ("the closed console", "the kill", "an auto-checkpoint cut off by the kill"),
    ),
)
