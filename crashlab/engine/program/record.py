"""One recorded run of a program, proven whole."""

import filecmp
import shutil
from pathlib import Path

import msgspec

from crashlab.engine.program.private_copy import PrivateCopy, files_below
from crashlab.errors import LabError, LimitError, RecordError
from crashlab.log.format import Kind
from crashlab.log.operations import read_trace
from crashlab.log.reader import log_bases, read_marks
from crashlab.log.trace import TRACE_KIND_MIN, Role, TraceKind
from crashlab.model.program import Program
from crashlab.states.replay import require_same
from crashlab.states.segments import Segments
from crashlab.states.trace import Trace, load_trace
from crashlab.writers.program.launch import DISK_BYTES_MAX, Launch, Ran, launch
from crashlab.writers.program.output import ACK
from crashlab.writers.record.seccomp import launch_tree, seccomp_problem

__all__ = ["SECCOMP", "TAP", "Ack", "Recording", "UnseenError", "load_recording", "record_program"]

TAP, SECCOMP = "tap", "seccomp"
"""How a program is recorded: inside each Python of it, or at the system calls of all its processes."""

_SIDECARS = ("-wal", "-journal")


class UnseenError(LabError):
    """The tap did not see all that the program did; `what`, in short."""

    def __init__(self, message: str, what: str) -> None:
        super().__init__(message)
        self.what = what


class Ack(msgspec.Struct, frozen=True):
    """A line of output that was an ack. `key`: what its pattern caught. `moment`: the first at which it was out."""

    key: str
    moment: int


class Recording(msgspec.Struct, frozen=True):
    """A recorded run: `logs` and `initial` (the touched files as they were) below `directory`; `ran` is how it went.

    `via`: TAP or SECCOMP; `why`: the reason, if the lab chose SECCOMP by itself.
    """

    directory: Path
    ran: Ran
    via: str = TAP
    why: str = ""

    def trace(self) -> Trace:
        """Load the operations."""
        return load_recording(self.directory)


def load_recording(directory: Path) -> Trace:
    """Load a recording's trace from its directory.

    Raises:
        RecordError: the log is damaged, or something in it cannot be followed.
    """
    return load_trace(log_bases(str(directory / "log")), initial=directory / "initial")


def record_program(
    program: Program,
    copy: PrivateCopy,
    area: Path,
    *,
    seed: int,
    disk_bytes_max: int = DISK_BYTES_MAX,
    via: str = TAP,
) -> Recording:
    """Run a program in its private copy, and prove that the recording is whole.

    Raises:
        UsageError: it cannot be started, or an argument names a database outside.
        UnseenError: via TAP, nothing was recorded, or something went past the recorder.
        TapUnavailableError: via SECCOMP, and that does not work here.
        LabError: something was refused, or cannot be recorded.
        LimitError: it wrote too much.
    """
    order = Launch(
        copy.redirect(program.argv),
        str(area),
        str(copy.work),
        program.timeout_s,
        ack_on=program.ack_on,
        seed=seed,
        environment=copy.environment(),
        disk_bytes_max=disk_bytes_max,
    )
    ran = (launch_tree if via == SECCOMP else launch)(order)
    if ran.refused:
        raise LabError(refusal_text(ran))
    if ran.too_much:
        raise LimitError(
            f"the program and its recording wrote more than {disk_bytes_max >> 20} MiB and it was ended; give it less "
            "to do, or let it write the rest elsewhere"
        )
    if ran.problems and via == SECCOMP:
        raise LabError(f"the program did what cannot be recorded: {ran.problems[0]}")
    if ran.problems:
        raise UnseenError(
            f"a process of the program could not be recorded: {ran.problems[0]}{_advice()}", ran.problems[0]
        )
    if not ran.started and via == TAP:
        said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        raise UnseenError(
            f"no Python was recorded in {program.argv[0]!r} (exit code {ran.code}; {said}): expected CPython 3.11 or "
            f"later, started without -I, -E and -S, and with its PYTHONPATH left alone{_advice()}",
            "no Python was recorded",
        )
    recording = Recording(area, ran, via)
    try:
        _prove(recording, copy, area)
    except (LabError, RecordError) as error:
        what = str(error).partition(". Something wrote past")[0]
        if isinstance(error, RecordError):
            what = f"the recording is not whole, so it proves nothing: {what}"
        if via == SECCOMP:
            raise LabError(f"{what}; something wrote through a map or from outside the program's processes") from None
        raise UnseenError(
            f"{what}; something wrote past the tap and past Python's file functions{_advice()}",
            what.partition("proves nothing: ")[2],
        ) from None
    return recording


def _advice() -> str:
    problem = seccomp_problem()
    if problem is None:
        return "; --via seccomp records programs of any kind"
    return f" (--via seccomp, which records programs of any kind, does not work here: {problem})"


def refusal_text(ran: Ran) -> str:
    """Say what a program was refused, and what to do."""
    path, what = ran.refused[0]
    more = f" (and {len(ran.refused) - 1} more)" if len(ran.refused) > 1 else ""
    return (
        f"the program's {path} was to be {what}, outside the private copy, and was refused{more}: point the program "
        f"into its working directory, by {{dir}} in the command or --map {path}={Path(path).name}"
    )


def _prove(recording: Recording, copy: PrivateCopy, area: Path) -> None:
    touched = _touched(area)
    initial = area / "initial"
    initial.mkdir()
    before = set(files_below(copy.before))
    for name in sorted(before & touched):
        (initial / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(copy.before / name, initial / name)

    def untouched(name: str) -> bool:
        return name in before - touched and filecmp.cmp(copy.before / name, copy.work / name, shallow=False)

    scratch = area / "replayed"
    scratch.mkdir()
    try:
        require_same(recording.trace(), copy.work, scratch, labs_own=untouched)
    finally:
        shutil.rmtree(scratch)


def _touched(area: Path) -> set[str]:
    """Names that the log knows, with the sidecars of each database."""
    names: set[str] = set()
    for base in log_bases(str(area / "log")):
        for op in read_trace(located.record for located in Segments().read(base)):
            names.add(op.path)
            if op.kind is TraceKind.RENAME:
                names.add(op.target)
            if op.role is Role.MAIN:
                names.update(op.path + suffix for suffix in _SIDECARS)
    return {name for name in names if not Path(name).is_absolute()}


def acks_of(directory: Path, trace: Trace) -> tuple[Ack, ...]:
    """Return the acks of a recording, in order."""
    found: list[Ack] = []
    for record in read_marks(log_bases(str(directory / "log"))):
        if record.kind != Kind.NOTE or record.kind >= TRACE_KIND_MIN:
            continue
        text = msgspec.msgpack.decode(record.payload, type=str)
        if not text.startswith(ACK):
            continue
        low, high = 0, len(trace)
        while low < high:
            middle = (low + high) // 2
            if trace.happened_before(middle)(record):
                high = middle
            else:
                low = middle + 1
        found.append(Ack(text[len(ACK) :], low))
    return tuple(found)
