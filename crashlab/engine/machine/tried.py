"""What can only be known by trying it, in a child: the tap, and the kernel timer that kills.

A child, because a tap that goes wrong takes its process along, and the timer is meant to.
"""

import json
import signal
import subprocess
import sys
import tempfile

from crashlab.engine.machine.fact import Fact, State

__all__ = ["kill_timer", "tap"]

_TRY_S = 30.0
_HEAD = "import json, sys\nsys.path[:] = json.loads(sys.argv[1])\n"
_TAP = (
    _HEAD
    + """
import os
import sqlite3
from crashlab.log.trace import Role
from crashlab.sqlite.tap import Counter, Operation, Tap, tap_problem
problem = tap_problem()
if problem is not None:
    print(json.dumps({"problem": problem}))
    raise SystemExit
counter = Counter()
with Tap(counter):
    db = sqlite3.connect(os.path.join(sys.argv[2], "try.db"), isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE t(x)")
    db.close()
seen = {name: counter.count(Operation(name), Role.WAL) for name in ("write", "sync")}
print(json.dumps(seen))
"""
)
_KILL = (
    _HEAD
    + """
import time
from crashlab.writers.killtimer import kill_self_in
kill_self_in(1000)
time.sleep(20)
"""
)


def tap() -> Fact:
    """Tap the `sqlite3` of this Python in a child, and count the writes and syncs of a WAL."""
    name = "tap on this sqlite3"
    with tempfile.TemporaryDirectory(prefix="crashlab-try-") as scratch:
        code, out, err = _child(_TAP, scratch)
    try:
        seen = json.loads(out)
        problem = seen.get("problem", "")
    except ValueError:
        seen, problem = {}, f"the child that tried it ended with {code}: {_last(err)}"
    if not problem and not (seen.get("write") and seen.get("sync")):
        problem = f"tried, and it saw {seen.get('write', 0)} writes and {seen.get('sync', 0)} syncs of a WAL"
    if not problem:
        return Fact(name, State.YES, f"tried: it saw {seen['write']} writes and {seen['sync']} syncs of a WAL")
    return Fact(
        name,
        State.NO,
        problem,
        "computed crash states, power loss and I/O errors cannot be had from this Python; real kills can",
        "use a CPython whose SQLite is a shared library, such as the one of your system",
    )


def kill_timer(available: bool) -> Fact:
    """Let a child arm the timer, and look at what it died of."""
    name = "kill inside a phase"
    if available:
        code, _, err = _child(_KILL)
        if code == -signal.SIGKILL:
            return Fact(name, State.YES, "tried: by the kernel's timer, to the microsecond")
        said = f"the timer was tried and did not kill: exit {code}, {_last(err)}"
    else:
        said = "no timer of the kernel that carries SIGKILL on this system"
    return Fact(
        name,
        State.NOTE,
        said,
        "kills come from outside, milliseconds late; few land inside a commit or a checkpoint",
        "raise gate.trials, or run the gate on Linux",
    )


def _child(program: str, *arguments: str) -> tuple[int, str, str]:
    """Run a program that may do as it likes; return its exit code and what it said."""
    command = [sys.executable, "-c", program, json.dumps(sys.path), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRY_S,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return 1, "", f"no end after {_TRY_S:g} s"
    return done.returncode, done.stdout, done.stderr


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
