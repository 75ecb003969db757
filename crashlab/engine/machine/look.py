"""All facts about this machine, in the order in which somebody wants to know them."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from crashlab.engine.machine.fact import Fact, State
from crashlab.engine.machine.tried import kill_timer, tap
from crashlab.engine.workspace import Workspace
from crashlab.errors import LimitError
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.filesystem import filesystem_of
from crashlab.sqlite.library import find_library
from crashlab.writers.killtimer import AVAILABLE as KILL_TIMER
from crashlab.writers.launcher import can_hang_up
from crashlab.writers.record.seccomp import seccomp_problem

__all__ = ["look_at_machine"]

_ROOM_MIN = 1 << 30
_SHM = "/dev/shm"
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_YAMA_SAYS = {
    "0": "0: any process of the same user",
    "1": "1: descendants only, which is enough",
    "2": "2: administrators only",
    "3": "3: nobody",
}
_PLUGINS = ("hypothesis", "pytest-timeout", "pytest-xdist")
_PYTEST_MIN = 9
_SEEN = 3


def look_at_machine(workspace: str | None = None) -> Iterator[Fact]:
    """Yield the facts. `workspace`: where trials would run; None for where they run when nobody says.

    Tries the tap, the kill timer and seccomp in children of its own, in a second or two. Leaves nothing behind.

    Raises:
        UsageError: `workspace` cannot be written; before the first fact.
    """
    places = list(_places(workspace))
    yield from _python()
    yield from _sqlite()
    yield tap()
    yield from places
    yield kill_timer(KILL_TIMER)
    yield _writers()
    yield _hang_up()
    yield _seccomp()
    yield from _ptrace()
    yield _pytest()
    yield _apsw()


def _python() -> Iterator[Fact]:
    name = platform.python_implementation()
    value = f"{name} {platform.python_version()} at {sys.executable}"
    if name == "CPython":
        yield Fact("Python", State.YES, value)
    else:
        yield Fact(
            "Python",
            State.NO,
            value,
            f"{name} is not supported: its sqlite3 is another program",
            "use CPython 3.11 or later",
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    value = f"{cores} for this process, {os.cpu_count() or 1} in the machine"
    if cores > 1:
        yield Fact("cores", State.YES, value)
    else:
        yield Fact("cores", State.NOTE, value, "trials run one or two at a time", "give the gate a longer --budget")


def _sqlite() -> Iterator[Fact]:
    library = find_library()
    yield Fact("SQLite", State.YES, f"{library.version} ({library.source_id})")
    for advisory in advisories_for(library):
        yield Fact(
            f"advisory {advisory.name}",
            State.NOTE,
            advisory.describe(library.version),
            f"a program on this library can meet it; it needs {advisory.needs}",
            "update SQLite, or ask your distribution whether it has the fix; "
            "gate.policy.advisories = 'no-go' lets it decide",
        )


def _places(workspace: str | None) -> Iterator[Fact]:
    try:
        with Workspace(workspace) as space:
            base, system = space.base, filesystem_of(space.root)
            free = shutil.disk_usage(space.base).free
    except LimitError as error:
        yield Fact(
            "trials run on",
            State.NO,
            str(error),
            "nothing can be run",
            "free some space, or point --workspace elsewhere",
        )
        return
    value = f"{base} ({system.kind}), {free >> 20:,} MiB free"
    if system.warning and not system.is_memory:
        yield Fact("trials run on", State.NOTE, value, system.warning, "point --workspace to a local directory")
    elif free < _ROOM_MIN:
        yield Fact(
            "trials run on",
            State.NOTE,
            value,
            "a large subject, or many trials at once, may fill it; a run then stops and says so",
            "free some space, or point --workspace elsewhere",
        )
    else:
        yield Fact("trials run on", State.YES, value)
    if sys.platform.startswith("linux") and workspace is None and not base.startswith(_SHM):
        room = shutil.disk_usage(_SHM).free >> 20 if Path(_SHM).is_dir() else None
        yield Fact(
            "tmpfs",
            State.NOTE,
            f"{_SHM} has {room} MiB free" if room is not None else f"no {_SHM}",
            "trials run on a disk, at half the speed or less",
            "in a container: docker run --shm-size=1g",
        )
    here = filesystem_of(".")
    if here.warning:
        yield Fact(
            "this directory",
            State.NOTE,
            f"on {here.kind}",
            here.warning,
            "keep databases that matter on a local disk",
        )
    else:
        yield Fact("this directory", State.YES, f"on {here.kind}")


def _writers() -> Fact:
    if sys.platform.startswith("linux"):
        return Fact("writers", State.YES, "forked from a warm zygote: a trial takes milliseconds")
    return Fact(
        "writers",
        State.NOTE,
        "spawned, one interpreter start each",
        "a trial takes tenths of a second",
        "fewer gate.trials, a longer --budget, or Linux",
    )


def _hang_up() -> Fact:
    if can_hang_up():
        return Fact("terminal hang-up", State.YES, "writers on a pseudo-terminal")
    return Fact(
        "terminal hang-up",
        State.NO,
        "no writers on a pseudo-terminal on this system",
        "the closed console window cannot be tried, and GO does not cover it",
        "run the gate on Linux for that row",
    )


def _seccomp() -> Fact:
    problem = seccomp_problem()
    if problem is None:
        return Fact("seccomp", State.YES, "tried: a program's system calls are recorded")
    return Fact(
        "seccomp",
        State.NO,
        problem,
        "programs that the tap cannot reach (C, Go, Rust, static builds) cannot be recorded; they can be killed",
        "in a container: docker run --security-opt seccomp=unconfined",
    )


def _ptrace() -> Iterator[Fact]:
    """yama's setting: recording by seccomp reads the memory of its children."""
    if not sys.platform.startswith("linux"):
        return
    try:
        scope = _YAMA.read_text(encoding="ascii").strip()
    except OSError:
        scope = "0"  # no yama, no limit
    value = _YAMA_SAYS.get(scope, scope)
    if scope in ("0", "1"):
        yield Fact("ptrace scope", State.YES, value)
    else:
        yield Fact(
            "ptrace scope",
            State.NOTE,
            value,
            "recording by seccomp reads its children's memory, and may be refused",
            "as root: sysctl kernel.yama.ptrace_scope=1",
        )


def _pytest() -> Fact:
    version = _version("pytest")
    if version is None or int(version.partition(".")[0]) < _PYTEST_MIN:
        return Fact(
            "pytest",
            State.NO,
            version or "not installed",
            "the fixture crashlab and pytest --crashlab-gate are not there; the command line is",
            f"pip install 'pytest>={_PYTEST_MIN}'",
        )
    found = [f"{name.removeprefix('pytest-')} {each}" for name in _PLUGINS if (each := _version(name))]
    points = {point.dist.name for point in metadata.entry_points(group="pytest11") if point.dist is not None}
    others = sorted(points - {"crashlab", *_PLUGINS})
    value = version + (f" with {', '.join(found)}" if found else "")
    if others:
        more = f" and {len(others) - _SEEN} more" if len(others) > _SEEN else ""
        value += f"; other plugins: {', '.join(others[:_SEEN])}{more}"
    if _version("hypothesis") is None:
        return Fact("pytest", State.NOTE, value, "crashlab.strategies needs hypothesis", "pip install hypothesis")
    return Fact("pytest", State.YES, value)


def _apsw() -> Fact:
    version = _version("apsw")
    if version is not None:
        return Fact("apsw", State.YES, version)
    return Fact(
        "apsw",
        State.NOTE,
        "not installed",
        "crashlab repro cannot be run on another SQLite than this one",
        "pip install --target DIR apsw, then crashlab repro --sqlite apsw=DIR",
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
