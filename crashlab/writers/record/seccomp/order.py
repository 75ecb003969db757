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
    """What to run and record; `out` and `err` are the pipes that become the program's output.

    `roots`: nothing is changed outside of these, if there are any. `ack_on`: a line of output that it matches is
    logged as an ack. `leave_s`: so long the others may go on after the first process, None for as long as they like.
    `area_bytes_max`: by so much the directory `area` may grow, if one is given.
    """

    argv: tuple[str, ...]
    directory: str
    log_base: str
    env: dict[str, str]
    cwd: str
    seconds_max: float
    bytes_max: int
    kill: KillAt | None = None
    roots: tuple[str, ...] = ()
    ack_on: str = ""
    leave_s: float | None = None
    area: str = ""
    area_bytes_max: int = 0
    owner: int = 0
    out: int = -1
    err: int = -1


class TreeStarted(msgspec.Struct, frozen=True):
    """The program's process exists; its pid is that of its session, too."""

    pid: int


class Report(msgspec.Struct, frozen=True):
    """How it went; `status` is the wait status of the program's first process, `problem` the lab's own trouble.

    `processes`: how many changed something. `outside`: (path, what was to be done to it), refused by the guard.
    """

    status: int | None
    start_ns: int
    end_ns: int
    problems: tuple[str, ...]
    refused: tuple[str, ...]
    operations: int
    calls: int
    stopped: str
    left: int
    processes: int
    outside: tuple[tuple[str, str], ...]
    problem: str
