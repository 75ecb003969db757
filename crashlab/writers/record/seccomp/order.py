"""What the owner and the recorder's process say to each other."""

import msgspec

from crashlab.writers.record.seccomp.files import KillAt

__all__ = ["Report", "TreeOrder", "TreeStarted"]


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
