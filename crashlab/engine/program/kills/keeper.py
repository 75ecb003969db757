"""The keeper's process: it runs commands one after the other, adopts what they leave, and judges what is there after.

It has no threads but the one that ends everything when the lab is gone, and no database is ever open in it while a
program runs.
"""

import contextlib
import os
import resource
import select
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from crashlab.engine.program.kills.judge import finding, judge
from crashlab.engine.program.kills.orders import EVIDENCE, WORK, Judged, KeeperOrder, KeeperSays
from crashlab.engine.program.kills.read import Reader, copy_databases, databases_in, remove_tree
from crashlab.engine.program.kills.survey import CHECKS, survey
from crashlab.errors import CrashlabError, UsageError
from crashlab.model.finding import Finding
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.program.launch import Launch, hook_environment
from crashlab.writers.program.spool import read_spool
from crashlab.writers.space import size_of
from crashlab.writers.tree.confine import confine, confinement_problem
from crashlab.writers.tree.processes import adopt_orphans, descendants, send
from crashlab.writers.tree.run import LOOK_S, TreeOrder, TreeRan, run_tree

LOOK_WHEN_LEARNING_S = 0.002
_TRACEBACK = "Traceback (most recent call last)"
_KILL = 9
_GONE = 71


def main(root: str) -> int:
    """Serve orders on standard input until it ends. `root`: the only directory in which anything is written."""
    out = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    orders = os.fdopen(os.dup(0), "rb")
    os.dup2(null, 0)
    adopt_orphans()
    if not confinement_problem():
        confine(root)
    threading.Thread(target=_end_with_owner, args=(orders.fileno(),), name="owner", daemon=True).start()

    def stage(name: str) -> None:
        send_frame(out, KeeperSays(name))

    while (order := read_frame(orders, KeeperOrder)) is not None:
        try:
            says = KeeperSays("done", _serve(order, stage))
        except (CrashlabError, OSError) as error:
            says = KeeperSays("done", error=str(error), usage=isinstance(error, UsageError))
        except Exception:
            says = KeeperSays("done", error=f"a defect of crashlab: {traceback.format_exc(limit=-4)}")
        kept = order.keep and says.judged is not None and says.judged.findings
        if not kept:
            remove_tree(Path(order.area))
        send_frame(out, says)
    return 0


def _end_with_owner(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, 0)  # nothing but the hang-up, which is always told
    poller.poll()
    for _ in range(200):
        found = descendants()
        send(found, _KILL)
        if not found:
            break
    os._exit(_GONE)


def _serve(order: KeeperOrder, stage: Callable[[str], None]) -> Judged:
    area = Path(order.area)
    (area / "tmp").mkdir(parents=True)
    work = area / WORK
    shutil.copytree(order.before, work, symlinks=True)
    stage("run")
    ran = _run(order, order.argv, order.signal)
    told = read_spool(str(area / "spool")) if order.hooked else []
    judged = Judged(
        ran,
        work_gone=not work.is_dir(),
        pythons=sum("started" in line for line in told),
        refused=tuple(dict.fromkeys((line["refused"], line["what"]) for line in told if "refused" in line)),
    )
    if ran.elsewhere or judged.work_gone:
        return judged
    stage("judge")
    keys = tuple(ack.key for ack in ran.acked)
    if order.reference is None:
        seen = survey(work, Path(order.before), area / "survey", keys)
        judged = msgspec.structs.replace(judged, survey=seen)
        return _restart(order, judged, [], stage) if order.restart and not seen.unsound else judged
    if not ran.fired:
        return judged
    if order.restart:  # else nothing changes what the program left
        shutil.copytree(work, area / EVIDENCE, symlinks=True)
    looks, findings = judge(work, area / "judged", order.reference, keys, order.subject)
    judged = msgspec.structs.replace(judged, looks=looks, findings=tuple(findings))
    return _restart(order, judged, findings, stage) if order.restart else judged


def _run(order: KeeperOrder, argv: tuple[str, ...], number: int) -> TreeRan:
    area, work = Path(order.area), os.path.join(order.area, WORK)
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"PYTHONUNBUFFERED": "1"} if order.ack_on else {}),
        **{name: value.replace(order.theirs, work) for name, value in order.environment.items()},
        "PWD": work,
        "TMPDIR": str(area / "tmp"),
    }
    words = tuple(word.replace(order.theirs, work) for word in argv)
    if order.hooked:
        (area / "spool").touch()
        hook = Launch(words, order.area, work, order.limits.seconds, record=False, environment=environment)
        environment = hook_environment(hook, str(area / "spool"))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    most = size_of(order.before) + order.limits.disk_bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if hard < 0 else min(most, hard), hard))
    try:
        return run_tree(_tree_order(order, words, work, environment, number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _tree_order(
    order: KeeperOrder, words: tuple[str, ...], work: str, environment: dict[str, str], number: int
) -> TreeOrder:
    return TreeOrder(
        words,
        work,
        order.area,
        environment,
        order.ack_on,
        number,
        after_open=order.after_open,
        after_acks=order.after_acks,
        delay_us=order.delay_us,
        grace_s=order.grace_s,
        limits=order.limits,
        look_s=LOOK_S if order.reference else LOOK_WHEN_LEARNING_S,
    )


def _restart(order: KeeperOrder, judged: Judged, findings: list[Finding], stage: Callable[[str], None]) -> Judged:
    """Run the restart command where the program was, and look at the databases again."""
    stage("restart")
    ran = _run(msgspec.structs.replace(order, ack_on=""), order.restart, 0)
    if ran.elsewhere:
        return msgspec.structs.replace(judged, problem=f"the restart opened {ran.elsewhere[0]}, which is no copy")
    said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
    again: list[Finding] = []
    if ran.limit:
        again.append(finding(order.subject, "ends", f"the restart does not end: {ran.limit}", "restart"))
    elif ran.code:
        how = f"exit code {ran.code}" if ran.code > 0 else f"signal {-ran.code}"
        again.append(finding(order.subject, "succeeds", f"the restart ended with {how}: {said}", "restart"))
    elif _TRACEBACK in ran.stderr:
        again.append(finding(order.subject, "succeeds", f"the restart printed a traceback: {said}", "restart"))
    elif not any(each.identity.invariant == "well-formed" for each in findings):
        again += _malformed(order)
    return msgspec.structs.replace(judged, findings=(*findings, *again), restarted=True)


def _malformed(order: KeeperOrder) -> list[Finding]:
    work, scratch = Path(order.area) / WORK, Path(order.area) / "restarted"
    names = databases_in(work)
    copy_databases(work, names, scratch)
    checks = order.reference.survey.check if order.reference else {}
    for name in names:
        with Reader(scratch / name) as reader:
            problem = reader.check(checks.get(name, CHECKS[-1]))
        if problem:
            return [
                finding(order.subject, "well-formed", f"after the restart {name} is malformed: {problem}", "restart")
            ]
    return []


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(main(sys.argv[1]))
