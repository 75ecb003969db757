"""Where orders are run: processes of this machine, or a dask cluster. Both deliver at least once, or say so."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any, Protocol

import msgspec

from crashlab.engine.remote.order import Versions, own_versions
from crashlab.engine.remote.worker import own_versions_bytes, run_order
from crashlab.errors import LabError, UsageError

CONNECT_S = 30.0
WORKERS_S = 30.0
OWNER_GONE = 71
LOSSES_MAX = 3
"""A trial that has taken so many workers down with it is given up, as an ERROR."""


class LostError(LabError):
    """The worker was lost with the trial; it may be tried on another."""


class Pool(Protocol):
    """Runs orders, `slots` at once."""

    slots: int

    def submit(self, data: bytes) -> "Future[bytes]":
        """Send an order."""

    def result(self, future: "Future[bytes]") -> bytes:
        """Wait for an answer.

        Raises:
            LostError: the worker died; another may be tried.
            LabError: there are no more workers.
        """

    def close(self) -> None:
        """Give up what is under way, and whoever waits for it."""


class ProcessPool:
    """Processes of this machine, spawned clean; one trial each. They end with their owner, however it ends."""

    def __init__(self, processes: int) -> None:
        self.slots = processes
        self._executor = ProcessPoolExecutor(
            processes, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_owner
        )
        self._open = 0

    def submit(self, data: bytes) -> "Future[bytes]":
        """Send an order."""
        try:
            future = self._executor.submit(run_order, data)
        except (BrokenProcessPool, RuntimeError) as error:
            raise self._lost(error) from None
        self._open += 1
        return future

    def result(self, future: "Future[bytes]") -> bytes:
        """Wait for an answer. A pool that lost a process runs nothing more."""
        try:
            return future.result()
        except (BrokenProcessPool, CancelledError) as error:
            raise self._lost(error) from None
        finally:
            self._open -= 1

    def _lost(self, error: BaseException) -> LabError:
        return LabError(
            f"a process of --executor processes={self.slots} was lost ({error or type(error).__name__}); "
            "what was recorded stays, `crashlab run --resume` goes on"
        )

    def close(self) -> None:
        """Give up what is under way: it may be minutes long."""
        if self._open:
            for process in list((getattr(self._executor, "_processes", None) or {}).values()):
                process.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)


def _end_with_owner() -> None:
    """A spawned worker waits for orders on a pipe of which its siblings hold the other end, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner ends it
    owner = multiprocessing.parent_process()
    if owner is not None:
        threading.Thread(target=_watch, args=(owner,), name="owner", daemon=True).start()


def _watch(owner: Any) -> None:
    owner.join()
    os._exit(OWNER_GONE)


class DaskPool:
    """The workers of a dask cluster, each thread of theirs a slot.

    dask itself runs a task again elsewhere when its worker is lost, so an order may run twice; its answer comes
    once. `retries=0`: a trial that raised is not repeated.

    Raises:
        UsageError: distributed is not installed, nothing answers at the address, or a worker has other versions.
    """

    def __init__(self, address: str, *, slots: int = 0) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise UsageError(
                "--executor dask=… needs dask.distributed, which is not installed: pip install 'crashlab[cluster]'"
            ) from None
        self._killed: type[Exception] = distributed.KilledWorker
        self._cancelled = (CancelledError, distributed.CancelledError)
        self._address = address
        try:
            self._client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
            why = " ".join(str(error).split()) or type(error).__name__
            raise UsageError(f"--executor dask={address}: no dask scheduler answers there ({why[:200]})") from None
        try:
            threads = self._look()
            self.slots = slots or threads
        except BaseException:
            self._client.close()
            raise

    def _look(self) -> int:
        """Refuse workers of other versions; return how many threads the others have."""
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        except (OSError, TimeoutError):
            raise UsageError(f"--executor dask={self._address}: the scheduler has no workers; start some") from None
        threads: dict[str, int] = self._client.nthreads()
        require_alike(own_versions(), self._ask(own_versions_bytes))
        return sum(threads.values())

    def _ask(self, question: Callable[[], bytes]) -> dict[str, Versions | str]:
        """Ask every worker; those without this crashlab answer with their error."""
        said = self._client.run(question, on_error="return")
        return {
            worker: msgspec.msgpack.decode(answer, type=Versions)
            if isinstance(answer, bytes)
            else f"{type(answer).__name__}: {answer}"
            for worker, answer in said.items()
        }

    def submit(self, data: bytes) -> "Future[bytes]":
        """Send an order."""
        try:
            sent: Future[bytes] = self._client.submit(run_order, data, pure=False, retries=0)
        except Exception as error:  # the client has its own errors for a scheduler that went away
            raise LabError(f"the cluster at {self._address} takes no more trials: {error}") from None
        return sent

    def result(self, future: "Future[bytes]") -> bytes:
        """Wait for an answer."""
        try:
            return future.result()
        except self._killed:
            raise LostError("dask gave the trial up: each worker that took it was lost") from None
        except self._cancelled:
            raise LabError(
                f"the cluster at {self._address} went away; what was recorded stays, `crashlab run --resume` goes on"
            ) from None

    def close(self) -> None:
        """Give up what is under way."""
        self._client.close()


def require_alike(lab: Versions, workers: dict[str, Versions | str]) -> None:
    """Refuse workers that would judge otherwise.

    Raises:
        UsageError: with the first of them and what differs, by name.
    """
    for worker, versions in workers.items():
        if isinstance(versions, str):
            raise UsageError(f"worker {worker} cannot run trials ({versions[:300]}); install this crashlab there")
        differ = lab.differences(versions)
        if differ:
            raise UsageError(f"worker {worker} has other versions: {'; '.join(differ)}; all must be the same")
