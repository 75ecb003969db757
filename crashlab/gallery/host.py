"""Playing exhibits from a program that must not be touched by them: orders go to a host process."""

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, UsageError
from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.host_child import Order
from crashlab.gallery.stage.driver import STDLIB, find_driver
from crashlab.gallery.telling import Telling

__all__ = ["Host"]

_SLACK_S = 10.0


class Host:
    """One host process and its scratch directory; a context manager. One run at a time.

    `sqlite`: ``stdlib`` or ``apsw=DIRECTORY``. Raises UsageError where that names nothing.
    """

    def __init__(self, sqlite: str = STDLIB, *, workspace: Workspace | None = None) -> None:
        if sqlite != STDLIB:
            kind, _, where = sqlite.partition("=")
            sqlite = f"{kind}={Path(where).resolve()}" if where else sqlite
        self._own = None if workspace else Workspace()
        self._workspace = workspace or self._own
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads is not to be forked
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crashlab.gallery.host_child", sqlite],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def play(self, exhibit: Exhibit, seed: int, *, control: bool, keep: Path | None = None) -> Telling:
        """Play one side of an exhibit and return what it showed.

        `keep`: a directory that must not exist; it gets the files as the run left them, before any opener
        touched them, with an early copy (``backup``) and the rows that were acked (``ledger.ndjson``).

        Raises:
            LabError: the host ended, or gave no answer in time.
            UsageError: `keep` exists.
        """
        if keep is not None and keep.exists():
            raise UsageError(f"{keep} exists and is never overwritten; name a new directory")
        assert self._workspace is not None
        directory = self._workspace.make_run()
        order = Order(exhibit.id, seed, control, str(directory), keep is not None)
        try:
            telling = self._ask(order, exhibit.seconds_max + _SLACK_S)
            if keep is not None and (directory / "evidence").exists():
                shutil.copytree(directory / "evidence", keep)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return telling

    def _ask(self, order: Order, seconds: float) -> Telling:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(msgspec.json.encode(order) + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        end = time.monotonic() + seconds
        data = b""
        while not data.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                self._process.kill()
                raise LabError(f"the gallery's host gave no answer about {order.exhibit} within {seconds:.0f} s")
            more = os.read(stdout.fileno(), 1 << 20)
            if not more:
                raise self._ended()
            data += more
        return msgspec.json.decode(data, type=Telling)

    def _ended(self) -> LabError:
        return LabError(f"the gallery's host ended (status {self._process.wait()}) instead of answering")

    def close(self) -> None:
        """End the host and remove its scratch directory."""
        self._process.communicate()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def keep_files(exhibit: Exhibit, seed: int, sqlite: str, directory: Path) -> Telling:
    """Play an exhibit once and keep the files that it left in a new directory; see `Host.play`."""
    with Host(sqlite) as host:
        return host.play(exhibit, seed, control=False, keep=directory)


def check_driver(sqlite: str) -> None:
    """Raise UsageError for a `--sqlite` that names nothing."""
    if sqlite != STDLIB:
        find_driver(sqlite)
