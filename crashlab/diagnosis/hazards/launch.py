"""Running somebody's program with a watch in every Python process of it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from crashlab.diagnosis.hazards.hazard import Hazard
from crashlab.errors import LabError, UsageError

VARIABLE = "CRASHLAB_HAZARDS_RUN"
_STARTUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")
_NEEDED = ("crashlab", "msgspec")


class Run(NamedTuple):
    """What came of a program. `code`: its exit code, 128 + n for signal n. `processes`: how many were watched."""

    code: int
    hazards: list[Hazard]
    gaps: list[str]
    problems: list[str]
    processes: int


def run_watched(command: Sequence[str], *, ignore: tuple[str, ...] = ()) -> Run:
    """Run a command, standard streams as they are, and return what its Pythons saw.

    Raises UsageError when it cannot be started, LabError when no Python in it was watched.
    """
    handle, spool = tempfile.mkstemp(prefix="crashlab-hazards-")
    os.close(handle)
    try:
        code = _wait(command, _environment(spool, ignore))
        with open(spool, encoding="utf-8") as lines:
            told = [json.loads(line) for line in lines if line.endswith("\n")]
    finally:
        os.unlink(spool)
    starts = [line["started"] for line in told if "started" in line]
    if not starts:
        raise LabError(
            f"no Python was watched in {command[0]!r} (its exit code was {code}): expected CPython 3.11 or later, "
            "started without -I, -E and -S, and with its PYTHONPATH left alone"
        )
    merged: dict[Any, Hazard] = {}
    for line in told:
        if "hazard" in line:
            hazard = Hazard.from_data(line["hazard"])
            known = merged.get(hazard.key)
            merged[hazard.key] = known.again(hazard.count) if known else hazard
    gaps = list(dict.fromkeys(gap for start in starts for gap in start["gaps"]))
    problems = list(dict.fromkeys(each for line in told for each in line.get("problems", ())))
    return Run(code, list(merged.values()), gaps, problems, len(starts))


def begin(order: dict[str, Any]) -> None:
    """In the program's process: watch until it ends."""
    import atexit

    from crashlab.diagnosis.hazards.spool import Spool
    from crashlab.diagnosis.hazards.watching import Watch

    watch = Watch(ignore=tuple(order["ignore"]), spool=order["spool"])
    spool = Spool(order["spool"])
    owner = os.getpid()

    def over() -> None:
        if os.getpid() == owner:
            spool.write({"problems": watch.problems})
        spool.close()

    atexit.register(over)  # first in, so last out: after what the program does at its end, and after the watch
    watch.start()
    spool.write({"started": {"pid": owner, "gaps": watch.gaps}})


def _environment(spool: str, ignore: tuple[str, ...]) -> dict[str, str]:
    path = []
    for name in _NEEDED:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            path.append(os.path.dirname(os.path.dirname(spec.origin)))
    order = {"spool": spool, "ignore": ignore, "path": list(dict.fromkeys(path))}
    before = os.environ.get("PYTHONPATH")
    search = os.pathsep.join([_STARTUP, *([before] if before else [])])
    return {**os.environ, VARIABLE: json.dumps(order), "PYTHONPATH": search}


def _wait(command: Sequence[str], environment: dict[str, str]) -> int:
    try:
        # Ours to end with Ctrl-C is the program, which gets it from the terminal itself.
        child = subprocess.Popen(list(command), env=environment)
    except OSError as error:
        raise UsageError(f"{command[0]!r} cannot be started: {error.strerror}; expected a program") from None
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - code if code < 0 else code


def python_first(command: Sequence[str]) -> list[str]:
    """Return the command with `python` standing for the Python that runs crashlab, as in a virtual environment."""
    if command and command[0] in ("python", "python3") and not _on_path(command[0]):
        return [sys.executable, *command[1:]]
    return list(command)


def _on_path(name: str) -> bool:
    import shutil

    return shutil.which(name) is not None
