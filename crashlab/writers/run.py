"""A writer process from start to end: open, lanes, close, with everything in the log."""

import contextlib
import gc
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from crashlab.errors import TapUnavailableError
from crashlab.log.writer import LogWriter
from crashlab.model.phase import MARK_CLOSE, MARK_START_UP
from crashlab.model.step import Lane
from crashlab.writers.connection import ConnectMaker
from crashlab.writers.context import RunContext
from crashlab.writers.marks import Marks
from crashlab.writers.order import HangUp, OnHangUp, Order, Trigger, log_base
from crashlab.writers.tapped import build_plain_files, build_tap

EXIT_CRASHED = 70
"""Exit code of a writer whose workload raised outside a step (EX_SOFTWARE of sysexits.h)."""

REFUSALS_MAX = 200
IDLE_S = 2.0
IDLE_POLL_S = 0.001


class HungUp(BaseException):
    """The terminal went away and the program handles it."""


def run_process(workload: Any, order: Order, process: int, fire: Callable[[Trigger], None]) -> int:
    """Run one process of a workload and return its exit code.

    `fire` lets the fault loose when the crash point is reached; only process 0 has one.
    """
    log = LogWriter(log_base(order.directory, process), process=process, bytes_max=order.log_bytes_max)
    marks = Marks(log, order.trigger if process == 0 else None, fire)
    maker = ConnectMaker(marks)
    context = RunContext(order, process, maker.connect, log)
    stop = threading.Event()
    on_hangup = order.hangup.on if order.hangup and process == 0 else None
    _prepare_hangup(on_hangup)
    tap = build_tap(order.tap, log, order.directory, marks.current_phase) if process == 0 else None
    files = build_plain_files(order.tap, log, order.directory) if process == 0 else None
    try:
        if tap is not None:
            tap.install()
        if files is not None:
            files.install()
        marks.start()
        with marks.inside(MARK_START_UP):
            instance = workload.open(context)
        if order.probe:
            for name, value in maker.effective_settings().items():
                log.setting(name, value)
        lanes = [lane for lane in workload.lanes(context) if lane.process == process]
        interrupted = False
        try:
            _run_lanes(workload, lanes, instance, context, marks, order, stop, on_hangup is OnHangUp.PRINT)
            if order.hangup is not None and process == 0 and marks.fired:
                _idle_at_console(order.hangup)
        except HungUp:
            log.note("hang-up: handled")
            stop.set()
            interrupted = True
        if interrupted:
            gc.collect()  # a connection that was being opened is in a cycle with its cache of statements since 3.11
        marks.enter(MARK_CLOSE)
        instance.close()
        marks.leave(MARK_CLOSE)  # only a close() that returned was a clean one
        if files is not None:
            files.uninstall()
        if tap is not None:
            tap.uninstall()
    except HungUp:
        log.note("hang-up: while starting or closing")
        return EXIT_CRASHED
    except TapUnavailableError as error:
        log.note(f"crashed: {error}")
        return EXIT_CRASHED
    except BaseException:
        with contextlib.suppress(Exception):
            log.note("crashed: " + traceback.format_exc(limit=-3)[-2000:])
        traceback.print_exc()
        return EXIT_CRASHED
    return 0


def _idle_at_console(hangup: HangUp) -> None:
    """Stay up with nothing to do: the terminal is about to close, and a console program does not leave first."""
    until = time.monotonic() + hangup.grace_s + IDLE_S
    while time.monotonic() < until:
        time.sleep(IDLE_POLL_S)
        if hangup.on is OnHangUp.PRINT:
            sys.stdout.write("idle\n")
            sys.stdout.flush()


def _prepare_hangup(on: OnHangUp | None) -> None:
    if on is None or sys.platform == "win32":
        return
    if on is OnHangUp.HANDLE:

        def handler(_number: int, _frame: object) -> None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one hang-up is enough; close() must not be torn by us
            raise HungUp

        signal.signal(signal.SIGHUP, handler)
    elif on in (OnHangUp.IGNORE, OnHangUp.PRINT):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _run_lanes(
    workload: Any,
    lanes: list[Lane],
    instance: Any,
    context: RunContext,
    marks: Marks,
    order: Order,
    stop: threading.Event,
    prints: bool,
) -> None:
    if not lanes:
        return
    failures: list[BaseException] = []

    def guarded(lane: Lane) -> None:
        try:
            _run_lane(workload, lane, instance, context, marks, order, stop, prints)
        except BaseException as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(lane,), name=lane.name) for lane in lanes[1:]]
    for thread in threads:
        thread.start()
    try:
        _run_lane(workload, lanes[0], instance, context, marks, order, stop, prints)
    except BaseException:
        stop.set()
        raise
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _run_lane(
    workload: Any,
    lane: Lane,
    instance: Any,
    context: RunContext,
    marks: Marks,
    order: Order,
    stop: threading.Event,
    prints: bool,
) -> None:
    log = marks.log
    name = lane.name
    refusals = 0
    for done, step in enumerate(workload.steps(lane, instance, context)):
        if stop.is_set() or done >= order.steps_max:
            return
        log.begin(name, step.seq, step.effects)
        marks.step_begins()
        try:
            happened = step.do()
        except Exception as error:
            log.refused(name, step.seq, f"{type(error).__name__}: {error}"[:500])
            refusals += 1
            if refusals >= REFUSALS_MAX:
                raise
        else:
            log.ack(name, step.seq, None if happened is None else tuple(happened))
            marks.acked()
        context.stepped.tick()
        if prints:
            sys.stdout.write(f"step {step.seq}\n")
            sys.stdout.flush()
