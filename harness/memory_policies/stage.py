"""Databases to write to, and the processes beside the writer."""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Final, cast

from crashlab.errors import LabError, LimitError
from crashlab.model.seed import rng_for
from harness.memory_policies.children import keep_disk_busy, make_text, search_on
from store import MessageLog

PAGE: Final = 4096
_READY_S: Final = 60.0
_JOIN_S: Final = 30.0


def clean_context() -> SpawnContext:
    """Where new processes come from: a server that never opened a database, or new interpreters."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.memory_policies.children"])
    return cast(SpawnContext, context)  # the same calls, and not every platform has the other type


def build(path: Path, pages: int, seed: int) -> int:
    """Make a closed message log of at least `pages` pages; returns how many it has.

    Raises:
        LimitError: no room for it and a copy.
    """
    free = shutil.disk_usage(path.parent).free
    if free < 4 * pages * PAGE:
        raise LimitError(
            f"{path.parent} has {free >> 20} MiB free, {4 * pages * PAGE >> 20} MiB are needed for {pages} pages"
        )
    rng = rng_for(seed, "database")
    with MessageLog(path) as log:
        log._require().execute("PRAGMA synchronous = OFF")
        while path.stat().st_size < pages * PAGE:
            session = log.create_session()
            log.append_many(session, [("user", make_text(rng)) for _ in range(50)])
            log.checkpoint()
    return path.stat().st_size // PAGE


@contextmanager
def company(context: SpawnContext, path: Path, seed: int, *, readers: int, disk_busy: bool) -> Iterator[None]:
    """Searchers on the file, and one that keeps its disk busy, for as long as the block lasts."""
    stop = context.Event()
    processes = []
    try:
        for number in range(readers + disk_busy):
            ready = context.Event()
            target: Callable[..., None] = search_on if number < readers else keep_disk_busy
            name = path if number < readers else path.with_name("busy")
            process = context.Process(target=target, args=(str(name), seed + number, ready, stop), daemon=True)
            process.start()
            processes.append(process)
            if not ready.wait(_READY_S):
                raise LabError(f"{target.__name__} was not ready within {_READY_S:g} s")
        yield
    finally:
        stop.set()
        for process in processes:
            process.join(_JOIN_S)
            process.kill()
            process.join()
