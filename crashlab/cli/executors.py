"""`--executor`: where the trials of a campaign run."""

import os
import re
from collections.abc import Callable
from typing import Any

import click
import msgspec

from crashlab.engine.remote.pools import DaskPool, Pool, ProcessPool
from crashlab.errors import UsageError, did_you_mean

KINDS = ("threads", "processes", "dask")
PROCESSES_MAX = 256
_ADDRESS = re.compile(r"[a-z]+://[^\s/]+:\d+|[\w.-]+:\d+")


class ExecutorChoice(msgspec.Struct, frozen=True):
    """Where trials run: `threads` of this process, `count` spawned `processes`, or a `dask` cluster at `address`."""

    kind: str = "threads"
    count: int = 0
    address: str = ""

    def slots(self, wanted: int) -> int:
        """Trials in flight, for threads and processes."""
        return self.count or wanted or (os.cpu_count() or 2) + 1

    def open_pool(self, slots: int) -> Pool | None:
        """Start or reach the pool; None for threads, which need none.

        Raises:
            UsageError: there is no such cluster, or it has other versions.
        """
        if self.kind == "processes":
            return ProcessPool(self.count)
        return DaskPool(self.address, slots=slots) if self.kind == "dask" else None


def parse_executor(text: str) -> ExecutorChoice:
    """Read `threads`, `threads=8`, `processes=4` or `dask=tcp://host:8786`.

    Raises:
        UsageError: none of these.
    """
    kind, equals, value = text.partition("=")
    if kind not in KINDS:
        raise UsageError(
            f"--executor {text!r}: expected threads, processes=N or dask=tcp://HOST:PORT{did_you_mean(kind, KINDS)}"
        )
    if kind == "dask":
        if not _ADDRESS.fullmatch(value):
            raise UsageError(f"--executor {text!r}: expected the scheduler's address, as in dask=tcp://127.0.0.1:8786")
        return ExecutorChoice(kind, 0, value)
    if not equals and kind == "threads":
        return ExecutorChoice()
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= PROCESSES_MAX):
        raise UsageError(f"--executor {text!r}: expected {kind}=N with N from 1 to {PROCESSES_MAX}")
    return ExecutorChoice(kind, int(value))


def executor_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--executor` to a click command."""
    return click.option(
        "--executor",
        callback=lambda _ctx, _param, value: parse_executor(value),
        default="threads",
        show_default=True,
        metavar="threads|processes=N|dask=ADDRESS",
        help="Where trials run: here, in spawned processes, or on a dask cluster.",
    )(function)
