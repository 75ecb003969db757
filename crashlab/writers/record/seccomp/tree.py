"""Recording any program: `record_tree` runs it with all that it starts, under the filter, to the end."""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from crashlab.errors import SubjectError, TapUnavailableError
from crashlab.model.history import Ended, EndKind
from crashlab.writers.record.seccomp.available import seccomp_problem
from crashlab.writers.record.seccomp.order import KillAt, Report, TreeOrder
from crashlab.writers.record.seccomp.run import run_order

__all__ = ["RecordedTree", "record_tree"]


class RecordedTree(msgspec.Struct, frozen=True):
    """A recorded run of somebody's program.

    `ended`: how its first process ended; DEADLINE if `seconds_max` was over. `problems`: what was done to the
    run's files and could not be recorded; with any of them the log cannot be loaded. `refused`: what the program
    asked for and was told that this kernel does not have. `operations`: those begun on the run's files.
    `calls`: system calls that stopped. `stopped`: why the lab ended the tree ("seconds", "bytes", "kill point",
    "32-bit program"), else empty. `left`: processes that were alive then. `output`: the end of standard output.
    """

    ended: Ended
    problems: tuple[str, ...]
    refused: tuple[str, ...]
    operations: int
    calls: int
    stopped: str
    left: int
    output: bytes

    @property
    def whole(self) -> bool:
        """Whether all that the program did to its files up to its end, or its kill point, was recorded.

        The proof is `crashlab.states.replay.require_same`; this is what the recorder knows by itself.
        """
        return not self.problems and self.stopped in ("", "seconds", "kill point")


def record_tree(
    argv: Sequence[str],
    directory: str,
    *,
    log_base: str,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    seconds_max: float = 60.0,
    bytes_max: int = 1 << 30,
    kill: KillAt | None = None,
) -> RecordedTree:
    """Run a program and record what it and its descendants do to the files of `directory`, into one log.

    Returns when all of them have ended; whoever is alive after `seconds_max`, or when the log has outgrown
    `bytes_max`, is killed. Its standard input is empty. `env` replaces the environment, `cwd` is `directory`
    if not given. `kill`: see `KillAt`.

    Raises:
        TapUnavailableError: not possible here; see `seccomp_problem`.
        SubjectError: there is no such program, or no such directory.
        LabError: the recorder itself failed.
    """
    problem = seccomp_problem()
    if problem is not None:
        raise TapUnavailableError(f"recording at the system call level: {problem}")
    if not argv:
        raise SubjectError("recording: no program was given; expected its name and arguments")
    for path in (directory, cwd or directory):
        if not Path(path).is_dir():
            raise SubjectError(f"recording: {path!r} is no directory")
    environment = dict(os.environ if env is None else env)
    program = shutil.which(
        os.path.join(cwd or directory, argv[0]) if "/" in argv[0] else argv[0], path=environment.get("PATH")
    )
    if program is None:
        raise SubjectError(f"recording: there is no program {argv[0]!r} that can be run; give its path")
    order = TreeOrder(
        (program, *argv[1:]),
        os.path.realpath(directory),
        str(Path(log_base).absolute()),
        environment,
        os.path.realpath(cwd or directory),
        seconds_max,
        bytes_max,
        kill,
    )
    return _result(*run_order(order))


def _result(report: Report, tails: list[bytes]) -> RecordedTree:
    status = report.status if report.status is not None else signal.SIGKILL
    if report.stopped == "seconds":
        kind, code = EndKind.DEADLINE, int(signal.SIGKILL)
    elif os.WIFSIGNALED(status):
        kind, code = EndKind.SIGNALLED, os.WTERMSIG(status)
    else:
        kind, code = EndKind.EXITED, os.WEXITSTATUS(status)
    ended = Ended(
        kind, code, start_ns=report.start_ns, end_ns=report.end_ns, stderr=tails[1][-4000:].decode(errors="replace")
    )
    return RecordedTree(
        ended, report.problems, report.refused, report.operations, report.calls, report.stopped, report.left, tails[0]
    )
