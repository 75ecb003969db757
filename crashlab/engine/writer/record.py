"""One recorded run of a writer in a private directory."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import Ack, acks_of, record_program
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, SubjectError, UsageError
from crashlab.model.program import Program
from crashlab.states.trace import Trace
from crashlab.writers.function.child import PATTERN, VARIABLE, read_acks
from crashlab.writers.function.places import DATABASE, bind
from crashlab.writers.function.ship import pack
from crashlab.writers.program.launch import Ran

__all__ = [
    "ACKED",
    "CHILD",
    "Run",
    "Writer",
    "main_database",
    "name_of",
    "own_part",
    "record_writer",
    "require_outside",
]

Writer: TypeAlias = "Callable[..., Any] | str | os.PathLike[str] | Sequence[str]"
ACKED = "acked"
_ADVICE = ": point the program"
"""Where the words about a refusal go on with what helps a command, but no function."""
CHILD = Path(__file__).parents[2] / "writers" / "function" / "child.py"


class Run(msgspec.Struct, frozen=True):
    """A recorded run, kept in `directory`; `ran` is how it went, None if it was read back.

    `acks`: when each promise was out; `values`: what was promised, in the same order.
    """

    directory: Path
    ran: Ran | None
    trace: Trace
    acks: tuple[Ack, ...]
    values: tuple[Any, ...]

    def acked(self, moment: int) -> list[Any]:
        """Return what had been promised at a moment."""
        return [value for ack, value in zip(self.acks, self.values, strict=False) if ack.moment <= moment]


def require_outside() -> None:
    """Refuse to explore in a writer's own process.

    Raises:
        UsageError: this is one.
    """
    if os.environ.get(VARIABLE):
        raise UsageError(
            "explore() was called while a writer's process imported its module; put the call into a test, or under "
            "if __name__ == '__main__'"
        )


def name_of(writer: Writer) -> str:
    """Return a short name of a writer for findings."""
    if callable(writer):
        name = str(getattr(writer, "__name__", type(writer).__name__))
        return "writer" if name == "<lambda>" else name
    return Program(_words(writer)).name


def record_writer(
    writer: Writer,
    space: Workspace,
    *,
    arguments: Mapping[str, Any],
    start: Path | None,
    timeout_s: float,
    seed: int,
    ack_on: str = "",
) -> Run:
    """Run a writer once in a directory of its own, and prove that the recording is whole.

    Raises:
        UsageError: it cannot be sent or started.
        SubjectError: it failed; its traceback is in the message.
        LabError, LimitError: it could not be recorded.
    """
    area = space.make_run()
    if start is None:
        start = area / "nothing"
        start.mkdir()
    elif not start.is_dir():
        raise UsageError(f"start={str(start)!r}: expected a directory, whose copy the writer begins with")
    copy = PrivateCopy(start, area)
    acked = area / "tmp" / ACKED
    if callable(writer):
        sent = area / "writer.call"
        sent.write_bytes(pack(writer, bind(writer, arguments)))
        argv: tuple[str, ...] = (sys.executable, str(CHILD), str(sent), str(acked))
        ack_on = PATTERN
    else:
        argv = _words(writer)
    try:
        recording = record_program(Program(argv, ack_on=ack_on, timeout_s=timeout_s), copy, area, seed=seed)
    except LabError as error:
        what, refused, _ = str(error).partition(_ADVICE)
        if not refused or not callable(writer):
            raise
        raise LabError(
            f"{what}; let the writer put everything at the path, or in the directory, that it is given"
        ) from None
    ran = recording.ran
    if ran.limit and callable(writer):
        raise SubjectError(
            f"the writer {name_of(writer)} did not end: {ran.limit}; raise timeout=, or give it less to do"
        )
    if ran.code and not ran.limit:
        how = f"exit code {ran.code}" if ran.code > 0 else f"signal {-ran.code}"
        raise SubjectError(f"the writer {name_of(writer)} itself failed ({how}):\n{own_part(ran.stderr)}")
    trace = recording.trace()
    acks = acks_of(recording.directory, trace)
    values = read_acks(acked) if callable(writer) else [ack.key for ack in acks]
    return Run(recording.directory, ran, trace, acks, tuple(values))


def main_database(names: Sequence[str]) -> str:
    """Return the database that checks are about: the one handed out, else the only or the first one."""
    return DATABASE if DATABASE in names or not names else sorted(names)[0]


def _words(writer: Any) -> tuple[str, ...]:
    words = (os.fspath(writer),) if isinstance(writer, str | os.PathLike) else tuple(map(str, writer))
    if not words:
        raise UsageError("writer: an empty command; expected a function, a script's path, or a list of words")
    if len(words) == 1 and Path(words[0]).suffix == ".py":
        script = Path(words[0]).absolute()
        if not script.is_file():
            raise UsageError(f"writer {words[0]!r}: no such script")
        return sys.executable, str(script)
    if words[0] in ("python", "python3"):
        return sys.executable, *words[1:]
    return words


def own_part(stderr: str) -> str:
    """The traceback without the lab's own frames at its head."""
    lines = stderr.strip().splitlines()
    last = max((at for at, line in enumerate(lines) if f'"{CHILD}"' in line), default=-1)
    if last < 0:
        return "\n".join(lines)
    rest = lines[last + 1 :]
    while rest and not rest[0].startswith("  File") and rest[0].startswith("    "):
        rest = rest[1:]
    return "\n".join(["Traceback (most recent call last):", *rest])
