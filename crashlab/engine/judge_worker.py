"""A judge's process: imports the workload once, judges trials told on standard input."""

import contextlib
import logging
import os
import sys
import traceback

import msgspec

from crashlab.engine.audit import Audited, AuditOrder, audit
from crashlab.engine.explore import Explored, ExploreOrder, explore_recording
from crashlab.engine.judge import JudgeOrder, clear_run, judge_trial
from crashlab.engine.owner import die_with_owner
from crashlab.engine.source import loaded_code
from crashlab.errors import CrashlabError
from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.outcome import Outcome
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.load import extend_path, load_workload
from crashlab.writers.zygote import Hello

Task = JudgeOrder | ExploreOrder | AuditOrder


class JudgeReady(msgspec.Struct):
    """The judge's first answer: the workload's declared parameters and contract, or why it can't be imported.

    `code` is a digest of the user's modules that were imported.
    """

    error: str = ""
    params: dict[str, Param] = {}
    contract: Contract = Contract()
    code: str = ""


class JudgeSays(msgspec.Struct):
    """What a judge says: the stage it enters, or in the end what it found (or why it could not)."""

    stage: str = ""
    outcome: Outcome | None = None
    explored: Explored | None = None
    audited: Audited | None = None
    error: str = ""


def main() -> int:
    """Judge until standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    die_with_owner()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # what the program prints at its restart is not ours
    logging.lastResort = None
    hello = read_frame(sys.stdin.buffer, Hello)
    if hello is None:
        return 0
    extend_path(hello.path)
    try:
        workload = load_workload(hello.workload)
    except CrashlabError as error:
        send_frame(out, JudgeReady(str(error)))
        return 2
    code = loaded_code(hello.workload, hello.path)
    send_frame(out, JudgeReady("", dict(getattr(workload, "params", {})), workload.contract, code))

    def stage(name: str) -> None:
        send_frame(out, JudgeSays(name))

    while (task := read_frame(sys.stdin.buffer, Task)) is not None:  # type: ignore[arg-type]
        if isinstance(task, AuditOrder):
            try:
                send_frame(out, JudgeSays("done", audited=audit(workload)))
            except Exception as error:
                send_frame(out, JudgeSays("done", error=f"{type(error).__name__}: {error}"))
            continue
        if isinstance(task, ExploreOrder):
            try:
                send_frame(out, JudgeSays("done", explored=explore_recording(workload, task, stage)))
            except (CrashlabError, OSError) as error:
                send_frame(out, JudgeSays("done", error=str(error)))
            except Exception:
                send_frame(out, JudgeSays("done", error=f"a defect of crashlab: {traceback.format_exc(limit=-4)}"))
            clear_run(task.scratch)
            continue
        outcome = judge_trial(workload, task, stage)
        clear_run(task.order.directory)
        send_frame(out, JudgeSays("done", outcome))
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(main())
