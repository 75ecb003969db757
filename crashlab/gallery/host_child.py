"""Plays exhibits, one order a line: each in a process of its own, forked from this clean one, with a deadline.

An exhibit may die of SIGBUS, cancel locks, or hang; neither this host nor whoever started it is touched. The
host opens no database and starts no thread.
"""

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

import msgspec

from crashlab.errors import CrashlabError
from crashlab.gallery.exhibit import Exhibit, Need
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.stage.driver import Driver, find_driver
from crashlab.gallery.stage.stage import Stage
from crashlab.gallery.telling import Result, Telling


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run: of which exhibit and side, on which seed, in which empty directory."""

    exhibit: str
    seed: int
    control: bool
    directory: str
    keep: bool = False


def main() -> None:
    """Obey orders on standard input until it ends; the answers are lines of JSON on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides
    # What an exhibit prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    exhibits = load_exhibits()
    driver = find_driver(sys.argv[1])
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        exhibit = exhibits[order.exhibit]
        data = _in_own_process(exhibit, driver, order)
        answers.write(data + b"\n")
        answers.flush()


def _in_own_process(exhibit: Exhibit, driver: Driver, order: Order) -> bytes:
    began = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            os.close(reader)
            with os.fdopen(writer, "wb") as out:
                out.write(msgspec.json.encode(_play(exhibit, driver, order)))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    data = _read_all(reader, began + exhibit.seconds_max)
    os.close(reader)
    # The whole session, not the director alone: no actor outlives its run.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if data:
        return data
    how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
    late = time.monotonic() - began >= exhibit.seconds_max
    why = f"no end within {exhibit.seconds_max:.0f} s" if late else f"its director ended by {how}"
    return msgspec.json.encode(_failed(exhibit, driver, order, Result.ERROR, why))


def _play(exhibit: Exhibit, driver: Driver, order: Order) -> Telling:
    missing = list(exhibit.missing_needs())
    if type(driver) is not Driver:
        # The tap is one on the standard library's SQLite; an apsw hands out its files by itself.
        missing = [need for need in missing if need is not Need.TAP]
        missing += [need for need in exhibit.needs if need is Need.STDLIB]
    if missing:
        return _failed(exhibit, driver, order, Result.SKIPPED, f"needs {', '.join(missing)}")
    began = time.monotonic()
    try:
        stage = Stage(exhibit, driver, Path(order.directory), seed=order.seed, control=order.control)
        stage.keep = order.keep
        try:
            exhibit.run(stage)
            telling = stage.finish()
        finally:
            stage.stop()
    except CrashlabError as error:
        return _failed(exhibit, driver, order, Result.ERROR, str(error))
    except Exception as error:  # an exhibit's own defect is an error of the lab, never a pass
        return _failed(exhibit, driver, order, Result.ERROR, f"{type(error).__name__}: {error}")
    return msgspec.structs.replace(telling, seconds=time.monotonic() - began)


def _failed(exhibit: Exhibit, driver: Driver, order: Order, result: Result, why: str) -> Telling:
    return Telling(exhibit.id, order.control, order.seed, driver.version, result, why=why)


def _read_all(descriptor: int, end: float) -> bytes:
    data = b""
    while (left := end - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        more = os.read(descriptor, 1 << 16)
        if not more:
            return data
        data += more
    return b""


if __name__ == "__main__":
    main()
