"""What the owner and the recorder's process say to each other.

This module and those of the owner's side can be loaded on any system, so that it can be said why it is the wrong one.
"""

import msgspec

__all__ = ["KillAt", "Report", "TreeOrder", "TreeStarted"]


class KillAt(msgspec.Struct, frozen=True):
    """Where the whole tree is killed: at the `count`-th operation of this kind on a file of this name.

    `kind`: write, truncate, sync, create, delete, rename or dirsync; empty for any of them. `name`: relative to
    the run's directory, empty for any. `torn`: how many bytes of the write reach the file first; with 0 the
    operation did not happen at all.
    """

    count: int
    kind: str = ""
    name: str = ""
    torn: int = 0


class TreeOrder(msgspec.Struct, frozen=True):
    """What to run and record; `out` and `err` are the pipes that become the program's output."""

    argv: tuple[str, ...]
    directory: str
    log_base: str
    env: dict[str, str]
    cwd: str
    seconds_max: float
    bytes_max: int
    kill: KillAt | None = None
    owner: int = 0
    out: int = -1
    err: int = -1


class TreeStarted(msgspec.Struct, frozen=True):
    """The program's process exists; its pid is that of its session, too."""

    pid: int


class Report(msgspec.Struct, frozen=True):
    """How it went; `status` is the wait status of the program's first process, `problem` the lab's own trouble."""

    status: int | None
    start_ns: int
    end_ns: int
    problems: tuple[str, ...]
    refused: tuple[str, ...]
    operations: int
    calls: int
    stopped: str
    left: int
    problem: str
